"""Exchange: stored answers as JSON Lines, out of one store, even a torn one, and into another."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from hf_synthlabels.clients.store.payloads import FURTHER_FIELDS
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.clients.store.salvage import Entry, StoreReader
from hf_synthlabels.errors import DataError

BATCH = 1000
ROWS_PER_STATEMENT = 200

LEDGER_TABLES = ("runs", "probes")
"""They go along with the answers, so that a store that is moved keeps its account. Batches do not: two stores that
both know a batch would both fetch it."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What of a store was written to a file."""

    answers: int
    damaged: int
    """Entries whose checksum does not hold; they are left out."""
    ledger: int
    """Runs and probes."""
    faults: tuple[str, ...]
    """What was wrong with the file; more may be missing then."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What of a file went into a store."""

    new: int
    known: int
    """Answers that were there already."""
    kept: int
    """Requests that have another answer in the store, which was kept."""
    ledger: int
    """Runs and probes that were new."""


def export_store(path: str | Path, output: str | Path) -> Exported:
    """Write all that a store knows as JSON Lines; of a torn file as much as can be read.

    Each answer has its request's key, its checksum and the time when it was made; `import_answers` reads it back. The
    output has its name only when it is complete.

    Raises:
        StoreError: there is no such store.
        DataError: the output can not be written.
    """
    answers = damaged = ledger = 0
    with StoreReader(path) as reader, atomic_writer(output) as lines:
        for entry in reader.answers():
            if entry.is_whole:
                lines.write(json.dumps(answer_line(entry), ensure_ascii=False) + "\n")
                answers += 1
            else:
                damaged += 1
        for table in LEDGER_TABLES:
            for row in reader.rows(table):
                lines.write(json.dumps({"table": table, "row": row}, ensure_ascii=False) + "\n")
                ledger += 1
        return Exported(answers, damaged, ledger, tuple(reader.faults))


def answer_line(entry: Entry) -> dict[str, Any]:
    """A stored answer as a line of a file, from which its entry can be made again to the letter."""
    payload = json.loads(entry.payload)
    text = payload.pop("text")
    return {"answer": text, "request": entry.key, **payload, "created_at": entry.created_at, "checksum": entry.mark}


def import_answers(store: ResponseStore, source: str | Path, *, keep: bool = False) -> Imported:
    """Put the lines of an exported file, of a whole store or of a recipe, into a store; a second time does nothing.

    The whole file is checked before anything is written. Entries of the store that are damaged are replaced.

    Args:
        store: the store.
        source: the file.
        keep: where a request has another answer in the store, keep that one.

    Raises:
        DataError: the file can not be read, a line is no exported one or does not fit its checksum, or a request has
            another answer in the store and `keep` is not said.
        StoreError: the store can not be read or written.
    """
    path = Path(source)
    columns = {table: _columns(store, table) for table in LEDGER_TABLES}
    contradicted: list[int] = []
    for batch in _batches(_read(path, columns)):
        there = store.get(entry.key for _, entry in batch if isinstance(entry, Entry))
        contradicted += [number for number, entry in batch if isinstance(entry, Entry) and _contradicts(entry, there)]
    if contradicted and not keep:
        raise DataError(
            f"`{path.name}`: {len(contradicted):,} requests have another answer in the store, the first on line "
            f"{contradicted[0]}. Nothing was imported. Say `--keep` to keep those of the store."
        )
    return _write(store, _batches(_read(path, columns)))


@contextmanager
def atomic_writer(output: str | Path) -> Iterator[IO[str]]:
    """A text file that has its name only when it is complete and on disk; nothing is left of one that is not.

    Raises:
        DataError: it can not be written.
    """
    target = Path(output)
    part = target.parent / f"{target.name}.{os.getpid()}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Half a surrogate pair is written as JSON writes it.
        with part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
            yield lines
            lines.flush()
            os.fsync(lines.fileno())
        part.replace(target)
    except OSError as error:
        raise DataError(f"`output` {str(target)!r} can not be written: {error.strerror}. Name another file.") from error
    finally:
        # Where the folder is a file, or is not ours, nothing was written.
        with suppress(OSError):
            part.unlink()


LedgerRow = tuple[str, dict[str, Any]]


def _write(store: ResponseStore, batches: Iterator[list[tuple[int, Entry | LedgerRow]]]) -> Imported:
    new = known = kept = ledger = 0
    for batch in batches:
        entries = {entry.key: entry for _, entry in reversed(batch) if isinstance(entry, Entry)}
        there = store.get(entries)
        missing = [entry for key, entry in entries.items() if key not in there]
        for start in range(0, len(missing), ROWS_PER_STATEMENT):
            part = missing[start : start + ROWS_PER_STATEMENT]
            marks = ",".join(["(?,?,?,?)"] * len(part))
            store.execute(f"INSERT OR REPLACE INTO answers VALUES {marks}", [value for row in part for value in row])
        contradicted = sum(_contradicts(entry, there) for entry in entries.values())
        new, kept = new + len(missing), kept + contradicted
        known += len(entries) - len(missing) - contradicted
        for _, row in batch:
            if not isinstance(row, Entry):
                ledger += _insert(store, *row)
    return Imported(new, known, kept, ledger)


def _insert(store: ResponseStore, table: str, row: dict[str, Any]) -> int:
    """Add a row of the ledger unless it is there; returns how many were added."""
    before = int(store.select(f"SELECT count(*) FROM {table}")[0][0])
    marks = ",".join("?" * len(row))
    store.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})", row.values())
    return int(store.select(f"SELECT count(*) FROM {table}")[0][0]) - before


def _contradicts(entry: Entry, there: Mapping[str, Mapping[str, Any]]) -> bool:
    stored = there.get(entry.key)
    return stored is not None and stored.get("text") != json.loads(entry.payload)["text"]


def _columns(store: ResponseStore, table: str) -> frozenset[str]:
    return frozenset(str(row[1]) for row in store.select(f"PRAGMA table_info({table})"))


def _read(path: Path, columns: Mapping[str, frozenset[str]]) -> Iterator[tuple[int, Entry | LedgerRow]]:
    try:
        # Not by text lines: a JSON text may hold line separators such as U+2028 as they are.
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    entry = _parsed(path, number, line, columns)
                    if entry is not None:
                        yield number, entry
    except OSError as error:
        raise DataError(f"`{path}` can not be read: {error.strerror}.") from None


def _parsed(path: Path, number: int, line: bytes, columns: Mapping[str, frozenset[str]]) -> Entry | LedgerRow | None:
    """A line as what it stands for; None for the place of an answer that is missing."""
    where = f"`{path.name}`, line {number}"
    try:
        content = json.loads(line.decode("utf-8-sig"))
        if "table" in content:
            table, row = content["table"], content["row"]
            if not row or not set(row) <= columns[table]:
                raise ValueError
            return table, row
        if content["answer"] is None and "request" not in content:
            return None
        payload = json.dumps(
            {"text": content["answer"], "model": content["model"], "usage": content["usage"]}
            | {name: content[name] for name in FURTHER_FIELDS if name in content}
        )
        entry = Entry(content["request"], payload, content["checksum"], float(content.get("created_at") or time.time()))
    except (ValueError, TypeError, KeyError, AttributeError):
        shown = line.decode(errors="replace").strip()[:60]
        raise DataError(
            f"{where}: expected a line of `cache export` with `request`, `answer` and `checksum`, got {shown!r}."
        ) from None
    if not entry.is_whole or not isinstance(entry.key, str):
        raise DataError(f"{where}: its checksum does not hold. The line was changed or damaged; export it again.")
    return entry


def _batches(
    items: Iterable[tuple[int, Entry | LedgerRow]],
) -> Iterator[list[tuple[int, Entry | LedgerRow]]]:
    pending = iter(items)
    while batch := list(islice(pending, BATCH)):
        yield batch
