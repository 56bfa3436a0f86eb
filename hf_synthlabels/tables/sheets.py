"""Annotation sheets: tables that humans fill in, and their safe return from a spreadsheet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.atomic import atomic_path
from hf_synthlabels.tables.formats import ReadOptions, table_format
from hf_synthlabels.tables.reading import read_table
from hf_synthlabels.tables.writing import CsvRows, write_table

DIGEST_COLUMN = "row_digest"
"""Column with a digest of each row's texts, so that a label cannot move to another text."""

SHEET_SUFFIXES = (".csv", ".tsv", ".xlsx", ".jsonl", ".parquet")
"""Suffixes of sheets."""

FORMULA = re.compile(r"^'*[=+\-@\t\r]")
"""A text that a spreadsheet would evaluate as a formula, or that is already escaped."""
ESCAPED = re.compile(r"^'+[=+\-@\t\r]")

TEXTS = ("string", "large_string")


def write_sheet(rows: Any, path: str | Path) -> Path:
    """Write rows to a sheet for human annotators.

    CSV begins with a byte order mark, so that Excel detects UTF-8. A text that looks like a formula gets an apostrophe,
    which `read_sheet` removes. In workbooks, texts are stored as text and keep leading zeros.

    Raises:
        DataError: The format cannot be written.
    """
    place = Path(path)
    if table_format(place) != "csv":
        return write_table({"train": rows}, place)[0]
    texts = text_columns(rows.features)
    with atomic_path(place) as part, part.open("wb") as lines:
        lines.write(b"\xef\xbb\xbf")
        writer = _SheetRows(lines, rows.features, "\t" if place.suffix.lower() == ".tsv" else ",", "\r\n")
        for table in rows.with_format("arrow").iter(batch_size=1000):
            for name in texts:
                table = _mapped(table, name, _escaped)
            writer.write(table)
    return place


def read_sheet(path: str | Path, texts: Sequence[str], options: ReadOptions | None = None) -> Any:
    """Read a sheet saved by Excel or this package.

    Args:
        path: Path of the sheet.
        texts: Columns whose cells are read verbatim.
        options: Encoding and separator, if they cannot be detected.

    Raises:
        DataError: The sheet cannot be read, or has several splits.
    """
    splits = read_table(path, replace(options or ReadOptions(), labels=(*texts, DIGEST_COLUMN), numbers=False))
    if len(splits) > 1:
        raise DataError(f"`sheet` {str(path)!r} must be one file, got the splits {', '.join(splits)}.")
    rows = next(iter(splits.values()))
    if table_format(path) != "csv":
        return rows
    table = rows.data.table
    for name in text_columns(rows.features):
        table = _mapped(table, name, _unescaped)
    return type(rows)(table)


def row_digest(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """Return a digest of a row's texts: eight letters, which Excel does not convert to a number or a date."""
    content = "\x1e".join(f"{name}\x1f{row[name]}" for name in sorted(columns) if row[name] not in (None, ""))
    number = hashlib.sha256(content.encode()).digest()
    return "".join("abcdefghijklmnop"[byte >> 4] for byte in number[:8])


def same_texts(row: Mapping[str, Any], line: Mapping[str, Any], columns: Iterable[str]) -> bool:
    """Whether a row and a sheet row have the same texts, ignoring white space, which spreadsheets change."""
    return all(str(row[name] or "").split() == str(line[name] or "").split() for name in columns)


def text_columns(features: Mapping[str, Any]) -> list[str]:
    """Return the text columns."""
    return [name for name, feature in features.items() if str(getattr(feature, "dtype", "")) in TEXTS]


class _SheetRows(CsvRows):
    """CSV for human annotators, who cannot distinguish an empty text from a missing one."""

    def _cell(self, value: Any) -> str:
        return "" if value == "" else super()._cell(value)


def _mapped(table: Any, name: str, function: Callable[[str | None], str | None]) -> Any:
    """Return a table with a function applied to a text column."""
    import pyarrow as pa

    field = table.schema.field(name)
    cells = pa.array([function(text) for text in table.column(name).to_pylist()], field.type)
    return table.set_column(table.schema.get_field_index(name), field, cells)


def _escaped(text: str | None) -> str | None:
    return f"'{text}" if text is not None and FORMULA.match(text) else text


def _unescaped(text: str | None) -> str | None:
    return text[1:] if text is not None and ESCAPED.match(text) else text
