"""The SQLite file of the response store: tables, connections, reading without changes, and damage."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hf_synthlabels.clients.store.payloads import StoredAnswer
from hf_synthlabels.errors import StoreError

_LOGGER = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 60.0
MAX_WAIT_S = 600.0
"""How long a write waits for another process's lock, e.g. while that process compacts a large file."""
BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
KEY_BOUNDS = ("", *(f"{number:02x}" for number in range(1, 256)), "\U0010ffff")
"""Bounds of key ranges; keys are hexadecimal hashes."""

DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

CREATE_TABLES = (
    """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, payload TEXT NOT NULL, checksum TEXT NOT NULL, created_at REAL NOT NULL
) WITHOUT ROWID
""",
    """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, scope TEXT NOT NULL, model TEXT, base_url TEXT, pid INTEGER, host TEXT,
    started_at REAL NOT NULL, ended_at REAL,
    granted_requests INTEGER NOT NULL DEFAULT 0, granted_usd REAL NOT NULL DEFAULT 0,
    granted_tokens INTEGER NOT NULL DEFAULT 0,
    requests INTEGER NOT NULL DEFAULT 0, prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0, usd REAL,
    uncertain_requests INTEGER NOT NULL DEFAULT 0, uncertain_usd REAL NOT NULL DEFAULT 0,
    uncertain_tokens INTEGER NOT NULL DEFAULT 0
)
""",
    """
CREATE TABLE IF NOT EXISTS probes (
    base_url TEXT NOT NULL, model TEXT NOT NULL, response_format TEXT NOT NULL, probed_at REAL NOT NULL,
    note TEXT NOT NULL, PRIMARY KEY (base_url, model)
)
""",
)


def connect(path: Path) -> sqlite3.Connection:
    """Open a store for reading and writing, with a write-ahead log and full synchronization."""
    # Transactions are begun and committed explicitly, hence no isolation level.
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None)
    connection.text_factory = _decode
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA synchronous=FULL")
            # SQLite itself does not wait while another connection changes the journal mode of a new file.
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF not in BUSY_CODES or time.monotonic() > deadline:
                connection.close()
                raise
            time.sleep(0.01)
        else:
            return connection


def begin(connection: sqlite3.Connection, path: Path) -> None:
    """Begin a write transaction as soon as no other process writes."""
    deadline = time.monotonic() + MAX_WAIT_S
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in BUSY_CODES or time.monotonic() > deadline:
                raise
            _LOGGER.warning("Waiting for another process that has locked the response store `%s`.", path)
        else:
            return


def file_id(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def store_error(path: Path, opened: tuple[int, int] | None, action: str, error: BaseException) -> StoreError:
    """The error to raise for a failed action; a damaged file is moved aside first.

    Args:
        path: of the store.
        opened: `file_id` of the file when it was opened.
        action: past participle: opened, read or written.
        error: what SQLite or the system raised.
    """
    is_damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE_CODES
    # Another process may have moved the damaged file already and begun a new one.
    if is_damaged and opened is not None and file_id(path) == opened:
        return _move_aside(path, error)
    advice = "Check the disk and the permissions, or set HF_SYNTHLABELS_HOME to another folder."
    return StoreError(f"The response store `{path}` cannot be {action}: {error}. {advice}")


def _move_aside(path: Path, error: BaseException) -> StoreError:
    """Rename a damaged store and its log, so that the next run begins a new one."""
    target = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        for suffix in ("-wal", "-shm", ""):
            file = path.with_name(path.name + suffix)
            if file.exists():
                file.rename(target.with_name(target.name + suffix))
    except OSError:
        return StoreError(f"The response store `{path}` is damaged: {error}. Move it and `{path.name}-wal` elsewhere.")
    return StoreError(
        f"The response store `{path}` is damaged ({error}) and was moved to `{target}`. The next run starts a new "
        "store: answers are requested again and budgets start over. To restore what is readable, run `hf-synthlabels "
        "cache export --store FILE -o saved.jsonl` with the moved file, then `hf-synthlabels cache import saved.jsonl`."
    )


class StoreReader:
    """Reads a store's file without changing it; errors are collected in `faults`.

    Raises:
        StoreError: there is no such file, or it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise missing_store(self.path)
        self.faults: list[str] = []
        try:
            # Read-only, because an ordinary connection would already repair the write-ahead log.
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)
        except sqlite3.Error as error:
            raise StoreError(f"The response store `{self.path}` cannot be read: {error}.") from error
        self._connection.text_factory = _decode

    def check(self) -> None:
        """Let SQLite check the whole file."""
        try:
            messages = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            messages = [str(error)]
        for message in messages:
            self._add(line for line in message.splitlines() if line != "ok" and not line.startswith("***"))

    def answers(self) -> Iterator[StoredAnswer]:
        """Every readable entry, including entries with a wrong checksum."""
        query = "SELECT key, payload, checksum, created_at FROM answers WHERE key >= ? AND key < ? ORDER BY key"
        # A damaged page ends a query, so the keys are read in small ranges.
        for start, stop in itertools.pairwise(KEY_BOUNDS):
            try:
                for row in self._connection.execute(query, (start, stop)):
                    yield StoredAnswer(*row)
            except sqlite3.DatabaseError as error:
                self._add([str(error)])

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The readable rows of a small table; none if there is no such table."""
        try:
            cursor = self._connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))
        except sqlite3.DatabaseError as error:
            if "no such table" not in str(error):
                self._add([f"table {table}: {error}"])

    def _add(self, faults: Iterable[str]) -> None:
        self.faults += [fault for fault in faults if fault not in self.faults]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def missing_store(path: Path) -> StoreError:
    """The error for a store that does not exist yet."""
    return StoreError(
        f"The response store `{path}` does not exist: no request was sent yet, or HF_SYNTHLABELS_HOME has changed."
    )


def _decode(content: bytes) -> str:
    # Invalid UTF-8 in a payload is a wrong checksum, not an error.
    return content.decode(errors="replace")
