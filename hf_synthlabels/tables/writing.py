"""Writing files so that nothing is lost: a file has its name only when it is complete."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from hf_synthlabels.errors import DataError, import_extra
from hf_synthlabels.tables.atomic import atomic_path
from hf_synthlabels.tables.beside import provenance_path, write_records
from hf_synthlabels.tables.formats import WRITABLE
from hf_synthlabels.tables.records import extract_records

if TYPE_CHECKING:
    import pyarrow as pa

READ_ROWS = 1000
PARQUET_ROWS = 20_000
EXCEL_ROWS = 1_048_576
EXCEL_CELL = 32_767
EXCEL_INTEGER = 10**15

JSON_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATETIME
"""Dates become the same text as in CSV."""

NEEDS_QUOTES = re.compile(r'[\r\n"]|^\s|\s$')


class TableWriter(Protocol):
    """What rows are written with."""

    def write(self, table: pa.Table) -> None:
        """Append some rows."""


def check_output(
    path: str | Path,
    *,
    sources: Iterable[str | Path] = (),
    suffixes: tuple[str, ...] = WRITABLE,
    folder: bool = True,
) -> Path:
    """The path of an output that can be written, checked before any work is done for it.

    Args:
        path: what a user named.
        sources: files that must not be overwritten.
        suffixes: of the formats that can be written.
        folder: whether a name without a suffix is allowed, as a folder of Parquet files.

    Raises:
        DataError: the suffix is unknown, a folder has the file's name, the path is one of the sources, or the folder
            cannot be written to.
    """
    target = Path(path)
    is_folder = target.suffix == ""
    if (is_folder and not folder) or (not is_folder and target.suffix.lower() not in suffixes):
        also = " or a folder" if folder else ""
        raise DataError(f"`output` {target.name!r} is of an unknown format. Give {', '.join(suffixes)}{also}.")
    if not is_folder and target.is_dir():
        raise DataError(f"`output` {str(path)!r} is a folder. Name a file.")
    if is_folder and target.is_file():
        raise DataError(f"`output` {str(path)!r} is a file without a suffix. Give {', '.join(suffixes)} or a folder.")
    for source in map(Path, sources):
        if target.exists() and source.exists() and target.samefile(source):
            raise DataError(f"`output` {str(path)!r} is the source itself. Name another file.")
    parent = target if is_folder else target.parent
    existing = next(place for place in (parent, *parent.absolute().parents) if place.exists())
    try:
        # Permissions alone do not tell: the file system may be mounted read-only.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise DataError(f"`output` {str(path)!r} cannot be written: {error.strerror or error}.") from None
    return target


def write_table(splits: Mapping[str, Any], path: str | Path) -> list[Path]:
    """Write splits to a file, or to a folder with a Parquet file for each.

    In Parquet the label columns keep their types; in the text formats labels and statuses are names, and in CSV and
    Excel lists and entities are JSON.

    Raises:
        DataError: there are several splits for one file, or the format cannot be written.
        OSError: the disk is full, or the folder cannot be written to; an older file is then untouched.
    """
    place = Path(path)
    if place.suffix == "":
        return [_write_rows(rows, place / f"{name}.parquet") for name, rows in splits.items()]
    if len(splits) > 1:
        raise DataError(f"`output` {place.name!r} is one file for the splits {', '.join(splits)}. Give a folder.")
    return [_write_rows(next(iter(splits.values())), place)]


def _write_rows(rows: Any, path: Path) -> Path:
    with open_writer(path, rows.features) as writer:
        for table in rows.with_format("arrow").iter(batch_size=READ_ROWS):
            writer.write(table)
    if path.is_file():
        # A device such as /dev/stdout has nothing beside it.
        _write_provenance(rows, path)
    return path


def _write_provenance(rows: Any, path: Path) -> None:
    """Write how the label columns were made beside a table; what lies there of an older table is removed."""
    if records := [
        record for record in extract_records(rows.info.description) if record.get("column") in rows.features
    ]:
        write_records(path, records)
    else:
        provenance_path(path).unlink(missing_ok=True)


@contextmanager
def open_writer(path: str | Path, features: Any) -> Iterator[TableWriter]:
    """A writer to a file that has its name only when it is complete.

    Raises:
        DataError: the format cannot be written.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix not in WRITABLE:
        raise DataError(f"`output` {place.name!r} is of an unknown format. Give {', '.join(WRITABLE)} or a folder.")
    with atomic_path(place) as part:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            with pq.ParquetWriter(part, features.arrow_schema) as parquet:
                rows = _ParquetRows(parquet, features)
                yield rows
                rows.flush()
        elif suffix == ".xlsx":
            workbook = ExcelRows(features)
            yield workbook
            workbook.save(part)
        else:
            with part.open("wb") as lines:
                separator = "\t" if suffix == ".tsv" else ","
                yield _JsonRows(lines, features) if suffix == ".jsonl" else CsvRows(lines, features, separator)


class _ParquetRows:
    """Rows in groups of a useful size, with the features in the metadata."""

    def __init__(self, writer: Any, features: Any) -> None:
        from datasets.features.features import require_storage_embed

        self._writer = writer
        self._schema = features.arrow_schema
        self._embeds = any(require_storage_embed(feature) for feature in features.values())
        self._pending: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        self._pending.append(table.cast(self._schema))
        if sum(each.num_rows for each in self._pending) >= PARQUET_ROWS:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa
        from datasets.table import embed_table_storage

        if self._pending:
            table = pa.concat_tables(self._pending)
            self._writer.write_table(embed_table_storage(table) if self._embeds else table)
            self._pending = []


class _JsonRows:
    """JSON Lines with label names instead of codes."""

    def __init__(self, lines: Any, features: Any) -> None:
        self._lines = lines
        self._features = features

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        for row in named_rows(table, self._features):
            self._lines.write(orjson.dumps(row, default=str, option=JSON_OPTIONS))


class CsvRows:
    """CSV: an empty text is in quotation marks, a missing value is an empty cell, lists are JSON."""

    def __init__(self, lines: Any, features: Any, separator: str = ",", end: str = "\n") -> None:
        self._lines = lines
        self._features = features
        self._separator = separator
        self._end = end
        lines.write((separator.join(self._quoted(name) for name in features) + end).encode())

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        for row in named_rows(table, self._features):
            cells = [self._cell(value) for value in row.values()]
            # A record of one empty cell would be a blank line, which readers skip.
            self._lines.write(((self._separator.join(cells) if cells != [""] else '""') + self._end).encode())

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        return self._quoted(value) if isinstance(value, str) else self._quoted(cell_text(value))

    def _quoted(self, text: str) -> str:
        if not text or self._separator in text or NEEDS_QUOTES.search(text):
            return '"' + text.replace('"', '""') + '"'
        return text


class ExcelRows:
    """A workbook with one sheet; texts stay texts, whatever they begin with."""

    def __init__(self, features: Any) -> None:
        openpyxl = import_extra("openpyxl", "excel")
        self._cell = openpyxl.cell.WriteOnlyCell
        self._escape = import_extra("openpyxl.utils.escape", "excel").escape
        self._features = features
        self._book = openpyxl.Workbook(write_only=True)
        self._sheet = self._book.create_sheet("rows")
        self._rows = 0
        self._append(list(features))

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        for row in named_rows(table, self._features):
            self._append(list(row.values()))

    def save(self, path: Path) -> None:
        """Write the workbook."""
        with path.open("wb") as file:
            self._book.save(file)

    def _append(self, values: list[Any]) -> None:
        self._rows += 1
        if self._rows > EXCEL_ROWS:
            raise DataError(f"`output` has more than {EXCEL_ROWS:,} rows, the most of an Excel sheet. Write CSV.")
        cells = []
        for value in values:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            # Excel keeps 15 digits; a longer integer is a code, which it would change.
            number = number and not (isinstance(value, int) and abs(value) >= EXCEL_INTEGER)
            text = value if number or value is None else value if isinstance(value, str) else cell_text(value)
            if isinstance(text, str) and len(text) > EXCEL_CELL:
                raise DataError(f"`output` has a cell of {len(text):,} letters; Excel takes {EXCEL_CELL:,}. Write CSV.")
            cell = self._cell(self._sheet, value=self._escape(text) if isinstance(text, str) else text)
            if isinstance(text, str):
                # Neither a formula nor a number without its leading zeros.
                cell.data_type, cell.number_format = "s", "@"
            cells.append(cell)
        self._sheet.append(cells)


def cell_text(value: Any) -> str:
    """A value that is no text, as a cell of a text format."""
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def named_rows(table: pa.Table, features: Any) -> Iterator[dict[str, Any]]:
    """The rows of a table as Python values, with names for label codes, however deep."""
    coded = {name: feature for name, feature in features.items() if _has_codes(feature)}
    for row in table.to_pylist():
        for name, feature in coded.items():
            row[name] = named_value(feature, row[name])
        yield row


def _has_codes(feature: Any) -> bool:
    if isinstance(feature, dict):
        return any(_has_codes(part) for part in feature.values())
    return hasattr(feature, "int2str") or (hasattr(feature, "feature") and _has_codes(feature.feature))


def named_value(feature: Any, value: Any) -> Any:
    """A value with names instead of codes; -1 is how a `ClassLabel` says that there is no label."""
    if value is None:
        return None
    if isinstance(feature, dict):
        return {key: named_value(part, value.get(key)) for key, part in feature.items()}
    if hasattr(feature, "int2str"):
        return feature.names[value] if value >= 0 else None
    return [named_value(feature.feature, item) for item in value] if hasattr(feature, "feature") else value
