"""Judgment of one answer, or the reason why it has no score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from hf_synthlabels.clients import Completion

JudgmentStatus = Literal[
    "scored",
    "unparsed",
    "refused",
    "truncated",
    "filtered",
    "failed",
    "over_budget",
    "empty",
    "split",
    "abstained",
    "missing",
    "repeated",
]
"""`empty` is an item without an answer or without a required reference, which is not sent to the judge. `split` is a
jury without a majority. The last three are of criteria: without a verdict on purpose, not in the reply, and in it more
than once."""

CRITERION_STATUSES: tuple[JudgmentStatus, ...] = get_args(JudgmentStatus)
"""Statuses of criteria, and of an overall score."""

JUDGMENT_STATUSES = CRITERION_STATUSES[:-3]
"""Statuses of rubrics with one score."""

ParseMethod = Literal["schema", "line", "logprobs", "samples"]
"""How a score was read: from a reply that is a JSON object; from the labeled line, or a reply that is only a score; as
the expectation over the tokens of the verdict; as the mean of several samples."""


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """One reply after parsing."""

    score: float | None = None
    """None if the reply states no score, or more than one."""
    parse_method: ParseMethod | None = None
    reason: str = ""
    """The judge's explanation, before or after its verdict."""
    error: str = ""
    """Why there is no score."""
    reference_score: float | None = None
    """Score of the reference, if the rubric scores it too."""


@dataclass(frozen=True, slots=True)
class Judgment:
    """Judgment of one answer.

    Raises:
        ValueError: `score` and `status` contradict each other.
    """

    score: float | None
    """On the rubric's own scale; None unless the status is `scored`."""
    status: JudgmentStatus
    parse_method: ParseMethod | None = None
    reason: str | None = None
    """The judge's explanation."""
    raw: str = ""
    """The raw reply; with several samples a JSON list of them."""
    samples: tuple[float | None, ...] = ()
    """The score of each sample, or of each member of a jury; None for one without a score."""
    error: str = ""
    """Why there is no score."""
    reference_score: float | None = None
    mass: float | None = None
    """Total probability of the score tokens, if log-probabilities were used; with several samples the mean."""
    criteria: Mapping[str, Judgment] = field(default_factory=dict)
    """The judgment of each criterion by name, if the rubric has several; then `score` is the overall score."""
    own_answer: str | None = None
    """The judge's own answer to the input, if it gave one first."""

    def __post_init__(self) -> None:
        if (self.status == "scored") != (self.score is not None):
            raise ValueError(f"`status` is {self.status!r} and `score` is {self.score!r}: they contradict.")


def failed_status(completion: Completion) -> tuple[JudgmentStatus, str] | None:
    """Status and error of a completion without a usable reply; None if the reply can be parsed."""
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
