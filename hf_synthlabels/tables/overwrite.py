"""Check that overwriting a table loses no columns, rows or human labels."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.columns import named_value
from hf_synthlabels.tables.formats import ReadOptions
from hf_synthlabels.tables.provenance import read_records
from hf_synthlabels.tables.reading import read_table

ADVICE = "Choose another file, or pass `--overwrite` to discard its content."


class NewTable:
    """A table to be written: its columns and human labels."""

    def __init__(self, columns: Sequence[str], rows: Any, human: str | None, *, marks: str | None = None) -> None:
        """Describe a table.

        Args:
            columns: All columns to be written.
            rows: Existing rows, such as those of the source.
            human: Column of human labels, if any.
            marks: Column that only an earlier output has; a file without it is not overwritten.
        """
        self.columns = list(columns)
        self.marks = marks
        self.human = human
        self.labels = label_texts(rows, human) if human is not None and human in rows.column_names else None
        self.n_rows = len(rows)


def check_overwrite(path: str | Path, table: NewTable, *, recipe: str | None = None) -> None:
    """Check that an existing file may be overwritten.

    Args:
        path: Output path.
        table: Table to be written.
        recipe: Name of the recipe, which must match the file's provenance, if any.

    Raises:
        DataError: Overwriting would lose data.
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
        raise DataError(f"{shown} without column {table.marks!r}, so it is not an earlier output. {ADVICE}")
    if lost := [name for name in existing.column_names if name not in table.columns]:
        raise DataError(f"{shown} with the column {lost[0]!r}, which would be lost. {ADVICE}")
    if len(existing) > table.n_rows:
        raise DataError(f"{shown} with {len(existing):,} rows, and {table.n_rows:,} would replace them. {ADVICE}")
    written = {str(record.get("recipe") or record.get("judge") or "") for record in read_records(place)} - {""}
    if recipe is not None and written and recipe not in written:
        raise DataError(f"{shown}, made by {sorted(written)[0]!r} and not by {recipe!r}. {ADVICE}")
    if table.human is None or table.human not in existing.column_names:
        return
    old_labels = label_texts(existing, table.human)
    new_labels: Sequence[Any] = table.labels or [None] * len(old_labels)
    pairs = zip_longest(old_labels, new_labels[: len(old_labels)])
    lost_labels = sum(old is not None and old != new for old, new in pairs)
    if lost_labels:
        raise DataError(f"{shown} with {lost_labels:,} human labels in `{table.human}` that would be lost. {ADVICE}")


def label_texts(rows: Any, column: str) -> list[str | None]:
    """Return the labels of a column as `label_text` writes them, with names instead of codes."""
    feature = rows.features[column]
    return [label_text(named_value(feature, value)) for value in rows.with_format(None)[column][:]]


def label_text(value: Any) -> str | None:
    """Return a label as text, independent of the file format; None for a missing label.

    A number equals its digits in a text cell, and a list equals its JSON.
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
    # `null`, `NaN` and a quoted text are ordinary names.
    is_name = parsed is None or isinstance(parsed, str) or (isinstance(parsed, float) and not math.isfinite(parsed))
    return text if is_name else label_text(parsed)


def _canonical(value: Any) -> Any:
    """Normalize what formats change in a JSON value: whole floats, NaN and null fields of objects.

    Floats are rounded to 12 significant digits, because Excel keeps 15 of 17.
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
