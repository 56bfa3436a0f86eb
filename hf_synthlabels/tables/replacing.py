"""Replacing an existing file: allowed only if the new table has its columns, its rows and its human labels."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.beside import read_records
from hf_synthlabels.tables.formats import ReadOptions
from hf_synthlabels.tables.reading import read_table
from hf_synthlabels.tables.writing import named_value

ADVICE = "Name another file, or add `--overwrite` to lose what is in it."


class NewTable:
    """What is about to be written: its columns, and the labels that people gave."""

    def __init__(self, columns: Sequence[str], rows: Any, human: str | None, *, marks: str | None = None) -> None:
        """Describe a table.

        Args:
            columns: all of its columns.
            rows: the rows that are there already, such as those of the source.
            human: the column of human labels, if there is one.
            marks: a column that only this package's own output has; a file without it is not replaced.
        """
        self.columns = list(columns)
        self.marks = marks
        self.human = human
        self.labels = label_texts(rows, human) if human is not None and human in rows.column_names else None
        self.n_rows = len(rows)


def check_overwrite(path: str | Path, table: NewTable, *, recipe: str | None = None) -> None:
    """Refuse to replace a file unless the new table holds all of its columns and human labels.

    Args:
        path: where the table is to be written.
        table: what is to be written.
        recipe: the recipe's name, which must be that of the file's provenance, where it has some.

    Raises:
        DataError: the file holds something that would be lost; the message says what, and what to do.
    """
    place = Path(path)
    if not place.is_file():
        return
    shown = f"`output` {str(path)!r} exists"
    try:
        existing = read_table(place, ReadOptions((table.human,) if table.human else ()))["train"]
    except DataError:
        raise DataError(f"{shown} and is not a table. {ADVICE}") from None
    if table.marks is not None and table.marks not in existing.column_names:
        raise DataError(f"{shown} and has no column {table.marks!r}, so it is no earlier output. {ADVICE}")
    if lost := [name for name in existing.column_names if name not in table.columns]:
        raise DataError(f"{shown} with the column {lost[0]!r}, which would be lost. {ADVICE}")
    if len(existing) > table.n_rows:
        raise DataError(f"{shown} with {len(existing):,} rows, and {table.n_rows:,} would replace them. {ADVICE}")
    written = {str(record.get("recipe") or record.get("judge") or "") for record in read_records(place)} - {""}
    if recipe is not None and written and recipe not in written:
        raise DataError(f"{shown}, made by {sorted(written)[0]!r} and not by {recipe!r}. {ADVICE}")
    if table.human is None or table.human not in existing.column_names:
        return
    given = label_texts(existing, table.human)
    kept: Sequence[Any] = table.labels or [None] * len(given)
    lost_labels = sum(label is not None and (row >= len(kept) or kept[row] != label) for row, label in enumerate(given))
    if lost_labels:
        raise DataError(f"{shown} with {lost_labels:,} human labels in `{table.human}` that would be lost. {ADVICE}")


def label_texts(rows: Any, column: str) -> list[str | None]:
    """The labels of a column as `label_text` writes them, with names for label codes; None for no label."""
    feature = rows.features[column]
    return [label_text(named_value(feature, value)) for value in rows.with_format(None)[column][:]]


def label_text(value: Any) -> str | None:
    """A label as one text, whatever format stored it; None for no label.

    A number is the same label as its digits in a cell of text, and a list the same as its JSON.
    """
    if value is None or value != value or value == "":
        return None
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(_canonical(value), ensure_ascii=False, sort_keys=True, default=str)
    text = str(value)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # `null`, `NaN` and a text in quotation marks are names like others.
    is_name = parsed is None or isinstance(parsed, str) or (isinstance(parsed, float) and not math.isfinite(parsed))
    return text if is_name else label_text(parsed)


def _canonical(value: Any) -> Any:
    """A JSON value without what formats change: whole floats, nan, and fields of structures without a value.

    Numbers have 12 significant digits; Excel keeps 15 of a float's 17.
    """
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, dict):
        return {name: _canonical(part) for name, part in value.items() if part is not None}
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.12g}")
    return value
