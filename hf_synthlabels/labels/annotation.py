"""Annotation: what one row got from its annotator, label or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

__all__ = ["STATUSES", "Annotation", "Status"]

Status = Literal["labelled", "abstained", "unparsed", "refused", "truncated", "failed", "over_budget"]
"""Why a row has its label, or has none."""

STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the annotator said of one row.

    `label` is None unless the status is `labelled`; nothing else may stand in for a missing label.

    Raises:
        ValueError: status and label contradict each other.
    """

    status: Status
    label: Any = None
    """A label name, a list of names, a number, spans or a text, by the kind of the schema."""
    confidence: float | None = None
    """Probability that the annotator gave its label, or the share of draws that agree; None if unknown."""
    probabilities: Mapping[str, float] | None = None
    votes: tuple[str | None, ...] = ()
    """The label of each draw, None for a draw without one."""
    raw: str | None = None
    """The answer as it came; with several draws a JSON list of answers."""
    reason: str = ""
    """Why there is no label, in words."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """Of all draws: `prompt_tokens`, `completion_tokens`, `requests` sent and answers `stored` before."""

    def __post_init__(self) -> None:
        if (self.status == "labelled") != (self.label is not None):
            raise ValueError(f"`status` is {self.status!r} and `label` is {self.label!r}: they contradict.")
