"""BatchClient: many requests at half the price, answered within a day, through the OpenAI Batch API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.base import Completion, Keep, Request
from hf_synthlabels.clients.batch.batch_journal import BatchJournal
from hf_synthlabels.clients.batch.batch_record import BatchRecord
from hf_synthlabels.clients.batch.context import BatchJob, BatchPolling
from hf_synthlabels.clients.batch.pending_requests import PendingRequests
from hf_synthlabels.clients.batch.provider import BatchProvider, RefusedError
from hf_synthlabels.clients.batch.run import BatchRun
from hf_synthlabels.clients.openai.client import DEFAULT_BASE_URL
from hf_synthlabels.clients.openai.transport import read_api_key
from hf_synthlabels.clients.protocol.base_url import check_base_url
from hf_synthlabels.clients.protocol.chat import Sampling
from hf_synthlabels.clients.protocol.request_headers import NO_HEADERS, RequestHeaders
from hf_synthlabels.clients.store.budget import BudgetTracker
from hf_synthlabels.clients.store.ledger import UsageRecord
from hf_synthlabels.clients.store.response_store import ResponseStore, canonical_hash
from hf_synthlabels.errors import ClientError, DataError

DEFAULT_SAMPLING = Sampling()
DEFAULT_PACE = BatchPolling()

logger = logging.getLogger("hf_synthlabels.batches")


class BatchClient:
    """Sends chat completions in batches, waits for them, and yields the answers as batches end.

    Identity and bodies are those of an `OpenAIClient`, so both share their answers in the store: what one has
    got, the other does not ask.

    Every batch is written down before it is bought, with the requests in it. A call first looks for batches that an
    earlier one left behind, in the journal and in the provider's list, and takes up those that hold what is asked, so
    that no crash at any moment buys an answer twice; two processes with the same requests share their batches. Answers
    are put in the store even when nobody asks for them any more.

    What a batch leaves unanswered, because it expired or for an error that may pass, is asked again in another. When a
    batch is cancelled while it is waited for, its other requests fail; running the same again asks for them.

    An interrupted call leaves its batches at the provider. Running the same again takes them up.

    Args:
        model: the name that the provider knows.
        store: where answers are kept; the journal of batches is in its file.
        base_url: up to and including `/v1`.
        api_key_env: the environment variable that holds the key. The key itself stands in no attribute, file or
            error. None for a server without one.
        sampling: what can change the answer.
        budget: scope, budget and price, with the discount for batches; the most that a batch can cost is reserved
            before it is sent. None for no account.
        pace: sizes and times.
        tell: is given a line whenever something happens to a batch; by default it is logged.
        headers: sent with each call; secret ones are read when they are sent.

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
        pace: BatchPolling = DEFAULT_PACE,
        tell: Callable[[str], None] = logger.info,
        headers: RequestHeaders = NO_HEADERS,
    ) -> None:
        self.job = BatchJob(
            model=model,
            store=store,
            base_url=check_base_url(base_url),
            api_key_env=api_key_env,
            sampling=sampling,
            budget=budget,
            pace=pace,
            tell=tell,
            headers=headers,
        )
        read_api_key(api_key_env)
        headers.read()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, endpoint and sampling."""
        return self.job.identity

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, batch after batch; answers are put in the store as they come."""
        return self._complete(requests, None)

    def complete_with_persist(self, requests: Iterable[Request], keep: Keep) -> Iterator[Completion]:
        """As `complete`; a batch is done with only when all its answers are kept.

        Raises:
            ClientError: the provider refuses the key, or batches as such.
            AllFailedError: the provider is away for too long, or says that the account is used up.
            StoreError: an answer can not be kept, or requests can not be spooled.
        """
        return self._complete(requests, keep)

    def collect(self) -> None:
        """Settle batches that earlier calls left behind and that are over; to be called when nothing more is asked.

        What they brought is stored. When all that a run asks is in the store, nothing else would look at them, and the
        money that was reserved for them would stay reserved.
        """
        if BatchJournal(self.job.store.path).open(canonical_hash(self.identity)):
            for _ in self.complete(()):
                pass

    def _complete(self, requests: Iterable[Request], keep: Keep | None) -> Iterator[Completion]:
        journal = BatchJournal(self.job.store.path)
        provider = open_provider(self.job.base_url, self.job.api_key_env, self.job.pace, self.job.headers)
        unanswered = PendingRequests(self.job, iter(requests), keep)
        run = BatchRun(self.job, journal, provider, unanswered)
        try:
            yield from run.completions()
        except (KeyboardInterrupt, GeneratorExit):
            if going := run.going():
                logger.warning(
                    "%d batches go on at the provider (%s). Run the same again: it takes them up and pays for "
                    "nothing twice. To stop them: hf-synthlabels batches cancel ID",
                    len(going),
                    ", ".join(going),
                )
            raise
        finally:
            unanswered.close()
            journal.release()
            provider.close()


def open_provider(
    base_url: str, api_key_env: str | None, pace: BatchPolling = DEFAULT_PACE, headers: RequestHeaders = NO_HEADERS
) -> BatchProvider:
    """The provider at an address."""
    return BatchProvider(
        base_url=base_url,
        api_key_env=api_key_env,
        timeout_s=pace.timeout_s,
        outage_timeout_s=pace.outage_timeout_s,
        appear_s=pace.appear_s,
        headers=headers,
    )


def list_batches(store: Path, *, everything: bool = False) -> list[BatchRecord]:
    """The batches that still can bring something, or all that there ever were; the oldest first.

    Args:
        store: the response store's file.
        everything: also those that are done with.
    """
    if not store.exists():
        return []
    journal = BatchJournal(store)
    return journal.all() if everything else journal.open()


def cancel_batch(store: Path, name: str, *, forget: bool = False, pace: BatchPolling = DEFAULT_PACE) -> BatchRecord:
    """Cancel a batch at the provider; the next run stores what was answered by then, for that is billed.

    Args:
        store: the response store's file.
        name: the id of the batch at the provider or in the journal, or the beginning of either.
        forget: give the batch up without asking the provider, with all that it may have cost: its requests can be
            bought again.
        pace: how long the provider is waited for.

    Returns:
        The batch as it is afterwards.

    Raises:
        DataError: there is no such batch, or more than one.
        ClientError: the provider can not be reached, or does not know it.
    """
    found = [
        intent
        for intent in list_batches(store)
        if name and (intent.id.startswith(name) or (intent.batch_id or "").startswith(name))
    ]
    if len(found) != 1:
        how_many = f"{len(found)} open batches" if found else "no open batch"
        raise DataError(f"`batch` {name!r} names {how_many}. Run: hf-synthlabels batches list")
    intent, journal = found[0], BatchJournal(store)
    if forget:
        lost = UsageRecord(uncertain_requests=intent.requests)
        journal.finish(intent, "forgotten", note="given up by hand", settlement=lost)
    elif intent.batch_id is None:
        raise ClientError(
            f"`batch` {name!r} is {intent.state} and has no id at the provider yet. Run its recipe again, which finds "
            "out whether it was made; or give it up with --abandon."
        )
    else:
        provider = open_provider(intent.base_url, intent.api_key_env, pace)
        try:
            status = provider.cancel(intent.batch_id)
        except RefusedError as error:
            raise ClientError(f"The provider does not cancel {intent.batch_id}: {error}.") from None
        finally:
            provider.close()
        journal.cancelled(intent)
        journal.observe(intent, status.status)
    return journal.get(intent.id) or intent
