"""Ratings: a number on a scale for each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.statistics.agreement.correlation import weighted_spearman
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.training_rows import TrainingRows, labelled_rows
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, Metrics, class_head, first_output
from hf_synthlabels.training.tasks.objectives import MultiLabel, Objective, ScaleRegression
from hf_synthlabels.training.tasks.sequence import check_varied, row_features, row_logits


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
        check_varied(self.config, rows.labels)
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
        return row_features(dataset, rows, tokenizer, self.config, labels)

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
        numbers = self._numbers(row_logits(trainer, dataset, self.config, width))
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
