"""Replacing a file that is there: allowed where nothing is lost by it, and nothing that people wrote ever is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables.beside import read_records
from hf_synthlabels.tables.formats import ReadOptions
from hf_synthlabels.tables.reading import read_table

__all__ = ["NewTable", "check_replaces", "spelt"]

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
        self.labels = spelt(rows, human) if human is not None and human in rows.column_names else None
        self.n_rows = len(rows)


def check_replaces(path: str | Path, table: NewTable, *, recipe: str | None = None) -> None:
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
    given = spelt(existing, table.human)
    kept: Sequence[Any] = table.labels or [None] * len(given)
    lost_labels = sum(label is not None and (row >= len(kept) or kept[row] != label) for row, label in enumerate(given))
    if lost_labels:
        raise DataError(f"{shown} with {lost_labels:,} human labels in `{table.human}` that would be lost. {ADVICE}")


def spelt(rows: Any, column: str) -> list[Any]:
    """The values of a column with names for label codes; None for no label, also for an empty text."""
    feature = rows.features[column]
    names: Sequence[str] | None = feature.names if hasattr(feature, "int2str") else None
    return [_spelt(value, names) for value in rows.with_format(None)[column][:]]


def _spelt(value: Any, names: Sequence[str] | None) -> Any:
    if value is None or value != value or value == "":
        return None
    if names is not None:
        return names[value] if value >= 0 else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
