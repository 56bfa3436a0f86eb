"""Judgment: what a judge said of one answer, or why it gave no score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from hf_synthlabels.clients import Completion

JudgmentStatus = Literal[
    "scored", "unparsed", "refused", "truncated", "filtered", "failed", "over_budget", "empty", "split"
]
"""Why there is a score, or none. `empty` is an answer with nothing in it, which is not sent to a judge; `split` is a
jury without a majority."""

JUDGMENT_STATUSES: tuple[JudgmentStatus, ...] = get_args(JudgmentStatus)

Rung = Literal["schema", "line", "logprobs", "draws"]
"""Where a score was read: in JSON that the whole reply is; in the labelled last line, or in what the whole reply is; as
the expectation over the tokens of the verdict; as the mean of several draws."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reply, read; without a score where it says none, or not a single one."""

    score: float | None = None
    rung: Rung | None = None
    reason: str = ""
    """What the judge said before, beside or after its verdict."""
    trouble: str = ""
    """Why there is no score."""
    reference_score: float | None = None
    """Of a rubric that scores the reference too."""
    place: int | None = None
    """The character at which the verdict begins in the reply; None where it can not be told."""


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a judge said of one answer.

    Raises:
        ValueError: `score` and `status` contradict each other.
    """

    score: float | None
    """On the rubric's own scale; None unless the status is `scored`, and nothing else stands for a missing score."""
    status: JudgmentStatus
    rung: Rung | None = None
    reason: str | None = None
    """The judge's words."""
    raw: str = ""
    """The reply as it came; of several draws a JSON list of them."""
    draws: tuple[float | None, ...] = ()
    """The score of each draw, or of each member of a jury; None for one without."""
    trouble: str = ""
    """Why there is no score, in words."""
    reference_score: float | None = None
    mass: float | None = None
    """The probability of all score tokens together, where log-probabilities were looked at; of draws their mean."""

    def __post_init__(self) -> None:
        if (self.status == "scored") != (self.score is not None):
            raise ValueError(f"`status` is {self.status!r} and `score` is {self.score!r}: they contradict.")


def unanswered(completion: Completion) -> tuple[JudgmentStatus, str] | None:
    """Why a completion is no reply to be read, as a status and in words; None when it is one."""
    failure = completion.failure
    if failure is not None:
        http = f" (HTTP {failure.http_status})" if failure.http_status else ""
        if failure.kind == "skipped":
            return "unparsed", failure.message
        return ("over_budget" if failure.kind == "over_budget" else "failed"), f"{failure.message}{http}"
    if completion.refusal:
        return "refused", "the judge refused"
    if completion.finish_reason == "content_filter":
        return "filtered", "the server's filter cut the reply"
    if completion.finish_reason == "length":
        return "truncated", "the reply was cut at `max_tokens`"
    return None
