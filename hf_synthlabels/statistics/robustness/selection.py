"""The choice of a variant on human-labeled rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, Mask, number_column
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, wilson
from hf_synthlabels.statistics.robustness.quantity_curve import Selection
from hf_synthlabels.statistics.robustness.variant_agreement import AlphaScale
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    column_feature,
    column_values,
    feature_kind,
    read_names,
)


def select_variant(dataset: Table, columns: Sequence[str], human: str, tune: Mask, level: float = 0.95) -> Selection:
    """The column with the highest accuracy on the tune rows; of numbers, with the smallest mean absolute error.

    A row without a class counts as incorrect, a row without a number is left out. Ties go to the first column.

    Raises:
        DataError: no tune row has a human label.
    """
    matrix, scale = label_matrix(dataset, [human, *columns])
    known = np.array([is_known(value) for value in matrix[:, 0]]) & tune
    if not known.any():
        raise DataError(f"`{human}` has no label in any of {int(tune.sum()):,} tune rows: label some of them.")
    truth, labels = matrix[known, 0], matrix[known, 1:]
    if scale == "interval":
        return _closest(columns, truth.astype(np.float64), labels.astype(np.float64), level)
    correct = (labels == truth[:, None]).sum(axis=0)
    best = int(np.argmax(correct))
    return Selection(columns[best], wilson(int(correct[best]), len(truth), level), "accuracy")


def _closest(columns: Sequence[str], truth: Floats, labels: Floats, level: float) -> Selection:
    """The column of numbers with the smallest mean absolute error."""
    errors = np.abs(labels - truth[:, None])
    counts = (~np.isnan(errors)).sum(axis=0)
    means = np.where(counts > 0, np.nansum(errors, axis=0) / np.maximum(counts, 1), np.inf)
    best = int(np.argmin(means))
    n, mean = int(counts[best]), float(means[best])
    if not n:
        raise DataError("`variants` has no label in any tune row: annotate the tune rows first.")
    spread = float(np.nanstd(errors[:, best], ddof=1)) if n > 1 else float("nan")
    half = normal_quantile(level) * spread / n**0.5
    interval = Interval(mean, max(0.0, mean - half), mean + half, level, "normal", n)
    return Selection(columns[best], interval, "mean absolute error")


def label_matrix(dataset: Table, columns: Sequence[str]) -> tuple[NDArray[Any], AlphaScale]:
    """Labels of several columns, shape (rows, columns): numbers if a column has fractions, otherwise class names."""
    values = {name: column_values(dataset, name) for name in columns}
    is_scale = any(
        feature_kind(column_feature(dataset, name)) == "text-scale" or _has_fractions(each)
        for name, each in values.items()
    )
    if is_scale:
        return np.column_stack([number_column(each, name) for name, each in values.items()]), "interval"
    table = np.empty((len(next(iter(values.values()))), len(columns)), dtype=object)
    for place, name in enumerate(columns):
        table[:, place] = [label or None for label in read_names(dataset, name)[0]]
    return table, "nominal"


def is_known(value: Any) -> bool:
    """Whether a cell has a label."""
    return value is not None and value == value and value != ""


def _has_fractions(values: Sequence[Any]) -> bool:
    return any(isinstance(value, float) and value == value and not value.is_integer() for value in values)
