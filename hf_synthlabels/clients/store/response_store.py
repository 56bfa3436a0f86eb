"""Durable response store: answers and the cost ledger in one SQLite file."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hf_synthlabels.clients.store.key_locks import KeyLocks
from hf_synthlabels.clients.store.ledger import Allowance, Run, UsageRecord, commit_usage, end_run, reserve
from hf_synthlabels.clients.store.payloads import checksum
from hf_synthlabels.clients.store.sqlite_file import CREATE_TABLES, begin, connect, file_id, store_error
from hf_synthlabels.errors import StoreError

ROWS_PER_STATEMENT = 200
KEYS_PER_QUERY = 500


T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


def uncancellable() -> Future[Any]:
    """A future that cannot be cancelled, because several callers may wait for it."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


@dataclass(slots=True)
class _Group:
    """The writes of one transaction and the futures of all callers that wait for it."""

    written: Future[None] = field(default_factory=uncancellable)
    answers: list[tuple[str, str]] = field(default_factory=list)
    work: list[tuple[Work[Any], Future[Any]]] = field(default_factory=list)
    usage: dict[str, tuple[Run, UsageRecord]] = field(default_factory=dict)
    """By run: one update per run and transaction, for any number of answers."""

    @property
    def is_empty(self) -> bool:
        return not (self.answers or self.work or self.usage)

    def finish(self, results: list[Any]) -> None:
        for (_, future), result in zip(self.work, results, strict=True):
            future.set_result(result)
        self.written.set_result(None)

    def fail(self, error: StoreError) -> None:
        for _, future in self.work:
            future.set_exception(error)
        self.written.set_exception(error)


class ResponseStore:
    """A durable map from request keys to answers, and the ledger of their cost; safe for several processes.

    Writes are grouped: a call returns at once, and a thread commits to the write-ahead log with full synchronization;
    the writes that arrive during one commit form the next group. A future is done when its group is on disk. It fails
    if the group cannot be written, and so does every later call; what is on disk stays.

    An entry with a wrong checksum counts as missing and is requested again. A damaged file is moved aside.

    Raises:
        StoreError: the file cannot be opened, read or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reading = threading.Lock()
        self._lock = threading.Lock()
        self._failure: StoreError | None = None
        self._closed = False
        self._file_id = file_id(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = connect(self.path)
            for statement in CREATE_TABLES:
                self._reader.execute(statement)
            self._connection = connect(self.path)
        except (OSError, sqlite3.Error) as error:
            raise self._error("opened", error) from error
        self._file_id = file_id(self.path)
        self._locks = KeyLocks(self.path.with_name(self.path.name + "-locks"))
        self._group = _Group()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="response-store")

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among `keys`; damaged ones count as missing."""
        answers: dict[str, dict[str, Any]] = {}
        requested = list(keys)
        for start in range(0, len(requested), KEYS_PER_QUERY):
            part = requested[start : start + KEYS_PER_QUERY]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, payload, checksum FROM answers WHERE key IN ({marks})"
            for key, payload, stored_checksum in self.select(query, part):
                if checksum(payload) == stored_checksum:
                    answers[key] = json.loads(payload)
        return answers

    def put(self, key: str, answer: Mapping[str, Any]) -> Future[None]:
        """Store an answer and release the lock on its key; the future is done when the answer is on disk."""
        payload = json.dumps(answer)
        with self._lock:
            group = self._open_group()
            group.answers.append((key, payload))
        return group.written

    def acquire(self, keys: Iterable[str]) -> list[str]:
        """Lock keys to request their answers here; returns those that no other process has in flight.

        `put`, `release` and the end of the process release a lock.
        """
        return [key for key in keys if self._locks.acquire(key)]

    def release(self, keys: Iterable[str]) -> None:
        """Release keys whose answers will not be stored here."""
        for key in keys:
            self._locks.release(key)

    def begin_run(self, run: Run) -> None:
        """Add a run to the ledger."""
        values = (run.id, run.scope, run.model, run.base_url, os.getpid(), socket.gethostname(), time.time())
        columns = "id, scope, model, base_url, pid, host, started_at"
        self._submit(
            lambda connection: connection.execute(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        )

    def reserve(self, run: Run, requested: Allowance) -> Future[Allowance]:
        """Reserve requests and money for a run before any of it is spent.

        The future is done when the reservation is on disk; its result is smaller than requested if the budget does
        not cover it.
        """
        return self._submit(lambda connection: reserve(connection, run, requested))

    def commit_usage(self, run: Run, usage: UsageRecord) -> None:
        """Record the usage of completed requests."""
        with self._lock:
            pending = self._open_group().usage
            if run.id in pending:
                pending[run.id][1].add(usage)
            else:
                pending[run.id] = (run, usage)

    def end_run(self, run: Run) -> None:
        """Release what was reserved for a run and not spent."""
        # Usage is written at the end of its group, so it must be on disk first.
        self.flush()
        self._submit(lambda connection: end_run(connection, run))

    def select(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a read-only query."""
        try:
            with self._reading:
                return self._reader.execute(query, list(values)).fetchall()
        except sqlite3.Error as error:
            raise self._error("read", error) from error

    def execute(self, statement: str, values: Iterable[Any] = ()) -> int:
        """Run a statement that writes and wait until it is on disk; returns the number of changed rows."""
        parameters = list(values)
        return self._submit(lambda connection: connection.execute(statement, parameters).rowcount).result()

    def execute_many(self, statement: str, rows: Iterable[Iterable[Any]]) -> int:
        """Run a statement for each row of values, in one transaction; otherwise as `execute`."""
        parameters = [tuple(row) for row in rows]
        return self._submit(lambda connection: connection.executemany(statement, parameters).rowcount).result()

    def flush(self) -> None:
        """Wait until all earlier writes are on disk."""
        self._submit(_nothing).result()

    def __len__(self) -> int:
        return int(self.select("SELECT count(*) FROM answers")[0][0])

    def close(self) -> None:
        """Write what is pending and close the file; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._writer.shutdown()
        self._locks.close()
        with self._reading:
            self._reader.close()
        self._connection.close()
        if self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, work: Work[T]) -> Future[T]:
        future: Future[T] = uncancellable()
        with self._lock:
            self._open_group().work.append((work, future))
        return future

    def _open_group(self) -> _Group:
        """The group that takes the next write; the caller holds the lock and adds to it."""
        if self._failure is not None:
            raise StoreError(str(self._failure)) from self._failure
        if self._closed:
            raise self._error("written", ValueError("it is closed"))
        if self._group.is_empty:
            self._writer.submit(self._write)
        return self._group

    def _write(self) -> None:
        """Commit the current group and tell everyone who waits for it."""
        with self._lock:
            group, self._group = self._group, _Group()
        if self._failure is not None:
            group.fail(self._failure)
            return
        try:
            results = self._commit(group)
        except BaseException as error:
            self._failure = self._error("written", error)
            group.fail(self._failure)
        else:
            group.finish(results)

    def _commit(self, group: _Group) -> list[Any]:
        """Write a group in one transaction; returns the results of its work."""
        connection, now = self._connection, time.time()
        begin(connection, self.path)
        try:
            for start in range(0, len(group.answers), ROWS_PER_STATEMENT):
                # One statement for many rows: SQLite releases the GIL at each, and may wait long to get it back.
                part = group.answers[start : start + ROWS_PER_STATEMENT]
                values = [value for key, payload in part for value in (key, payload, checksum(payload), now)]
                marks = ",".join(["(?,?,?,?)"] * len(part))
                connection.execute(f"INSERT OR REPLACE INTO answers VALUES {marks}", values)
            results = [work(connection) for work, _ in group.work]
            for run, usage in group.usage.values():
                commit_usage(connection, run, usage)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.release(key for key, _ in group.answers)
        return results

    def _error(self, action: str, error: BaseException) -> StoreError:
        return store_error(self.path, self._file_id, action, error)


def _nothing(connection: sqlite3.Connection) -> None:
    """Work that is done as soon as all earlier writes are on disk."""
