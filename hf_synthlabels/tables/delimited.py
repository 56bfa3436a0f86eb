"""Delimited text files, read verbatim."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.columns import header_names
from hf_synthlabels.tables.formats import ReadOptions, detect_encoding, format_suffix, is_tab_separated, open_binary

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = (",", ";", "\t", "|")
SAMPLE = 1 << 20
BLOCK = 1 << 23
BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """Encoding, separator and column names of a file."""

    encoding: str
    separator: str
    quoted: bool
    """Whether quotation marks enclose cells; otherwise they are ordinary characters."""
    names: tuple[str, ...]


def detect_dialect(path: Path, options: ReadOptions) -> Dialect:
    """Detect the dialect of a file: the separator with which every record has as many cells as the first line.

    Raises:
        DataError: The file is empty, repeats a column name, or its encoding cannot be detected.
    """
    if options.separator is not None and len(options.separator) != 1:
        raise DataError(f"`separator` must be one character, such as ';', got {options.separator!r}.")
    encoding = detect_encoding(path, options.encoding)
    with open_binary(path) as file:
        head = file.read(SAMPLE)
    is_complete = len(head) < SAMPLE
    text = head.decode(encoding, errors="ignore")
    separators: Sequence[str] = SEPARATORS
    if options.separator is not None:
        separators = (options.separator,)
    elif is_tab_separated(path):
        separators = ("\t", *(each for each in SEPARATORS if each != "\t"))
    best: tuple[float, int, int] | None = None
    chosen = (separators[0], True, [""])
    for rank, separator in enumerate(separators):
        for quoted in (True, False) if separator == "\t" else (True,):
            records = _records(text, separator, quoted=quoted, complete=is_complete)
            if not records:
                continue
            width = len(records[0])
            fits = sum(len(record) == width for record in records) / len(records)
            score = (fits if width > 1 else 0.0, width if fits == 1 else 0, -rank)
            if best is None or score > best:
                best, chosen = score, (separator, quoted, records[0])
    if best is None:
        raise DataError(f"`data` {str(path)!r} has no rows.")
    if format_suffix(path) == ".txt" and len(chosen[2]) == 1:
        raise DataError(
            f"`data` {path.name!r} has a single column: rename it to .csv if its first line is the column name."
        )
    return Dialect(encoding, chosen[0], chosen[1], header_names(chosen[2], path))


def text_batches(path: Path, dialect: Dialect) -> Iterator[pa.RecordBatch]:
    """Yield the records of a file as text cells; an unquoted empty cell is null.

    Raises:
        DataError: A record has more cells than the first line.
    """
    import pyarrow as pa

    try:
        done = 0
        for batch in _fast_batches(path, dialect):
            yield batch
            done += batch.num_rows
    except pa.ArrowInvalid:
        # Spreadsheets omit trailing empty cells, which the fast reader rejects.
        for batch in _padded_batches(path, dialect):
            skipped = min(done, batch.num_rows)
            done -= skipped
            if batch.num_rows > skipped:
                yield batch.slice(skipped)


def _fast_batches(path: Path, dialect: Dialect) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = list(dialect.names)
    with open_binary(path) as file:
        reader = arrow_csv.open_csv(
            file,
            arrow_csv.ReadOptions(
                block_size=BLOCK, encoding=dialect.encoding.removesuffix("-sig"), column_names=names, skip_rows=0
            ),
            arrow_csv.ParseOptions(
                delimiter=dialect.separator,
                quote_char='"' if dialect.quoted else False,
                newlines_in_values=True,
            ),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        first = True
        for batch in reader:
            # Arrow got the names, so it returns the header as the first record.
            yield batch.slice(1) if first else batch
            first = False


def _padded_batches(path: Path, dialect: Dialect) -> Iterator[pa.RecordBatch]:
    """Yield the records with the slower reader, which accepts missing trailing cells."""
    import pyarrow as pa

    width = len(dialect.names)
    schema = pa.schema([(name, pa.string()) for name in dialect.names])
    rows: list[list[str | None]] = []

    def batch() -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays(
            [pa.array(cells, pa.string()) for cells in zip(*rows, strict=True)], schema=schema
        )

    with open_binary(path) as file, io.TextIOWrapper(file, encoding=dialect.encoding, newline="") as text:
        reader = _reader(text, dialect.separator, quoted=dialect.quoted)
        next(reader, None)
        for record in reader:
            if not record:
                continue
            if any(record[width:]):
                raise DataError(
                    f"`data` {path.name!r} has {len(record)} cells in line {reader.line_num:,} but {width} columns: "
                    "quote cells that contain the separator, or name the `separator`."
                )
            cells = record[:width] + [""] * (width - len(record))
            rows.append([cell or None for cell in cells])
            if len(rows) == BATCH_ROWS:
                yield batch()
                rows = []
    if rows:
        yield batch()


def _reader(lines: io.TextIOBase, separator: str, *, quoted: bool, strict: bool = False) -> Any:
    csv.field_size_limit(sys.maxsize)
    return csv.reader(
        lines, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=strict
    )


def _records(text: str, separator: str, *, quoted: bool, complete: bool) -> list[list[str]]:
    """Return the complete records of a text; empty if its quotation marks do not enclose cells."""
    # Many tab-separated files do not use quotation marks for quoting.
    reader = _reader(io.StringIO(text, newline=""), separator, quoted=quoted, strict=separator == "\t")
    records: list[list[str]] = []
    try:
        records += (record for record in reader if record)
    except csv.Error as error:
        if complete or "end of data" not in str(error):
            return []
    return records if complete or len(records) < 2 else records[:-1]
