"""Export and import of stored answers and the ledger as JSON Lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from hf_synthlabels.clients.store.payloads import OPTIONAL_FIELDS, StoredAnswer
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.clients.store.sqlite_file import StoreReader
from hf_synthlabels.errors import DataError
from hf_synthlabels.tables import atomic_path

IMPORTED_LINES = 1000
"""Lines that are looked up and written together."""

LEDGER_TABLES = ("runs", "probes")
"""Exported with the answers, so that budgets continue in the new store. Batches are not: two stores that know the same
batch would both download it."""

Entry = StoredAnswer | tuple[str, dict[str, Any]]
"""A line of an export: an answer, or a table of the ledger with a row."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written to a file."""

    answers: int
    damaged: int
    """Entries with a wrong checksum, which are left out."""
    ledger: int
    """Runs and probes."""
    faults: tuple[str, ...]
    """Errors of the file; entries after them may be missing."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What was added to a store."""

    new: int
    known: int
    """Answers that were already stored."""
    kept: int
    """Requests with a different answer in the store, which was kept."""
    ledger: int
    """New runs and probes."""


def export_store(path: str | Path, output: str | Path) -> ExportResult:
    """Write the answers and the ledger of a store as JSON Lines; `import_answers` reads them.

    Each answer has its request key, its checksum and its time. A damaged file is exported as far as it is readable.

    Raises:
        StoreError: there is no such store.
        DataError: the output cannot be written.
    """
    answers = damaged = ledger = 0
    with StoreReader(path) as reader, json_lines(output) as lines:
        for answer in reader.answers():
            if answer.is_valid:
                lines.write(json.dumps(answer_line(answer), ensure_ascii=False) + "\n")
                answers += 1
            else:
                damaged += 1
        for table in LEDGER_TABLES:
            for row in reader.rows(table):
                lines.write(json.dumps({"table": table, "row": row}, ensure_ascii=False) + "\n")
                ledger += 1
        return ExportResult(answers, damaged, ledger, tuple(reader.faults))


def answer_line(answer: StoredAnswer) -> dict[str, Any]:
    """A stored answer as a line of a file, from which it can be restored byte for byte."""
    payload = json.loads(answer.payload)
    text = payload.pop("text")
    return {
        "answer": text,
        "request": answer.key,
        **payload,
        "created_at": answer.created_at,
        "checksum": answer.checksum,
    }


def import_answers(store: ResponseStore, source: str | Path, *, keep: bool = False) -> ImportResult:
    """Add the lines of an exported store or recipe to a store; idempotent.

    The whole file is validated before anything is written. Damaged entries of the store are replaced.

    Args:
        store: the store.
        source: the file.
        keep: keep the store's answer where it differs.

    Raises:
        DataError: the file cannot be read, a line is invalid, or an answer differs and `keep` is false.
        StoreError: the store cannot be read or written.
    """
    path = Path(source)
    columns = {
        table: frozenset(str(row[1]) for row in store.select(f"PRAGMA table_info({table})")) for table in LEDGER_TABLES
    }
    conflicts: list[int] = []
    for batch in _batches(_read(path, columns)):
        answers = [(number, entry) for number, entry in batch if isinstance(entry, StoredAnswer)]
        stored = store.get(answer.key for _, answer in answers)
        conflicts += [number for number, answer in answers if _differs(answer, stored)]
    if conflicts and not keep:
        raise DataError(
            f"`{path.name}`: {len(conflicts):,} requests have a different answer in the store, the first on line "
            f"{conflicts[0]}; nothing was imported. Use `--keep` to keep the store's answers."
        )
    return _write(store, _batches(_read(path, columns)))


@contextmanager
def json_lines(output: str | Path) -> Iterator[IO[str]]:
    """Open a text file that appears under its name only when it is complete and on disk.

    Raises:
        DataError: it cannot be written.
    """
    try:
        # Lone surrogates are escaped as in JSON.
        with (
            atomic_path(output) as part,
            part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as lines,
        ):
            yield lines
    except OSError as error:
        raise DataError(
            f"`output` {str(output)!r} cannot be written: {error.strerror}. Choose another file."
        ) from error


def _write(store: ResponseStore, batches: Iterable[list[tuple[int, Entry]]]) -> ImportResult:
    new = known = kept = ledger = 0
    for batch in batches:
        # The first of several lines with the same key counts.
        answers = {entry.key: entry for _, entry in reversed(batch) if isinstance(entry, StoredAnswer)}
        stored = store.get(answers)
        missing = [answer for key, answer in answers.items() if key not in stored]
        store.execute_many("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", missing)
        different = sum(_differs(answer, stored) for answer in answers.values())
        new, kept = new + len(missing), kept + different
        known += len(answers) - len(missing) - different
        for _, entry in batch:
            if not isinstance(entry, StoredAnswer):
                table, row = entry
                marks = ",".join("?" * len(row))
                statement = f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})"
                ledger += store.execute(statement, row.values())
    return ImportResult(new, known, kept, ledger)


def _differs(answer: StoredAnswer, stored: Mapping[str, Mapping[str, Any]]) -> bool:
    payload = stored.get(answer.key)
    return payload is not None and payload.get("text") != json.loads(answer.payload)["text"]


def _read(path: Path, columns: Mapping[str, frozenset[str]]) -> Iterator[tuple[int, Entry]]:
    try:
        # Bytes, because JSON strings may contain line separators such as U+2028.
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip() and (entry := _parse(path, number, line, columns)) is not None:
                    yield number, entry
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error.strerror}.") from None


def _parse(path: Path, number: int, line: bytes, columns: Mapping[str, frozenset[str]]) -> Entry | None:
    """The entry on a line; None for the line of a missing answer."""
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
            | {name: content[name] for name in OPTIONAL_FIELDS if name in content}
        )
        created_at = float(content.get("created_at") or time.time())
        answer = StoredAnswer(content["request"], payload, content["checksum"], created_at)
    except (ValueError, TypeError, KeyError, AttributeError):
        excerpt = line.decode(errors="replace").strip()[:60]
        raise DataError(
            f"{where}: expected a line of `cache export` with `request`, `answer` and `checksum`, got {excerpt!r}."
        ) from None
    if not answer.is_valid or not isinstance(answer.key, str):
        raise DataError(f"{where}: `checksum` does not match. The line was changed or damaged; export it again.")
    return answer


def _batches(
    entries: Iterable[tuple[int, Entry]],
) -> Iterator[list[tuple[int, Entry]]]:
    pending = iter(entries)
    while batch := list(islice(pending, IMPORTED_LINES)):
        yield batch
