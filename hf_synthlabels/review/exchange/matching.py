"""Matching of records from another tool to rows, and of marked spans to offsets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.review_rows import ReviewRows, Row

MAX_LISTED = 5
"""Row numbers that an error lists."""


class RowMatcher:
    """Finds the row that a record of another tool belongs to.

    A row number alone is never trusted: files are sampled again, sorted and filtered. The exported digest decides,
    and without one the texts themselves.

    Args:
        rows: the rows under review.
        fields: the other tool's names of the texts, in the order of `rows.row(0).parts`.
        file: the imported file's name, for errors.
    """

    def __init__(self, rows: ReviewRows, fields: Sequence[str], file: str) -> None:
        self._rows = rows
        self._fields = tuple(fields[: len(fields) - len(rows.show_columns)])
        self._file = file
        self._by_digest: dict[str, list[int]] | None = None
        self._by_texts: dict[tuple[str, ...], list[int]] | None = None
        self._copies: dict[tuple[str, int], int] = {}
        """The row that each exported copy of a repeated text was matched to."""

    def match(self, texts: Mapping[str, Any], number: Any, digest: Any, record: str) -> Row:
        """The row of a record.

        Args:
            texts: the record's texts by the other tool's names.
            number: the exported row number, if any; it only decides between rows with equal texts.
            digest: the exported digest, if any.
            record: the record's name, for errors.

        Raises:
            DataError: no row has these texts, or several have and nothing decides between them.
        """
        row = number if isinstance(number, int) and 0 <= number < len(self._rows) else None
        if isinstance(digest, str) and digest:
            if row is not None and self._rows.row(row).digest == digest:
                return self._rows.row(row)
            if self._by_digest is None:
                self._by_digest = self._index(lambda content: content.digest)
            candidates = self._by_digest.get(digest, [])
            if len(candidates) > 1 and isinstance(number, int):
                return self._rows.row(self._copy(digest, number, candidates, record))
        else:
            key = tuple(_normalized(texts.get(name)) for name in self._fields)
            if row is not None and self._key(self._rows.row(row)) == key:
                return self._rows.row(row)
            if self._by_texts is None:
                self._by_texts = self._index(self._key)
            candidates = self._by_texts.get(key, [])
        if not candidates:
            raise DataError(
                f"`{self._file}`, {record}: no row under review has its texts. "
                "Import into the data that was exported, with the same `--text` columns."
            )
        if len(candidates) > 1:
            listed = ", ".join(f"{each:,}" for each in candidates[:MAX_LISTED])
            raise DataError(
                f"`{self._file}`, {record}: rows {listed} have the same texts. "
                "Export from here and label that file, so that the row numbers decide."
            )
        return self._rows.row(candidates[0])

    def _copy(self, digest: str, number: int, candidates: Sequence[int], record: str) -> int:
        """One of several rows with equal texts: each exported row keeps one to itself."""
        if (digest, number) not in self._copies:
            used = {row for (known, _), row in self._copies.items() if known == digest}
            free = [row for row in candidates if row not in used]
            if not free:
                raise DataError(
                    f"`{self._file}`, {record}: more records than rows have its texts. "
                    "Import into the data that was exported."
                )
            self._copies[digest, number] = free[0]
        return self._copies[digest, number]

    def _index(self, key: Callable[[Row], Any]) -> dict[Any, list[int]]:
        """Rows by a key; sampled rows come first, others only where no sampled row has the key."""
        rows = self._rows
        sampled = [
            row for row in range(len(rows)) if rows.inclusion_probabilities[row] == rows.inclusion_probabilities[row]
        ]
        index: dict[Any, list[int]] = {}
        for row in sampled:
            index.setdefault(key(rows.row(row)), []).append(row)
        known = set(index)
        for row in sorted(set(range(len(rows))) - set(sampled)):
            content = key(rows.row(row))
            if content not in known:
                index.setdefault(content, []).append(row)
        return index

    def _key(self, row: Row) -> tuple[str, ...]:
        return tuple(_normalized(part.text) for part in row.parts[: len(self._fields)])


def unique_names(names: Iterable[str], *, pattern: str, reserved: Iterable[str] = (), lower: bool = False) -> list[str]:
    """Make names unique and valid for another tool.

    Args:
        names: column names in any script.
        pattern: regular expression of invalid characters, which become `_`.
        reserved: names in use.
        lower: whether names must be in lower case.
    """
    used = set(reserved)
    unique: list[str] = []
    for name in names:
        base = re.sub(pattern, "_", name.lower() if lower else name, flags=re.ASCII).strip("_") or "text"
        base = f"text_{base}" if base[0].isdigit() else base
        candidate, count = base, 1
        while candidate in used:
            count += 1
            candidate = f"{base}_{count}"
        used.add(candidate)
        unique.append(candidate)
    return unique


def locate_span(context: str, start: int, end: int, text: str | None) -> tuple[int, int]:
    """Convert the offsets of a marked span to Python's characters.

    Tools count UTF-16 units, or characters after normalization of line ends. The text of the span decides: the first
    way of counting that yields this text is used, or else its only occurrence.

    Args:
        context: text in which the span was marked.
        start: start offset of the tool.
        end: end offset of the tool, excluded.
        text: text of the span, if the tool exports it.

    Raises:
        DataError: no way of counting yields the text of the span, and it does not occur exactly once.
    """
    if not text or context[start:end] == text:
        return start, end
    target = _newlines(text)
    # "\r\n" counts as one character where line ends were normalized.
    lines = [place for place in range(len(context)) if context[place : place + 2] != "\r\n"]
    for places in (_utf16(context, range(len(context))), lines, _utf16(context, lines)):
        if 0 <= start < end <= len(places):
            first, last = places[start], places[end - 1] + 1
            if _newlines(context[first:last]) == target:
                return first, last
    occurrences = [match.start() for match in re.finditer(re.escape(text), context)]
    if len(occurrences) == 1:
        return occurrences[0], occurrences[0] + len(text)
    raise DataError(
        f"`start` {start} and `end` {end} mark {context[start:end]!r}, but the span's text is {text[:60]!r}. "
        "Mark it again, or correct the offsets."
    )


def _utf16(context: str, places: Iterable[int]) -> list[int]:
    """Character position of each UTF-16 unit."""
    return [place for place in places for _ in range(2 if ord(context[place]) > 0xFFFF else 1)]


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _normalized(text: Any) -> str:
    return " ".join(text.split()) if isinstance(text, str) else ""
