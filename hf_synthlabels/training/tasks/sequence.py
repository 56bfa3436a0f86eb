"""Tasks with one prediction per row: a class, several classes, or a number on a scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.statistics.agreement.confusion import confusion_counts, score
from hf_synthlabels.statistics.agreement.correlation import weighted_spearman
from hf_synthlabels.statistics.agreement.multilabel import mean_f1, micro_f1
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.features import LABELS, PROBS, WEIGHT, tokenize
from hf_synthlabels.training.data.training_rows import TrainingRows, labelled_rows, training_rows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, Metrics, class_head, first_output
from hf_synthlabels.training.tasks.objectives import Classification, MultiLabel, Objective, ScaleRegression


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
            _check_varied(self.config, [rows.names[code] for code in rows.labels])
        return rows

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Trainer's padding."""
        return None

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Tokens, label code, probabilities and weight."""
        probs = None if rows.probs is None else rows.probs.tolist()
        return _features(dataset, rows, tokenizer, self.config, list(rows.labels), probs)

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """Accuracy and macro-F1."""
        return classification_metrics

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The most likely class of every row; a missing text counts as an empty one."""
        logits = _logits(trainer, dataset, self.config, len(self.schema.names))
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
        _check_varied(self.config, rows.labels)
        return rows

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Trainer's padding."""
        return None

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Tokens, 0 or 1 for each class, and weight."""
        indicators = [[int(name in label) for name in self.schema.names] for label in rows.labels]
        return _features(dataset, rows, tokenizer, self.config, indicators)

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
        names, logits = self.schema.names, _logits(trainer, dataset, self.config, len(self.schema.names))
        probabilities = 1 / (1 + np.exp(-logits))
        chosen = probabilities >= self.config.threshold
        labels = tuple(tuple(name for name, has in zip(names, row, strict=True) if has) for row in chosen)
        confidence = np.where(chosen, probabilities, 1 - probabilities).min(axis=-1, initial=1)
        return Prediction(self.schema, labels, confidence, probabilities)


@dataclass(frozen=True, slots=True)
class ScaleTask:
    """A number on a scale per row."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def scale(self) -> Scale:
        """The scale of the numbers."""
        assert self.schema.scale is not None
        return self.schema.scale

    @property
    def ordinal(self) -> bool:
        """Whether the steps of the scale are learned instead of the number."""
        return self.config.scale_loss == "ordinal"

    @property
    def objective(self) -> Objective:
        """Squared error on a scale from 0 to 1, or for each step a binary question "at least this step?".

        The latter is the method of Frank and Hall (2001) as one network; errors cost more the more steps they are off.
        """
        return MultiLabel() if self.ordinal else ScaleRegression()

    @property
    def head(self) -> Head:
        """One output, or one per step except the first."""
        if not self.ordinal:
            return Head(AutoModelForSequenceClassification, {"num_labels": 1, "problem_type": "regression"})
        names = [f">={number:g}" for number in self._grid()[1:]]
        return class_head(names, problem_type="multi_label_classification")

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The rows with a number on the scale."""
        config = self.config
        rows = labelled_rows(dataset, config.label_column, self.schema, weight_column=config.weight_column)
        for row, number in zip(rows.kept, rows.labels, strict=True):
            if not self.scale.holds(number):
                raise DataError(
                    f"`{config.label_column}` of row {row} is {number!r}, which is not on the scale {self.scale}. "
                    "Correct the row or the scale; a step of 0 allows any number."
                )
        return rows

    def learnable(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> TrainingRows:  # noqa: ARG002
        """All rows; there must be two different numbers."""
        _check_varied(self.config, rows.labels)
        return rows

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Trainer's padding."""
        return None

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Tokens, the position on the scale from 0 to 1 or 0 or 1 for each step, and weight."""
        scale = self.scale
        labels: list[Any] = [(number - scale.low) / (scale.high - scale.low) for number in rows.labels]
        if self.ordinal:
            steps = range(1, len(self._grid()))
            reached = [round((number - scale.low) / (scale.step or 1)) for number in rows.labels]
            labels = [[int(label >= step) for step in steps] for label in reached]
        return _features(dataset, rows, tokenizer, self.config, labels)

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """Mean absolute error in units of the scale, and Spearman correlation."""
        human = np.array(rows.labels, dtype=np.float64)

        def compute(prediction: EvalPrediction) -> dict[str, float]:
            numbers = self._numbers(first_output(prediction.predictions))
            spearman = weighted_spearman(np.ones((1, len(human))), human, numbers)[0]
            return {"mae": float(np.mean(np.abs(numbers - human))), "spearman": float(spearman)}

        return compute

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The number of every row, rounded to the steps of the scale; there is no confidence."""
        width = len(self._grid()) - 1 if self.ordinal else 1
        numbers = self._numbers(_logits(trainer, dataset, self.config, width))
        confidence = np.full(len(numbers), np.nan)
        return Prediction(self.schema, tuple(numbers.tolist()), confidence, np.empty((len(numbers), 0)))

    def _grid(self) -> tuple[float, ...]:
        grid = self.scale.grid()
        if grid is None:
            raise ConfigError("`scale_loss` is 'ordinal', but `scale` has no steps. Give a step above 0, or use 'mse'.")
        return grid

    def _numbers(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Numbers on the scale, shape (rows,)."""
        scale = self.scale
        if self.ordinal:
            # The number of steps reached is the number of positive answers.
            return np.asarray(np.array(self._grid())[(outputs > 0).sum(axis=-1)], dtype=np.float64)
        share = np.clip(outputs.astype(np.float64)[:, 0], 0, 1)
        numbers: NDArray[np.float64] = scale.low + share * (scale.high - scale.low)
        if scale.step is None:
            return numbers
        steps = np.rint((numbers - scale.low) / scale.step)
        return np.asarray(np.minimum(scale.low + steps * scale.step, self._grid()[-1]), dtype=np.float64)


def classification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy` and `f1_macro`, the mean F1 of the classes that occur among labels or predictions.

    Args:
        prediction: logits, shape (rows, classes), and label codes, shape (rows,).
    """
    logits = first_output(prediction.predictions)
    counts = confusion_counts(np.asarray(prediction.label_ids), logits.argmax(axis=-1), logits.shape[-1])
    return {"accuracy": float(score("accuracy", counts)), "f1_macro": float(score("macro_f1", counts))}


def _check_varied(config: StudentConfig, labels: Sequence[Any]) -> None:
    if len(set(labels)) == 1:
        raise DataError(
            f"`{config.label_column}` is {labels[0]!r} in all {len(labels)} labeled rows. A student needs rows with at "
            "least two different labels."
        )


def _features(
    dataset: Dataset,
    rows: TrainingRows,
    tokenizer: PreTrainedTokenizerBase,
    config: StudentConfig,
    labels: list[Any],
    probs: list[Any] | None = None,
) -> Dataset:
    features = tokenize(
        dataset.select(rows.kept), tokenizer, text_columns=config.text_columns, max_length=config.max_length
    ).add_column(LABELS, labels)
    weights = None if rows.weights is None else rows.weights.tolist()
    for column, values in ((PROBS, probs), (WEIGHT, weights)):
        features = features if values is None else features.add_column(column, values)
    return features


def _logits(trainer: Trainer, dataset: Dataset, config: StudentConfig, width: int) -> NDArray[np.float64]:
    """The head's outputs of every row in row order, shape (rows, width)."""
    if not len(dataset):
        return np.empty((0, width))
    features = tokenize(
        dataset, trainer.processing_class, text_columns=config.text_columns, max_length=config.max_length
    )
    return np.asarray(first_output(trainer.predict(features).predictions), dtype=np.float64)
