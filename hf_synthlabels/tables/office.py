"""Excel workbooks, read as the text that they display and written as text; Stata files."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import DataError, import_extra
from hf_synthlabels.tables.columns import cell_text, header_names, named_rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BATCH_ROWS = 10_000
EXCEL_ROWS = 1_048_576
EXCEL_CELL = 32_767
EXCEL_INTEGER = 10**15


def excel_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the first sheet as text cells; its first non-empty row is the header.

    Raises:
        MissingExtraError: openpyxl is not installed.
        DataError: The file is not an Excel workbook, or repeats a column name.
    """
    import pyarrow as pa

    openpyxl = import_extra("openpyxl", "excel")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except OSError as error:
        raise DataError(f"`data` {str(path)!r} cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        # An invalid file raises any of several errors of zipfile, xml and openpyxl.
        raise DataError(f"`data` {path.name!r} is not an Excel workbook: {error}. Save it as .xlsx or CSV.") from None
    try:
        sheet = book.worksheets[0]
        # Some programs store a wrong size, which would truncate the rows.
        sheet.reset_dimensions()
        rows = (row for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row))
        header = [excel_text(cell) for cell in next(rows, ())]
        while header and header[-1] is None:
            header.pop()
        if not header:
            raise DataError(f"`data` {str(path)!r} has no rows.")
        names = list(header_names(header, path))
        cells: list[list[str | None]] = [[] for _ in names]
        for row in rows:
            for position, column in enumerate(cells):
                column.append(excel_text(row[position]) if position < len(row) else None)
            if len(cells[0]) == BATCH_ROWS:
                yield pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in cells], names)
                cells = [[] for _ in names]
        yield pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in cells], names)
    finally:
        book.close()


def excel_text(cell: Any) -> str | None:
    """Return a cell as Excel displays it."""
    match cell:
        case None | "":
            return None
        case bool():
            return "TRUE" if cell else "FALSE"
        case float() if cell.is_integer() and abs(cell) < 2**53:
            return str(int(cell))
        case datetime.datetime() if cell.time() == datetime.time():
            return cell.date().isoformat()
        case datetime.datetime() | datetime.date() | datetime.time():
            return cell.isoformat(sep=" ") if isinstance(cell, datetime.datetime) else cell.isoformat()
        case str():
            # Control characters are stored as in _x000D_.
            return str(import_extra("openpyxl.utils.escape", "excel").unescape(cell)) if "_x" in cell else cell
        case _:
            return str(cell)


class ExcelRows:
    """A workbook with one sheet, in which texts are never formulas or numbers."""

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
            raise DataError(f"`output` has more than {EXCEL_ROWS:,} rows, the limit of an Excel sheet: write CSV.")
        self._sheet.append([self._converted(value) for value in values])

    def _converted(self, value: Any) -> Any:
        """A number or None unchanged, anything else as a text cell."""
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        # Excel keeps 15 digits and would change a longer integer.
        if value is None or isinstance(value, float) or (is_integer and abs(value) < EXCEL_INTEGER):
            return value
        text = value if isinstance(value, str) else cell_text(value)
        if len(text) > EXCEL_CELL:
            raise DataError(
                f"`output` has a cell of {len(text):,} characters. Excel's limit is {EXCEL_CELL:,}: write CSV."
            )
        cell = self._cell(self._sheet, value=self._escape(text))
        # Text format prevents formulas and keeps leading zeros.
        cell.data_type, cell.number_format = "s", "@"
        return cell


def stata_table(path: Path) -> pa.Table:
    """Read a Stata file; value labels become text, and integer columns may have missing values.

    Raises:
        DataError: The file is not a Stata file.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        try:
            frame = pd.read_stata(path)
        except ValueError as error:
            if "Value labels for column" not in str(error) and "not unique" not in str(error):
                raise
            # Pandas rejects two values with the same label as categories.
            frame = pd.read_stata(path, convert_categoricals=False)
    except OSError as error:
        raise DataError(f"`data` {str(path)!r} cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        raise DataError(f"`data` {path.name!r} is not a Stata file: {error}. Export it as CSV.") from None
    return pa.table({str(name): _stata_column(frame[name]) for name in frame.columns})


def _stata_column(column: pd.Series[Any]) -> pa.Array:
    import pandas as pd
    import pyarrow as pa

    values = [None if pd.isna(value) else value for value in column.tolist()]
    present = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in present):
        # In Stata an empty string is the missing value.
        return pa.array([value or None for value in values], pa.string())
    if all(isinstance(value, datetime.datetime) for value in present):
        return pa.array([excel_text(None if value is None else value) for value in values], pa.string())
    if all(isinstance(value, int | float) for value in present):
        whole = all(float(value).is_integer() for value in present)
        return pa.array(values, pa.int64()) if whole else pa.array(values, pa.float64())
    return pa.array([excel_text(value) for value in values], pa.string())
