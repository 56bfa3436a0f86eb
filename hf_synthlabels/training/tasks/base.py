"""StudentTask: everything that depends on the task type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.training.data.training_rows import TrainingRows, column_values, read_weights
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.objectives import Objective

Metrics = Callable[[EvalPrediction], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Head:
    """The model class of a head, and the configuration of a new one."""

    auto: Any
    """One of transformers' Auto classes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = "classify sequences"
    """What the model does, for error messages."""


def class_head(names: Sequence[str], **settings: Any) -> Head:
    """A sequence classification head with one output per name."""
    codes = {name: code for code, name in enumerate(names)}
    return Head(AutoModelForSequenceClassification, {"id2label": dict(enumerate(names)), "label2id": codes, **settings})


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """The labeled rows of a data set, for any task; arrays and tuples have one entry per kept row."""

    kept: NDArray[np.int64]
    """Row indices in the data set, ascending."""
    labels: tuple[Any, ...]
    """By task: a tuple of names, a number, a tuple of entities, a tuple of answers, a tuple of texts."""
    names: tuple[str, ...]
    """Label names in the order of their codes; empty for tasks without names."""
    n_unlabelled: int
    """Number of rows left out because they have no label."""
    n_unusable: int = 0
    """Number of rows left out because their label cannot be learned, such as an answer that is not in its context."""
    weights: NDArray[np.float64] | None = None
    """Row weights; None if all are equal."""

    def __len__(self) -> int:
        return len(self.kept)

    def where(self, usable: Sequence[bool] | NDArray[np.bool_]) -> LabelledRows:
        """The rows that a mask selects; the others count as unusable."""
        mask = np.asarray(usable, dtype=bool)
        labels = tuple(label for label, keep in zip(self.labels, mask, strict=True) if keep)
        weights = None if self.weights is None else self.weights[mask]
        n_unusable = self.n_unusable + int((~mask).sum())
        return LabelledRows(self.kept[mask], labels, self.names, self.n_unlabelled, n_unusable, weights)


Rows = TrainingRows | LabelledRows


class StudentTask(Protocol):
    """Everything that depends on the task type: head, loss, features, and the conversion of outputs to labels."""

    @property
    def schema(self) -> LabelSchema:
        """Task type and label names."""
        ...

    @property
    def objective(self) -> Objective:
        """The training objective."""
        ...

    @property
    def head(self) -> Head:
        """The head of the model."""
        ...

    def rows(self, dataset: Dataset) -> Rows:
        """The labeled rows.

        Raises:
            DataError: a column is missing or has an invalid label, or no row has a label.
        """
        ...

    def check(self, rows: Rows) -> None:
        """Reject rows without variation.

        Raises:
            DataError: all labels are equal.
        """
        ...

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Rows:
        """The rows whose label can be learned; the others are counted.

        Raises:
            DataError: there are none.
        """
        ...

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:
        """The trainer's features of the kept rows.

        Raises:
            DataError: a text column is missing or does not contain text, or `max_length` is too small.
        """
        ...

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """The collator; None for Trainer's padding."""
        ...

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:
        """The `compute_metrics` for the features of these rows; None if the loss is the only metric."""
        ...

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The predicted label of every row.

        Raises:
            DataError: a text column is missing or does not contain text.
        """
        ...


def labelled_rows(
    dataset: Dataset,
    column: str,
    read: Callable[[int], Any],
    *,
    names: Sequence[str] = (),
    weight_column: str | None = None,
) -> LabelledRows:
    """The rows with a label, as returned by `read`, which returns None for an unlabeled row.

    Raises:
        DataError: a column is missing, no row has a label, or a weight is not a finite number of at least 0.
    """
    column_values(dataset, column, "label_column")
    labels = [read(row) for row in range(len(dataset))]
    kept = np.array([row for row, label in enumerate(labels) if label is not None], dtype=np.int64)
    if not len(kept):
        raise DataError(f"`{column}` has no label in any of {len(labels)} rows. Annotate the rows first.")
    weights = None if weight_column is None else read_weights(dataset, weight_column, kept)
    return LabelledRows(kept, tuple(labels[row] for row in kept), tuple(names), len(labels) - len(kept), 0, weights)
