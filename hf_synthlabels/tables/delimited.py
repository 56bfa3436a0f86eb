"""Delimited text: CSV, TSV and what spreadsheets save; every cell is read as it is written."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.encodings import detect_encoding
from hf_synthlabels.tables.formats import ReadOptions, format_suffix, is_tab_separated, open_binary

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = (",", ";", "\t", "|")
SAMPLE = 1 << 20
BLOCK = 1 << 23
BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a file are separated, and the names in its first line."""

    encoding: str
    separator: str
    quoted: bool
    """Whether quotation marks enclose cells; without, they are letters like any other."""
    names: tuple[str, ...]


def detect_dialect(path: Path, options: ReadOptions) -> Dialect:
    """The dialect of a file: the separator that gives every record as many cells as the first line has.

    Raises:
        DataError: the file is empty, has a column name twice, or its encoding cannot be detected.
    """
    if options.separator is not None and len(options.separator) != 1:
        raise DataError(f"`separator` is {options.separator!r}. Give one character, such as ';'.")
    encoding = detect_encoding(path, options.encoding)
    with open_binary(path) as file:
        head = file.read(SAMPLE)
    whole = len(head) < SAMPLE
    text = head.decode(encoding, errors="ignore")
    separators: Sequence[str] = SEPARATORS
    if options.separator is not None:
        separators = (options.separator,)
    elif is_tab_separated(path):
        separators = ("\t", *(each for each in SEPARATORS if each != "\t"))
    best: tuple[float, int, int] | None = None
    chosen = (separators[0], True, [""])
    for place, separator in enumerate(separators):
        for quoted in (True, False) if separator == "\t" else (True,):
            records = _records(text, separator, quoted=quoted, whole=whole)
            if not records:
                continue
            width = len(records[0])
            fits = sum(len(record) == width for record in records) / len(records)
            score = (fits if width > 1 else 0.0, width if fits == 1 else 0, -place)
            if best is None or score > best:
                best, chosen = score, (separator, quoted, records[0])
    if best is None:
        raise DataError(f"`data` {str(path)!r} has no rows. Give data with rows.")
    if format_suffix(path) == ".txt" and len(chosen[2]) == 1:
        raise DataError(
            f"`data` {path.name!r} has one column. Rename it to .csv if its first line is the column's name."
        )
    return Dialect(encoding, chosen[0], chosen[1], _column_names(path, chosen[2]))


def text_batches(path: Path, dialect: Dialect) -> Iterator[pa.RecordBatch]:
    """The records of a file with all cells as text; a cell that is empty without quotation marks is null.

    Raises:
        DataError: a record has more cells than the first line.
    """
    import pyarrow as pa

    try:
        done = 0
        for batch in _fast_batches(path, dialect):
            yield batch
            done += batch.num_rows
    except pa.ArrowInvalid:
        # Spreadsheets leave trailing empty cells out, and the fast reader wants every record complete.
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
            # The names were given, so the first record is the line of names.
            yield batch.slice(1) if first else batch
            first = False


def _padded_batches(path: Path, dialect: Dialect) -> Iterator[pa.RecordBatch]:
    """The slower reader: records may lack cells at their end."""
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
                    f"`data` {path.name!r} has {len(record)} cells in line {reader.line_num:,} and {width} columns. "
                    "Put quotation marks around cells that hold the separator, or name the `separator`."
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


def _records(text: str, separator: str, *, quoted: bool, whole: bool) -> list[list[str]]:
    """The complete records of a text; none where quotation marks do not enclose cells."""
    # Many writers of tabs know no quotation marks; those of commas need them.
    reader = _reader(io.StringIO(text, newline=""), separator, quoted=quoted, strict=separator == "\t")
    records: list[list[str]] = []
    try:
        records += (record for record in reader if record)
    except csv.Error as error:
        if whole or "end of data" not in str(error):
            return []
    return records if whole or len(records) < 2 else records[:-1]


def _column_names(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    names = [name.removeprefix("\ufeff") or f"Unnamed: {place}" for place, name in enumerate(names)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"`data` {path.name!r} has the column {twice[0]!r} twice. Rename one of them.")
    return tuple(names)
