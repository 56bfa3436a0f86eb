"""Annotation: the annotator's result for one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from hf_synthlabels.labels.values import Label

Status = Literal["labelled", "abstained", "unparsed", "refused", "truncated", "failed", "over_budget", "skipped"]
"""Whether a row has a label, or why not. The annotator never saw a `skipped` row."""

STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Annotation:
    """The annotator's result for one row; `label` is set if and only if `status` is `labelled`.

    Raises:
        ValueError: Status and label contradict each other.
    """

    status: Status
    label: Label | None = None
    confidence: float | None = None
    """Probability of the label, the share of samples that agree with it, or the stated confidence; None if unknown."""
    probabilities: Mapping[str, float] | None = None
    """Probability of each class; None if unknown."""
    votes: tuple[Label | None, ...] = ()
    """Label of each sample; None for a sample without one."""
    raw: str | None = None
    """The raw answer; a JSON list of answers if there are several samples."""
    reason: str = ""
    """Why the label is missing, how a span was located, or why no stated confidence could be read."""
    expected: float | None = None
    """For a scale: the mean of the label's distribution, by probabilities or samples; None if unknown."""
    annotator: str | None = None
    """The annotator of the row, if there are two; None if there is one or the row was not sent."""
    stated: bool = False
    """Whether the annotator was asked to state its confidence, which is then `confidence`."""
    agreement: float | None = None
    """Share of samples that agree with the label, where the confidence is a stated one."""

    def __post_init__(self) -> None:
        if (self.status == "labelled") != (self.label is not None):
            raise ValueError(f"`status` {self.status!r} contradicts `label` {self.label!r}.")
