"""Requests of a judge, sent to its client; the replies are returned in the order of the items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import ChatClient, Completion, Failure, Message, Request
from hf_synthlabels.clients.protocol.reasoning_parts import separate_reasoning
from hf_synthlabels.clients.protocol.truncation import checked_prompts
from hf_synthlabels.errors import AllFailedError, ClientError
from hf_synthlabels.judging.prompt import Item

EARLY_STOP_ITEMS = 20
"""A run stops if this many items at its start all fail: the items are not the cause."""

WINDOW_ITEMS = 16_384
"""Items that may wait for an earlier one; no more are read until it is finished."""


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """The conversations about one item: one for each order of its answers; none if there is nothing to judge."""

    item: Item
    conversations: tuple[tuple[Message, ...], ...]

    def requests(self, first_key: int, num_samples: int, schema: Mapping[str, Any] | None) -> Iterator[Request]:
        """The samples of each conversation as requests."""
        for order, messages in enumerate(self.conversations):
            for sample in range(num_samples):
                # Samples are numbered across both orders, so that recorded replies to both are in one list.
                place = order * num_samples + sample
                yield Request(first_key + place, messages, place, schema, self.item.prediction, self.item.row)


@dataclass(frozen=True, slots=True)
class ItemReplies:
    """An item with the replies to each of its conversations, sample by sample."""

    item: Item
    replies: tuple[tuple[Completion, ...], ...]


def run_requests(
    client: ChatClient,
    plans: Iterable[RequestPlan],
    stats: RunStats,
    *,
    num_samples: int = 1,
    response_schema: Mapping[str, Any] | None = None,
    window: int | None = None,
) -> Iterator[ItemReplies]:
    """Send the requests, and return each item once all items before it have their replies.

    Args:
        client: answers the requests.
        plans: read only as fast as the client takes the requests.
        stats: counts the calls.
        num_samples: replies to each conversation.
        response_schema: JSON schema of a reply.
        window: maximum number of items that wait for an earlier one; None for 16,384.

    Raises:
        ClientError: the client takes no requests.
    """
    run = _Run(plans, num_samples, response_schema, window or WINDOW_ITEMS)
    while not run.is_over:
        sent_before = run.sent
        for completion in checked_prompts(client, run.requests(), stats.truncated_prompts):
            if run.record(completion):
                stats.count_call(completion)
            yield from run.finished()
        for completion in run.fail_missing():
            stats.count_call(completion)
        yield from run.finished()
        if run.sent == sent_before and not run.is_over:
            raise ClientError(f"client {client.identity.get('client')!r} takes no requests, so nothing can be judged.")


def count_item(stats: RunStats, status: str, error: str) -> None:
    """Count a finished item."""
    stats.rows += 1
    stats.statuses[status] += 1
    if status == "failed":
        stats.failures[error] += 1


def check_early_stop(stats: RunStats, *, at_end: bool) -> None:
    """Stop a run in which every item fails.

    Raises:
        AllFailedError: the first 20 items failed, or all items if there are fewer.
    """
    failed = stats.statuses["failed"]
    if stats.is_all_failed("empty") and (at_end or failed >= EARLY_STOP_ITEMS):
        cause, count = stats.failures.most_common(1)[0]
        raise AllFailedError(f"All of the first {failed} items failed, {count} with: {cause}. Nothing was scored.")


@dataclass(slots=True)
class _OpenItem:
    """An item without all of its replies."""

    plan: RequestPlan
    missing: int
    replies: dict[int, Completion] = field(default_factory=dict)


class _Run:
    """One pass over the items. The client reads `requests`, perhaps in another thread."""

    def __init__(
        self, plans: Iterable[RequestPlan], num_samples: int, schema: Mapping[str, Any] | None, window: int
    ) -> None:
        self._plans = iter(plans)
        self._num_samples = num_samples
        self._schema = schema
        self._window = window
        self._open: dict[int, _OpenItem] = {}
        self._calls: dict[int, tuple[int, int]] = {}
        self._pending: list[Request] = []
        self._read = self._next = self._keys = 0
        self._exhausted = False

    @property
    def sent(self) -> int:
        """Number of requests that the client has taken."""
        return self._keys - len(self._pending)

    @property
    def is_over(self) -> bool:
        """Whether every item has been returned."""
        return self._exhausted and not self._open

    def requests(self) -> Iterator[Request]:
        """The next requests, as far as the window allows."""
        while True:
            while self._pending:
                yield self._pending.pop(0)
            if len(self._open) >= self._window:
                # An early item takes long: this pass ends with its reply, and the next one continues.
                return
            plan = next(self._plans, None)
            if plan is None:
                self._exhausted = True
                return
            requests = list(plan.requests(self._keys, self._num_samples, self._schema))
            for place, request in enumerate(requests):
                self._calls[request.key] = (self._read, place)
            self._keys += len(requests)
            self._pending = requests
            self._open[self._read] = _OpenItem(plan, len(requests))
            self._read += 1

    def record(self, completion: Completion) -> bool:
        """Keep a reply; False for a duplicate."""
        call = self._calls.pop(completion.key, None)
        if call is None:
            return False
        number, place = call
        item = self._open[number]
        item.replies[place] = separate_reasoning(completion)
        item.missing -= 1
        return True

    def fail_missing(self) -> Iterator[Completion]:
        """Fail the requests that the client took and did not answer."""
        waiting = {request.key for request in self._pending}
        for key in [key for key in self._calls if key not in waiting]:
            missing = Completion(key, failure=Failure("missing", "the client ended without an answer"))
            self.record(missing)
            yield missing

    def finished(self) -> Iterator[ItemReplies]:
        """The finished items before the first unfinished one."""
        while (item := self._open.get(self._next)) is not None and item.missing == 0:
            del self._open[self._next]
            self._next += 1
            replies = [item.replies[place] for place in range(len(item.replies))]
            size = self._num_samples
            orders = range(len(item.plan.conversations))
            yield ItemReplies(
                item.plan.item, tuple(tuple(replies[order * size : (order + 1) * size]) for order in orders)
            )
