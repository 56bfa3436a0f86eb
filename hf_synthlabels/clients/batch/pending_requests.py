"""Requests of a batch run that have no answer yet."""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from hf_synthlabels.clients.base import Completion, Failure, Persist, Request
from hf_synthlabels.clients.protocol.chat import Sampling, chat_body, chat_identity
from hf_synthlabels.clients.protocol.endpoint import Endpoint
from hf_synthlabels.clients.store.budget import BudgetTracker, Reservation
from hf_synthlabels.clients.store.cached_client import RequestKeys
from hf_synthlabels.clients.store.payloads import answer_payload, is_answer, stored_completion
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.errors import StoreError

STORED_PER_LOOKUP = 500


@dataclass(frozen=True, slots=True)
class BatchPolling:
    """Sizes of batches, and how long to wait for them."""

    max_requests: int = 50_000
    """Requests in a batch; the provider's limit."""
    max_bytes: int = 200_000_000
    """Size of an input file; the provider's limit."""
    max_pending: int = 250_000
    """Requests without an answer; no more are read. Each takes about half a kilobyte of memory."""
    max_rounds: int = 3
    """Batches that a request may be part of before it fails."""
    initial_pause_s: float = 5.0
    """First pause between two status checks of a batch; it grows up to `max_pause_s`."""
    max_pause_s: float = 120.0
    queue_timeout_s: float = 86_400.0
    """How long the provider's queue may be full."""
    timeout_s: float = 600.0
    """Timeout of one attempt of a call, including uploads."""
    outage_timeout_s: float = 1800.0
    """How long to wait for a provider that does not answer."""
    listing_delay_s: float = 60.0
    """How long a new batch may be missing in the provider's list."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Settings that all calls of a `BatchClient` share."""

    model: str
    store: ResponseStore
    endpoint: Endpoint
    sampling: Sampling
    budget: BudgetTracker | None
    polling: BatchPolling

    @property
    def identity(self) -> dict[str, object]:
        """All that can change an answer, besides the request."""
        return chat_identity(self.model, self.endpoint.base_url, self.sampling)


@dataclass(slots=True)
class _Pending:
    """A request without an answer; its line is in the request file."""

    keys: list[int]
    """Keys of equal requests, of which one is sent."""
    most: Reservation
    offset: int
    size: int
    rounds: int = 0


class PendingRequests:
    """Pulls requests, identifies them by their keys in the response store, and delivers completions.

    The lines of the requests are in a temporary file instead of in memory. Without `persist`, answers are stored here.

    Raises:
        StoreError: the file cannot be written.
    """

    def __init__(self, settings: BatchSettings, requests: Iterator[Request], persist: Persist | None) -> None:
        self._settings = settings
        self._requests = requests
        self._persist = persist
        self._request_keys = RequestKeys(settings.identity)
        self._folder = settings.store.path.parent
        self._file = _temporary_file(self._folder)
        self._end = 0
        self._pending: dict[bytes, _Pending] = {}
        self._unsent: deque[bytes] = deque()
        self._commits: set[Future[None]] = set()
        self._exhausted = False

    def __contains__(self, key: bytes) -> bool:
        return key in self._pending

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def is_full(self) -> bool:
        """Whether no more requests can be pulled for now."""
        return self._exhausted or len(self._pending) >= self._settings.polling.max_pending

    def close(self) -> None:
        """Delete the request file."""
        self._file.close()

    def pull(self, count: int) -> None:
        """Read requests until `count` are unsent, or no more may be read."""
        while not self.is_full and len(self._unsent) < count:
            request = next(self._requests, None)
            if request is None:
                self._exhausted = True
            else:
                self._add(request)

    def next_part(self, count: int) -> list[bytes]:
        """Unsent requests for a batch of at most `count`; none as long as more can be pulled to fill it."""
        part, size = list[bytes](), 0
        while self._unsent and len(part) < count:
            key = self._unsent[0]
            if key in self._pending:
                size += self._pending[key].size
                if part and size > self._settings.polling.max_bytes:
                    return part
                part.append(key)
            self._unsent.popleft()
        if len(part) < count and not self.is_full:
            self.put_back(part, first=True)
            return []
        return part

    def put_back(self, keys: Sequence[bytes], *, first: bool = False) -> None:
        """Send requests again, before all others or after them."""
        pending = [key for key in keys if key in self._pending]
        if first:
            self._unsent.extendleft(reversed(pending))
        else:
            self._unsent.extend(pending)

    def lines(self, keys: Sequence[bytes]) -> tuple[IO[bytes], int]:
        """A temporary file with the lines of some requests, and its size in bytes."""
        file, size = _temporary_file(self._folder), 0
        with _space_errors(self._folder):
            for key in keys:
                request = self._pending[key]
                self._file.seek(request.offset)
                size += file.write(self._file.read(request.size))
            file.flush()
        file.seek(0)
        return file, size

    def most(self, key: bytes) -> Reservation:
        """The maximum cost of a request."""
        return self._pending[key].most

    def deliver(self, key: bytes, completion: Completion) -> Iterator[Completion]:
        """Yield a completion for each request that it answers, and store it."""
        request = self._pending.pop(key)
        if not self._pending:
            self._file.truncate(0)
            self._end = 0
        for number in request.keys:
            numbered = replace(completion, key=number)
            commit = None
            if self._persist is not None:
                commit = self._persist(numbered)
            elif not numbered.stored:
                self.store(key, numbered)
            if commit is not None:
                self._commits.add(commit)
            yield numbered

    def deliver_stored(self, keys: Sequence[bytes]) -> Iterator[Completion]:
        """Yield answers from the store; a request with a damaged answer becomes unsent."""
        for start in range(0, len(keys), STORED_PER_LOOKUP):
            part = keys[start : start + STORED_PER_LOOKUP]
            for name, payload in self._settings.store.get(key.hex() for key in part).items():
                yield from self.deliver(bytes.fromhex(name), stored_completion(0, payload))
            self.put_back(part)

    def store(self, key: bytes, completion: Completion) -> None:
        """Store an answer, also one that this run has not requested."""
        if is_answer(completion):
            self._commits.add(self._settings.store.put(key.hex(), answer_payload(completion)))

    def fail(self, keys: Iterable[bytes], failure: Failure) -> Iterator[Completion]:
        """Yield a failure for requests."""
        for key in keys:
            if key in self._pending:
                yield from self.deliver(key, Completion(0, failure=failure))

    def retry(self, key: bytes, failure: Failure, *, counts: bool = True) -> Iterator[Completion]:
        """Send a request again, or fail it after `max_rounds` batches; the last one may not count."""
        request = self._pending[key]
        request.rounds += counts
        if request.rounds < self._settings.polling.max_rounds:
            self._unsent.append(key)
            return
        rounds = f" (in each of {request.rounds} batches)" if request.rounds > 1 else ""
        yield from self.fail([key], replace(failure, message=failure.message + rounds))

    def flush(self) -> None:
        """Wait until all delivered answers are on disk.

        Raises:
            StoreError: an answer cannot be stored.
        """
        for commit in self._commits:
            commit.result()
        self._commits.clear()

    def _add(self, request: Request) -> None:
        name = self._request_keys.of(request)
        key = bytes.fromhex(name)
        if key in self._pending:
            self._pending[key].keys.append(request.key)
            return
        settings = self._settings
        body = chat_body(settings.model, settings.endpoint.base_url, settings.sampling, request)
        line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        with _space_errors(self._folder):
            self._file.seek(self._end)
            size = self._file.write(json.dumps(line).encode() + b"\n")
        most = Reservation(0.0, 0) if settings.budget is None else settings.budget.max_cost(request)
        self._pending[key] = _Pending([request.key], most, self._end, size)
        self._end += size
        self._unsent.append(key)


def _temporary_file(folder: Path) -> IO[bytes]:
    """A file without a name: it disappears with the process."""
    with _space_errors(folder):
        return tempfile.TemporaryFile(dir=folder)


@contextmanager
def _space_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"Requests cannot be written to `{folder}`: {error.strerror}. "
            "Free some space, or set HF_SYNTHLABELS_HOME to another folder."
        ) from error
