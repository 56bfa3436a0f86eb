"""The rows of a multi-head student: those with a label of any variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels.values import is_missing_code
from hf_synthlabels.training.data.training_rows import (
    TrainingRows,
    column_values,
    column_weights,
    labelled_rows,
    training_rows,
)
from hf_synthlabels.training.data.variable_heads import VariableHead, output_names


def multi_head_rows(
    dataset: Dataset, heads: Sequence[VariableHead], *, weight_column: str | None = None
) -> TrainingRows:
    """The training rows; a row's label is one label per head, None without one.

    Human labels replace the LLM labels of their rows, and their soft labels.

    Args:
        dataset: the rows.
        heads: the heads.
        weight_column: a number of at least 0.

    Raises:
        DataError: a column is missing or invalid, or a variable has no label in any row.
    """
    parts = []
    for head in heads:
        sources = [_head_rows(dataset, head, head.variable, head.probs)]
        sources += [] if head.human is None else [_head_rows(dataset, head, head.human)]
        if not any(sources):
            raise DataError(f"`{head.variable}` has no label in any of {len(dataset)} rows. Annotate the rows first.")
        parts.append([source for source in sources if source is not None])
    return _joined(dataset, heads, parts, weight_column)


def evaluation_rows(
    dataset: Dataset, heads: Sequence[VariableHead], *, weight_column: str | None = None
) -> TrainingRows:
    """The rows to evaluate on, each head with the labels of its evaluation column.

    Args:
        dataset: the rows.
        heads: the heads; one without any label in these rows is not evaluated.
        weight_column: a number of at least 0.

    Raises:
        DataError: a column is missing or invalid, or no row has a label.
    """
    columns = evaluation_columns(dataset, heads)
    rows = [_head_rows(dataset, head, column) for head, column in zip(heads, columns, strict=True)]
    if not any(rows):
        raise DataError(f"`heads` have no label in any of {len(dataset)} rows to evaluate on. Annotate the rows first.")
    return _joined(dataset, heads, [[] if part is None else [part] for part in rows], weight_column)


def evaluation_columns(dataset: Dataset, heads: Sequence[VariableHead]) -> list[str]:
    """The column that each head is evaluated on: its human labels if the rows have any, else its own column."""
    return [
        head.variable if head.human is None or not _labels_in(dataset, head.human) else head.human for head in heads
    ]


def _labels_in(dataset: Dataset, column: str) -> bool:
    """Whether any row has a label in a column."""
    values = column_values(dataset, column, "heads")
    codes = isinstance(dataset.features[column], ClassLabel)
    return any(value is not None and value == value and not is_missing_code(value, codes=codes) for value in values)


def _head_rows(dataset: Dataset, head: VariableHead, column: str, probs: str | None = None) -> TrainingRows | None:
    """The rows with a label in a column of a head; None if no row has one."""
    if not _labels_in(dataset, column):
        return None
    if head.is_multi_label:
        return labelled_rows(dataset, column, head.schema)
    return training_rows(dataset, names=head.schema.names, label_column=column, probs_column=probs)


def _joined(
    dataset: Dataset,
    heads: Sequence[VariableHead],
    parts: Sequence[Sequence[TrainingRows]],
    weight_column: str | None,
) -> TrainingRows:
    """The rows of all heads; of several sources of a head, the last one that has a label counts."""
    labels: list[list[Any]] = [[None] * len(heads) for _ in range(len(dataset))]
    names = output_names(heads)
    soft = any(part.probs is not None for sources in parts for part in sources)
    probs = np.zeros((len(dataset), len(names))) if soft else None
    start = 0
    for place, (head, sources) in enumerate(zip(heads, parts, strict=True)):
        stop = start + len(head.schema.names)
        for part in sources:
            for row, label in zip(part.kept, part.labels, strict=True):
                labels[row][place] = label
            if probs is not None and not head.is_multi_label:
                certain = np.eye(stop - start)[part.codes]
                probs[part.kept, start:stop] = certain if part.probs is None else part.probs
        start = stop
    kept = np.array([row for row, label in enumerate(labels) if any(each is not None for each in label)], dtype=int)
    weights = None if weight_column is None else column_weights(dataset, weight_column, kept)
    return TrainingRows(
        kept,
        tuple(tuple(labels[row]) for row in kept),
        names,
        len(dataset) - len(kept),
        probs=None if probs is None else probs[kept],
        weights=weights,
    )
