"""BatchRun: one call of a BatchClient, from the first request to the last answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hf_synthlabels.clients.base import Completion, Failure
from hf_synthlabels.clients.batch.batch_journal import BatchJournal
from hf_synthlabels.clients.batch.batch_record import BatchRecord, Endpoint
from hf_synthlabels.clients.batch.context import BatchJob
from hf_synthlabels.clients.batch.outcome import BatchOutcome
from hf_synthlabels.clients.batch.pending_requests import PendingRequests
from hf_synthlabels.clients.batch.provider import BatchProvider, RefusedError, UnknownError
from hf_synthlabels.clients.batch.status import BatchStatus
from hf_synthlabels.clients.protocol.error_replies import QUOTA_CODES
from hf_synthlabels.clients.store.response_store import canonical_hash
from hf_synthlabels.errors import AllFailedError, ClientError

QUEUE_FULL = "token_limit_exceeded"

BEING_CANCELLED = ("cancelling", "cancelled")


@dataclass(slots=True)
class _Awaited:
    """A batch that holds requests of this call."""

    keys: list[bytes]
    sent_here: bool = False
    """Whether this call wrote the input file: the keys are then in the order of its lines."""
    due: float = 0.0
    """When it is looked at next, on the monotonic clock."""
    pause_s: float = 0.0
    was_going: bool = False
    """Whether it was seen before anybody cancelled it."""
    over_since: float | None = None
    """Since when it is over without the result file that it should have."""


class BatchRun:
    """KeyLocks requests in the journal, sends those that nobody else has sent, and takes what comes back.

    Args:
        job: what is shared with the other calls.
        journal: with this call as its owner.
        provider: where batches are made.
        requests: what is asked.
    """

    def __init__(
        self, job: BatchJob, journal: BatchJournal, provider: BatchProvider, requests: PendingRequests
    ) -> None:
        self._job = job
        self._pace = job.pace
        self._journal = journal
        self._provider = provider
        self._requests = requests
        self._endpoint = Endpoint(canonical_hash(job.identity), job.model, job.base_url, job.api_key_env)
        self._awaited: dict[str, _Awaited] = {}
        self._told: dict[str, BatchStatus] = {}
        self._short: list[bytes] = []
        self._held: list[bytes] = []
        self._part_requests = job.pace.max_requests
        self._queue_full_since: float | None = None
        self._queue_pause_s = job.pace.first_pause_s

    def going(self) -> list[str]:
        """The ids of the batches at the provider that are waited for."""
        found = [self._journal.get(name) for name in self._awaited]
        return [intent.batch_id for intent in found if intent is not None and intent.is_open and intent.batch_id]

    def completions(self) -> Iterator[Completion]:
        """One completion for each request, batch after batch."""
        while True:
            self._requests.pull(self._part_requests)
            while part := self._requests.next_part(self._part_requests):
                yield from self._claim(part)
            if self._requests.is_full:
                if not len(self._requests):
                    break
                yield from self._wait()
        yield from self.orphaned_batches()

    # Sending

    def _claim(self, part: list[bytes]) -> Iterator[Completion]:
        """Send those requests that nobody else has sent, wait for the others, hand out what is there meanwhile."""
        budget = self._job.budget
        run = None if budget is None else budget.run
        claim = self._journal.claim(part, self._endpoint, run, self._requests.most)
        for name, keys in claim.elsewhere.items():
            self._await(name, keys)
        self._short += claim.short
        if claim.intent is not None:
            self._send(claim.intent, claim.mine)
        yield from self._requests.deliver_stored(claim.stored)

    def _send(self, intent: BatchRecord, keys: list[bytes]) -> None:
        """Upload the requests and make the batch, noting each step before it is taken."""
        self._job.tell(f"batch {intent.id[:12]}: sending {len(keys)} requests")
        file, size = self._requests.lines(keys)
        try:
            with file:
                file_id = self._provider.upload(intent.id, file, size)
            submitting = self._journal.advance(intent, "submitting", file_id=file_id)
            if submitting is not None:
                status = self._provider.create(intent.id, file_id, intent.created_at)
                self._journal.advance(submitting, "submitted", batch_id=status.id)
                self._job.tell(f"batch {status.id}: {status.status}, {len(keys)} requests")
        except RefusedError as error:
            self._refused(intent, keys, error)
        else:
            self._await(intent.id, keys, sent_here=True)

    def _refused(self, intent: BatchRecord, keys: list[bytes], error: RefusedError) -> None:
        """The batch was not made: nothing is bought, and its requests are free."""
        self._abandon(intent, error.message)
        if error.code == QUEUE_FULL:
            self._hold(keys)
        elif len(keys) > 1 and (error.status == 413 or "too large" in error.message.lower()):
            self._part_requests = len(keys) // 2
            self._requests.put_back(keys, first=True)
        else:
            raise ClientError(f"`annotator.base_url` {self._job.base_url!r}: {error.message}. Nothing was bought.")

    def _abandon(self, intent: BatchRecord, note: str) -> None:
        if intent.state == "submitting":
            # It is certain that no batch was made: who goes on after a kill need not look for the file to know it.
            self._journal.advance(intent, "intended")
        self._provider.delete_input(intent.id, intent.file_id)
        self._journal.finish(intent, "abandoned", note=note)

    def _hold(self, keys: Sequence[bytes]) -> None:
        """There is no room in the provider's queue: smaller batches, later."""
        self._held += (key for key in keys if key in self._requests)
        self._part_requests = max(1, min(self._part_requests, len(keys)) // 2)
        self._queue_full_since = self._queue_full_since or time.monotonic()
        self._job.tell(f"the provider's queue is full: {len(self._held)} requests wait for room")

    def _make_room(self) -> None:
        """Something has ended: what waited for money or for the queue is tried again, before what came later."""
        self._requests.put_back(self._short + self._held, first=True)
        self._short, self._held = [], []

    # Waiting

    def _await(self, name: str, keys: list[bytes], *, sent_here: bool = False) -> None:
        known = self._awaited.get(name)
        if known is not None:
            known.keys += keys
        else:
            self._awaited[name] = _Awaited(keys, sent_here, time.monotonic(), self._pace.first_pause_s)

    def _wait(self) -> Iterator[Completion]:
        """Wait until something can have happened, and look."""
        if not self._awaited:
            yield from self._wait_for_room()
            return
        name, awaited = min(self._awaited.items(), key=lambda item: item[1].due)
        time.sleep(max(0.0, awaited.due - time.monotonic()))
        yield from self._look(name, awaited)
        awaited.due = time.monotonic() + awaited.pause_s
        awaited.pause_s = min(self._pace.longest_pause_s, awaited.pause_s * 1.5)

    def _wait_for_room(self) -> Iterator[Completion]:
        """Nothing is on the way whose end could make room in the queue or in the budget."""
        short, self._short = self._short, []
        yield from self._requests.fail(short, Failure("over_budget", "the budget is used up"))
        if self._queue_full_since is None:
            return
        if time.monotonic() - self._queue_full_since > self._pace.queue_patience_s:
            held, self._held = self._held, []
            yield from self._requests.fail(held, Failure("http", "the provider's queue had no room for it", 429))
            return
        time.sleep(self._queue_pause_s)
        self._queue_pause_s = min(self._pace.longest_pause_s, self._queue_pause_s * 2)
        self._make_room()

    def _look(self, name: str, awaited: _Awaited) -> Iterator[Completion]:
        """See what has become of a batch, and take what it brought."""
        intent = self._journal.get(name)
        if intent is None or (intent.batch_id is None and not intent.is_open):
            # Somebody else gave it up: its requests are free.
            self._free(name, awaited)
            return
        if intent.batch_id is None:
            if not intent.is_held and not self._adopt(intent):
                self._free(name, awaited)
            return
        status = self._ask_for(intent)
        if status.lacks_answers:
            self._wait_for_answers(awaited, intent)
        elif status.is_over:
            del self._awaited[name]
            yield from self._take(intent, awaited, status)
        elif status.status not in BEING_CANCELLED:
            awaited.was_going = True

    def _wait_for_answers(self, awaited: _Awaited, intent: BatchRecord) -> None:
        """A batch is over before its result file is there; what it holds is paid for."""
        awaited.over_since = awaited.over_since or time.monotonic()
        if time.monotonic() - awaited.over_since > self._pace.outage_timeout_s:
            raise _not_known(intent, "it says that it was answered, and has no result file")

    def _free(self, name: str, awaited: _Awaited) -> None:
        del self._awaited[name]
        self._requests.put_back(awaited.keys)

    def _ask_for(self, intent: BatchRecord) -> BatchStatus:
        try:
            status = self._provider.get(str(intent.batch_id))
        except UnknownError as error:
            raise _not_known(intent, error.message) from None
        if status.status != intent.status:
            self._journal.observe(intent, status.status)
        if not status.is_over and self._told.get(status.id) != status:
            self._told[status.id] = status
            done = status.answered + status.failed
            self._job.tell(f"batch {status.id}: {status.status}, {done} of {status.total} requests done")
        return status

    def _adopt(self, intent: BatchRecord) -> bool:
        """Find out what became of an intent whose owner is gone; False when nothing was bought with it."""
        mine = self._journal.take_over(intent)
        if mine is None:
            # Somebody else was faster, and finds out.
            return True
        if mine.state == "submitting":
            found = self._provider.find(mine.id, mine.file_id, mine.created_at)
            if found is not None:
                self._job.tell(f"batch {found.id}: {found.status}, made by an earlier run and taken up")
                self._journal.advance(mine, "submitted", batch_id=found.id)
                return True
            if mine.file_id is not None and not self._provider.knows_file(mine.file_id):
                raise _not_known(mine, "its input file is not there")
        self._abandon(mine, "its run ended before it was made")
        return False

    def orphaned_batches(self) -> Iterator[Completion]:
        """Take a look at earlier batches that nobody asked for this time; what they brought is stored."""
        for intent in self._journal.open(self._endpoint.identity):
            try:
                if intent.batch_id is None:
                    if not intent.is_held:
                        self._adopt(intent)
                    continue
                status = self._ask_for(intent)
                if status.is_over and not status.lacks_answers:
                    yield from self._take(intent, _Awaited([]), status)
            except ClientError as error:
                # What was asked has been answered all the same.
                self._job.tell(str(error))

    # Taking

    def _take(self, intent: BatchRecord, awaited: _Awaited, status: BatchStatus) -> Iterator[Completion]:
        """Hand out and store what a batch brought that is over; only then is it done with."""
        if status.status == "failed":
            yield from self._invalid(intent, awaited, status)
            return
        expected = self._journal.requests(intent).union(awaited.keys)
        ending = BatchOutcome(self._provider, status, expected, self._job.store.path.parent)
        try:
            for result in ending.results():
                completion = result.completion or Completion(0, failure=result.failure)
                if result.key in self._requests:
                    yield from self._requests.deliver(result.key, completion)
                else:
                    self._requests.store(result.key, completion)
        except UnknownError as error:
            raise _not_known(intent, error.message) from None
        self._requests.flush()
        self._finish(intent, ending)
        for key in awaited.keys:
            if key not in self._requests or key in ending.answered:
                continue
            if status.status == "cancelled" and awaited.was_going:
                yield from self._requests.fail([key], Failure("missing", "the batch was cancelled without an answer"))
            else:
                yield from self._requests.again(key, ending.failure_of(key))
        self._make_room()
        if ending.used_up:
            raise AllFailedError(_used_up("a batch says so"))

    def _finish(self, intent: BatchRecord, ending: BatchOutcome) -> None:
        """All that a batch brought is on disk: it is done with, and its account is settled."""
        budget = self._job.budget
        settlement = ending.settlement(None if budget is None else budget.cost_usd)
        self._provider.delete_input(intent.id, intent.file_id)
        done = self._journal.finish(intent, "stored", note=ending.note, settlement=settlement)
        if done and budget is not None:
            budget.spent_usd += settlement.usd or 0.0
        self._job.tell(f"batch {ending.status.id}: {ending.note}")
        if ending.answers:
            # There is room in the queue.
            self._part_requests = min(self._pace.max_requests, 2 * self._part_requests)
            self._queue_full_since, self._queue_pause_s = None, self._pace.first_pause_s

    def _invalid(self, intent: BatchRecord, awaited: _Awaited, status: BatchStatus) -> Iterator[Completion]:
        """The provider did not even begin the batch, so nothing was bought with it."""
        words = status.troubles[0].message if status.troubles else "the provider gives no reason"
        self._abandon(intent, words)
        codes = {trouble.code for trouble in status.troubles}
        if codes.intersection(QUOTA_CODES):
            raise AllFailedError(_used_up(words))
        if QUEUE_FULL in codes:
            self._hold(awaited.keys)
            return
        before = len(self._requests)
        for trouble in status.troubles:
            if awaited.sent_here and trouble.line is not None and 0 < trouble.line <= intent.requests:
                key = awaited.keys[trouble.line - 1]
                yield from self._requests.fail([key], Failure("http", trouble.message, 400))
        # Without the bad lines the others may do, so their round does not count.
        counts = len(self._requests) == before
        for key in awaited.keys:
            if key in self._requests:
                yield from self._requests.again(key, Failure("http", words, 400), counts=counts)
        self._make_room()


def _used_up(words: str) -> str:
    return (
        f"The provider says that the account is used up: {words} "
        "Every answer so far is kept: add money or give another key, and run the same again."
    )


def _not_known(intent: BatchRecord, words: str) -> ClientError:
    return ClientError(
        f"The provider does not know batch {intent.batch_id or intent.id} of {intent.requests} requests: {words}. "
        f"Give the key that it was made with in `{intent.api_key_env}`; or, if it is gone for good, give up what it "
        f"cost: hf-synthlabels batches cancel {intent.id[:12]} --abandon"
    )
