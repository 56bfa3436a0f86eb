"""ResponseStore: every answer that was paid for, and every cent of it, kept in one SQLite file."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hf_synthlabels.clients.base import Commit, new_commit
from hf_synthlabels.clients.store.key_locks import KeyLocks
from hf_synthlabels.clients.store.ledger import Allowance, Run, UsageRecord, commit_usage, end_run, reserve
from hf_synthlabels.clients.store.payloads import is_usable
from hf_synthlabels.errors import StoreError

_LOGGER = logging.getLogger(__name__)

ROWS_PER_STATEMENT = 200

BUSY_TIMEOUT_S = 60.0
MAX_WAIT_S = 600.0
"""For the lock of another process before answers in memory are given up: it may be compacting a large file."""
BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

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

Work = Callable[[sqlite3.Connection], object]


def canonical_hash(content: Mapping[str, Any]) -> str:
    """The SHA-256 of a content as canonical JSON, so that the order of keys does not matter."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair can not be encoded otherwise.
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


class ResponseStore:
    """A durable map from request keys to answers, and the ledger of what they cost; safe for several processes.

    Writing is grouped: `put` returns at once, and a thread commits to the write-ahead log with full
    synchronisation; what comes during one commit is the next group. The `Commit` that is handed back tells when an
    answer is on disk. An entry whose checksum does not hold is treated as absent, and is asked again; the file is
    never rebuilt. When the disk is full, what is on it stays, and the next call says so.

    Raises:
        StoreError: the file can not be opened, read or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reading = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._reader = self._connect()
            for statement in CREATE_TABLES:
                self._reader.execute(statement)
        except (OSError, sqlite3.Error) as error:
            raise self._error("opened", error) from error
        self._locks = KeyLocks(self.path.with_name(self.path.name + "-locks"))
        self._pending: list[tuple[str, str] | Work] = []
        self._settlements: dict[str, tuple[Run, UsageRecord]] = {}
        self._commit = new_commit()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._closing = self._closed = False
        self._writer = threading.Thread(target=self._write, name="response-store", daemon=True)
        self._writer.start()

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among the given keys; damaged and unusable ones count as absent."""
        found: dict[str, dict[str, Any]] = {}
        wanted = list(keys)
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, payload, checksum FROM answers WHERE key IN ({marks})"
            for key, payload, mark in self.select(query, part):
                if checksum(payload) == mark and is_usable(answer := json.loads(payload)):
                    found[key] = answer
        return found

    def put(self, key: str, answer: Mapping[str, Any]) -> Commit:
        """Keep an answer; it is on disk when the commit is done, at the latest after `flush`; then no one claims it."""
        return self._hand_over((key, json.dumps(answer)))

    def acquire(self, keys: Iterable[str]) -> list[str]:
        """Say of which keys the answers will be got here; those that another process has on the way are left out.

        A claim ends with `put`, with `release`, and with the process.
        """
        return [key for key in keys if self._locks.acquire(key)]

    def release(self, keys: Iterable[str]) -> None:
        """Let others get the answers of some keys, of which none will be kept here."""
        for key in keys:
            self._locks.release(key)

    def begin_run(self, run: Run) -> None:
        """Enter a run into the ledger."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO runs (id, scope, model, base_url, pid, host, started_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run.id, run.scope, run.model, run.base_url, os.getpid(), socket.gethostname(), time.time()),
            )

        self._hand_over(write)

    def reserve(self, run: Run, wish: Allowance) -> Future[Allowance]:
        """Reserve requests and money for a run, as far as its budget goes, before any of it is spent.

        The result may be less than the wish. It is set when the reservation is on disk, from the thread that writes;
        if the reservation cannot be written, the future has the error.
        """
        granted: Future[Allowance] = Future()
        reserved: list[Allowance] = []

        def pass_on(commit: Commit) -> None:
            if (error := commit.exception()) is not None:
                granted.set_exception(error)
            else:
                granted.set_result(reserved[0])

        commit = self._hand_over(lambda connection: reserved.append(reserve(connection, run, wish)))
        commit.add_done_callback(pass_on)
        return granted

    def commit_usage(self, run: Run, settlement: UsageRecord) -> Commit:
        """Enter what requests came to."""
        with self._changed:
            self._check()
            known = self._settlements.setdefault(run.id, (run, settlement))[1]
            if known is not settlement:
                known.add(settlement)
            self._changed.notify()
            return self._commit

    def end_run(self, run: Run) -> None:
        """Give back what was reserved for a run and not spent."""
        # What its requests came to is summed up, and written at the end of a group: before this one.
        self.flush()
        self._hand_over(lambda connection: end_run(connection, run))

    def select(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query that changes nothing.

        Raises:
            StoreError: it can not be read.
        """
        try:
            with self._reading:
                return self._reader.execute(query, list(values)).fetchall()
        except sqlite3.Error as error:
            raise self._error("read", error) from error

    def execute(self, statement: str, values: Iterable[Any] = ()) -> None:
        """Run a statement that writes, and wait until it is on disk."""
        parameters = list(values)
        self._hand_over(lambda connection: connection.execute(statement, parameters))
        self.flush()

    def flush(self) -> None:
        """Wait until everything that was handed over is on disk."""
        self._hand_over(_nothing).result()

    def __len__(self) -> int:
        return int(self.select("SELECT count(*) FROM answers")[0][0])

    def close(self) -> None:
        """Write what is pending and let go of the file; a second time does nothing."""
        if self._closed:
            return
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._writer.join()
        self._locks.close()
        with self._reading:
            self._reader.close()
        self._closed = True
        if self._failure is not None:
            raise self._error("written", self._failure) from self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hand_over(self, item: tuple[str, str] | Work) -> Commit:
        with self._changed:
            self._check()
            self._pending.append(item)
            self._changed.notify()
            return self._commit

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
        waiting: list[Commit] = []
        try:
            connection = self._connect()
            while True:
                items, commit = self._next_group()
                if not items:
                    break
                waiting = [commit]
                self._commit_items(connection, items)
                waiting = []
                commit.set_result(None)
            connection.close()
        except BaseException as error:
            # All who wait for this group or the next get the error, and so does all that is handed over later.
            with self._changed:
                self._failure = error
                waiting.append(self._commit)
            shown = self._error("written", error)
            for commit in waiting:
                commit.set_exception(shown)

    def _next_group(self) -> tuple[list[tuple[str, str] | Work], Commit]:
        """Wait for something to write; nothing means that the store is closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._settlements or self._closing)
            items, self._pending = self._pending, []
            # One entry for each run in a group, however many answers it is for.
            settlements, self._settlements = self._settlements, {}
            items += [partial(commit_usage, run=run, settlement=sum_) for run, sum_ in settlements.values()]
            # From here on, what is handed over belongs to the next group.
            commit, self._commit = self._commit, new_commit()
        return items, commit

    def _commit_items(self, connection: sqlite3.Connection, items: list[tuple[str, str] | Work]) -> None:
        now = time.time()
        answers = [(item[0], item[1], checksum(item[1]), now) for item in items if isinstance(item, tuple)]
        work = [item for item in items if not isinstance(item, tuple)]
        self._begin(connection)
        try:
            for start in range(0, len(answers), ROWS_PER_STATEMENT):
                # One statement for many: SQLite gives up Python's lock at each, and may wait long to have it back.
                part = answers[start : start + ROWS_PER_STATEMENT]
                marks = ",".join(["(?,?,?,?)"] * len(part))
                values = [value for row in part for value in row]
                connection.execute(f"INSERT OR REPLACE INTO answers VALUES {marks}", values)
            for write in work:
                write(connection)
            connection.execute("COMMIT")
            self.release(key for key, *_ in answers)
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin to write, as soon as no other process writes."""
        deadline = time.monotonic() + MAX_WAIT_S
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in BUSY_CODES or time.monotonic() > deadline:
                    raise
                _LOGGER.warning("Another process keeps the response store `%s` locked; waiting for it.", self.path)
            else:
                return

    def _check(self) -> None:
        if self._failure is not None:
            raise self._error("written", self._failure) from self._failure
        if self._closing:
            # Nothing would write it any more.
            raise self._error("written", ValueError("it is closed"))

    def _error(self, verb: str, error: BaseException) -> StoreError:
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        if damaged:
            repair = (
                "The file is damaged: `hf-synthlabels cache export -o answers.jsonl` saves what still reads; then move "
                "the file away, and `hf-synthlabels cache import answers.jsonl` makes a new one."
            )
        else:
            repair = "Check the disk and the permissions, or set HF_SYNTHLABELS_HOME to another folder."
        return StoreError(f"The response store `{self.path}` can not be {verb}: {error}. {repair}")


def _nothing(connection: sqlite3.Connection) -> None:
    """Work that is done as soon as all before it is."""


def checksum(payload: object) -> str:
    """Sixteen hexadecimal digits that a payload has, and a damaged one has not."""
    if not isinstance(payload, str):
        return "not a text"
    return hashlib.sha256(payload.encode()).hexdigest()[:16]
