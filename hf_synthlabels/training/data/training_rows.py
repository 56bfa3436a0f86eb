"""Training rows of single-label tasks: labels, soft labels and weights, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.values import class_of_number, is_missing_code

# Probabilities whose sum differs from 1 by less are normalized.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """The labeled rows of a data set; all arrays have one entry per kept row."""

    kept: NDArray[np.int64]
    """Row indices in the data set, ascending."""
    codes: NDArray[np.int64]
    """The label of each row, an index into `names`."""
    names: tuple[str, ...]
    """Label names in the order of the codes."""
    n_unlabelled: int
    """Number of rows left out because they have no label."""
    probs: NDArray[np.float64] | None = None
    """Soft labels, shape (rows, names), each row summing to 1; None if there are none."""
    weights: NDArray[np.float64] | None = None
    """Row weights; None if all are equal."""

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
    """The labeled rows; rows without a label are left out and counted.

    Args:
        dataset: rows; labels are ClassLabel codes, names, or integer codes into `names`.
        names: all label names, in the order of the student's outputs.
        label_column: the label; None marks an unlabeled row.
        probs_column: list of probabilities, in the order of the label column's ClassLabel names, or else of `names`;
            None means certain.
        weight_column: a number of at least 0.

    Raises:
        DataError: a column is missing, no row has a label, a label is not in `names`, a soft label is not a
            distribution, or a weight is not a finite number of at least 0.
    """
    names = tuple(names)
    if len(names) < 2 or len(set(names)) != len(names):
        raise DataError(f"`names` is {list(names)!r}. Give at least two label names, without duplicates.")
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
    """A column as a list of Python values; `option` is the option that named it, for the error.

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
    # A labeled row without probabilities, such as a human-labeled one, is certain.
    probs = np.eye(len(names))[codes]
    target = [names.index(name) for name in order]
    for position, row in enumerate(kept):
        values = raw[row]
        if values is None:
            continue
        if not isinstance(values, list) or len(values) != len(names):
            raise DataError(f"`{column}` of row {row} is {values!r}. It must list {len(names)} probabilities.")
        row_probs = np.array(values, dtype=np.float64)
        if not (np.all(row_probs >= 0) and abs(row_probs.sum() - 1) <= TOLERANCE):
            raise DataError(f"`{column}` of row {row} is {values!r}. It must be numbers of at least 0 that sum to 1.")
        probs[position, target] = row_probs / row_probs.sum()
    return probs


def read_weights(dataset: Dataset, column: str, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weights of the kept rows.

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
        raise DataError(f"`{column}` is 0 in every labeled row. Give some rows a weight above 0.")
    return weights
