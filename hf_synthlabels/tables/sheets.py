"""Sheets that people fill in: Excel shows them right, and what it saves is matched to the rows that it is of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.atomic import atomic_path
from hf_synthlabels.tables.formats import ReadOptions, table_format
from hf_synthlabels.tables.reading import read_table
from hf_synthlabels.tables.writing import CsvRows, write_table

DIGEST_COLUMN = "row_digest"
"""The column with a digest of each row's texts: by it a label is never put to another text."""

SHEET_SUFFIXES = (".csv", ".tsv", ".xlsx", ".jsonl", ".parquet")
"""The formats of sheets."""

FORMULA = re.compile(r"^'*[=+\-@\t\r]")
"""What a spreadsheet takes for a formula, or what was already guarded."""
GUARDED = re.compile(r"^'+[=+\-@\t\r]")

TEXTS = ("string", "large_string")


def write_sheet(rows: Any, path: str | Path) -> Path:
    """Write rows for people to fill in.

    CSV begins with a byte order mark, by which Excel knows UTF-8; a text that it would take for a formula begins with
    an apostrophe, which `read_sheet` removes. In Excel workbooks texts are texts, with their leading zeros.

    Raises:
        DataError: the format cannot be written.
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
                table = _mapped(table, name, _guarded)
            writer.write(table)
    return place


def read_sheet(path: str | Path, texts: Sequence[str], options: ReadOptions | None = None) -> Any:
    """The rows of a sheet as Excel or this package saved it.

    Args:
        path: the sheet.
        texts: the columns whose cells stay as they are written.
        options: encoding and separator, where they cannot be detected.

    Raises:
        DataError: it cannot be read, or has several splits.
    """
    said = options or ReadOptions()
    splits = read_table(path, ReadOptions((*texts, DIGEST_COLUMN), encoding=said.encoding, separator=said.separator))
    if len(splits) > 1:
        raise DataError(f"`sheet` {str(path)!r} has the splits {', '.join(splits)}. Give one file.")
    rows = next(iter(splits.values()))
    if table_format(path) != "csv":
        return rows
    table = rows.data.table
    for name in text_columns(rows.features):
        table = _mapped(table, name, _unguarded)
    return type(rows)(table)


def row_digest(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """Eight letters that change with the texts of a row; Excel takes none of them for a number or a date."""
    content = "\x1e".join(f"{name}\x1f{row[name]}" for name in sorted(columns) if row[name] not in (None, ""))
    number = hashlib.sha256(content.encode()).digest()
    return "".join("abcdefghijklmnop"[byte >> 4] for byte in number[:8])


def same_texts(row: Mapping[str, Any], line: Mapping[str, Any], columns: Iterable[str]) -> bool:
    """Whether a row and a line of a sheet have the same texts, white space apart, which spreadsheets change."""
    return all(str(row[name] or "").split() == str(line[name] or "").split() for name in columns)


def text_columns(features: Mapping[str, Any]) -> list[str]:
    """The columns that hold texts."""
    return [name for name, feature in features.items() if str(getattr(feature, "dtype", "")) in TEXTS]


class _SheetRows(CsvRows):
    """An empty text is an empty cell: people see no difference."""

    def _cell(self, value: Any) -> str:
        return "" if value == "" else super()._cell(value)


def _mapped(table: Any, name: str, function: Callable[[str | None], str | None]) -> Any:
    """A table with another column of texts."""
    import pyarrow as pa

    field = table.schema.field(name)
    cells = pa.array([function(text) for text in table.column(name).to_pylist()], field.type)
    return table.set_column(table.schema.get_field_index(name), field, cells)


def _guarded(text: str | None) -> str | None:
    return f"'{text}" if text is not None and FORMULA.match(text) else text


def _unguarded(text: str | None) -> str | None:
    return text[1:] if text is not None and GUARDED.match(text) else text
