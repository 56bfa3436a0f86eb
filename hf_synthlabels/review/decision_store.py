"""DecisionStore: what people decided, event by event, in one SQLite file; nothing in it is ever changed."""

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

FORMAT = 1

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
    seconds REAL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

COLUMNS = "id, key, at, annotator, row, digest, action, human_label, llm_label, llm_shown, note, seconds"


@dataclass(frozen=True, slots=True)
class Event:
    """One action of an annotator on a row."""

    key: str
    """Given by the page, so that what is sent twice is stored once."""
    annotator: str
    row: int
    """The number of the row in the table, from 0."""
    digest: str
    """Of the row's text: a store is never read with other rows."""
    action: Action
    human_label: Any = None
    """Of `label` and `adjudicate`: plain JSON. Nothing that an LLM said ever stands here."""
    llm_label: Any = None
    """What the LLM had said at that moment, for the record; None also where it had said nothing."""
    llm_shown: bool = False
    """Whether this annotator had been shown it before they decided."""
    note: str = ""
    seconds: float | None = None
    """From the moment that the row was on the screen."""
    at: float = 0.0
    """Seconds since 1970, UTC."""
    id: int = 0
    """The place in the store; later events have greater ones."""


class DecisionStore:
    """A log of events on disk: each is there, whole, before `add` returns; safe for several threads and processes.

    Raises:
        StoreError: the file cannot be opened, is of another kind, or cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            # A decision must outlive the power, too.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(CREATE_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise self._error("opened", error) from error
        known = self.facts().get("format", FORMAT)
        if known != FORMAT:
            raise StoreError(f"`store` {str(self.path)!r} is of format {known!r}, and this version reads {FORMAT}.")
        self.name = str(self.facts().get("name") or uuid.uuid4().hex)
        """What no other store is called: a browser keeps what it could not send under it."""
        self.remember({"format": FORMAT, "name": self.name})

    def add(self, event: Event) -> Event:
        """Keep an event and give it back with its place; one whose key is there already is the one that is there.

        Raises:
            StoreError: it cannot be written.
        """
        return self.add_all([event])[0]

    def add_all(self, events: Iterable[Event]) -> list[Event]:
        """Keep several events, all or none.

        Raises:
            StoreError: they cannot be written.
        """
        with self._transaction():
            return [self._insert(event) for event in events]

    def since(self, last: int = 0) -> list[Event]:
        """All events after a place, in their order.

        Raises:
            StoreError: they cannot be read.
        """
        lines = self._read(f"SELECT {COLUMNS} FROM events WHERE id > ? ORDER BY id", (last,))
        return [_event(line) for line in lines]

    def facts(self) -> dict[str, Any]:
        """What is known of the work as a whole, by name."""
        return {name: json.loads(value) for name, value in self._read("SELECT name, value FROM facts")}

    def remember(self, facts: Mapping[str, Any]) -> None:
        """Keep facts of the work as a whole, instead of any of their names.

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
        """Write all or nothing, whatever kind of error ends the block.

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
        )
        marks = ", ".join("?" * len(values))
        done = self._connection.execute(
            f"INSERT INTO events ({COLUMNS.removeprefix('id, ')}) VALUES ({marks}) ON CONFLICT (key) DO NOTHING", values
        )
        if done.rowcount:
            return replace(event, at=at, id=int(done.lastrowid or 0))
        found = self._connection.execute(f"SELECT {COLUMNS} FROM events WHERE key = ?", (event.key,)).fetchone()
        return _event(found)

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._error("read", error) from error

    def _error(self, done: str, error: Exception) -> StoreError:
        return StoreError(f"`store` {str(self.path)!r} cannot be {done}: {error}. Give another file with `--store`.")


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _event(line: Any) -> Event:
    number, key, at, annotator, row, digest, action, human, llm, was_shown, note, seconds = line
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
    )
