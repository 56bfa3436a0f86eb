"""PendingRequests: the requests of a call that have no answer yet, each with its line in the spool."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO

from hf_synthlabels.clients.base import Commit, Completion, Failure, Keep, Request
from hf_synthlabels.clients.batch.context import BatchJob
from hf_synthlabels.clients.batch.request_file import RequestFile
from hf_synthlabels.clients.protocol.chat import chat_body
from hf_synthlabels.clients.store.budget import Reservation
from hf_synthlabels.clients.store.cached_client import RequestKeys
from hf_synthlabels.clients.store.payloads import answer_payload, is_answer, stored_completion

STORED_PER_LOOK = 500


@dataclass(slots=True)
class _Asked:
    """A request that has no answer yet."""

    keys: list[int]
    """Of equal requests only one is sent."""
    most: Reservation
    rounds: int = 0


class PendingRequests:
    """Pulls requests, knows them by the digests that are their addresses in the store, and hands completions out.

    Args:
        job: whose requests they are.
        requests: pulled until there are as many as may wait.
        keep: is handed each completion; None to put answers in the store from here.
    """

    def __init__(self, job: BatchJob, requests: Iterator[Request], keep: Keep | None) -> None:
        self._job = job
        self._requests = requests
        self._keep = keep
        self._names = RequestKeys(job.identity)
        self._spool = RequestFile(job.store.path.parent)
        self._asked: dict[bytes, _Asked] = {}
        self._pending: deque[bytes] = deque()
        self._commits: set[Commit] = set()
        self._exhausted = False

    def __contains__(self, key: bytes) -> bool:
        return key in self._asked

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def is_full(self) -> bool:
        """Whether there is no more to pull for now."""
        return self._exhausted or len(self._asked) >= self._job.pace.max_waiting

    def close(self) -> None:
        """Give the spool's room back."""
        self._spool.close()

    def pull(self, count: int) -> None:
        """RequestFile requests until so many are pending, or as many wait as may."""
        while not self.is_full and len(self._pending) < count:
            request = next(self._requests, None)
            if request is None:
                self._exhausted = True
            else:
                self._add(request)

    def next_part(self, count: int) -> list[bytes]:
        """The pending requests that fill a batch of at most so many; none while more can be pulled to fill it."""
        part, size = list[bytes](), 0
        while self._pending and len(part) < count:
            key = self._pending[0]
            if key in self._asked:
                size += self._spool.length(key)
                if part and size > self._job.pace.max_bytes:
                    return part
                part.append(key)
            self._pending.popleft()
        if len(part) < count and not self.is_full:
            self.put_back(part, first=True)
            return []
        return part

    def put_back(self, keys: Sequence[bytes], *, first: bool = False) -> None:
        """Make requests pending again, before all others or after them."""
        still = [key for key in keys if key in self._asked]
        if first:
            self._pending.extendleft(reversed(still))
        else:
            self._pending.extend(still)

    def lines(self, keys: Sequence[bytes]) -> tuple[IO[bytes], int]:
        """A file with the lines of some requests, in their order, and its size in bytes."""
        return self._spool.copy(keys), sum(self._spool.length(key) for key in keys)

    def most(self, key: bytes) -> Reservation:
        """The most that a request can cost."""
        return self._asked[key].most

    def deliver(self, key: bytes, completion: Completion) -> Iterator[Completion]:
        """Hand a completion out for every request that it answers, and over to be kept."""
        asked = self._asked.pop(key)
        self._spool.discard(key)
        for number in asked.keys:
            one = replace(completion, key=number)
            commit = None
            if self._keep is not None:
                commit = self._keep(one)
            elif is_answer(one) and not one.stored:
                commit = self._job.store.put(key.hex(), answer_payload(one))
            if commit is not None:
                self._commits.add(commit)
            yield one

    def deliver_stored(self, keys: Sequence[bytes]) -> Iterator[Completion]:
        """Hand out what is in the store; a damaged answer is asked for after all."""
        for start in range(0, len(keys), STORED_PER_LOOK):
            part = keys[start : start + STORED_PER_LOOK]
            for name, payload in self._job.store.get(key.hex() for key in part).items():
                yield from self.deliver(bytes.fromhex(name), stored_completion(0, payload))
            self.put_back(part)

    def store(self, key: bytes, completion: Completion) -> None:
        """Keep an answer that is paid for, though nobody asks for it any more, or not yet."""
        if is_answer(completion):
            self._commits.add(self._job.store.put(key.hex(), answer_payload(completion)))

    def fail(self, keys: Iterable[bytes], failure: Failure) -> Iterator[Completion]:
        """Give requests up."""
        for key in keys:
            if key in self._asked:
                yield from self.deliver(key, Completion(0, failure=failure))

    def again(self, key: bytes, failure: Failure, *, counts: bool = True) -> Iterator[Completion]:
        """Ask a request again, unless it was in as many batches as it may be.

        Args:
            key: the request.
            failure: why it has no answer.
            counts: whether the last batch was one of those that it may be in.
        """
        asked = self._asked[key]
        asked.rounds += counts
        if asked.rounds < self._job.pace.max_rounds:
            self._pending.append(key)
            return
        words = f"{failure.message} (in each of {asked.rounds} batches)" if asked.rounds > 1 else failure.message
        yield from self.fail([key], replace(failure, message=words))

    def flush(self) -> None:
        """Wait until all that was handed over to be kept is on disk.

        Raises:
            StoreError: it can not be kept.
        """
        for commit in self._commits:
            commit.result()
        self._commits.clear()

    def _add(self, request: Request) -> None:
        name = self._names.of(request)
        key = bytes.fromhex(name)
        if key in self._asked:
            self._asked[key].keys.append(request.key)
            return
        body = chat_body(self._job.model, self._job.base_url, self._job.sampling, request)
        line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        self._spool.add(key, json.dumps(line).encode() + b"\n")
        budget = self._job.budget
        self._asked[key] = _Asked([request.key], Reservation(0.0, 0) if budget is None else budget.max_cost(request))
        self._pending.append(key)
