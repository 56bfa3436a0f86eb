"""Reading the file of a response store without changing it, as far as it can be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from hf_synthlabels.clients.store.pages import records
from hf_synthlabels.clients.store.response_store import checksum
from hf_synthlabels.errors import StoreError


class Entry(NamedTuple):
    """A stored answer as it stands in the file."""

    key: str
    payload: str
    mark: str
    created_at: float

    @property
    def is_whole(self) -> bool:
        """Whether its checksum holds."""
        return checksum(self.payload) == self.mark


class StoreReader:
    """Reads a store's file, also beside processes that write to it; what is wrong with the file gathers in `faults`.

    Raises:
        StoreError: there is no such file, or it can not be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise StoreError(
                f"The response store `{self.path}` is not there: nothing has been asked yet, or HF_SYNTHLABELS_HOME "
                "is another folder than it was."
            )
        self.faults: list[str] = []
        try:
            # Read only: an ordinary opening would already mend the write-ahead log.
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=60.0)
        except sqlite3.Error as error:
            raise StoreError(f"The response store `{self.path}` can not be read: {error}.") from error
        # A payload that is no text any more is one whose checksum does not hold, not an error.
        self._connection.text_factory = lambda content: content.decode(errors="replace")

    def check(self) -> None:
        """Let SQLite look over the whole file."""
        try:
            found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            found = [str(error)]
        for lines in found:
            self._add(line for line in lines.splitlines() if line != "ok" and not line.startswith("***"))

    def answers(self) -> Iterator[Entry]:
        """Every entry, damaged ones as well; of a torn file every whole one that stands on any of its pages."""
        last = ""
        try:
            for row in self._connection.execute("SELECT key, payload, checksum, created_at FROM answers ORDER BY key"):
                last = row[0]
                yield Entry(*row)
        except sqlite3.DatabaseError as error:
            self._add([str(error)])
            yield from self._torn_answers(last)

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of a small table, as far as they can be read; none where there is no such table."""
        try:
            cursor = self._connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))
        except sqlite3.DatabaseError as error:
            if "no such table" not in str(error):
                self._add([f"table {table}: {error}"])

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _torn_answers(self, last: str) -> Iterator[Entry]:
        """Whole answers on pages that the tree does not lead to any more, but for those that were read up to a key.

        Some may have been removed before: their page was not used again.
        """
        found: set[bytes] = set()
        for row in records(self.path):
            entry = Entry(*row)
            if entry.key > last and entry.is_whole and (key := entry.key.encode()) not in found:
                found.add(key)
                yield entry

    def _add(self, faults: Iterable[str]) -> None:
        self.faults += [fault for fault in faults if fault not in self.faults]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
