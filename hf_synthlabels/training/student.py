"""Student: a trained model, ready to predict, label and save; and its scores on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from accelerate.state import AcceleratorState
from datasets import ClassLabel, Dataset, IterableDataset, Value
from transformers import PrinterCallback

from hf_synthlabels.statistics import MEASURES, Interval, validate
from hf_synthlabels.tables.columns import annotation_columns
from hf_synthlabels.training.base_model import load_base, quiet
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.training_rows import TrainingRows
from hf_synthlabels.training.prediction import Prediction, check_columns, label_columns, labelled_stream, with_labels
from hf_synthlabels.training.saving.saved_student import (
    gather_weights,
    read_student,
    save_student,
    student_folder,
    student_settings,
    update_student,
)
from hf_synthlabels.training.tasks import StudentTask, student_task
from hf_synthlabels.training.trainer import StudentTrainer
from hf_synthlabels.training.weak_supervision.learning_rows import LearningRows, save_sources

PREDICTED = "hf_synthlabels_prediction"


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """A trained model, with its configuration, training rows and metrics."""

    trainer: StudentTrainer
    config: StudentConfig
    rows: TrainingRows
    """The training rows and the number of rows left out; empty for a loaded student."""
    metrics: Mapping[str, float]
    """`train_loss`, `train_steps`, `train_seconds`; the same prefixed with `human_` for fine-tuning on human rows.

    After an evaluation also `eval_loss`, `eval_rows`, `eval_rows_unlabelled` and the scores of the task:
    `eval_accuracy` and `eval_f1_macro` (single-label), also `eval_f1_micro` (multi-label), `eval_mae` and
    `eval_spearman` (ratings), `eval_entity_f1`, `eval_exact_match` and `eval_token_f1` (answers). Against LLM labels
    they are named `eval_llm_agreement`, `eval_llm_f1_macro` and so on. With `load_best_model_at_end` they belong to the
    best weights, and `best_epoch` and its neighbors describe the selection (see `best_metrics`)."""
    learning: LearningRows | None = None
    """For single-label tasks, the source of each label, and the estimated transition matrix and temperature."""

    @property
    def names(self) -> tuple[str, ...]:
        """Label names in the order of the codes and of the probability columns; empty for tasks without names."""
        return self.rows.names

    @property
    def task(self) -> StudentTask:
        """The task-specific parts of the student."""
        return student_task(self.config, self.names)

    def predict(self, dataset: Dataset) -> Prediction:
        """Predict a label for every row in row order; a missing text counts as an empty one.

        Raises:
            DataError: a text column is missing or does not contain text, or a question leaves no room for its context.
        """
        return self.task.predict(self.trainer, dataset)

    def label(
        self,
        rows: Dataset | IterableDataset,
        column: str = "student_label",
        *,
        min_confidence: float | None = None,
        probabilities: bool = False,
    ) -> Any:
        """Add the columns `<column>`, `<column>_status` and `<column>_confidence`, named as those of annotation.

        Args:
            rows: a Dataset, or a stream, which is labeled as it is read.
            column: name of the label column.
            min_confidence: rows below it abstain: status `abstained`, no label.
            probabilities: also add `<column>_probs`, the probability of every label name.

        Raises:
            DataError: a text column is missing or does not contain text, or a label column exists.
            ConfigError: the task has no confidence or no probabilities.
        """
        check_columns(self.task.schema, min_confidence, probabilities=probabilities)

        def columns_of(part: Dataset) -> Dataset:
            prediction = self.predict(part)
            return label_columns(prediction, column, min_confidence=min_confidence, probabilities=probabilities)

        if isinstance(rows, IterableDataset):
            return labelled_stream(rows, columns_of, self.task.schema, column, probabilities=probabilities)
        return with_labels(rows, columns_of(rows))

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> Self:
        """Load a student that `save` or `hf-synthlabels train` wrote.

        Args:
            name: its folder, or its repository on the Hub.
            options: options of StudentConfig to override, such as `per_device_eval_batch_size` or `threshold`.

        Raises:
            ConfigError: the folder does not exist, or an option is invalid.
            TrainingError: the folder has no valid student.json, or its model cannot be loaded.
        """
        folder = student_folder(name)
        saved = read_student(folder)
        config = StudentConfig(**{"output_dir": str(folder), **saved.settings, **options, "model": str(folder)})
        task = student_task(config, saved.names)
        base = load_base(config, saved.names, head=task.head)
        AcceleratorState._reset_state()
        trainer = StudentTrainer(
            base.model,
            config,
            processing_class=base.tokenizer,
            data_collator=task.collator(base.tokenizer),
            objective=task.objective,
        )
        trainer.remove_callback(PrinterCallback)
        rows = TrainingRows(np.empty(0, dtype=np.int64), (), saved.names)
        return cls(trainer, config, rows, saved.metrics)

    def save(self, folder: str | Path) -> None:
        """Write model, tokenizer and student.json; every process must call it, the main process writes.

        `label_sources.json` has the row counts and estimates if human and LLM labels were combined. An interruption
        leaves the earlier content of the folder.

        Raises:
            TrainingError: the folder cannot be written, or contains the base model of the student's adapters.
        """
        weights = gather_weights(self.trainer)
        if self.trainer.is_world_process_zero():
            with quiet(active=bool(self.config.disable_tqdm)):
                save_student(self.trainer.model, self.trainer.processing_class, folder, self.config, weights)
            save_sources(self.learning, folder)
            update_student(folder, **student_settings(self.config, self.names, self.metrics))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Scores against one column of labels."""

    column: str
    llm: bool
    """Whether the labels are those of an LLM: then the scores measure agreement, not accuracy."""
    rows: int
    scores: Mapping[str, Interval]
    kind: str

    @property
    def title(self) -> str:
        """Title of the scores."""
        of = "agreement with the LLM labels" if self.llm else "against the labels"
        return f"{of} in `{self.column}`, {self.rows:,} held-out rows"

    def lines(self) -> list[str]:
        """One line per score."""
        names = {name: MEASURES[self.kind].get(name, name) for name in self.scores}
        width = max(map(len, names.values()), default=0)
        return [
            f"  {names[name]:<{width}}  {score.estimate:.3f} [{score.low:.3f}, {score.high:.3f}]"
            for name, score in self.scores.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        scores = {
            name: {"estimate": score.estimate, "low": score.low, "high": score.high, "n": score.n}
            for name, score in self.scores.items()
        }
        return {"column": self.column, "llm": self.llm, "rows": self.rows, "scores": scores}


def held_out_scores(
    student: Student, dataset: Dataset, columns: Sequence[str], records: Sequence[Mapping[str, Any]] = ()
) -> list[HeldOut]:
    """Scores of a student's predictions against each label column; empty for text generation.

    Every process must call it.

    Args:
        student: the student.
        dataset: rows that it was not trained on.
        columns: label columns to compare with; a column without any label is left out.
        records: provenance of the rows.
    """
    if student.config.task == "text-generation" or not len(dataset):
        return []
    dataset = _with_names(student, dataset, columns)
    labelled = student.predict(dataset).add_to(dataset, PREDICTED)
    written = {str(record.get("column")) for record in records} | set(annotation_columns(dataset.column_names))
    tokens = student.config.text_columns[0] if student.config.task == "token-classification" else None
    lists = tokens is not None and not hasattr(dataset.features[tokens], "dtype")
    results = []
    for column in dict.fromkeys(columns):
        if column not in dataset.column_names or all(value is None for value in dataset[column][:]):
            continue
        report = validate(
            labelled,
            human=column,
            llm=PREDICTED,
            schema=student.task.schema,
            tokens=tokens if lists else None,
            confidence=False,
        )
        scores = {
            name: score
            for name, score in report.scores.items()
            if name != "coverage" and not name.endswith("_answered") and not math.isnan(score.estimate)
        }
        results.append(HeldOut(column, column in written, report.n_human, scores, report.kind))
    return results


def _with_names(student: Student, dataset: Dataset, columns: Sequence[str]) -> Dataset:
    """Columns of integer codes as ClassLabel columns with the student's names."""
    if student.config.task not in ("text-classification", "text-pair"):
        return dataset
    for column in columns:
        feature = dataset.features.get(column)
        if isinstance(feature, Value) and feature.dtype.startswith(("int", "uint")):
            dataset = dataset.cast_column(column, ClassLabel(names=list(student.names)))
    return dataset
