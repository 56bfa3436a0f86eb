"""BatchClient: chat completions through the OpenAI Batch API, at half the price and within a day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.base import Completion, Persist, Request
from hf_synthlabels.clients.batch.batch_journal import BatchJournal
from hf_synthlabels.clients.batch.batch_record import BatchRecord
from hf_synthlabels.clients.batch.batch_run import BatchRun, logger
from hf_synthlabels.clients.batch.pending_requests import BatchPolling, BatchSettings
from hf_synthlabels.clients.batch.provider import BatchProvider, RefusedError
from hf_synthlabels.clients.openai.client import DEFAULT_BASE_URL
from hf_synthlabels.clients.protocol.chat import Sampling
from hf_synthlabels.clients.protocol.endpoint import NO_HEADERS, Endpoint, RequestHeaders
from hf_synthlabels.clients.store.budget import BudgetTracker
from hf_synthlabels.clients.store.ledger import UsageRecord
from hf_synthlabels.clients.store.payloads import canonical_hash
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.errors import ClientError, DataError

DEFAULT_SAMPLING = Sampling()
DEFAULT_POLLING = BatchPolling()


class BatchClient:
    """Sends chat completions in batches, waits for them, and yields the answers batch by batch.

    Identity and request bodies equal those of an `OpenAIClient`, so both share cached answers.

    Each batch is recorded with its requests before it is created. A call first resumes matching batches of earlier
    calls, from the journal and from the provider's list. So no crash buys an answer twice, and concurrent processes
    share their batches. All results are stored, including those that this call did not request.

    Requests without an answer, for example from an expired batch, are sent again in another batch. If a batch is
    cancelled during the call, its other requests fail; a rerun sends them again. An interrupted call leaves its batches
    at the provider; rerunning the same command resumes them.

    Args:
        model: model name at the provider.
        store: response store; the journal of batches is in the same file.
        base_url: URL up to and including `/v1`.
        api_key_env: environment variable with the key; None for a server without one. The key itself is in no
            attribute, file or error.
        sampling: sampling parameters.
        budget: scope, budget and price with the batch discount; the maximum cost of a batch is reserved before it is
            sent. None for no accounting.
        polling: sizes and timeouts.
        headers: headers of each call; secret ones are read when they are sent.

    Raises:
        MissingKeyError: the environment variable is not set or is empty.
    """

    def __init__(
        self,
        *,
        model: str,
        store: ResponseStore,
        base_url: str = DEFAULT_BASE_URL,
        api_key_env: str | None = "OPENAI_API_KEY",
        sampling: Sampling = DEFAULT_SAMPLING,
        budget: BudgetTracker | None = None,
        polling: BatchPolling = DEFAULT_POLLING,
        headers: RequestHeaders = NO_HEADERS,
    ) -> None:
        endpoint = Endpoint(base_url, api_key_env, headers)
        endpoint.check()
        self._settings = BatchSettings(model, store, endpoint, sampling, budget, polling)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, endpoint and sampling."""
        return self._settings.identity

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, batch by batch; answers are stored as they arrive."""
        return self._complete(requests, None)

    def complete_with_persist(self, requests: Iterable[Request], persist: Persist) -> Iterator[Completion]:
        """As `complete`; a batch is finished only when `persist` has stored all its answers.

        Raises:
            ClientError: the provider rejects the key, or does not support batches.
            AllFailedError: the provider is unavailable for too long, or the account has no credit.
            StoreError: an answer cannot be stored, or requests cannot be written to disk.
        """
        return self._complete(requests, persist)

    def collect(self) -> None:
        """Store the results of batches that earlier calls left behind, and release their reserved money.

        Call it after the last request: if all answers of a run are cached, nothing else would check these batches.
        """
        if BatchJournal(self._settings.store.path).records(canonical_hash(self.identity)):
            for _ in self.complete(()):
                pass

    def _complete(self, requests: Iterable[Request], persist: Persist | None) -> Iterator[Completion]:
        run = BatchRun(self._settings, iter(requests), persist)
        try:
            yield from run.completions()
        except (KeyboardInterrupt, GeneratorExit):
            if active := run.active_batches():
                logger.warning(
                    "%d batches continue at the provider (%s). Run the same command again to resume them; nothing is "
                    "paid twice. To stop one: hf-synthlabels batches cancel ID",
                    len(active),
                    ", ".join(active),
                )
            raise
        finally:
            run.close()


def list_batches(store: Path, *, include_final: bool = False) -> list[BatchRecord]:
    """List the open batches, the oldest first.

    Args:
        store: file of the response store.
        include_final: also list batches that have ended.
    """
    return BatchJournal(store).records(include_final=include_final) if store.exists() else []


def cancel_batch(
    store: Path, name: str, *, abandon: bool = False, polling: BatchPolling = DEFAULT_POLLING
) -> BatchRecord:
    """Cancel a batch at the provider; the next run stores the answers that exist by then, which are billed.

    Args:
        store: file of the response store.
        name: ID of the batch at the provider or in the journal, or the beginning of either.
        abandon: give the batch up without asking the provider. Its maximum cost stays charged to the budget, and its
            requests can be bought again.
        polling: timeouts.

    Returns:
        The record of the batch after the cancellation.

    Raises:
        DataError: no open batch has this ID, or several have.
        ClientError: the provider cannot be reached, or does not know the batch.
    """
    matches = [
        record
        for record in list_batches(store)
        if name and (record.id.startswith(name) or (record.batch_id or "").startswith(name))
    ]
    if len(matches) != 1:
        how_many = f"{len(matches)} open batches" if matches else "no open batch"
        raise DataError(f"`batch` {name!r} matches {how_many}; list them with: hf-synthlabels batches list")
    record, journal = matches[0], BatchJournal(store)
    if abandon:
        usage = UsageRecord(uncertain_requests=record.requests)
        journal.finish(record, "abandoned", note="abandoned by the user", usage=usage)
    elif record.batch_id is None:
        raise ClientError(
            f"`batch` {name!r} has no ID at the provider yet. Run its recipe again to find out whether it exists, or "
            "give it up with --abandon."
        )
    else:
        provider = BatchProvider(Endpoint(record.base_url, record.api_key_env), polling)
        try:
            status = provider.cancel(record.batch_id)
        except RefusedError as error:
            raise ClientError(f"The provider does not cancel {record.batch_id}: {error}.") from None
        finally:
            provider.close()
        journal.observe(record, status.status, cancelled=True)
    return journal.get(record.id) or record
