"""ResponseStore: every answer that was paid for, kept in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hf_synthlabels.errors import StoreError

__all__ = ["ResponseStore", "request_key"]

GROUP_ROWS = 100
GROUP_INTERVAL_S = 0.2
"""A transaction is committed after this many answers or this long, whichever comes first."""

BUSY_TIMEOUT_S = 60.0
BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

CREATE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, payload TEXT NOT NULL, checksum TEXT NOT NULL, created_at REAL NOT NULL
) WITHOUT ROWID
"""


def request_key(content: Mapping[str, Any]) -> str:
    """The address of an answer: the SHA-256 of all that can change it, as canonical JSON."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair can not be encoded otherwise.
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


class ResponseStore:
    """A durable map from request keys to answers, safe for several threads and processes at once.

    Writing is grouped: `put` returns at once, and a thread commits to the write-ahead log with full
    synchronisation every `GROUP_ROWS` answers or `GROUP_INTERVAL_S` seconds. A killed process loses at most the
    answers of that interval. An entry whose checksum does not hold is treated as absent, and is asked again.

    Raises:
        StoreError: the file can not be opened, read or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reading = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connect()
            self._reader.execute(CREATE)
        except (OSError, sqlite3.Error) as error:
            raise self._error("opened", error) from error
        self._pending: queue.Queue[tuple[str, str] | threading.Event | None] = queue.Queue()
        self._failure: Exception | None = None
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="response-store", daemon=True)
        self._writer.start()

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among the given keys."""
        found: dict[str, dict[str, Any]] = {}
        wanted = list(keys)
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, payload, checksum FROM answers WHERE key IN ({marks})"
            try:
                with self._reading:
                    rows = self._reader.execute(query, part).fetchall()
            except sqlite3.Error as error:
                raise self._error("read", error) from error
            found.update(
                {key: json.loads(payload) for key, payload, checksum in rows if _checksum(payload) == checksum}
            )
        return found

    def put(self, key: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer. It is on disk after the next group commit, at the latest after `flush`."""
        self._check()
        self._pending.put((key, json.dumps(answer, sort_keys=True)))

    def flush(self) -> None:
        """Wait until everything that was put is on disk."""
        written = threading.Event()
        self._pending.put(written)
        while not written.wait(0.1):
            self._check()

    def __len__(self) -> int:
        with self._reading:
            return int(self._reader.execute("SELECT count(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Write what is pending and let go of the file; a second time does nothing."""
        if self._closed:
            return
        self._pending.put(None)
        self._writer.join()
        with self._reading:
            self._reader.close()
        try:
            self._check()
        finally:
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self) -> sqlite3.Connection:
        # Transactions are begun and committed by hand, hence no isolation level.
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None)
        # A payload that is no text any more is one whose checksum does not hold, not an error.
        connection.text_factory = lambda content: content.decode(errors="replace")
        connection.execute("PRAGMA synchronous=FULL")
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                # SQLite does not wait for others by itself while the journal of a new file is being changed.
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in BUSY_CODES or time.monotonic() > deadline:
                    connection.close()
                    raise
                time.sleep(0.01)
            else:
                return connection

    def _write(self) -> None:
        try:
            connection = self._connect()
            while not self._commit_group(connection):
                pass
            connection.close()
        except Exception as error:
            # Whatever it is, it must come up in `put` or `flush`, not end this thread in silence.
            self._failure = error

    def _commit_group(self, connection: sqlite3.Connection) -> bool:
        """Commit one group; true when the store is being closed."""
        rows: list[tuple[str, str, str, float]] = []
        waiting: list[threading.Event] = []
        item = self._pending.get()
        deadline = time.monotonic() + GROUP_INTERVAL_S
        while item is not None:
            if isinstance(item, threading.Event):
                waiting.append(item)
                break
            rows.append((item[0], item[1], _checksum(item[1]), time.time()))
            remaining = deadline - time.monotonic()
            if len(rows) >= GROUP_ROWS or remaining <= 0:
                break
            try:
                item = self._pending.get(timeout=remaining)
            except queue.Empty:
                break
        if rows:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", rows)
            connection.execute("COMMIT")
        for event in waiting:
            event.set()
        return item is None

    def _check(self) -> None:
        if self._failure is not None:
            raise self._error("written", self._failure) from self._failure
        if self._closed:
            raise self._error("written", ValueError("it is closed"))

    def _error(self, verb: str, error: Exception) -> StoreError:
        return StoreError(
            f"The response store `{self.path}` can not be {verb}: {error}. "
            "Check the disk and the permissions, or set HF_SYNTHLABELS_HOME to another folder."
        )


def _checksum(payload: object) -> str:
    if not isinstance(payload, str):
        return "not a text"
    return hashlib.sha256(payload.encode()).hexdigest()[:16]
