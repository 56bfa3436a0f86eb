"""Reads and commits of the response store in its SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.clients.store.key_locks import KeyLocks
from hf_synthlabels.clients.store.ledger import begin_run, commit_usage, end_run, reserve
from hf_synthlabels.clients.store.payloads import checksum
from hf_synthlabels.clients.store.sqlite_file import CREATE_TABLES, begin, connect, file_id, store_error
from hf_synthlabels.clients.store.write_groups import Writes
from hf_synthlabels.errors import StoreError

ROWS_PER_STATEMENT = 200
KEYS_PER_QUERY = 500


def _execute(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement for each row of values; returns the number of changed rows."""
    return connection.executemany(statement, rows).rowcount


CALLS: dict[str, Callable[..., Any]] = {
    "begin_run": begin_run,
    "reserve": reserve,
    "end_run": end_run,
    "execute": _execute,
}
"""By name: what `Writes.calls` may contain."""


class SqliteBackend:
    """The file of a response store: reading, committing groups of writes, and locks on request keys.

    Raises:
        StoreError: the file cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reading = threading.Lock()
        self._file_id = file_id(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = connect(path)
            for statement in CREATE_TABLES:
                self._reader.execute(statement)
            self._connection = connect(path)
        except (OSError, sqlite3.Error) as error:
            raise self._error("opened", error) from error
        self._file_id = file_id(path)
        self._locks = KeyLocks(path.with_name(path.name + "-locks"))

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

    def select(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a read-only query."""
        try:
            with self._reading:
                return self._reader.execute(query, list(values)).fetchall()
        except sqlite3.Error as error:
            raise self._error("read", error) from error

    def commit(self, writes: Writes) -> list[Any]:
        """Write a group in one transaction; returns the results of its calls, and releases the keys of its answers."""
        try:
            results = self._commit(writes)
        except BaseException as error:
            raise self._error("written", error) from error
        self.release(key for key, _ in writes.answers)
        return results

    def acquire(self, keys: Iterable[str]) -> list[str]:
        """Lock keys; returns those that no other process has in flight."""
        return [key for key in keys if self._locks.acquire(key)]

    def release(self, keys: Iterable[str]) -> None:
        """Release keys."""
        for key in keys:
            self._locks.release(key)

    def close(self) -> None:
        """Close the file."""
        self._locks.close()
        with self._reading:
            self._reader.close()
        self._connection.close()

    def _commit(self, writes: Writes) -> list[Any]:
        connection, now = self._connection, time.time()
        begin(connection, self.path)
        try:
            for start in range(0, len(writes.answers), ROWS_PER_STATEMENT):
                # One statement for many rows: SQLite releases the GIL at each, and may wait long to get it back.
                part = writes.answers[start : start + ROWS_PER_STATEMENT]
                values = [value for key, payload in part for value in (key, payload, checksum(payload), now)]
                marks = ",".join(["(?,?,?,?)"] * len(part))
                connection.execute(f"INSERT OR REPLACE INTO answers VALUES {marks}", values)
            results = [CALLS[name](connection, *arguments) for name, arguments in writes.calls]
            for run, usage in writes.usage.values():
                commit_usage(connection, run, usage)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    def _error(self, action: str, error: BaseException) -> StoreError:
        return store_error(self.path, self._file_id, action, error)
