"""Groups of writes: those that arrive during one commit form the next group."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from hf_synthlabels.clients.store.ledger import Run, UsageRecord
from hf_synthlabels.errors import StoreError

Call = tuple[str, tuple[Any, ...]]
"""Name and arguments of a change to the ledger, or of an SQL statement."""


@dataclass(slots=True)
class Writes:
    """The writes of one commit, as values that can be sent to another process."""

    answers: list[tuple[str, str]] = field(default_factory=list)
    """Keys and payloads."""
    calls: list[Call] = field(default_factory=list)
    usage: dict[str, tuple[Run, UsageRecord]] = field(default_factory=dict)
    """By run: one update per run and commit, for any number of answers."""

    def __bool__(self) -> bool:
        return bool(self.answers or self.calls or self.usage)

    def add_usage(self, run: Run, usage: UsageRecord) -> None:
        """Add the usage of some requests."""
        if run.id in self.usage:
            self.usage[run.id][1].add(usage)
        else:
            self.usage[run.id] = (run, usage)


def _uncancellable() -> Future[Any]:
    """A future that cannot be cancelled, because several callers may wait for it."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(slots=True)
class _Group:
    """Writes, and the futures of all callers that wait for them."""

    writes: Writes = field(default_factory=Writes)
    written: Future[None] = field(default_factory=_uncancellable)
    results: list[Future[Any]] = field(default_factory=list)
    """One for each call."""
    is_submitted: bool = False


class GroupedWriter:
    """Commits groups of writes in a thread. Once a commit has failed, all later writes fail with its error.

    `commit` writes a group, and returns the results of its calls.
    """

    def __init__(self, commit: Callable[[Writes], list[Any]], name: str) -> None:
        self._commit = commit
        self._lock = Lock()
        self._group = _Group()
        self._failure: StoreError | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def put(self, key: str, payload: str) -> Future[None]:
        """Add an answer; the future is done when it is written."""
        with self._lock:
            group = self._open_group()
            group.writes.answers.append((key, payload))
        return group.written

    def add_usage(self, run: Run, usage: UsageRecord) -> None:
        """Add the usage of some requests."""
        with self._lock:
            self._open_group().writes.add_usage(run, usage)

    def call(self, name: str, *arguments: Any) -> Future[Any]:
        """Add a call; the future has its result when it is written."""
        result = _uncancellable()
        with self._lock:
            group = self._open_group()
            group.writes.calls.append((name, arguments))
            group.results.append(result)
        return result

    def add(self, writes: Writes) -> tuple[Future[None], list[Future[Any]]]:
        """Add writes of another process; returns a future for all of them, and one for the result of each call."""
        results = [_uncancellable() for _ in writes.calls]
        with self._lock:
            group = self._open_group()
            group.writes.answers += writes.answers
            group.writes.calls += writes.calls
            group.results += results
            for run, usage in writes.usage.values():
                group.writes.add_usage(run, usage)
        return group.written, results

    def close(self) -> bool:
        """Commit what is pending; False if the writer was closed before.

        Raises:
            StoreError: a commit has failed.
        """
        with self._lock:
            if self._closed:
                return False
            self._closed = True
        self._thread.shutdown()
        return True

    def raise_failure(self) -> None:
        """Raise the error of a failed commit, if any."""
        if self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure

    def _open_group(self) -> _Group:
        """The group that takes the next write; the caller holds the lock and adds to it.

        Raises:
            StoreError: an earlier commit has failed, or the writer is closed.
        """
        self.raise_failure()
        if self._closed:
            raise StoreError("The response store cannot be written: it is closed.")
        if not self._group.is_submitted:
            self._group.is_submitted = True
            self._thread.submit(self._write)
        return self._group

    def _write(self) -> None:
        """Commit the current group, and tell everyone who waits for it."""
        with self._lock:
            group, self._group = self._group, _Group()
        error = self._failure
        if error is None:
            try:
                results = self._commit(group.writes)
                pairs = list(zip(group.results, results, strict=True))
            except StoreError as raised:
                error = self._failure = raised
            except BaseException as raised:
                error = self._failure = StoreError(f"The response store cannot be written: {raised}.")
        if error is not None:
            for future in (*group.results, group.written):
                future.set_exception(error)
            return
        for future, result in pairs:
            future.set_result(result)
        group.written.set_result(None)
