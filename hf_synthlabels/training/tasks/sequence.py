"""Tasks with classes for each row: one class, or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.statistics.agreement.confusion import confusion_counts, score
from hf_synthlabels.statistics.agreement.multilabel import mean_f1, micro_f1
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.features import LABELS, PROBS, WEIGHT, tokenize
from hf_synthlabels.training.data.training_rows import TrainingRows, labelled_rows, training_rows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, Metrics, class_head, first_output
from hf_synthlabels.training.tasks.objectives import Classification, MultiLabel, Objective


@dataclass(frozen=True, slots=True)
class SingleLabelTask:
    """One class per row, for a text or a pair of texts."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """Cross-entropy."""
        return Classification()

    @property
    def head(self) -> Head:
        """One output per class."""
        return class_head(self.schema.names)

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The rows with a class."""
        config = self.config
        return training_rows(
            dataset,
            names=self.schema.names,
            label_column=config.label_column,
            probs_column=config.probs_column,
            weight_column=config.weight_column,
        )

    def learnable(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> TrainingRows:  # noqa: ARG002
        """All rows, of two classes or with soft labels."""
        if rows.probs is None:
            check_varied(self.config, [rows.names[code] for code in rows.labels])
        return rows

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Trainer's padding."""
        return None

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Tokens, label code, probabilities and weight."""
        probs = None if rows.probs is None else rows.probs.tolist()
        return row_features(dataset, rows, tokenizer, self.config, list(rows.labels), probs)

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """Accuracy and macro-F1."""
        return classification_metrics

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The most likely class of every row; a missing text counts as an empty one."""
        return self.prediction(row_logits(trainer, dataset, self.config, len(self.schema.names)))

    def prediction(self, logits: NDArray[np.float64]) -> Prediction:
        """The most likely class, from logits of shape (rows, classes)."""
        probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        labels = tuple(self.schema.names[code] for code in probabilities.argmax(axis=-1))
        return Prediction(self.schema, labels, probabilities.max(axis=-1, initial=0), probabilities)


@dataclass(frozen=True, slots=True)
class MultiLabelTask:
    """Any number of classes per row."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """Binary cross-entropy of each class."""
        weights = self.config.class_weights
        if weights is not None and (len(weights) != len(self.schema.names) or min(weights) <= 0):
            raise ConfigError(
                f"`class_weights` is {weights!r}. Give one number above 0 for each of {len(self.schema.names)} labels."
            )
        return MultiLabel(class_weights=None if weights is None else tuple(weights))

    @property
    def head(self) -> Head:
        """One output per class."""
        return class_head(self.schema.names, problem_type="multi_label_classification")

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The rows with a list of classes, which may be empty; None is an unlabeled row."""
        config = self.config
        return labelled_rows(dataset, config.label_column, self.schema, weight_column=config.weight_column)

    def learnable(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> TrainingRows:  # noqa: ARG002
        """All rows; there must be two different sets of classes."""
        check_varied(self.config, rows.labels)
        return rows

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Trainer's padding."""
        return None

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Tokens, 0 or 1 for each class, and weight."""
        indicators = [[int(name in label) for name in self.schema.names] for label in rows.labels]
        return row_features(dataset, rows, tokenizer, self.config, indicators)

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """Micro- and macro-F1, and exact match."""
        threshold = self.config.threshold

        def compute(prediction: EvalPrediction) -> dict[str, float]:
            predicted = first_output(prediction.predictions) >= np.log(threshold / (1 - threshold))
            human = np.asarray(prediction.label_ids).astype(bool)
            sums = np.concatenate([part.sum(axis=0) for part in (predicted & human, predicted, human)])
            # Without any class in labels and predictions, the agreement is perfect.
            scores = {"f1_micro": float(micro_f1(sums)), "f1_macro": float(mean_f1(sums))}
            scores = {name: 1.0 if np.isnan(score) else score for name, score in scores.items()}
            return {**scores, "accuracy": float(np.mean(np.all(predicted == human, axis=-1)))}

        return compute

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The classes of every row whose probability reaches the threshold.

        The confidence of a row is the lowest probability of its decisions, for or against each class.
        """
        return self.prediction(row_logits(trainer, dataset, self.config, len(self.schema.names)))

    def prediction(self, logits: NDArray[np.float64]) -> Prediction:
        """The classes that reach the threshold, from logits of shape (rows, classes)."""
        names = self.schema.names
        probabilities = 1 / (1 + np.exp(-logits))
        chosen = probabilities >= self.config.threshold
        labels = tuple(tuple(name for name, has in zip(names, row, strict=True) if has) for row in chosen)
        confidence = np.where(chosen, probabilities, 1 - probabilities).min(axis=-1, initial=1)
        return Prediction(self.schema, labels, confidence, probabilities)


def classification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy` and `f1_macro`, the mean F1 of the classes that occur among labels or predictions.

    Args:
        prediction: logits, shape (rows, classes), and label codes, shape (rows,).
    """
    logits = first_output(prediction.predictions)
    counts = confusion_counts(np.asarray(prediction.label_ids), logits.argmax(axis=-1), logits.shape[-1])
    return {"accuracy": float(score("accuracy", counts)), "f1_macro": float(score("macro_f1", counts))}


def check_varied(config: StudentConfig, labels: Sequence[Any]) -> None:
    """Require two different labels.

    Raises:
        DataError: all labels are equal.
    """
    if len(set(labels)) == 1:
        raise DataError(
            f"`{config.label_column}` is {labels[0]!r} in all {len(labels)} labeled rows. A student needs rows with at "
            "least two different labels."
        )


def row_features(
    dataset: Dataset,
    rows: TrainingRows,
    tokenizer: PreTrainedTokenizerBase,
    config: StudentConfig,
    labels: list[Any],
    probs: list[Any] | None = None,
) -> Dataset:
    """Tokens, labels, soft labels and weight of the kept rows."""
    features = tokenize(
        dataset.select(rows.kept), tokenizer, text_columns=config.text_columns, max_length=config.max_length
    ).add_column(LABELS, labels)
    weights = None if rows.weights is None else rows.weights.tolist()
    for column, values in ((PROBS, probs), (WEIGHT, weights)):
        features = features if values is None else features.add_column(column, values)
    return features


def row_logits(trainer: Trainer, dataset: Dataset, config: StudentConfig, width: int) -> NDArray[np.float64]:
    """The head's outputs of every row in row order, shape (rows, width)."""
    if not len(dataset):
        return np.empty((0, width))
    features = tokenize(
        dataset, trainer.processing_class, text_columns=config.text_columns, max_length=config.max_length
    )
    return np.asarray(first_output(trainer.predict(features).predictions), dtype=np.float64)
