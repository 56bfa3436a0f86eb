"""Asking: the questions about each item go to a client, and come back in the order of the items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import ChatClient, Completion, Failure, Message, Request
from hf_synthlabels.clients.protocol.reasoning_parts import separated
from hf_synthlabels.clients.protocol.truncation import checked_prompts
from hf_synthlabels.errors import AllFailedError, ClientError
from hf_synthlabels.judging.prompt import Item

BREAKER_ITEMS = 20
"""A run whose first so many items all fail is stopped: the cause is not the items."""

WINDOW_ITEMS = 16_384
"""Items that may wait for an earlier one; then no more are read until it is finished."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one item: one conversation, or one for each order of its answers; none when it is empty."""

    item: Item
    conversations: tuple[tuple[Message, ...], ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """An item with the replies to each conversation, draw by draw."""

    item: Item
    replies: tuple[tuple[Completion, ...], ...]


def asked(
    client: ChatClient,
    questions: Iterable[Question],
    tally: RunStats,
    *,
    draws: int = 1,
    response_schema: Mapping[str, Any] | None = None,
    window: int | None = None,
) -> Iterator[Answered]:
    """Ask, and hand out each item as soon as all before it are answered; items are read only as fast as they are asked.

    Args:
        client: who is asked.
        questions: may be more than fit the memory.
        tally: counts each call.
        draws: replies to each conversation.
        response_schema: the JSON schema of a reply.
        window: items that may wait for an earlier one; None for 16,384.

    Raises:
        ClientError: the client takes no requests.
    """
    run = _Run(questions, draws, response_schema, window or WINDOW_ITEMS)
    while not run.is_over:
        asked_before = run.asked
        for completion in checked_prompts(client, run.requests(), tally.truncated_prompts):
            if run.take(completion):
                tally.count_call(completion)
            yield from run.finished()
        for completion in run.give_up():
            tally.count_call(completion)
        yield from run.finished()
        if run.asked == asked_before and not run.is_over:
            raise ClientError(f"client {client.identity.get('client')!r} takes no requests, so nothing can be judged.")


def requests(
    questions: Iterable[Question], *, draws: int = 1, response_schema: Mapping[str, Any] | None = None
) -> Iterator[Request]:
    """What would be asked; nobody is."""
    for question in questions:
        yield from _requests(question, 0, draws, response_schema)


def check_breaker(tally: RunStats, *, at_end: bool) -> None:
    """Stop a run that goes nowhere.

    Raises:
        AllFailedError: the first 20 items, or all when there are fewer, failed.
    """
    failed = tally.statuses["failed"]
    if tally.is_all_failed("empty") and (at_end or failed >= BREAKER_ITEMS):
        cause, times = tally.failures.most_common(1)[0]
        raise AllFailedError(f"All of the first {failed} items failed, {times} with: {cause}. Nothing was scored.")


@dataclass(slots=True)
class _Open:
    """An item that is not finished."""

    question: Question
    missing: int
    replies: dict[int, Completion] = field(default_factory=dict)


class _Run:
    """One pass over the items. `requests` is read by the client, perhaps in a thread of its own."""

    def __init__(
        self, questions: Iterable[Question], draws: int, schema: Mapping[str, Any] | None, window: int
    ) -> None:
        self._questions = iter(questions)
        self._draws = draws
        self._schema = schema
        self._window = window
        self._open: dict[int, _Open] = {}
        self._calls: dict[int, tuple[int, int]] = {}
        self._pending: list[Request] = []
        self._read = self._following = self._keys = 0
        self._exhausted = False

    @property
    def asked(self) -> int:
        """How many requests were handed to the client so far."""
        return self._keys - len(self._pending)

    @property
    def is_over(self) -> bool:
        """Whether every item has been handed out."""
        return self._exhausted and not self._open

    def requests(self) -> Iterator[Request]:
        """What is to be asked, as far as the window allows."""
        while True:
            while self._pending:
                yield self._pending.pop(0)
            if len(self._open) >= self._window:
                # An early item takes long: this pass ends when it is answered, and the next one goes on.
                return
            question = next(self._questions, None)
            if question is None:
                self._exhausted = True
                return
            made = list(_requests(question, self._keys, self._draws, self._schema))
            for place, request in enumerate(made):
                self._calls[request.key] = (self._read, place)
            self._keys += len(made)
            self._pending = made
            self._open[self._read] = _Open(question, len(made))
            self._read += 1

    def take(self, completion: Completion) -> bool:
        """Keep a reply; False where there was one already."""
        call = self._calls.pop(completion.key, None)
        if call is None:
            return False
        number, place = call
        opened = self._open[number]
        opened.replies[place] = separated(completion)
        opened.missing -= 1
        return True

    def give_up(self) -> Iterator[Completion]:
        """What the client was asked and ended without a reply to has failed."""
        waiting = {request.key for request in self._pending}
        for key in [key for key in self._calls if key not in waiting]:
            lost = Completion(key, failure=Failure("missing", "the client ended without an answer"))
            self.take(lost)
            yield lost

    def finished(self) -> Iterator[Answered]:
        """The items that are finished, as far as all before them are."""
        while (opened := self._open.get(self._following)) is not None and opened.missing == 0:
            del self._open[self._following]
            self._following += 1
            replies = [opened.replies[place] for place in range(len(opened.replies))]
            orders = range(len(opened.question.conversations))
            yield Answered(
                opened.question.item,
                tuple(tuple(replies[order * self._draws : (order + 1) * self._draws]) for order in orders),
            )


def _requests(question: Question, first_key: int, draws: int, schema: Mapping[str, Any] | None) -> Iterator[Request]:
    for order, messages in enumerate(question.conversations):
        for draw in range(draws):
            place = order * draws + draw
            # Draws count on over the orders, so that recorded replies to both stand in one list.
            yield Request(first_key + place, messages, place, schema, question.item.prediction, question.item.row)
