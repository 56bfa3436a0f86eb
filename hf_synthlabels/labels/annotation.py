"""Annotation: what one row got from its annotator, label or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from hf_synthlabels.labels.values import Label

Status = Literal["labelled", "abstained", "unparsed", "refused", "truncated", "failed", "over_budget", "skipped"]
"""Why a row has its label, or has none. A row that is `skipped` says nothing about its annotator."""

STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the annotator said of one row.

    `label` is None unless the status is `labelled`; nothing else may stand in for a missing label.

    Raises:
        ValueError: status and label contradict each other.
    """

    status: Status
    label: Label | None = None
    confidence: float | None = None
    """Probability that the annotator gave its label, or the share of draws that agree; None if unknown."""
    probabilities: Mapping[str, float] | None = None
    votes: tuple[Label | None, ...] = ()
    """The label of each draw, None for a draw without one."""
    raw: str | None = None
    """The answer as it came; with several draws a JSON list of answers."""
    reason: str = ""
    """Why there is no label, in words."""

    def __post_init__(self) -> None:
        if (self.status == "labelled") != (self.label is not None):
            raise ValueError(f"`status` is {self.status!r} and `label` is {self.label!r}: they contradict.")
