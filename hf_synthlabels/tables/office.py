"""Excel and Stata: their cells as the texts that people see."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import DataError, import_extra

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BATCH_ROWS = 10_000


def excel_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of the first sheet with all cells as text, below its first row that is not empty.

    Raises:
        MissingExtraError: openpyxl is not installed.
        DataError: the file is no Excel workbook, or has a column name twice.
    """
    import pyarrow as pa

    openpyxl = import_extra("openpyxl", "excel")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except OSError as error:
        raise DataError(f"`data` {str(path)!r} cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        # A file that is no workbook raises one of many errors of zipfile, xml and openpyxl.
        raise DataError(f"`data` {path.name!r} is not an Excel workbook: {error}. Save it as .xlsx or CSV.") from None
    try:
        sheet = book.worksheets[0]
        # Some programs store a wrong size, which would cut rows off.
        sheet.reset_dimensions()
        rows = (row for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row))
        names = [excel_text(cell) for cell in next(rows, ())]
        while names and names[-1] is None:
            names.pop()
        if not names:
            raise DataError(f"`data` {str(path)!r} has no rows. Give data with rows.")
        titles = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
        if twice := [name for name in titles if titles.count(name) > 1]:
            raise DataError(f"`data` {path.name!r} has the column {twice[0]!r} twice. Rename one of them.")
        cells: list[list[str | None]] = [[] for _ in titles]
        for row in rows:
            for place, column in enumerate(cells):
                column.append(excel_text(row[place]) if place < len(row) else None)
            if len(cells[0]) == BATCH_ROWS:
                yield pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in cells], titles)
                cells = [[] for _ in titles]
        yield pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in cells], titles)
    finally:
        book.close()


def excel_text(cell: Any) -> str | None:
    """A cell as Excel shows it."""
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
            # Carriage returns and other control characters are stored as _x000D_.
            return str(import_extra("openpyxl.utils.escape", "excel").unescape(cell)) if "_x" in cell else cell
        case _:
            return str(cell)


def stata_table(path: Path) -> pa.Table:
    """A Stata file: value labels become texts, integers stay integers where some are missing.

    Raises:
        DataError: the file is no Stata file.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        try:
            frame = pd.read_stata(path)
        except ValueError as error:
            if "Value labels for column" not in str(error) and "not unique" not in str(error):
                raise
            # Two values with one label cannot become categories.
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
    known = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in known):
        # Stata has no missing text: an empty one is it.
        return pa.array([value or None for value in values], pa.string())
    if all(isinstance(value, datetime.datetime) for value in known):
        return pa.array([excel_text(None if value is None else value) for value in values], pa.string())
    if all(isinstance(value, int | float) for value in known):
        whole = all(float(value).is_integer() for value in known)
        return pa.array(values, pa.int64()) if whole else pa.array(values, pa.float64())
    return pa.array([excel_text(value) for value in values], pa.string())
