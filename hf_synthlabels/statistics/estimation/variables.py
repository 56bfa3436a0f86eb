"""Labels, groups and predictors of an analysis as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, Numbers, encode, number_column

Names = Sequence[Any]
"""One label name per row; None or nan where there is none."""

INTERCEPT = "(intercept)"

MAX_CATEGORIES = 100
"""Categories of a text column; with more it is taken for an identifier."""

RANK_TOLERANCE = 1e-10
"""Residual length, relative to a standardized column's, up to which a column counts as dependent on others."""


def numeric_values(values: Any, positive: Any, field: str) -> Floats:
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
    _check_rows(column, name, rows)
    if missing := int(np.isnan(column).sum()):
        raise DataError(f"`{name}` is missing in {missing:,} rows: fill them or leave those rows out.")
    return column


def _check_rows(column: Sized, name: str, rows: int) -> None:
    if len(column) != rows:
        raise DataError(f"`{name}` has {len(column):,} rows and `human` {rows:,}: give one each per row.")


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
    labels = {str(value) for column in columns for value in plain_column(column, "labels") if value is not None}
    if not labels:
        raise DataError("`human` and `llm` have no label in any row.")
    return sorted(labels)


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


@dataclass(frozen=True, slots=True)
class Predictors:
    """Columns that are known for all rows, the intercept first."""

    names: tuple[str, ...]
    columns: Floats
    """As given, shape (N, p)."""
    basis: Floats
    """Orthogonal columns with mean square 1 that span the same space, shape (N, p)."""
    back: Floats
    """Coefficients of the columns = `back` @ coefficients of the basis, shape (p, p)."""
    dependent: tuple[str, ...]
    """Columns that are linear combinations of the others before them: no coefficient can be estimated."""
    members: tuple[Floats | None, ...]
    """For each column the rows of its category and of the reference level, (N, 2); None for a number."""
    references: tuple[tuple[str, str], ...]
    """Text columns and their reference levels."""


def predictor_matrix(predictors: Mapping[str, Any], rows: int) -> Predictors:
    """Numbers as they are, text as one indicator for each category but the first, sorted (the reference level).

    A regression on the orthogonal basis has the same fit. Its normal equations stay well conditioned for years with
    their squares and for predictors of any magnitude.

    Raises:
        DataError: a column has another length, is missing somewhere, mixes text and numbers, or has one category only
            or too many.
    """
    names, columns = [INTERCEPT], [np.ones(rows)]
    members: list[Floats | None] = [None]
    references: list[tuple[str, str]] = []
    for name, values in predictors.items():
        if not _is_text(values):
            names.append(name)
            columns.append(complete_column(values, name, rows))
            members.append(None)
            continue
        levels, codes = _categories(values, name, rows)
        references.append((name, levels[0]))
        for code, level in enumerate(levels[1:], start=1):
            names.append(f"{name} = {level}")
            columns.append((codes == code).astype(np.float64))
            members.append(np.column_stack([codes == code, codes == 0]).astype(np.float64))
    table = np.column_stack(columns)
    basis, back, dependent = _orthogonal_basis(table)
    lost = tuple(names[place] for place in dependent)
    return Predictors(tuple(names), table, basis, back, lost, tuple(members), tuple(references))


def _is_text(values: Any) -> bool:
    array = np.asarray(values, dtype=object)
    return array.ndim == 1 and any(isinstance(value, str) for value in array.tolist())


def _categories(values: Sequence[Any], name: str, rows: int) -> tuple[list[str], Any]:
    column = plain_column(values, name)
    _check_rows(column, name, rows)
    if missing := sum(value is None for value in column):
        raise DataError(f"`{name}` is missing in {missing:,} rows: fill them or leave those rows out.")
    if numbers := sum(not isinstance(value, str) for value in column):
        raise DataError(f"`{name}` has text and, in {numbers:,} rows, numbers: give numbers only or text only.")
    levels = sorted(set(column))
    if len(levels) < 2 or len(levels) > MAX_CATEGORIES:
        raise DataError(
            f"`{name}` is text with {len(levels):,} categories: give a column with 2 to {MAX_CATEGORIES}, or numbers."
        )
    places = {level: code for code, level in enumerate(levels)}
    return levels, np.array([places[value] for value in column])


def _orthogonal_basis(table: Floats) -> tuple[Floats, Floats, list[int]]:
    """`basis` and `back` of Predictors, and the positions of columns that depend on those before them."""
    n, p = table.shape
    # Standardized first, so that rounding does not depend on units: column = center + scale x standardized.
    center, scale = table.mean(axis=0), table.std(axis=0)
    largest = np.abs(table).max(axis=0, initial=0.0)
    constant = scale <= 4 * np.finfo(np.float64).eps * largest
    constant[0] = True
    scale = np.where(constant, 1.0, scale)
    standard = (table - center) / scale
    standard[:, constant] = 0.0
    standard[:, 0] = 1.0
    q, r = np.linalg.qr(standard)
    r = r / np.sqrt(n)
    dependent = [place for place in range(p) if place >= n or abs(r[place, place]) <= RANK_TOLERANCE]
    if dependent:
        # Singular as it is, so that no coefficient is estimated.
        return standard, np.eye(p), dependent
    basis = q * np.sqrt(n)
    back = np.linalg.inv(r) / np.concatenate([[1.0], scale[1:]])[:, None]
    # What was subtracted to center the columns goes into the intercept.
    back[0] -= center[1:] @ back[1:]
    return basis, back, dependent
