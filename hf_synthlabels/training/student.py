"""One call from rows with label columns to a trained student."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accelerate.state import AcceleratorState
from datasets import Dataset
from numpy.typing import NDArray
from transformers import PrinterCallback
from transformers.trainer_utils import TrainOutput

from hf_synthlabels.errors import ConfigError, DataError, TrainingError
from hf_synthlabels.training.base import BaseModel, load_base, quiet
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data import tokenise, training_features
from hf_synthlabels.training.metrics import classification_metrics
from hf_synthlabels.training.rows import TrainingRows, training_rows
from hf_synthlabels.training.trainer import StudentTrainer

__all__ = ["Prediction", "Student", "train_student"]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a student says of each row, in row order."""

    codes: NDArray[np.int64]
    """The likeliest label, an index into the student's names, shape (rows,)."""
    probabilities: NDArray[np.float64]
    """Shape (rows, names); each row sums to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """A trained model with what is needed to use it and to tell how it came about."""

    trainer: StudentTrainer
    config: StudentConfig
    rows: TrainingRows
    """The rows it was trained on, and how many were left out."""
    metrics: Mapping[str, float]
    """`train_loss`, `train_steps`, `train_seconds`, and after an evaluation `eval_loss`, `eval_accuracy`,
    `eval_f1_macro`, `eval_rows` and `eval_rows_unlabelled`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Label names in the order of the codes and of the probabilities' columns."""
        return self.rows.names

    def predict(self, dataset: Dataset) -> Prediction:
        """Classify every row; none is dropped, a missing text counts as an empty one.

        Args:
            dataset: rows with the text columns that the student was trained on.

        Raises:
            DataError: a text column is missing or does not hold text.
        """
        if not len(dataset):
            return Prediction(np.empty(0, dtype=np.int64), np.empty((0, len(self.names))))
        features = tokenise(
            dataset,
            self.trainer.processing_class,
            text_columns=self.config.text_columns,
            max_length=self.config.max_length,
        )
        logits = self.trainer.predict(features).predictions
        if isinstance(logits, tuple):
            logits = logits[0]
        probabilities = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        return Prediction(probabilities.argmax(axis=-1), probabilities)

    def save(self, folder: str | Path) -> None:
        """Write model and tokenizer for `from_pretrained`; on several processes only the first does."""
        if self.trainer.is_world_process_zero():
            with quiet(active=bool(self.config.disable_tqdm)):
                self.trainer.model.save_pretrained(folder)
                self.trainer.processing_class.save_pretrained(folder)


def train_student(
    config: StudentConfig, train: Dataset, *, names: Sequence[str], eval: Dataset | None = None
) -> Student:
    """Train a student on the rows that have a label; the same config and rows give the same student.

    Args:
        config: what to train and how; `max_steps` makes arms of different size train equally long.
        train: rows with the text, label and, where the config names them, probability and weight columns.
        names: every label name, in the order of the student's outputs.
        eval: rows to compute the evaluation metrics on; those without a label are left out and counted.

    Raises:
        ConfigError: no model is named, it can not read texts of `max_length` tokens, or `eval_strategy` lacks `eval`.
        DataError: a column is missing or holds what it should not, no row has a label, or all have the same.
        TrainingError: the model can not be loaded, or training diverged.
    """
    rows = _rows(train, config, names)
    seen = np.unique(rows.codes)
    if len(seen) == 1 and rows.probs is None:
        raise DataError(
            f"`{config.label_column}` is {rows.names[seen[0]]!r} in all {len(rows)} labelled rows. A student needs "
            "rows of two labels or more."
        )
    held_out = None if eval is None else _rows(eval, config, names)
    if held_out is None and config.eval_strategy != "no":
        raise ConfigError(
            f"`eval_strategy` is {config.eval_strategy.value!r}, but there are no rows to evaluate on. Pass `eval`, "
            "or leave the option out."
        )
    base = load_base(config, rows.names)
    trainer = _trainer(
        config,
        base,
        _features(train, rows, config, base),
        None if eval is None or held_out is None else _features(eval, held_out, config, base),
    )
    result = trainer.train()
    if not math.isfinite(result.training_loss):
        raise TrainingError(
            f"`learning_rate` is {config.learning_rate}, with which the loss became {result.training_loss}. Lower it."
        )
    metrics = _metrics(trainer, result, held_out)
    # A study keeps many students; the optimizer is twice the size of the model.
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.accelerator.free_memory()
    return Student(trainer, config, rows, metrics)


def _metrics(trainer: StudentTrainer, result: TrainOutput, held_out: TrainingRows | None) -> dict[str, float]:
    metrics = {
        "train_loss": float(result.training_loss),
        "train_steps": float(result.global_step),
        "train_seconds": float(result.metrics["train_runtime"]),
    }
    if held_out is not None:
        measured = trainer.evaluate()
        metrics |= {key: measured[key] for key in ("eval_loss", "eval_accuracy", "eval_f1_macro")}
        metrics |= {"eval_rows": float(len(held_out)), "eval_rows_unlabelled": float(held_out.n_unlabelled)}
    return metrics


def _rows(dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> TrainingRows:
    return training_rows(
        dataset,
        names=names,
        label_column=config.label_column,
        probs_column=config.probs_column,
        weight_column=config.weight_column,
    )


def _features(dataset: Dataset, rows: TrainingRows, config: StudentConfig, base: BaseModel) -> Dataset:
    return training_features(
        dataset, rows, base.tokenizer, text_columns=config.text_columns, max_length=config.max_length
    )


def _trainer(config: StudentConfig, base: BaseModel, train: Dataset, held_out: Dataset | None) -> StudentTrainer:
    # The precision of the process's first run sticks in accelerate's shared state, and a run with another one is
    # refused. Trainer makes the state anew; the process group stays.
    AcceleratorState._reset_state()
    trainer = StudentTrainer(
        base.model,
        config,
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=base.tokenizer,
        compute_metrics=classification_metrics,
    )
    if config.disable_tqdm:
        # Without progress bars Trainer prints its log instead.
        trainer.remove_callback(PrinterCallback)
    return trainer
