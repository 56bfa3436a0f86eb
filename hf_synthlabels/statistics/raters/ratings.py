"""Ratings: what several raters said of the same items, as a table of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.label_ids import Floats

Numbers = ArrayLike | Sequence[float | None]
"""One number per row; nan or None where there is none."""

Ratings = ArrayLike | Sequence[Sequence[float | None]]
"""Shape (items, raters); nan or None where a rating is missing."""

Labels = ArrayLike | Sequence[Sequence[Any]]
"""Shape (items, raters): names or numbers; None or nan where a rating is missing."""


def rating_table(ratings: Ratings) -> Floats:
    """The ratings as numbers, nan where one is missing.

    Raises:
        DataError: `ratings` has not two dimensions, holds what is no number, or is infinite somewhere.
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
        DataError: `ratings` has not two dimensions.
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
        DataError: they have not one dimension, are no numbers, or are infinite somewhere.
    """
    column = _numbers(values, field, "one number per row")
    if column.ndim != 1:
        raise DataError(f"`{field}` has shape {column.shape}: give one number per row.")
    return column


def _numbers(values: Numbers | Ratings, field: str, shape: str) -> Floats:
    try:
        numbers: Floats = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"`{field}` holds what is no number: give {shape}, None for a missing one.") from error
    if _holds_text(values):
        raise DataError(f"`{field}` holds text: give {shape}, None for a missing one.")
    if np.isinf(numbers).any():
        raise DataError(f"`{field}` holds an infinite number: give None or nan for a missing one.")
    return numbers


def _holds_text(values: Numbers | Ratings) -> bool:
    """Whether something is text: numpy reads "5" as 5, but numbers as text are a column that was read wrong."""
    array = np.asarray(values)
    if array.dtype.kind in "US":
        return True
    return array.dtype.kind == "O" and any(isinstance(value, str) for value in array.ravel().tolist())
