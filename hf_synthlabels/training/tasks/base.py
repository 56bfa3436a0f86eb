"""StudentTask: all that depends on the kind of label."""

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
from hf_synthlabels.training.data.training_rows import TrainingRows, column_values, row_weights_of
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.objectives import Objective

Metrics = Callable[[EvalPrediction], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Head:
    """The class of models with that head, and the settings that a new head is made by."""

    auto: Any
    """One of transformers' Auto classes."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = "classify sequences"
    """What such a model can do, for errors."""


def named_head(names: Sequence[str], **settings: Any) -> Head:
    """One output for each name."""
    codes = {name: code for code, name in enumerate(names)}
    return Head(AutoModelForSequenceClassification, {"id2label": dict(enumerate(names)), "label2id": codes, **settings})


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """The rows of a data set that have a label of any kind; arrays and tuples have one entry per kept row."""

    kept: NDArray[np.int64]
    """Row numbers in the data set, ascending."""
    labels: tuple[Any, ...]
    """By the kind: a tuple of names, a number, a tuple of places, a tuple of answers, a tuple of texts."""
    names: tuple[str, ...]
    """Label names in the order of their codes; none where the kind has none."""
    n_unlabelled: int
    """Rows that were left out because they have no label."""
    n_unusable: int = 0
    """Rows that were left out because what their label says can not be learnt, such as an answer that is not found."""
    weights: NDArray[np.float64] | None = None
    """What each row counts; None when all count the same."""

    def __len__(self) -> int:
        return len(self.kept)


Rows = TrainingRows | LabelledRows


class StudentTask(Protocol):
    """All that depends on the kind of label: its head, its loss, its features, and how outputs become labels."""

    @property
    def schema(self) -> LabelSchema:
        """Kind and names of the labels."""
        ...

    @property
    def objective(self) -> Objective:
        """What is learnt."""
        ...

    @property
    def head(self) -> Head:
        """Which models can learn it."""
        ...

    def rows(self, dataset: Dataset) -> Rows:
        """The rows that have a label, checked.

        Raises:
            DataError: a column is missing or has a value that is not a label, or no row has one.
        """
        ...

    def check(self, rows: Rows) -> None:
        """Refuse rows that nothing can be learnt from.

        Raises:
            DataError: all labels are the same.
        """
        ...

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Rows:
        """Of the rows those that can be learnt from; the others are counted.

        Raises:
            DataError: there is none.
        """
        ...

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:
        """What the trainer reads of the kept rows.

        Raises:
            DataError: a text column is missing or does not hold text, or `max_length` leaves no room.
        """
        ...

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """How rows become a batch; None for plain padding."""
        ...

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:
        """The scores of outputs for the features of these rows; None where there is only the loss."""
        ...

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The student's labels of every row.

        Raises:
            DataError: a text column is missing or does not hold text.
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
    """The rows whose label `read` finds.

    Args:
        dataset: rows.
        column: the label column.
        read: the label of a row, None where there is none.
        names: all label names.
        weight_column: for each row a number of at least 0.

    Raises:
        DataError: a column is missing, no row has a label, or a weight is not a finite number of at least 0.
    """
    column_values(dataset, column, "label_column")
    labels = [read(row) for row in range(len(dataset))]
    kept = np.array([row for row, label in enumerate(labels) if label is not None], dtype=np.int64)
    if not len(kept):
        raise DataError(f"`{column}` has no label in any of {len(labels)} rows. Annotate the rows first.")
    weights = None if weight_column is None else row_weights_of(dataset, weight_column, kept)
    return LabelledRows(kept, tuple(labels[row] for row in kept), tuple(names), len(labels) - len(kept), 0, weights)
