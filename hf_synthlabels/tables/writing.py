"""Atomic writers of table files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from hf_synthlabels.errors import DataError, import_extra
from hf_synthlabels.tables.atomic import atomic_path
from hf_synthlabels.tables.columns import cell_text, named_rows
from hf_synthlabels.tables.formats import WRITABLE
from hf_synthlabels.tables.office import ExcelRows
from hf_synthlabels.tables.provenance import extract_records, provenance_path, write_records

if TYPE_CHECKING:
    import pyarrow as pa

READ_ROWS = 1000
PARQUET_ROWS = 20_000

JSON_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATETIME
"""Dates become the same text as in CSV."""

NEEDS_QUOTES = re.compile(r'[\r\n"]|^\s|\s$')


class TableWriter(Protocol):
    """Appends rows to a file."""

    def write(self, table: pa.Table) -> None:
        """Append rows."""


def check_output(
    path: str | Path,
    *,
    sources: Iterable[str | Path] = (),
    suffixes: tuple[str, ...] = WRITABLE,
    folder: bool = True,
) -> Path:
    """Return an output path after checking that it can be written.

    Args:
        path: Output path.
        sources: Files that must not be overwritten.
        suffixes: Valid suffixes.
        folder: Whether a path without a suffix is valid, as a folder of Parquet files.

    Raises:
        MissingExtraError: An Excel file is to be written, and openpyxl is not installed.
        DataError: The suffix is unknown, a folder has the file's name or vice versa, the path is one of the sources, or
            the folder is not writable.
    """
    target = Path(path)
    is_folder = target.suffix == ""
    if (is_folder and not folder) or (not is_folder and target.suffix.lower() not in suffixes):
        also = " or a folder" if folder else ""
        raise DataError(f"`output` {target.name!r} has an unknown format: use {', '.join(suffixes)}{also}.")
    if target.suffix.lower() == ".xlsx":
        # Before any label is paid for.
        import_extra("openpyxl", "excel")
    if not is_folder and target.is_dir():
        raise DataError(f"`output` {str(path)!r} is a folder: choose a file name.")
    if is_folder and target.is_file():
        raise DataError(f"`output` {str(path)!r} is a file without a suffix: use {', '.join(suffixes)} or a folder.")
    for source in map(Path, sources):
        if target.exists() and source.exists() and target.samefile(source):
            raise DataError(f"`output` {str(path)!r} is also the source: choose another file.")
    parent = target if is_folder else target.parent
    existing = next(place for place in (parent, *parent.absolute().parents) if place.exists())
    try:
        # Permissions are not sufficient: the file system may be read-only.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise DataError(f"`output` {str(path)!r} cannot be written: {error.strerror or error}.") from None
    return target


def write_table(splits: Mapping[str, Any], path: str | Path) -> list[Path]:
    """Write splits to a file, or to a folder with one Parquet file per split.

    Parquet keeps the column types. Text formats have label names instead of codes, and CSV and Excel have lists and
    entities as JSON.

    Raises:
        DataError: Several splits are given for one file, or the format cannot be written.
        OSError: The disk is full or the folder is not writable; an existing file is unchanged.
    """
    place = Path(path)
    if place.suffix == "":
        return [_write_rows(rows, place / f"{name}.parquet") for name, rows in splits.items()]
    if len(splits) > 1:
        raise DataError(f"`output` {place.name!r} must be a folder for the splits {', '.join(splits)}.")
    return [_write_rows(next(iter(splits.values())), place)]


def _write_rows(rows: Any, path: Path) -> Path:
    with open_writer(path, rows.features) as writer:
        for table in rows.with_format("arrow").iter(batch_size=READ_ROWS):
            writer.write(table)
    if path.is_file():
        # A device such as /dev/stdout has no provenance file.
        _write_provenance(rows, path)
    return path


def _write_provenance(rows: Any, path: Path) -> None:
    """Write the provenance file of a table, or remove that of an older table."""
    records = extract_records(rows.info.description)
    if records := [record for record in records if record.get("column") in rows.features]:
        write_records(path, records)
    else:
        provenance_path(path).unlink(missing_ok=True)


@contextmanager
def open_writer(path: str | Path, features: Any) -> Iterator[TableWriter]:
    """Yield a writer to a file, which appears under its name once it is complete.

    Raises:
        DataError: The format cannot be written.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix not in WRITABLE:
        raise DataError(f"`output` {place.name!r} has an unknown format: use {', '.join(WRITABLE)} or a folder.")
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
            separator = "\t" if suffix == ".tsv" else ","
            with part.open("wb") as lines:
                yield _JsonRows(lines, features) if suffix == ".jsonl" else CsvRows(lines, features, separator)


class _ParquetRows:
    """Parquet with large row groups and the features in its metadata."""

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
    """CSV: an empty text is quoted, a missing value is an empty cell, and lists are JSON."""

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
            # Readers would skip a record of one empty cell as a blank line.
            self._lines.write(((self._separator.join(cells) if cells != [""] else '""') + self._end).encode())

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        return self._quoted(value) if isinstance(value, str) else self._quoted(cell_text(value))

    def _quoted(self, text: str) -> str:
        if not text or self._separator in text or NEEDS_QUOTES.search(text):
            return '"' + text.replace('"', '""') + '"'
        return text
