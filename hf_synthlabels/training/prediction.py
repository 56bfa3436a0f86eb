"""Predictions of a student, and their label columns for data sets and streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, IterableDataset, List, Value, concatenate_datasets
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import STATUSES, Label, LabelSchema, encode

Conditions = Mapping[str, tuple[str, tuple[str, ...]] | None]

STREAM_ROWS = 1_000
"""Rows per batch of a stream: enough to sort by length, and few enough for any memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The predictions of a student, in row order."""

    schema: LabelSchema
    """Task type and label names."""
    labels: tuple[Label | None, ...]
    """One label per row; None means that a question has no answer."""
    confidence: NDArray[np.float64]
    """The student's uncalibrated probability of each label, shape (rows,); NaN for tasks without confidence."""
    probabilities: NDArray[np.float64]
    """Probability of every class, shape (rows, names); single-label rows sum to 1. Shape (rows, 0) for other tasks."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def codes(self) -> NDArray[np.int64]:
        """The most likely label as an index into the student's names, shape (rows,).

        Raises:
            DataError: the task is not single-label.
        """
        if self.schema.kind not in ("text-classification", "text-pair"):
            raise DataError(f"`codes` requires a single-label task, not {self.schema.kind}. Use `labels`.")
        return self.probabilities.argmax(axis=-1) if len(self) else np.empty(0, dtype=np.int64)

    def column(self) -> list[Any]:
        """The labels as values of a column of type `schema.feature()`."""
        return [encode(self.schema, label) for label in self.labels]

    def add_to(
        self,
        dataset: Dataset,
        column: str = "student_label",
        *,
        min_confidence: float | None = None,
        probabilities: bool = False,
    ) -> Dataset:
        """Add the label columns to the predicted rows; see `label_columns`.

        Raises:
            DataError: the data set has another number of rows, or has such a column.
            ConfigError: the task has no confidence or no probabilities.
        """
        added = label_columns(self, column, min_confidence=min_confidence, probabilities=probabilities)
        return with_labels(dataset, added)


def label_features(schema: LabelSchema, column: str, *, probabilities: bool) -> Features:
    """Types of the label columns, named as those of annotation."""
    columns: dict[str, Any] = {
        column: schema.feature(),
        f"{column}_status": ClassLabel(names=list(STATUSES)),
        f"{column}_confidence": Value("float32"),
    }
    if probabilities:
        columns[f"{column}_probs"] = List(Value("float32"))
    return Features(columns)


def table_features(schemas: Mapping[str, LabelSchema], *, probabilities: bool) -> Features:
    """Types of the label columns of several variables, whose columns are the keys."""
    parts = [label_features(schema, column, probabilities=probabilities) for column, schema in schemas.items()]
    return Features({name: feature for part in parts for name, feature in part.items()})


def label_columns(
    prediction: Prediction,
    column: str,
    *,
    min_confidence: float | None = None,
    probabilities: bool = False,
    skipped: NDArray[np.bool_] | None = None,
) -> Dataset:
    """The columns `<column>`, `<column>_status` and `<column>_confidence` of a prediction.

    Args:
        prediction: the predicted rows.
        column: name of the label column.
        min_confidence: rows below it abstain: status `abstained`, no label.
        probabilities: also add `<column>_probs`, the probability of every class.
        skipped: rows in which the variable is not coded: status `skipped`, no label, confidence or probabilities.

    Raises:
        ConfigError: the task has no confidence, or no probabilities.
    """
    check_columns(prediction.schema, min_confidence, probabilities=probabilities)
    left_out = np.zeros(len(prediction), dtype=bool) if skipped is None else skipped
    abstained = _abstained(prediction, min_confidence)
    labels = [None if none else value for none, value in zip(abstained | left_out, prediction.column(), strict=True)]
    statuses = ["abstained" if label is None else "labelled" for label in labels]
    unknown = np.isnan(prediction.confidence) | left_out
    columns: dict[str, list[Any]] = {
        column: labels,
        f"{column}_status": ["skipped" if out else status for out, status in zip(left_out, statuses, strict=True)],
        f"{column}_confidence": [
            None if none else float(value) for none, value in zip(unknown, prediction.confidence, strict=True)
        ],
    }
    if probabilities:
        probs = prediction.probabilities.tolist()
        columns[f"{column}_probs"] = [None if out else row for out, row in zip(left_out, probs, strict=True)]
    return Dataset.from_dict(columns, features=label_features(prediction.schema, column, probabilities=probabilities))


def _abstained(prediction: Prediction, min_confidence: float | None) -> NDArray[np.bool_]:
    if min_confidence is None:
        return np.zeros(len(prediction), dtype=bool)
    # NaN, a missing confidence, abstains too.
    return ~(prediction.confidence >= min_confidence)


def skipped_rows(
    predictions: Mapping[str, Prediction], variable: str, conditions: Conditions, min_confidence: float | None
) -> NDArray[np.bool_]:
    """The rows in which a variable is not coded, because the variable of its condition has another label, or none.

    Args:
        predictions: of all variables.
        variable: the variable.
        conditions: for each variable, None or the variable that decides and the labels with which it is coded.
        min_confidence: predictions below it are no labels.
    """
    condition = conditions[variable]
    if condition is None:
        return np.zeros(len(predictions[variable]), dtype=bool)
    parent, accepted = condition
    holds = [
        any(name in accepted for name in label) if isinstance(label, tuple) else label in accepted
        for label in predictions[parent].labels
    ]
    without = _abstained(predictions[parent], min_confidence)
    without |= skipped_rows(predictions, parent, conditions, min_confidence)
    skipped: NDArray[np.bool_] = without | ~np.array(holds, dtype=bool)
    return skipped


def check_columns(schema: LabelSchema, min_confidence: float | None, *, probabilities: bool) -> None:
    """Reject options that the task does not support.

    Raises:
        ConfigError: the confidence or the probabilities do not exist.
    """
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise ConfigError(f"`min_confidence` is {min_confidence}. Give a probability from 0 to 1.")
    if min_confidence is not None and schema.kind in ("text-scale", "text-generation"):
        raise ConfigError(f"`min_confidence` is {min_confidence}, but {schema.kind} has no confidence. Leave it out.")
    if probabilities and schema.kind not in ("text-classification", "text-pair", "multi-label"):
        raise ConfigError(f"`probabilities` is true, but {schema.kind} has none. Leave it out.")


def with_labels(rows: Dataset, added: Dataset) -> Dataset:
    """Add label columns to rows.

    Raises:
        DataError: the number of rows differs, or a column exists.
    """
    if len(rows) != len(added):
        raise DataError(f"`dataset` has {len(rows)} rows and the prediction {len(added)}. Pass the predicted rows.")
    check_free(rows.column_names, added.column_names)
    return concatenate_datasets([rows.with_format(None), added], axis=1)


def check_free(columns: list[str] | None, added: list[str]) -> None:
    """Reject a column name that exists.

    Raises:
        DataError: the column exists.
    """
    if taken := [name for name in added if name in (columns or ())]:
        raise DataError(f"`column` {added[0]!r} would overwrite the column {taken[0]!r}. Choose another name.")


def labelled_stream(rows: IterableDataset, label: Any, features: Features) -> IterableDataset:
    """A stream with label columns of these types, computed batch by batch; `label` returns those of a Dataset."""
    check_free(rows.column_names, list(features))
    whole = None if rows.features is None else Features({**rows.features, **features})

    def labelled(batch: Mapping[str, Any]) -> dict[str, Any]:
        part = Dataset.from_dict(dict(batch), features=rows.features)
        added = label(part)
        return {name: added[name][:] for name in added.column_names}

    return rows.map(labelled, batched=True, batch_size=STREAM_ROWS, features=whole)
