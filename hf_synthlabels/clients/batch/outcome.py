"""BatchOutcome: what a batch that is over brought, and what it did not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from hf_synthlabels.clients.base import Failure, Usage
from hf_synthlabels.clients.batch.provider import BatchProvider
from hf_synthlabels.clients.batch.results import BatchResult, read_results
from hf_synthlabels.clients.batch.status import BatchStatus
from hf_synthlabels.clients.store.ledger import UsageRecord
from hf_synthlabels.errors import StoreError


class BatchOutcome:
    """Reads the result files of a batch, and counts.

    Args:
        provider: where they are.
        status: the batch, which is over.
        expected: the digests of the requests that were in it.
        folder: where there is room for the files.
    """

    def __init__(self, provider: BatchProvider, status: BatchStatus, expected: Collection[bytes], folder: Path) -> None:
        self._folder = folder
        self.status = status
        self.answered: set[bytes] = set()
        """Requests that have an answer, or a failure that would come again."""
        self.answers = 0
        self.used_up = False
        """Whether the provider says that the account has no money."""
        self._provider = provider
        self._expected = expected
        self._usages: dict[Usage, int] = {}
        self._passing: dict[bytes, Failure] = {}
        self._uncertain: set[bytes] = set()
        self._unknown = self._duplicates = 0

    def results(self) -> Iterator[BatchResult]:
        """Each answer and each lasting failure, once.

        Raises:
            UnknownError: the provider has not got a result file any more.
            StoreError: it can not be written.
        """
        for file_id in (self.status.output_file_id, self.status.error_file_id):
            if file_id is None:
                continue
            with tempfile.TemporaryFile(dir=self._folder) as file:
                try:
                    self._provider.download(file_id, file)
                except OSError as error:
                    raise StoreError(
                        f"Answers can not be written in `{self._folder}`: {error.strerror}. Make room, and run the "
                        "same again: they are still at the provider."
                    ) from error
                yield from self._new(read_results(file))

    @property
    def note(self) -> str:
        """What came of it, in a line."""
        parts = [f"{self.status.status}, {self.answers} answers"]
        if refused := len(self.answered) - self.answers:
            parts.append(f"{refused} refused")
        if left := sum(key not in self.answered for key in self._expected):
            parts.append(f"{left} without an answer")
        if self._unknown:
            parts.append(f"{self._unknown} lines that nobody asked for")
        if self._duplicates:
            parts.append(f"{self._duplicates} lines twice")
        return ", ".join(parts)

    def settlement(self, cost_usd: Callable[[Usage], float | None] | None) -> UsageRecord:
        """What all answers came to; those that can not be read may have been billed."""
        costs = [cost_usd(usage) for usage in self._usages] if cost_usd is not None else []
        known = [cost * count for cost, count in zip(costs, self._usages.values(), strict=False) if cost is not None]
        return UsageRecord(
            requests=self.answers,
            prompt_tokens=sum(usage.prompt_tokens * count for usage, count in self._usages.items()),
            completion_tokens=sum(usage.completion_tokens * count for usage, count in self._usages.items()),
            cached_tokens=sum(usage.cached_tokens * count for usage, count in self._usages.items()),
            usd=sum(known) if known else None,
            uncertain_requests=len(self._uncertain),
        )

    def failure_of(self, key: bytes) -> Failure:
        """Why a request has no answer."""
        return self._passing.get(key) or Failure("missing", f"the batch is {self.status.status} without an answer")

    def _new(self, results: Iterator[BatchResult | None]) -> Iterator[BatchResult]:
        for result in results:
            if result is None or result.key not in self._expected:
                self._unknown += 1
                continue
            if result.key in self.answered:
                self._duplicates += 1
                continue
            usage = result.usage if result.completion is None else result.completion.usage
            if usage is not None:
                self._usages[usage] = self._usages.get(usage, 0) + 1
            if result.uncertain:
                self._uncertain.add(result.key)
            if result.again and result.failure is not None:
                self._passing[result.key] = result.failure
                self.used_up |= result.used_up
            else:
                self.answered.add(result.key)
                self.answers += result.completion is not None
                yield result
