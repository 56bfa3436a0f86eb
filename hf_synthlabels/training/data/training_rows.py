"""Training rows: the labeled rows of a data set, with labels, soft labels and weights, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.labels.values import class_of_number, is_missing_code
from hf_synthlabels.statistics.validation.label_columns import LabelColumn, label_column, read_label

# Probabilities whose sum differs from 1 by less are normalized.
TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """The labeled rows of a data set; labels, probabilities and weights have one entry per kept row."""

    kept: NDArray[np.int64]
    """Row indices in the data set, ascending."""
    labels: tuple[Any, ...]
    """By task: a code, an index into `names`; a tuple of names; a number; a tuple of entities, answers or texts."""
    names: tuple[str, ...]
    """Label names in the order of their codes; empty for tasks without names."""
    n_unlabelled: int = 0
    """Number of rows left out because they have no label."""
    n_unusable: int = 0
    """Number of rows left out because their label cannot be learned, such as an answer that is not in its context."""
    probs: NDArray[np.float64] | None = None
    """Soft labels of a single-label task, shape (rows, names), each row summing to 1; None if there are none."""
    weights: NDArray[np.float64] | None = None
    """Row weights; None if all are equal."""

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def codes(self) -> NDArray[np.int64]:
        """The labels of a single-label task, shape (rows,)."""
        return np.array(self.labels, dtype=np.int64)

    def where(self, usable: Sequence[bool] | NDArray[np.bool_]) -> TrainingRows:
        """The rows that a mask selects, without soft labels; the others count as unusable."""
        mask = np.asarray(usable, dtype=bool)
        return replace(
            self,
            kept=self.kept[mask],
            labels=tuple(label for label, keep in zip(self.labels, mask, strict=True) if keep),
            n_unusable=self.n_unusable + int((~mask).sum()),
            probs=None,
            weights=None if self.weights is None else self.weights[mask],
        )


def training_rows(
    dataset: Dataset,
    *,
    names: Sequence[str],
    label_column: str,
    probs_column: str | None = None,
    weight_column: str | None = None,
) -> TrainingRows:
    """The labeled rows of a single-label task; rows without a label are left out and counted.

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

    def code(row: int) -> int | None:
        label = raw[row]
        if label is None or label != label or is_missing_code(label, codes=certain):
            return None
        return _code(label, order, names, f"`{label_column}` of row {row}", certain=certain)

    rows = _labelled(dataset, label_column, code, names, weight_column)
    if probs_column is None:
        return rows
    values = column_values(dataset, probs_column, "probs_column")
    return replace(rows, probs=_probs(values, rows, order, probs_column))


def labelled_rows(
    dataset: Dataset,
    column: str,
    schema: LabelSchema,
    *,
    tokens: Sequence[Sequence[str]] | None = None,
    weight_column: str | None = None,
    read: Callable[[LabelColumn, int], Any] | None = None,
) -> TrainingRows:
    """The labeled rows of a task whose labels are not single classes.

    Args:
        dataset: the rows.
        column: the label column.
        schema: task type, label names and scale.
        tokens: the tokens of each row, if the texts are lists of tokens.
        weight_column: a number of at least 0.
        read: returns the label of a row, None without one; default: `read_label`.

    Raises:
        DataError: a column is missing or has an invalid label, no row has a label, or a weight is not a finite number
            of at least 0.
    """
    column_values(dataset, column, "label_column")
    opened = label_column(dataset, column, schema.kind)

    def label(row: int) -> Any:
        if read is not None:
            return read(opened, row)
        return read_label(opened, row, schema.kind, schema.names, schema.scale, None if tokens is None else tokens[row])

    return _labelled(dataset, column, label, schema.names, weight_column)


def _labelled(
    dataset: Dataset, column: str, read: Callable[[int], Any], names: tuple[str, ...], weight_column: str | None
) -> TrainingRows:
    """The rows for which `read` returns a label."""
    labels = [read(row) for row in range(len(dataset))]
    kept = np.array([row for row, label in enumerate(labels) if label is not None], dtype=np.int64)
    if not len(kept):
        raise DataError(f"`{column}` has no label in any of {len(labels)} rows. Annotate the rows first.")
    weights = None if weight_column is None else column_weights(dataset, weight_column, kept)
    return TrainingRows(kept, tuple(labels[row] for row in kept), names, len(labels) - len(kept), weights=weights)


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


def _probs(raw: list[Any], rows: TrainingRows, order: tuple[str, ...], column: str) -> NDArray[np.float64]:
    names = rows.names
    if set(order) != set(names):
        raise DataError(
            f"`{column}` follows the labels {list(order)!r}, but `names` is {list(names)!r}. Give the same labels."
        )
    # A labeled row without probabilities, such as a human-labeled one, is certain.
    probs = np.eye(len(names))[rows.codes]
    target = [names.index(name) for name in order]
    for position, row in enumerate(rows.kept):
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


def column_weights(dataset: Dataset, column: str, kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weights of the kept rows.

    Raises:
        DataError: a weight is not a finite number of at least 0, or all are 0.
    """
    raw = column_values(dataset, column, "weight_column")
    for row in kept:
        value = raw[row]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not np.isfinite(value) or value < 0:
            raise DataError(f"`{column}` of row {row} is {value!r}. A weight is a finite number of at least 0.")
    weights = np.array([raw[row] for row in kept], dtype=np.float64)
    if not weights.sum() > 0:
        raise DataError(f"`{column}` is 0 in every labeled row. Give some rows a weight above 0.")
    return weights
