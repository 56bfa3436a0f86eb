"""Ordered window: many requests are in flight, and their rows are returned in the order of the rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Protocol, TypeVar

from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.clients import ChatClient, Completion, Failure, Request
from hf_synthlabels.clients.protocol.reasoning_parts import separate_reasoning
from hf_synthlabels.clients.protocol.truncation import checked_prompts
from hf_synthlabels.errors import ClientError

WINDOW_ROWS = 16_384
"""Maximum number of rows that wait for an earlier one; no more are read until it is finished."""


class SendableRow(Protocol):
    """A row that knows whether there is anything to request for it."""

    @property
    def is_sent(self) -> bool:
        """Whether requests are sent."""


Row = TypeVar("Row", bound=SendableRow)
Reply = TypeVar("Reply")
RowIn = TypeVar("RowIn", contravariant=True)
ReplyOut = TypeVar("ReplyOut")


class RowRequests(Protocol[RowIn, ReplyOut]):
    """How rows become requests, and completions become replies."""

    @property
    def rows_per_call(self) -> int:
        """Rows that share a request."""

    def first_places(self, row: RowIn) -> Sequence[int]:
        """Numbers of the requests that a row starts with, the same for rows that share a request."""

    def next_places(self, row: RowIn, replies: Mapping[int, ReplyOut]) -> Sequence[int]:
        """Numbers of the requests that the replies so far call for; empty when the row is finished."""

    def request(self, key: int, rows: Sequence[RowIn], place: int, replies: Mapping[int, ReplyOut]) -> Request:
        """The request with this number for some rows; `replies` are the first row's so far."""

    def read(self, rows: Sequence[RowIn], completion: Completion, place: int) -> Sequence[ReplyOut] | None:
        """The reply to each row; None to request the same again for each half of the rows."""


def planned_requests(requests: RowRequests[Row, Reply], rows: Iterable[Row]) -> Iterator[Request]:
    """The first requests for rows, in order, without sending them; what replies call for is not foreseen."""
    sent = (row for row in rows if row.is_sent)
    key = 0
    while shared := list(islice(sent, requests.rows_per_call)):
        for place in requests.first_places(shared[0]):
            yield requests.request(key, shared, place, {})
            key += 1


def ordered_replies(
    client: ChatClient,
    requests: RowRequests[Row, Reply],
    rows: Iterable[Row],
    stats: RunStats,
    *,
    window_rows: int | None = None,
) -> Iterator[tuple[Row, dict[int, Reply]]]:
    """Send the requests for rows, and return each row with its replies once all rows before it have theirs.

    Replies have the numbers of their requests as keys, in order.

    Args:
        client: completes the requests.
        requests: builds the requests and reads their completions.
        rows: read only as fast as the client takes the requests.
        stats: counts the requests.
        window_rows: maximum number of rows that wait for an earlier one; None for 16,384.

    Raises:
        ClientError: the client takes no requests.
    """
    window = _Window(requests, rows, window_rows or WINDOW_ROWS)
    while not window.is_over:
        before = window.position
        # Some requests are known only when others are completed, so there may be several passes.
        for completion in checked_prompts(client, window.requests(), stats.truncated_prompts):
            window.record(completion, stats)
            yield from window.finished()
        window.fail_missing(stats)
        yield from window.finished()
        if window.position == before and not window.is_over:
            raise ClientError(f"client {client.identity.get('client')!r} takes no requests, so no row can be finished.")


@dataclass(frozen=True, slots=True)
class _Call:
    """A request: the numbers of its rows, and the place of its reply."""

    numbers: tuple[int, ...]
    place: int


@dataclass(slots=True)
class _OpenRow(Generic[Row, Reply]):
    """A row that has not been returned."""

    row: Row
    missing: int
    """Replies that are still to come."""
    replies: dict[int, Reply] = field(default_factory=dict)


class _Window(Generic[Row, Reply]):
    """Open rows and requests in flight.

    The client reads `requests`, possibly in another thread; everything else belongs to the caller.
    """

    def __init__(self, requests: RowRequests[Row, Reply], rows: Iterable[Row], size: int) -> None:
        self._requests = requests
        self._rows = enumerate(rows)
        self._size = size
        self._open: dict[int, _OpenRow[Row, Reply]] = {}
        self._pending: deque[_Call] = deque()
        self._in_flight: dict[int, _Call] = {}
        self._sent = 0
        self._next = 0
        self._exhausted = False

    @property
    def is_over(self) -> bool:
        """Whether every row has been returned."""
        return self._exhausted and not self._open

    @property
    def position(self) -> tuple[int, int]:
        """Numbers of requests sent and of rows returned."""
        return self._sent, self._next

    def requests(self) -> Iterator[Request]:
        """The pending requests, then those of rows that have not been read, as far as the window allows."""
        while True:
            while self._pending:
                call = self._pending.popleft()
                key, self._sent = self._sent, self._sent + 1
                self._in_flight[key] = call
                rows = [self._open[number] for number in call.numbers]
                yield self._requests.request(key, [row.row for row in rows], call.place, rows[0].replies)
            if len(self._open) >= self._size:
                # An early row takes long: this pass ends with its completion, and the next one continues.
                return
            if numbers := self._read_rows():
                places = self._requests.first_places(self._open[numbers[0]].row)
                self._pending.extend(_Call(numbers, place) for place in places)
            elif self._exhausted:
                return

    def record(self, completion: Completion, stats: RunStats) -> None:
        """Keep the replies of a completion; of two completions of a request the first counts."""
        call = self._in_flight.pop(completion.key, None)
        if call is None:
            return
        completion = separate_reasoning(completion)
        stats.count_call(completion)
        rows = [self._open[number] for number in call.numbers]
        replies = self._requests.read([row.row for row in rows], completion, call.place)
        if replies is None:
            half = len(rows) // 2
            self._pending.extend(_Call(part, call.place) for part in (call.numbers[:half], call.numbers[half:]))
            return
        for number, row, reply in zip(call.numbers, rows, replies, strict=True):
            row.replies[call.place] = reply
            row.missing -= 1
            if row.missing == 0 and (places := self._requests.next_places(row.row, row.replies)):
                row.missing = len(places)
                self._pending.extend(_Call((number,), place) for place in places)

    def fail_missing(self, stats: RunStats) -> None:
        """Fail the requests that the client took and did not complete."""
        for key in list(self._in_flight):
            failure = Failure("missing", "the client ended without an answer")
            self.record(Completion(key, failure=failure), stats)

    def finished(self) -> Iterator[tuple[Row, dict[int, Reply]]]:
        """The finished rows before the first unfinished one, with their replies in order."""
        while (row := self._open.get(self._next)) is not None and row.missing == 0:
            del self._open[self._next]
            self._next += 1
            yield row.row, row.replies if len(row.replies) == 1 else dict(sorted(row.replies.items()))

    def _read_rows(self) -> tuple[int, ...]:
        """Open the rows of the next request; fewer at the end, or where the window is full."""
        numbers: list[int] = []
        for number, row in self._rows:
            self._open[number] = _OpenRow(row, len(self._requests.first_places(row)) if row.is_sent else 0)
            if row.is_sent:
                numbers.append(number)
            if len(numbers) == self._requests.rows_per_call or len(self._open) >= self._size:
                return tuple(numbers)
        self._exhausted = True
        return tuple(numbers)
