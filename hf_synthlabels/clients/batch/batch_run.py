"""One call of `BatchClient.complete`, from the first request to the last answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hf_synthlabels.clients.base import Completion, Failure, Persist, Request
from hf_synthlabels.clients.batch.batch_journal import BatchJournal
from hf_synthlabels.clients.batch.batch_record import BatchRecord
from hf_synthlabels.clients.batch.batch_results import BatchResults, BatchStatus
from hf_synthlabels.clients.batch.pending_requests import BatchSettings, PendingRequests
from hf_synthlabels.clients.batch.provider import BatchProvider, RefusedError, UnknownError, no_credit
from hf_synthlabels.clients.protocol.error_replies import QUOTA_CODES
from hf_synthlabels.clients.store.payloads import canonical_hash
from hf_synthlabels.errors import AllFailedError, ClientError

QUEUE_FULL = "token_limit_exceeded"

logger = logging.getLogger("hf_synthlabels.batches")


@dataclass(slots=True)
class _Awaited:
    """A batch with requests of this call."""

    keys: list[bytes]
    sent_here: bool = False
    """Whether this call wrote the input file, so that `keys` are in the order of its lines."""
    due: float = 0.0
    """Time of the next status check, on the monotonic clock."""
    pause_s: float = 0.0
    was_active: bool = False
    """Whether it was seen before it was cancelled."""
    over_since: float | None = None
    """Since when it is over without a result file."""


class BatchRun:
    """Claims requests in the journal, sends those in no other batch, and delivers the results."""

    def __init__(self, settings: BatchSettings, requests: Iterator[Request], persist: Persist | None) -> None:
        self._settings = settings
        self._polling = settings.polling
        self._journal = BatchJournal(settings.store.path)
        self._provider = BatchProvider(settings.endpoint, settings.polling)
        self._requests = PendingRequests(settings, requests, persist)
        self._target = (canonical_hash(settings.identity), settings.model, settings.endpoint)
        self._awaited: dict[str, _Awaited] = {}
        self._logged: dict[str, BatchStatus] = {}
        self._over_budget: list[bytes] = []
        self._queued: list[bytes] = []
        self._batch_size = settings.polling.max_requests
        self._queue_full_since: float | None = None
        self._queue_pause_s = settings.polling.initial_pause_s

    def active_batches(self) -> list[str]:
        """IDs of the batches at the provider that this call is waiting for."""
        records = [self._journal.get(record_id) for record_id in self._awaited]
        return [record.batch_id for record in records if record is not None and record.is_open and record.batch_id]

    def close(self) -> None:
        """Release the batches, so that the next call can work on them."""
        self._requests.close()
        self._journal.release()
        self._provider.close()

    def completions(self) -> Iterator[Completion]:
        """One completion for each request, batch after batch."""
        while not self._requests.is_full or len(self._requests):
            self._requests.pull(self._batch_size)
            while part := self._requests.next_part(self._batch_size):
                yield from self._claim(part)
            if self._requests.is_full and len(self._requests):
                yield from self._wait()
        yield from self._collect_orphans()

    def _claim(self, part: list[bytes]) -> Iterator[Completion]:
        """Send the requests that are in no other batch, and yield those that have been stored meanwhile."""
        budget = self._settings.budget
        claim = self._journal.claim(part, *self._target, None if budget is None else budget.run, self._requests.most)
        for record_id, keys in claim.elsewhere.items():
            self._await(record_id, keys)
        self._over_budget += claim.over_budget
        if claim.record is not None:
            self._send(claim.record, claim.claimed)
        yield from self._requests.deliver_stored(claim.stored)

    def _send(self, record: BatchRecord, keys: list[bytes]) -> None:
        """Upload the requests and create the batch; each step is recorded before it is taken."""
        logger.info(f"batch {record.id[:12]}: sending {len(keys)} requests")
        file, size = self._requests.lines(keys)
        try:
            with file:
                file_id = self._provider.upload(record.id, file, size)
            submitting = self._journal.advance(record, "submitting", file_id=file_id)
            if submitting is not None:
                status = self._provider.create(record.id, file_id)
                self._journal.advance(submitting, "submitted", batch_id=status.id)
                logger.info(f"batch {status.id}: {status.status}, {len(keys)} requests")
        except RefusedError as error:
            self._handle_refusal(record, keys, error)
        else:
            self._await(record.id, keys, sent_here=True)

    def _handle_refusal(self, record: BatchRecord, keys: list[bytes], error: RefusedError) -> None:
        """The batch was not created: nothing was bought, and its requests are free."""
        self._discard(record, error.message)
        if error.code == QUEUE_FULL:
            self._queue(keys)
        elif len(keys) > 1 and (error.status == 413 or "too large" in error.message.lower()):
            self._batch_size = len(keys) // 2
            self._requests.put_back(keys, first=True)
        else:
            url = self._settings.endpoint.base_url
            raise ClientError(f"`base_url` {url!r}: {error.message}. Nothing was bought.")

    def _discard(self, record: BatchRecord, note: str) -> None:
        """End a batch that does not exist at the provider, or was rejected there."""
        if record.state == "submitting":
            # After a kill from here on, the next run need not search for the batch.
            self._journal.advance(record, "intended")
        self._provider.delete_input(record.id, record.file_id)
        self._journal.finish(record, "unsent", note=note)

    def _queue(self, keys: Sequence[bytes]) -> None:
        """Send requests later in smaller batches, because the provider's queue is full."""
        self._queued += (key for key in keys if key in self._requests)
        self._batch_size = max(1, min(self._batch_size, len(keys)) // 2)
        self._queue_full_since = self._queue_full_since or time.monotonic()
        logger.info(f"the provider's queue is full: {len(self._queued)} requests are waiting")

    def _resume_waiting(self) -> None:
        """A batch has ended: requests that did not fit the budget or the queue are tried again first."""
        self._requests.put_back(self._over_budget + self._queued, first=True)
        self._over_budget, self._queued = [], []

    def _await(self, record_id: str, keys: list[bytes], *, sent_here: bool = False) -> None:
        awaited = _Awaited([], sent_here, time.monotonic(), self._polling.initial_pause_s)
        self._awaited.setdefault(record_id, awaited).keys += keys

    def _wait(self) -> Iterator[Completion]:
        """Wait until the next status check is due, and process its result."""
        if not self._awaited:
            yield from self._wait_for_queue()
            return
        record_id, awaited = min(self._awaited.items(), key=lambda item: item[1].due)
        time.sleep(max(0.0, awaited.due - time.monotonic()))
        yield from self._check(record_id, awaited)
        awaited.due = time.monotonic() + awaited.pause_s
        awaited.pause_s = min(self._polling.max_pause_s, awaited.pause_s * 1.5)

    def _wait_for_queue(self) -> Iterator[Completion]:
        """No batch is active whose end could make room in the budget or the queue."""
        keys, self._over_budget = self._over_budget, []
        yield from self._requests.fail(keys, Failure("over_budget", "the budget is used up"))
        if self._queue_full_since is None:
            return
        if time.monotonic() - self._queue_full_since > self._polling.queue_timeout_s:
            keys, self._queued = self._queued, []
            yield from self._requests.fail(keys, Failure("http", "the provider's queue is full", 429))
        else:
            time.sleep(self._queue_pause_s)
            self._queue_pause_s = min(self._polling.max_pause_s, self._queue_pause_s * 2)
            self._resume_waiting()

    def _check(self, record_id: str, awaited: _Awaited) -> Iterator[Completion]:
        """Check the status of a batch, and deliver its results if it is over."""
        record = self._journal.get(record_id)
        if record is None or record.batch_id is None:
            if record is None or not record.is_open or not (record.has_live_owner or self._adopt(record)):
                del self._awaited[record_id]
                self._requests.put_back(awaited.keys)
            return
        status = self._status(record)
        if status.lacks_answers:
            awaited.over_since = awaited.over_since or time.monotonic()
            if time.monotonic() - awaited.over_since > self._polling.outage_timeout_s:
                raise _unknown_batch(record, "the batch has answers but no result file")
        elif status.is_over:
            del self._awaited[record_id]
            yield from self._deliver(record, awaited, status)
        elif status.status not in ("cancelling", "cancelled"):
            awaited.was_active = True

    def _status(self, record: BatchRecord) -> BatchStatus:
        try:
            status = self._provider.get(str(record.batch_id))
        except UnknownError as error:
            raise _unknown_batch(record, error.message) from None
        if status.status != record.status:
            self._journal.observe(record, status.status)
        if not status.is_over and self._logged.get(status.id) != status:
            self._logged[status.id] = status
            done = status.answered + status.failed
            logger.info(f"batch {status.id}: {status.status}, {done} of {status.total} requests done")
        return status

    def _adopt(self, record: BatchRecord) -> bool:
        """Find out whether a batch whose owner is gone exists; False if nothing was bought."""
        adopted = self._journal.take_over(record)
        if adopted is None:
            return True  # Another call was faster.
        if adopted.state == "submitting":
            status = self._provider.find(adopted.id, adopted.file_id)
            if status is not None:
                logger.info(f"batch {status.id}: {status.status}, resumed from an earlier run")
                self._journal.advance(adopted, "submitted", batch_id=status.id)
                return True
            if adopted.file_id is not None and not self._provider.has_file(adopted.file_id):
                raise _unknown_batch(adopted, "its input file does not exist")
        self._discard(adopted, "its run ended before it was created")
        return False

    def _collect_orphans(self) -> Iterator[Completion]:
        """Store the results of batches that earlier runs left behind."""
        for record in self._journal.records(self._target[0]):
            try:
                if record.batch_id is None:
                    if not record.has_live_owner:
                        self._adopt(record)
                    continue
                status = self._status(record)
                if status.is_over and not status.lacks_answers:
                    yield from self._deliver(record, _Awaited([]), status)
            except ClientError as error:
                logger.info(str(error))

    def _deliver(self, record: BatchRecord, awaited: _Awaited, status: BatchStatus) -> Iterator[Completion]:
        """Yield and store the results of a batch that is over; only then is it finished."""
        if status.status == "failed":
            yield from self._handle_rejection(record, awaited, status)
            return
        expected = self._journal.requests(record).union(awaited.keys)
        results = BatchResults(self._provider.download, status, expected, self._settings.store.path.parent)
        try:
            for result in results:
                completion = result.completion or Completion(0, failure=result.failure)
                if result.key in self._requests:
                    yield from self._requests.deliver(result.key, completion)
                else:
                    self._requests.store(result.key, completion)
        except UnknownError as error:
            raise _unknown_batch(record, error.message) from None
        self._requests.flush()
        self._finish(record, results)
        for key in awaited.keys:
            if key not in self._requests or key in results.resolved:
                continue
            if status.status == "cancelled" and awaited.was_active:
                yield from self._requests.fail([key], Failure("missing", "the batch was cancelled without an answer"))
            else:
                yield from self._requests.retry(key, results.failure_of(key))
        self._resume_waiting()
        if results.exhausted:
            raise AllFailedError(no_credit("see the result file of the batch."))

    def _finish(self, record: BatchRecord, results: BatchResults) -> None:
        """All results are on disk: end the batch and commit its usage."""
        budget = self._settings.budget
        usage = results.usage(None if budget is None else budget.cost_usd)
        self._provider.delete_input(record.id, record.file_id)
        finished = self._journal.finish(record, "stored", note=results.note, usage=usage)
        if finished and budget is not None:
            budget.spent_usd += usage.usd or 0.0
        logger.info(f"batch {results.status.id}: {results.note}")
        if results.answers:
            self._batch_size = min(self._polling.max_requests, 2 * self._batch_size)
            self._queue_full_since, self._queue_pause_s = None, self._polling.initial_pause_s

    def _handle_rejection(self, record: BatchRecord, awaited: _Awaited, status: BatchStatus) -> Iterator[Completion]:
        """The provider rejected the batch as a whole: nothing was bought."""
        reason = status.errors[0].message if status.errors else "the provider gives no reason"
        self._discard(record, reason)
        codes = {error.code for error in status.errors}
        if codes.intersection(QUOTA_CODES):
            raise AllFailedError(no_credit(reason))
        if QUEUE_FULL in codes:
            self._queue(awaited.keys)
            return
        before = len(self._requests)
        for error in status.errors:
            if awaited.sent_here and error.line is not None and 0 < error.line <= record.requests:
                yield from self._requests.fail([awaited.keys[error.line - 1]], Failure("http", error.message, 400))
        # Without its invalid lines the batch may succeed.
        counts = len(self._requests) == before
        for key in awaited.keys:
            if key in self._requests:
                yield from self._requests.retry(key, Failure("http", reason, 400), counts=counts)
        self._resume_waiting()


def _unknown_batch(record: BatchRecord, reason: str) -> ClientError:
    return ClientError(
        f"The provider does not know batch {record.batch_id or record.id} of {record.requests} requests: {reason}. "
        f"Set `{record.api_key_env}` to the key that created it, or give it up and its cost: "
        f"hf-synthlabels batches cancel {record.id[:12]} --abandon"
    )
