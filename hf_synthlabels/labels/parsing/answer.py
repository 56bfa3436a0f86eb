"""Answer: one answer, read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hf_synthlabels.labels.values import Label


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read: a label, or why there is none."""

    status: Literal["labelled", "abstained", "unparsed"]
    label: Label | None = None
    reason: str = ""
    rung: str = ""
    """How a text was found in its context: `exact`, `normalised` or `closest`; with `-ambiguous` in several places."""


def unparsed(reason: str) -> Answer:
    """An answer that is none, and why."""
    return Answer("unparsed", reason=reason)
