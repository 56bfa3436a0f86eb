"""Labels, ratings and clusters as arrays."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_synthlabels.errors import ConfigError, DataError

Floats = NDArray[np.float64]


Ints = NDArray[np.int64]


MISSING = -1
"""The code of a row without a label."""


SHOWN = 3


def encode(labels: Sequence[str | None], names: Sequence[str], *, field: str = "labels") -> Ints:
    """Label names as positions in `names`.

    Args:
        labels: one name per row, None for a row without a label.
        names: the label names; their order gives the codes.
        field: what an error calls the labels, for example the name of their column.

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
        shown = ", ".join(repr(label) for label, _ in unknown.most_common(SHOWN))
        more = f" and {len(unknown) - SHOWN} more values" if len(unknown) > SHOWN else ""
        # Numbers are most often a column that lost its ClassLabel on the way.
        numbers = all(str(label).isdigit() for label in unknown)
        repair = "cast the column to a ClassLabel with them" if numbers else "add to them or correct the rows"
        raise DataError(
            f"`{field}` has {unknown.total():,} rows whose label is not in `names`: {shown}{more}. "
            f"The names are {_some(names)}; {repair}."
        ) from None


def check_level(level: float) -> None:
    """Refuse a confidence level that is not between 0 and 1.

    Raises:
        ConfigError: it is not.
    """
    if not 0 < level < 1:
        raise ConfigError(f"`level` is {level!r}: give a share between 0 and 1, such as 0.95.")


def check_resamples(resamples: int) -> None:
    """Refuse a number of resamples from which no interval can be read.

    Raises:
        ConfigError: there is less than one.
    """
    if resamples < 1:
        raise ConfigError(f"`resamples` is {resamples!r}: give at least 1; 2000 is usual.")


def _some(names: Sequence[str]) -> str:
    """A few of the names, for an error of one line."""
    shown = ", ".join(repr(name) for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


Numbers = ArrayLike | Sequence[float | None]
"""One number per row; nan or None where there is none."""


Ratings = ArrayLike | Sequence[Sequence[float | None]]
"""Shape (items, raters); nan or None where a rating is missing."""


Labels = ArrayLike | Sequence[Sequence[Any]]
"""Shape (items, raters): names or numbers; None or nan where a rating is missing."""


def rating_table(ratings: Ratings) -> Floats:
    """The ratings as numbers, nan where one is missing.

    Raises:
        DataError: `ratings` does not have two dimensions, or has values that are not finite numbers.
    """
    table = _numbers(ratings, "ratings", "a table of items x raters")
    if table.ndim != 2:
        raise DataError(f"`ratings` has shape {table.shape}: give a table of items x raters.")
    return table


def label_codes(ratings: Labels, categories: Iterable[Any] | None = None) -> tuple[Floats, list[Any]]:
    """Ratings as positions in a list of names, nan where one is missing, and that list.

    Args:
        ratings: names or numbers, shape (items, raters).
        categories: the names; by default those that occur, in the order in which they do.

    Raises:
        DataError: `ratings` does not have two dimensions.
        ConfigError: a rating is not among `categories`.
    """
    cells = np.array(ratings, dtype=object)
    if cells.ndim != 2:
        raise DataError(f"`ratings` has shape {cells.shape}: give a table of items x raters.")
    flat = [None if value != value else value for value in cells.ravel().tolist()]
    known = list(dict.fromkeys(value for value in flat if value is not None) if categories is None else categories)
    place: dict[Any, float] = {name: float(code) for code, name in enumerate(known)}
    place[None] = math.nan
    if unknown := [value for value in flat if value not in place]:
        raise ConfigError(f"`categories` is {known!r} and a rating is {unknown[0]!r}: add it.")
    return np.array([place[value] for value in flat], dtype=np.float64).reshape(cells.shape), known


def number_column(values: Numbers, field: str) -> Floats:
    """One number per row, nan where it is missing; True is 1.

    Args:
        values: the numbers.
        field: what an error calls them.

    Raises:
        DataError: they do not have one dimension, or are not finite numbers.
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

    Args:
        clusters: as in `cluster_bootstrap`.
        rows: how many there must be.

    Raises:
        DataError: as in `cluster_bootstrap`, or there are not as many as there are rows.
    """
    values = np.asarray(clusters)
    if values.ndim != 1:
        raise DataError(f"`clusters` has shape {values.shape}: give one cluster for each row.")
    if rows is not None and len(values) != rows:
        raise DataError(f"`clusters` has shape {values.shape} and there are {rows:,} rows: give one for each.")
    if missing := sum(value is None or value != value for value in values.tolist()):
        raise DataError(f"`clusters` is missing in {missing:,} rows: give each row its cluster.")
    try:
        return np.unique(values, return_inverse=True)[1].astype(np.int64)
    except TypeError as error:
        raise DataError(
            "`clusters` mixes values that cannot be compared: give numbers only or strings only."
        ) from error


Mask = NDArray[np.bool_]


def divided(over: Ints | Floats, under: Ints | Floats) -> Floats:
    """Quotients, nan where the divisor is 0."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64))
    out: Floats = np.full(over.shape, np.nan)
    return np.divide(over, under, out=out, where=under != 0)
