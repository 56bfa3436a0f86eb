"""Columns of questions: labels, predictors and groups as numbers, with what is wrong told by the column's name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.label_ids import MISSING, Floats, Ints, encode
from hf_synthlabels.statistics.raters.ratings import Numbers, number_column

Names = Sequence[Any]
"""One label name per row; None or nan where there is none."""


def numbers_of(values: Any, positive: Any, field: str) -> Floats:
    """Numbers, or 1 where a name is the positive one and 0 elsewhere."""
    if positive is None:
        return number_column(values, field)
    column = plain_column(values, field)
    if not any(value == positive for value in column):
        raise DataError(f"`{field}` is {positive!r} in no row: check `positive`.")
    return np.array([math.nan if value is None else float(value == positive) for value in column])


def complete_column(values: Numbers, name: str, rows: int) -> Floats:
    """Numbers of which none may be missing."""
    column = number_column(values, name)
    if len(column) != rows:
        raise DataError(f"`{name}` has {len(column):,} rows and `human` {rows:,}: give one each per row.")
    if missing := int(np.isnan(column).sum()):
        raise DataError(f"`{name}` is missing in {missing:,} rows: fill them or leave those rows out.")
    return column


def plain_column(values: Names, field: str) -> list[Any]:
    """Plain values, None where one is missing."""
    array = np.array(values, dtype=object)
    if array.ndim != 1:
        raise DataError(f"`{field}` has shape {array.shape}: give one label per row.")
    return [None if value is None or value != value else value for value in array.tolist()]


def class_list(names: Sequence[Any] | None, *columns: Names) -> list[str]:
    """The given names, or all that occur, sorted."""
    if names is not None:
        return [str(name) for name in names]
    found = {str(value) for column in columns for value in plain_column(column, "labels") if value is not None}
    if not found:
        raise DataError("`human` and `llm` have no label in any row.")
    return sorted(found)


def one_hot(values: Names, names: Sequence[str], field: str) -> Floats:
    """Shape (rows, names); nan in rows without a label."""
    labels = [None if value is None else str(value) for value in plain_column(values, field)]
    codes = encode(labels, names, field=field)
    table: Floats = (codes[:, None] == np.arange(len(names))).astype(np.float64)
    table[codes == MISSING] = math.nan
    return table


def group_codes(groups: Names) -> tuple[Ints, list[str]]:
    """Groups as positions in their names, sorted, and these names."""
    column = plain_column(groups, "groups")
    if missing := sum(value is None for value in column):
        raise DataError(f"`groups` is missing in {missing:,} rows: give each row its group.")
    known = sorted({str(value) for value in column})
    if len(known) < 2:
        raise DataError(f"`groups` is {known[0] if known else None!r} in all rows: give two groups or more.")
    return encode([str(value) for value in column], known, field="groups"), known
