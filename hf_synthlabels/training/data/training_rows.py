"""Which rows train a student, with what label, probabilities and weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.values import class_of_number, is_missing_code

# How far the probabilities of a row may be from 1 in sum; what is nearer is scaled to 1.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """The rows of a data set that have a label; all arrays have one entry per kept row."""

    kept: NDArray[np.int64]
    """Row numbers in the data set, ascending."""
    codes: NDArray[np.int64]
    """The label of each row, an index into `names`."""
    names: tuple[str, ...]
    """Label names in the order of the codes."""
    n_unlabelled: int
    """Rows that were left out because they have no label."""
    probs: NDArray[np.float64] | None = None
    """Soft labels, shape (rows, names), each row summing to 1; None when there are none."""
    weights: NDArray[np.float64] | None = None
    """What each row counts; None when all count the same."""

    def __len__(self) -> int:
        return len(self.kept)


def training_rows(
    dataset: Dataset,
    *,
    names: Sequence[str],
    label_column: str,
    probs_column: str | None = None,
    weight_column: str | None = None,
) -> TrainingRows:
    """The rows with a label, checked; rows without one are left out and counted.

    Args:
        dataset: rows; labels are ClassLabel codes, names, or integer codes into `names`.
        names: every label name, in the order that the student's outputs shall have.
        label_column: the label; None is no label.
        probs_column: for each row a list of probabilities, in the order of the column's own ClassLabel names or else
            of `names`; None counts as certain of the label.
        weight_column: for each row a number of at least 0.

    Raises:
        DataError: a column is missing, no row has a label, a label is not in `names`, a soft label is no
            distribution, or a weight is not a finite number of at least 0.
    """
    names = tuple(names)
    if len(names) < 2 or len(set(names)) != len(names):
        raise DataError(f"`names` is {list(names)!r}. Give two label names or more, each once.")
    raw = column_values(dataset, label_column, "label_column")
    feature = dataset.features[label_column]
    certain = isinstance(feature, ClassLabel)
    order = tuple(feature.names) if isinstance(feature, ClassLabel) else names
    missing = [label is None or label != label or is_missing_code(label, codes=certain) for label in raw]
    kept = np.array([row for row, no_label in enumerate(missing) if not no_label], dtype=np.int64)
    if not len(kept):
        raise DataError(f"`{label_column}` has no label in any of {len(raw)} rows. Annotate the rows first.")
    codes = np.array(
        [_code(raw[row], order, names, f"`{label_column}` of row {row}", certain=certain) for row in kept],
        dtype=np.int64,
    )
    probs = weights = None
    if probs_column is not None:
        probs = _probs(column_values(dataset, probs_column, "probs_column"), kept, codes, order, names, probs_column)
    if weight_column is not None:
        weights = read_weights(dataset, weight_column, kept)
    return TrainingRows(kept, codes, names, len(raw) - len(kept), probs, weights)


def column_values(dataset: Dataset, column: str, option: str) -> list[Any]:
    """A column as a list of plain Python values.

    Args:
        dataset: rows.
        column: the column's name.
        option: which option named it, for the error.

    Raises:
        DataError: there is no such column.
    """
    if column not in dataset.column_names:
        raise DataError(f"`{option}` is {column!r}, which is not a column. The columns are {dataset.column_names!r}.")
    values: list[Any] = dataset.with_format(None)[column][:]
    return values


def _code(label: Any, order: tuple[str, ...], names: tuple[str, ...], where: str, *, certain: bool) -> int:
    if isinstance(label, int | float) and not isinstance(label, bool):
        try:
            named = class_of_number(label, order, codes=certain)
        except DataError as error:
            raise DataError(f"{where}: {str(error).removeprefix('`label` ')}") from None
        if named is None:
            raise DataError(f"{where} is {label!r}, no code of {list(order)!r}. Write None for a row without a label.")
        label = named
    if label not in names:
        raise DataError(f"{where} is {label!r}, which is not among the names {list(names)!r}. Add it, or drop the row.")
    return names.index(label)


def _probs(
    raw: list[Any],
    kept: NDArray[np.int64],
    codes: NDArray[np.int64],
    order: tuple[str, ...],
    names: tuple[str, ...],
    column: str,
) -> NDArray[np.float64]:
    if set(order) != set(names):
        raise DataError(
            f"`{column}` follows the labels {list(order)!r}, but `names` is {list(names)!r}. Give the same labels."
        )
    # One-hot first: a labelled row without probabilities, such as a human one, is certain.
    probs = np.eye(len(names))[codes]
    target = [names.index(name) for name in order]
    for position, row in enumerate(kept):
        values = raw[row]
        if values is None:
            continue
        if not isinstance(values, list) or len(values) != len(names):
            raise DataError(f"`{column}` of row {row} is {values!r}. It must list {len(names)} probabilities.")
        given = np.array(values, dtype=np.float64)
        if not (np.all(given >= 0) and abs(given.sum() - 1) <= TOLERANCE):
            raise DataError(f"`{column}` of row {row} is {values!r}. It must be numbers of at least 0 that sum to 1.")
        probs[position, target] = given / given.sum()
    return probs


def read_weights(dataset: Dataset, column: str, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weights of some rows.

    Raises:
        DataError: there is no such column, or a weight is not a finite number of at least 0, or all are 0.
    """
    raw = column_values(dataset, column, "weight_column")
    values = [raw[row] for row in kept]
    for row, value in zip(kept, values, strict=True):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not np.isfinite(value) or value < 0:
            raise DataError(f"`{column}` of row {row} is {value!r}. A weight is a finite number of at least 0.")
    weights = np.array(values, dtype=np.float64)
    if not weights.sum() > 0:
        raise DataError(f"`{column}` is 0 in every labelled row. Give some rows a weight above 0.")
    return weights
