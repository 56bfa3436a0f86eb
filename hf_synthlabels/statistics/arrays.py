"""Labels, ratings and clusters as arrays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_synthlabels.errors import ConfigError, DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

Numbers = ArrayLike | Sequence[float | None]
"""One number per row; nan or None where there is none."""

Ratings = ArrayLike | Sequence[Sequence[float | None]]
"""Numbers, shape (items, raters); nan or None where a rating is missing."""

Labels = ArrayLike | Sequence[Sequence[Any]]
"""Names or numbers, shape (items, raters); None or nan where a rating is missing."""

Names = Sequence[Any]
"""One label name per row, or the shares of several by name (a soft label); None or nan where there is none."""

MISSING = -1
"""The code of a row without a label."""

MAX_SHOWN = 3
MAX_NAMES = 8


def check_level(level: float) -> None:
    """Refuse a confidence level that is not between 0 and 1, with a ConfigError."""
    if not 0 < level < 1:
        raise ConfigError(f"`level` is {level!r}: give a share between 0 and 1, such as 0.95.")


def check_resamples(resamples: int) -> None:
    """Refuse less than one resample, with a ConfigError."""
    if resamples < 1:
        raise ConfigError(f"`resamples` is {resamples!r}: give at least 1; 2000 is usual.")


def check_lengths(**columns: Sized) -> None:
    """Refuse columns, given by name, that differ in length, with a DataError."""
    (name, first), *others = columns.items()
    for other, column in others:
        if len(column) != len(first):
            raise DataError(f"`{name}` has {len(first):,} rows and `{other}` {len(column):,}: give one each per row.")


def encode(labels: Sequence[str | None], names: Sequence[str], *, field: str = "labels") -> Ints:
    """Label names as positions in `names`.

    Args:
        labels: one name per row, None where missing.
        names: the label names; their order gives the codes.
        field: name of the labels in errors.

    Returns:
        Codes of shape (rows,), `MISSING` for None.

    Raises:
        ConfigError: `names` is empty or has a duplicate.
        DataError: a label is not one of `names`.
    """
    codes: dict[str | None, int] = {name: code for code, name in enumerate(names)}
    if not names or len(codes) != len(names):
        raise ConfigError(f"`names` is {list(names)!r}: give at least one name, and none of them twice.")
    codes[None] = MISSING
    try:
        return np.fromiter((codes[label] for label in labels), dtype=np.int64, count=len(labels))
    except KeyError:
        unknown = Counter(label for label in labels if label not in codes)
        # Numbers are most often a column that lost its ClassLabel.
        numbers = all(str(label).isdigit() for label in unknown)
        repair = "cast the column to a ClassLabel with them" if numbers else "add to them or correct the rows"
        shown = _listed([label for label, _ in unknown.most_common()], MAX_SHOWN, " values")
        raise DataError(
            f"`{field}` has {unknown.total():,} rows whose label is not in `names`: {shown}. "
            f"The names are {_listed(names, MAX_NAMES)}; {repair}."
        ) from None


def _listed(values: Sequence[Any], most: int, what: str = "") -> str:
    """The first values, and the number of the others."""
    shown = ", ".join(map(repr, values[:most]))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more{what}"


def rating_table(ratings: Ratings) -> Floats:
    """The ratings as numbers, nan where one is missing.

    Raises:
        DataError: `ratings` does not have two dimensions, or has values that are not finite numbers.
    """
    table = _numbers(ratings, "ratings", "a table of items x raters")
    _check_table(table)
    return table


def label_codes(ratings: Labels, categories: Iterable[Any] | None = None) -> tuple[Floats, list[Any]]:
    """Ratings as positions in a list of names, nan where one is missing, and that list.

    Args:
        ratings: names or numbers, shape (items, raters).
        categories: the names; by default those that occur, in their order of appearance.

    Raises:
        DataError: `ratings` does not have two dimensions.
        ConfigError: a rating is not among `categories`.
    """
    cells = np.array(ratings, dtype=object)
    _check_table(cells)
    flat = [None if value != value else value for value in cells.ravel().tolist()]
    known = list(dict.fromkeys(value for value in flat if value is not None) if categories is None else categories)
    place: dict[Any, float] = {name: float(code) for code, name in enumerate(known)}
    place[None] = math.nan
    if unknown := [value for value in flat if value not in place]:
        raise ConfigError(f"`categories` is {known!r} and a rating is {unknown[0]!r}: add it.")
    return np.array([place[value] for value in flat], dtype=np.float64).reshape(cells.shape), known


def _check_table(ratings: NDArray[Any]) -> None:
    if ratings.ndim != 2:
        raise DataError(f"`ratings` has shape {ratings.shape}: give a table of items x raters.")


def number_column(values: Numbers, field: str) -> Floats:
    """One number per row, nan where it is missing; True is 1. `field` is its name in errors.

    Raises:
        DataError: the values do not have one dimension, or are not finite numbers.
    """
    column = _numbers(values, field, "one number per row")
    if column.ndim != 1:
        raise DataError(f"`{field}` has shape {column.shape}: give one number per row.")
    return column


def _numbers(values: Numbers | Ratings, field: str, shape: str) -> Floats:
    try:
        numbers: Floats = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"`{field}` has values that are not numbers: give {shape}, None for a missing one.") from error
    if _holds_text(values):
        raise DataError(f"`{field}` has text: give {shape}, None for a missing one.")
    if np.isinf(numbers).any():
        raise DataError(f"`{field}` has an infinite number: give None or nan for a missing one.")
    return numbers


def _holds_text(values: Numbers | Ratings) -> bool:
    """Whether something is text: numpy reads "5" as 5, but numbers as text are a column that was read wrong."""
    array = np.asarray(values)
    if array.dtype.kind in "US":
        return True
    return array.dtype.kind == "O" and any(isinstance(value, str) for value in array.ravel().tolist())


def cluster_codes(clusters: ArrayLike, rows: int | None = None) -> Ints:
    """Clusters as numbers from 0, in the order of their values, shape (rows,).

    Raises:
        DataError: `clusters` does not have one value for each row, or has values that cannot be compared.
    """
    values = np.asarray(clusters)
    if values.ndim != 1 or (rows is not None and len(values) != rows):
        known = "" if rows is None else f" and there are {rows:,} rows"
        raise DataError(f"`clusters` has shape {values.shape}{known}: give one cluster for each row.")
    if missing := sum(value is None or value != value for value in values.tolist()):
        raise DataError(f"`clusters` is missing in {missing:,} rows: give each row its cluster.")
    try:
        return np.unique(values, return_inverse=True)[1].astype(np.int64)
    except TypeError as error:
        raise DataError(
            "`clusters` mixes values that cannot be compared: give numbers only or strings only."
        ) from error


def divided(over: Ints | Floats, under: Ints | Floats, otherwise: float = math.nan) -> Floats:
    """Quotients, `otherwise` where the divisor is 0."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64))
    out: Floats = np.full(over.shape, otherwise)
    return np.divide(over, under, out=out, where=under != 0)


def numeric_values(values: Any, positive: Any, field: str) -> Floats:
    """Numbers, or 1 where a name is the positive one and 0 elsewhere; of a soft label the share of the positive one."""
    if positive is None:
        return number_column(values, field)
    column = plain_column(values, field)
    shares = [
        value.get(positive, 0.0) if isinstance(value, Mapping) else None if value is None else float(value == positive)
        for value in column
    ]
    if not any(shares):
        raise DataError(f"`{field}` is {positive!r} in no row: check `positive`.")
    return np.array([math.nan if share is None else share for share in shares])


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
    values = [value for column in columns for value in plain_column(column, "labels") if value is not None]
    labels = {str(name) for value in values for name in (value if isinstance(value, Mapping) else (value,))}
    if not labels:
        raise DataError("`human` and `llm` have no label in any row.")
    return sorted(labels)


def one_hot(values: Names, names: Sequence[str], field: str) -> Floats:
    """Shape (rows, names); nan in rows without a label, and shares in rows with a soft label."""
    column = plain_column(values, field)
    labels = [None if value is None or isinstance(value, Mapping) else str(value) for value in column]
    codes = encode(labels, names, field=field)
    table: Floats = (codes[:, None] == np.arange(len(names))).astype(np.float64)
    table[codes == MISSING] = math.nan
    for row, value in enumerate(column):
        if isinstance(value, Mapping):
            table[row] = 0.0
            table[row, encode([str(name) for name in value], names, field=field)] = list(value.values())
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
