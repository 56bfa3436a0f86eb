"""DecisionStore: an append-only event log of human decisions in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

from hf_synthlabels.errors import StoreError

Action = Literal["label", "skip", "undo", "seen", "adjudicate", "example", "no-example"]
"""Event types: labeled, skipped, undid the last action, was shown the LLM's label,
decided between others, chose the row as an example, or chose it no longer."""

ACTIONS: tuple[Action, ...] = get_args(Action)

FORMAT = 2

CREATE_TABLES = f"""
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,
    annotator TEXT NOT NULL,
    row INTEGER NOT NULL,
    digest TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ({", ".join(repr(name) for name in ACTIONS)})),
    human_label TEXT,
    llm_label TEXT,
    llm_shown INTEGER NOT NULL DEFAULT 0,
    note TEXT NOT NULL DEFAULT '',
    seconds REAL,
    variable TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

COLUMNS = "id, key, at, annotator, row, digest, action, human_label, llm_label, llm_shown, note, seconds, variable"


@dataclass(frozen=True, slots=True)
class Event:
    """One action of an annotator on a row."""

    key: str
    """Unique key from the page: an event sent twice is stored once."""
    annotator: str
    row: int
    """Row number in the table, from 0."""
    digest: str
    """Digest of the row's text, which detects stores of other data."""
    action: Action
    human_label: Any = None
    """Plain JSON for `label` and `adjudicate`; never an LLM label."""
    llm_label: Any = None
    """LLM label at the time of the event; None without a label."""
    llm_shown: bool = False
    """Whether the annotator had seen the LLM label before the decision."""
    note: str = ""
    seconds: float | None = None
    """Time since the row was displayed."""
    at: float = 0.0
    """Seconds since 1970, UTC."""
    id: int = 0
    """Sequence number in the store."""
    variable: str = ""
    """Of a codebook: the variable; empty for a recipe with one."""


class DecisionStore:
    """Event log on disk, safe for several threads and processes; an event is durable when `add_all` returns.

    Raises:
        StoreError: the file cannot be opened or written, or has another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            # Decisions survive a power failure.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(CREATE_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise self._error("opened", error) from error
        known = self.facts().get("format", FORMAT)
        if known != FORMAT:
            raise StoreError(f"`store` {str(self.path)!r} is of format {known!r}, and this version reads {FORMAT}.")
        self.name = str(self.facts().get("name") or uuid.uuid4().hex)
        """Unique name, under which a browser keeps decisions that it could not send."""
        self.remember({"format": FORMAT, "name": self.name})

    def add_all(self, events: Iterable[Event]) -> list[Event]:
        """Store several events, all or none, and return them; an event with a known key is returned as stored.

        Raises:
            StoreError: they cannot be written.
        """
        with self._transaction():
            return [self._insert(event) for event in events]

    def since(self, last: int = 0, variable: str | None = None) -> list[Event]:
        """All events after a sequence number, in order.

        Args:
            last: the sequence number.
            variable: only events of this variable (default: of all).

        Raises:
            StoreError: they cannot be read.
        """
        query = f"SELECT {COLUMNS} FROM events WHERE id > ?1 AND (?2 IS NULL OR variable = ?2) ORDER BY id"
        lines = self._read(query, (last, variable))
        return [_event(line) for line in lines]

    def facts(self) -> dict[str, Any]:
        """Facts about the review by name."""
        return {name: json.loads(value) for name, value in self._read("SELECT name, value FROM facts")}

    def remember(self, facts: Mapping[str, Any]) -> None:
        """Store facts about the review, replacing those of the same name.

        Raises:
            StoreError: they cannot be written.
        """
        lines = [(name, json.dumps(value, ensure_ascii=False)) for name, value in facts.items()]
        with self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", lines)

    def close(self) -> None:
        """Checkpoint the write-ahead log and close the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Write all changes of the block, or none if it raises.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException as error:
                # An open transaction would make every later write fail.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._error("written", error) from error
                raise

    def _insert(self, event: Event) -> Event:
        at = event.at or time.time()
        values = (
            *(event.key, at, event.annotator, event.row, event.digest, event.action),
            *(_json(event.human_label), _json(event.llm_label), int(event.llm_shown), event.note, event.seconds),
            event.variable,
        )
        marks = ", ".join("?" * len(values))
        cursor = self._connection.execute(
            f"INSERT INTO events ({COLUMNS.removeprefix('id, ')}) VALUES ({marks}) ON CONFLICT (key) DO NOTHING", values
        )
        if cursor.rowcount:
            return replace(event, at=at, id=int(cursor.lastrowid or 0))
        stored = self._connection.execute(f"SELECT {COLUMNS} FROM events WHERE key = ?", (event.key,)).fetchone()
        return _event(stored)

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._error("read", error) from error

    def _error(self, action: str, error: Exception) -> StoreError:
        return StoreError(f"`store` {str(self.path)!r} cannot be {action}: {error}. Give another file with `--store`.")


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _event(line: Any) -> Event:
    number, key, at, annotator, row, digest, action, human, llm, was_shown, note, seconds, variable = line
    return Event(
        key=key,
        annotator=annotator,
        row=row,
        digest=digest,
        action=action,
        human_label=None if human is None else json.loads(human),
        llm_label=None if llm is None else json.loads(llm),
        llm_shown=bool(was_shown),
        note=note,
        seconds=seconds,
        at=at,
        id=number,
        variable=variable,
    )
