"""Tasks with one output per row: one name, several names, a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.statistics.validation.label_columns import label_column, read_label
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.features import LABELS, WEIGHT, tokenise, training_features
from hf_synthlabels.training.data.training_rows import TrainingRows, training_rows
from hf_synthlabels.training.evaluation.metrics import classification_metrics, multilabel_metrics, scale_metrics
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, LabelledRows, Metrics, Rows, labelled_rows, named_head
from hf_synthlabels.training.tasks.objectives import (
    Classification,
    MultiLabel,
    Objective,
    OrdinalScale,
    ScaleRegression,
)


@dataclass(frozen=True, slots=True)
class NamedTask:
    """One name per row, of a text or of a pair of texts."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """Cross-entropy."""
        return Classification()

    @property
    def head(self) -> Head:
        """One output for each name."""
        return named_head(self.schema.names)

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The rows that have a name."""
        config = self.config
        return training_rows(
            dataset,
            names=self.schema.names,
            label_column=config.label_column,
            probs_column=config.probs_column,
            weight_column=config.weight_column,
        )

    def check(self, rows: Rows) -> None:
        """Two names at least must occur, or soft labels."""
        assert isinstance(rows, TrainingRows)
        seen = np.unique(rows.codes)
        if len(seen) == 1 and rows.probs is None:
            raise DataError(_all_alike(self.config, repr(rows.names[seen[0]]), len(rows)))

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Rows:  # noqa: ARG002
        """All of them."""
        return rows

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:  # noqa: ARG002
        """Tokens, code, probabilities and weight."""
        assert isinstance(rows, TrainingRows)
        config = self.config
        return training_features(
            dataset, rows, tokenizer, text_columns=config.text_columns, max_length=config.max_length
        )

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Plain padding."""
        return None

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """Accuracy and macro-F1."""
        return classification_metrics

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The likeliest name of every row; a missing text counts as an empty one."""
        logits = _outputs(trainer, dataset, self.config, len(self.schema.names))
        probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        labels = tuple(self.schema.names[code] for code in probabilities.argmax(axis=-1))
        return Prediction(self.schema, labels, probabilities.max(axis=-1, initial=0), probabilities)


@dataclass(frozen=True, slots=True)
class MultiLabelTask:
    """Any number of names per row."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def objective(self) -> Objective:
        """Binary cross-entropy of each name."""
        weights = self.config.class_weights
        if weights is not None and (len(weights) != len(self.schema.names) or min(weights) <= 0):
            raise ConfigError(
                f"`class_weights` is {weights!r}. Give one number above 0 for each of {len(self.schema.names)} labels."
            )
        return MultiLabel(class_weights=None if weights is None else tuple(weights))

    @property
    def head(self) -> Head:
        """One output for each name."""
        return named_head(self.schema.names, problem_type="multi_label_classification")

    def rows(self, dataset: Dataset) -> LabelledRows:
        """The rows that have names, or none of them; None is a row without a label."""
        config, names = self.config, self.schema.names
        column = label_column(dataset, config.label_column, "multi-label")
        return labelled_rows(
            dataset,
            config.label_column,
            lambda row: read_label(column, row, "multi-label", names, None, None),
            names=names,
            weight_column=config.weight_column,
        )

    def check(self, rows: Rows) -> None:
        """Two different sets of names at least must occur."""
        assert isinstance(rows, LabelledRows)
        if len(set(rows.labels)) == 1:
            raise DataError(_all_alike(self.config, repr(list(rows.labels[0])), len(rows)))

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Rows:  # noqa: ARG002
        """All of them."""
        return rows

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:  # noqa: ARG002
        """Tokens, 1 or 0 for each name, and weight."""
        assert isinstance(rows, LabelledRows)
        held = [[int(name in label) for name in self.schema.names] for label in rows.labels]
        return _features(dataset, rows, tokenizer, self.config, held)

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Plain padding."""
        return None

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """Micro- and macro-F1, and the share of rows with all names right."""
        return lambda prediction: multilabel_metrics(prediction, threshold=self.config.threshold)

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The names of every row whose probability reaches the threshold.

        The confidence of a row is the least of the probabilities with which each name is there, or is not.
        """
        logits = _outputs(trainer, dataset, self.config, len(self.schema.names))
        probabilities = 1 / (1 + np.exp(-logits))
        held = probabilities >= self.config.threshold
        names = self.schema.names
        labels = tuple(tuple(name for name, has in zip(names, row, strict=True) if has) for row in held)
        confidence = np.where(held, probabilities, 1 - probabilities).min(axis=-1, initial=1)
        return Prediction(self.schema, labels, confidence, probabilities)


@dataclass(frozen=True, slots=True)
class ScaleTask:
    """A number per row, on a scale."""

    config: StudentConfig
    schema: LabelSchema

    @property
    def ordinal(self) -> bool:
        """Whether the steps of the scale are learnt, and not the number."""
        return self.config.scale_loss == "ordinal"

    @property
    def objective(self) -> Objective:
        """Squared error on a scale from 0 to 1, or whether each step is reached."""
        return OrdinalScale() if self.ordinal else ScaleRegression()

    @property
    def head(self) -> Head:
        """One output, or one for each step but the first."""
        if not self.ordinal:
            return Head(AutoModelForSequenceClassification, {"num_labels": 1, "problem_type": "regression"})
        names = [f">={number:g}" for number in self._grid()[1:]]
        return named_head(names, problem_type="multi_label_classification")

    def rows(self, dataset: Dataset) -> LabelledRows:
        """The rows that have a number on the scale."""
        config = self.config
        column = label_column(dataset, config.label_column, "text-scale")
        found = labelled_rows(
            dataset,
            config.label_column,
            lambda row: read_label(column, row, "text-scale", (), self.schema.scale, None),
            weight_column=config.weight_column,
        )
        scale = self.schema.scale
        assert scale is not None
        for row, number in zip(found.kept, found.labels, strict=True):
            if not scale.holds(number):
                raise DataError(
                    f"`{config.label_column}` of row {row} is {number!r}, which is not on the scale {scale}. Correct "
                    "the row or the scale; a step of 0 allows any number."
                )
        return found

    def check(self, rows: Rows) -> None:
        """Two different numbers at least must occur."""
        assert isinstance(rows, LabelledRows)
        if len(set(rows.labels)) == 1:
            raise DataError(_all_alike(self.config, repr(rows.labels[0]), len(rows)))

    def learnable(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Rows:  # noqa: ARG002
        """All of them."""
        return rows

    def features(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase, *, training: bool) -> Dataset:  # noqa: ARG002
        """Tokens, the place on the scale from 0 to 1 or the number of the step, and weight."""
        assert isinstance(rows, LabelledRows)
        scale = self.schema.scale
        assert scale is not None
        span = scale.high - scale.low
        places: list[Any] = [(number - scale.low) / span for number in rows.labels]
        if self.ordinal:
            places = [round((number - scale.low) / (scale.step or 1)) for number in rows.labels]
        return _features(dataset, rows, tokenizer, self.config, places)

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Plain padding."""
        return None

    def metrics(self, dataset: Dataset, rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:  # noqa: ARG002
        """Mean absolute error in units of the scale, and Spearman's correlation."""
        assert isinstance(rows, LabelledRows)
        truth = np.array(rows.labels, dtype=np.float64)

        def measured(prediction: EvalPrediction) -> dict[str, float]:
            return scale_metrics(self._numbers(_first(prediction.predictions)), truth)

        return measured

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:
        """The number of every row, on a step of the scale where it has steps; there is no confidence."""
        numbers = self._numbers(_outputs(trainer, dataset, self.config, len(self._grid()) - 1 if self.ordinal else 1))
        nothing = np.full(len(numbers), np.nan)
        return Prediction(self.schema, tuple(numbers.tolist()), nothing, np.empty((len(numbers), 0)))

    def _grid(self) -> tuple[float, ...]:
        assert self.schema.scale is not None
        grid = self.schema.scale.grid()
        if grid is None:
            raise ConfigError("`scale_loss` is 'ordinal', but `scale` has no steps. Give a step above 0, or use 'mse'.")
        return grid

    def _numbers(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Numbers on the scale, shape (rows,)."""
        scale = self.schema.scale
        assert scale is not None
        if self.ordinal:
            # How many steps are reached is how many questions are answered with yes.
            reached: NDArray[np.float64] = np.array(self._grid())[(outputs > 0).sum(axis=-1)]
            return reached
        numbers: NDArray[np.float64] = scale.low + np.clip(outputs.astype(np.float64)[:, 0], 0, 1) * (
            scale.high - scale.low
        )
        if scale.step is None:
            return numbers
        steps = np.rint((numbers - scale.low) / scale.step)
        return np.asarray(np.minimum(scale.low + steps * scale.step, self._grid()[-1]), dtype=np.float64)


def _all_alike(config: StudentConfig, label: str, count: int) -> str:
    return (
        f"`{config.label_column}` is {label} in all {count} labelled rows. A student needs rows of two labels or more."
    )


def _features(
    dataset: Dataset, rows: LabelledRows, tokenizer: PreTrainedTokenizerBase, config: StudentConfig, labels: list[Any]
) -> Dataset:
    features = tokenise(
        dataset.select(rows.kept), tokenizer, text_columns=config.text_columns, max_length=config.max_length
    ).add_column(LABELS, labels)
    return features if rows.weights is None else features.add_column(WEIGHT, rows.weights.tolist())


def _outputs(trainer: Trainer, dataset: Dataset, config: StudentConfig, width: int) -> NDArray[np.float64]:
    """The head's outputs of every row in row order, shape (rows, width)."""
    if not len(dataset):
        return np.empty((0, width))
    features = tokenise(
        dataset, trainer.processing_class, text_columns=config.text_columns, max_length=config.max_length
    )
    found: NDArray[np.float64] = _first(trainer.predict(features).predictions).astype(np.float64)
    return found


def _first(predictions: Any) -> NDArray[Any]:
    """The logits among a head's outputs."""
    logits: NDArray[Any] = predictions[0] if isinstance(predictions, tuple) else predictions
    return logits
