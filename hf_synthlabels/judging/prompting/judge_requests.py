"""Requests about the items of a judge: verdicts, the judge's own answers before them, and criteria that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hf_synthlabels.clients import Completion, Request
from hf_synthlabels.judging.judgment import JudgmentStatus, failed_status
from hf_synthlabels.judging.parsing.criteria_parser import failed_criteria
from hf_synthlabels.judging.parsing.reply_parser import Extraction
from hf_synthlabels.judging.prompting.criteria_prompt import CriteriaPrompt
from hf_synthlabels.judging.prompting.judge_prompt import Item, JudgePrompt

USUAL_ANSWER = " ".join(["word"] * 150)
"""An own answer of usual length, for planned requests."""


@dataclass(frozen=True, slots=True)
class NotJudged:
    """Why an item has no verdicts."""

    status: JudgmentStatus
    error: str


@dataclass(frozen=True, slots=True)
class Replies:
    """The replies about an item."""

    orders: Sequence[Sequence[Completion]]
    """The replies with verdicts, sample by sample, for each order of the answers."""
    alone: Mapping[str, Completion]
    """The replies about criteria that were requested again, by name."""
    own_answer: str | None = None


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """An item, and why there is nothing to judge."""

    item: Item
    skip_reason: str
    is_sent: bool


@dataclass(frozen=True)
class JudgeRequests:
    """Items as requests; see `RowRequests`.

    The places of an item are its own answer if the judge commits first, the verdicts, both orders of two answers one
    after the other, and then each criterion alone.
    """

    prompt: JudgePrompt
    extraction: Extraction
    repeats: bool = True
    """Whether failed criteria are requested again."""
    rows_per_call: int = 1

    @cached_property
    def verdicts(self) -> range:
        """Places of the verdicts."""
        first = 1 if self.prompt.commit_first else 0
        orders = 2 if self.prompt.rubric.protocol == "pairwise" else 1
        return range(first, first + self.extraction.num_samples * orders)

    def first_places(self, row: JudgedItem) -> Sequence[int]:  # noqa: ARG002
        """Places that are known before any reply."""
        return (0,) if self.prompt.commit_first else self.verdicts

    @cached_property
    def _is_repeated(self) -> bool:
        return self.repeats and isinstance(self.prompt, CriteriaPrompt)

    @cached_property
    def _has_next_places(self) -> bool:
        return self.prompt.commit_first or self._is_repeated

    def next_places(self, row: JudgedItem, replies: Mapping[int, Completion]) -> Sequence[int]:  # noqa: ARG002
        """Places of the requests that depend on the replies so far."""
        if not self._has_next_places:
            return ()
        verdicts = self.verdicts
        if len(replies) < verdicts.stop:
            return verdicts if commitment_problem(replies[0]) is None else ()
        if not self._is_repeated or len(replies) > verdicts.stop:
            return ()
        failed = failed_criteria(self.prompt.rubric, self.extraction, [replies[place] for place in verdicts])
        return [verdicts.stop + place for place, name in enumerate(self.prompt.rubric.parts) if name in failed]

    def request(self, key: int, rows: Sequence[JudgedItem], place: int, replies: Mapping[int, Completion]) -> Request:
        """The request for a place."""
        item, prompt, number = rows[0].item, self.prompt, place - self.verdicts.start
        if number < 0:
            return Request(key, prompt.commitment(item), text=item.input, row=item.row)
        if prompt.commit_first:
            item = replace(item, own_answer=replies[0].text.strip())
        if place >= self.verdicts.stop:
            assert isinstance(prompt, CriteriaPrompt)
            prompt = list(prompt.alone.values())[place - self.verdicts.stop]
            return Request(key, prompt.messages(item), 0, prompt.response_schema, item.prediction, item.row)
        messages = prompt.messages(item, swapped=number >= self.extraction.num_samples)
        # Samples are numbered across both orders, so that recorded replies to both are in one list.
        return Request(key, messages, number, prompt.response_schema, item.prediction, item.row)

    def read(
        self,
        rows: Sequence[JudgedItem],  # noqa: ARG002
        completion: Completion,
        place: int,  # noqa: ARG002
    ) -> Sequence[Completion]:
        """The reply to an item, which shares its request with no other."""
        return [completion]

    def replies(self, row: JudgedItem, by_place: Mapping[int, Completion]) -> Replies | NotJudged:
        """The replies about an item, or why it has no verdicts."""
        if not by_place:
            return NotJudged("empty", row.skip_reason)
        verdicts, size = self.verdicts, self.extraction.num_samples
        problem = commitment_problem(by_place[0]) if self.prompt.commit_first else None
        if problem is not None:
            return problem
        if not self._has_next_places and len(verdicts) == 1:
            return Replies([[by_place[0]]], {})
        replies = [by_place[place] for place in verdicts]
        return Replies(
            [replies[start : start + size] for start in range(0, len(replies), size)],
            {
                name: by_place[verdicts.stop + place]
                for place, name in enumerate(self.prompt.rubric.parts)
                if verdicts.stop + place in by_place
            },
            by_place[0].text.strip() if self.prompt.commit_first else None,
        )


def commitment_problem(completion: Completion) -> NotJudged | None:
    """Why a reply is not an own answer; None if it is."""
    failed = failed_status(completion)
    # The beginning of a long answer is one too.
    if failed is not None and failed[0] != "truncated":
        return NotJudged(failed[0], f"the judge's own answer: {failed[1]}")
    return None if completion.text.strip() else NotJudged("unparsed", "the judge's own answer is empty")


def planned_requests(
    requests: JudgeRequests, rows: Iterable[JudgedItem], own_answer: Callable[[Request], str | None] | None = None
) -> Iterator[Request]:
    """The requests about items, in order, without sending them.

    Args:
        requests: builds the requests.
        rows: the items.
        own_answer: looks up the judge's own answer by its request; an unknown one is `USUAL_ANSWER`.
    """
    key = 0
    for row in (row for row in rows if row.is_sent):
        replies: dict[int, Completion] = {}
        if requests.verdicts.start > 0:
            request = requests.request(key, [row], 0, replies)
            answer = None if own_answer is None else own_answer(request)
            replies[0] = Completion(key, text=answer or USUAL_ANSWER)
            yield request
            key += 1
        for place in requests.verdicts:
            yield requests.request(key, [row], place, replies)
            key += 1
