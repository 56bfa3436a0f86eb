"""StudentTask: everything that depends on the task type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.training.data.training_rows import TrainingRows
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
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes of the configuration, which transformers does not know."""


def class_head(names: Sequence[str], **settings: Any) -> Head:
    """A sequence classification head with one output per name."""
    codes = {name: code for code, name in enumerate(names)}
    return Head(AutoModelForSequenceClassification, {"id2label": dict(enumerate(names)), "label2id": codes, **settings})


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

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The labeled rows.

        Raises:
            DataError: a column is missing or has an invalid label, or no row has a label.
        """
        ...

    def learnable(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> TrainingRows:
        """The rows whose label can be learned; the others are counted.

        Raises:
            DataError: there are none, or all labels are equal.
        """
        ...

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """The trainer's features of the kept rows.

        Raises:
            DataError: a text column is missing or does not contain text, or `max_length` is too small.
        """
        ...

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:
        """The collator; None for Trainer's padding."""
        ...

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:
        """The `compute_metrics` for the features of these rows; None if the loss is the only metric."""
        ...

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The predicted label of every row.

        Raises:
            DataError: a text column is missing or does not contain text.
        """
        ...


def first_output(predictions: Any) -> NDArray[Any]:
    """The logits, which come first among a head's outputs."""
    logits: NDArray[Any] = predictions[0] if isinstance(predictions, tuple) else predictions
    return logits
