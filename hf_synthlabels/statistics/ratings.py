"""Ratings: what several raters said of the same items, as a table of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.codes import Floats

__all__ = ["Numbers", "Ratings", "number_column", "rating_table"]

Numbers = ArrayLike | Sequence[float | None]
"""One number per row; nan or None where there is none."""

Ratings = ArrayLike | Sequence[Sequence[float | None]]
"""Shape (items, raters); nan or None where a rating is missing."""


def rating_table(ratings: Ratings) -> Floats:
    """The ratings as numbers, nan where one is missing.

    Raises:
        DataError: `ratings` has not two dimensions, holds what is no number, or is infinite somewhere.
    """
    table = _numbers(ratings, "ratings", "a table of items x raters")
    if table.ndim != 2:
        raise DataError(f"`ratings` has shape {table.shape}: give a table of items x raters.")
    return table


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
