"""Durable response store: answers and the cost ledger in one SQLite file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from hf_synthlabels.clients.store.ledger import Allowance, Run, UsageRecord
from hf_synthlabels.clients.store.sqlite_backend import SqliteBackend
from hf_synthlabels.clients.store.write_groups import GroupedWriter, Writes


class StoreBackend(Protocol):
    """What a response store reads from and commits to: a file, or a process that has the file."""

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among `keys`."""

    def commit(self, writes: Writes) -> list[Any]:
        """Write a group; returns the results of its calls when all of it is on disk."""

    def acquire(self, keys: Iterable[str]) -> list[str]:
        """Lock keys; returns those that no other process has in flight."""

    def release(self, keys: Iterable[str]) -> None:
        """Release keys."""

    def close(self) -> None:
        """Close the file."""


class ResponseStore:
    """A durable map from request keys to answers, and the ledger of their cost; safe for several processes.

    Writes are grouped: a call returns at once, and a thread commits to the write-ahead log with full synchronization;
    the writes that arrive during one commit form the next group. A future is done when its group is on disk. It fails
    if the group cannot be written, and so does every later call; what is on disk stays.

    An entry with a wrong checksum counts as missing and is requested again. A damaged file is moved aside.

    Args:
        path: the file.
        backend: another place of the answers; the file is then on its machine.

    Raises:
        StoreError: the file cannot be opened, read or written.
    """

    def __init__(self, path: str | Path, backend: StoreBackend | None = None) -> None:
        self.path = Path(path)
        self._backend = SqliteBackend(self.path) if backend is None else backend
        self._writer = GroupedWriter(self._backend.commit, "response-store")

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among `keys`; damaged ones count as missing."""
        return self._backend.get(keys)

    def put(self, key: str, answer: Mapping[str, Any]) -> Future[None]:
        """Store an answer and release the lock on its key; the future is done when the answer is on disk."""
        return self._writer.put(key, json.dumps(answer))

    def acquire(self, keys: Iterable[str]) -> list[str]:
        """Lock keys to request their answers here; returns those that no other process has in flight.

        `put`, `release` and the end of the process release a lock.
        """
        return self._backend.acquire(keys)

    def release(self, keys: Iterable[str]) -> None:
        """Release keys whose answers will not be stored here."""
        self._backend.release(keys)

    def begin_run(self, run: Run) -> None:
        """Add a run to the ledger."""
        self._writer.call("begin_run", run)

    def reserve(self, run: Run, requested: Allowance) -> Future[Allowance]:
        """Reserve requests and money for a run before any of it is spent.

        The future is done when the reservation is on disk; its result is smaller than requested if the budget does
        not cover it.
        """
        return self._writer.call("reserve", run, requested)

    def commit_usage(self, run: Run, usage: UsageRecord) -> None:
        """Record the usage of completed requests."""
        self._writer.add_usage(run, usage)

    def end_run(self, run: Run) -> None:
        """Release what was reserved for a run and not spent; it is released when this returns."""
        # Usage is written at the end of its group, so it must be on disk first.
        self.flush()
        self._writer.call("end_run", run).result()

    def apply(self, writes: Writes) -> list[Any]:
        """Write what another process has written; returns the results of its calls when all of it is on disk."""
        written, results = self._writer.add(writes)
        written.result()
        return [result.result() for result in results]

    def select(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a read-only query of the file."""
        assert isinstance(self._backend, SqliteBackend)
        return self._backend.select(query, values)

    def execute(self, statement: str, values: Iterable[Any] = ()) -> int:
        """Run a statement that writes and wait until it is on disk; returns the number of changed rows."""
        return self.execute_many(statement, [tuple(values)])

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run a statement for each row of values, in one transaction; otherwise as `execute`."""
        return int(self._writer.call("execute", statement, list(rows)).result())

    def flush(self) -> None:
        """Wait until all earlier writes are on disk."""
        written, _ = self._writer.add(Writes())
        written.result()

    def __len__(self) -> int:
        return int(self.select("SELECT count(*) FROM answers")[0][0])

    def close(self) -> None:
        """Write what is pending and close the file; a second call does nothing."""
        if self._writer.close():
            self._backend.close()
            self._writer.raise_failure()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
