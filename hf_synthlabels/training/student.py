"""Student: a trained model, ready to predict, label and save; and its scores on held-out rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from accelerate.state import AcceleratorState
from datasets import Dataset, IterableDataset, concatenate_datasets
from transformers import PrinterCallback

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.tables.columns import annotation_columns
from hf_synthlabels.training.base_model import load_base, quiet
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.held_out import HeldOut, prediction_scores
from hf_synthlabels.training.data.training_rows import TrainingRows
from hf_synthlabels.training.prediction import (
    Conditions,
    Prediction,
    check_columns,
    label_columns,
    labelled_stream,
    skipped_rows,
    table_features,
    with_labels,
)
from hf_synthlabels.training.saving.saved_student import (
    gather_weights,
    read_student,
    save_student,
    student_folder,
    student_settings,
    update_student,
)
from hf_synthlabels.training.tasks import StudentTask, student_task
from hf_synthlabels.training.tasks.multi_head import MultiHeadTask
from hf_synthlabels.training.trainer import StudentTrainer
from hf_synthlabels.training.weak_supervision.learning_rows import LearningRows, save_sources

DEFAULT_COLUMN = "student_label"


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

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of a multi-head student, or the label column of another one."""
        return tuple(self.config.label_columns)

    def predict(self, dataset: Dataset) -> Prediction:
        """Predict a label for every row in row order; a missing text counts as an empty one.

        Raises:
            DataError: a text column is missing or does not contain text, or a question leaves no room for its context.
            ConfigError: the student has several heads; see `predict_variables`.
        """
        return self.task.predict(self.trainer, dataset)

    def predict_variables(self, dataset: Dataset, variables: Sequence[str] = ()) -> dict[str, Prediction]:
        """Predict the labels of each variable, from one pass over the rows.

        Args:
            dataset: the rows.
            variables: variables to predict; default: all.

        Raises:
            ConfigError: the student does not have such a variable.
            DataError: a text column is missing or does not contain text.
        """
        self._check_variables(variables)
        task = self.task
        if isinstance(task, MultiHeadTask):
            return task.predict_variables(self.trainer, dataset, variables)
        return {self.config.label_column: self.predict(dataset)}

    def _conditions(self) -> Conditions:
        """The condition of each variable, if it has one."""
        task = self.task
        heads = task.heads if isinstance(task, MultiHeadTask) else ()
        return {name: None for name in self.variables} | {head.variable: head.ask_if for head in heads}

    def _check_variables(self, variables: Sequence[str]) -> None:
        for name in variables:
            if name not in self.variables:
                raise ConfigError(f"`variable` is {name!r}. The student has: {', '.join(self.variables)}.")

    def output_columns(self, column: str | None = None, variables: Sequence[str] = ()) -> dict[str, LabelSchema]:
        """The label columns that `label` adds, with their label schemas.

        Args:
            column: the column, default "student_label"; of a multi-head student a prefix of the variables' columns, by
                default none.
            variables: variables of a multi-head student; default: all.

        Raises:
            ConfigError: the student does not have such a variable.
        """
        self._check_variables(variables)
        task = self.task
        if not isinstance(task, MultiHeadTask):
            return {column or DEFAULT_COLUMN: task.schema}
        prefix = f"{column}_" if column else ""
        chosen = [head for head in task.heads if not variables or head.variable in variables]
        return {f"{prefix}{head.variable}": head.schema for head in chosen}

    def label(
        self,
        rows: Dataset | IterableDataset,
        column: str | None = None,
        *,
        variables: Sequence[str] = (),
        min_confidence: float | None = None,
        probabilities: bool = False,
    ) -> Any:
        """Add the columns `<column>`, `<column>_status` and `<column>_confidence`, named as those of annotation.

        Args:
            rows: a Dataset, or a stream, which is labeled as it is read.
            column: name of the label column, default "student_label"; a multi-head student adds `<variable>` or, with a
                column, `<column>_<variable>` for each variable.
            variables: variables of a multi-head student to add; default: all.
            min_confidence: rows below it abstain: status `abstained`, no label.
            probabilities: also add `<column>_probs`, the probability of every label name.

        Raises:
            DataError: a text column is missing or does not contain text, or a label column exists.
            ConfigError: the task has no confidence or no probabilities, or the student does not have a variable.
        """
        schemas = self.output_columns(column, variables)
        for schema in schemas.values():
            check_columns(schema, min_confidence, probabilities=probabilities)

        def columns_of(part: Dataset) -> Dataset:
            predictions = self.predict_variables(part)
            chosen = [name for name in predictions if not variables or name in variables]
            parts = [
                label_columns(
                    predictions[name],
                    column,
                    min_confidence=min_confidence,
                    probabilities=probabilities,
                    skipped=skipped_rows(predictions, name, self._conditions(), min_confidence),
                )
                for column, name in zip(schemas, chosen, strict=True)
            ]
            return concatenate_datasets(parts, axis=1) if len(parts) > 1 else parts[0]

        if isinstance(rows, IterableDataset):
            return labelled_stream(rows, columns_of, table_features(schemas, probabilities=probabilities))
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


def held_out_scores(
    student: Student, dataset: Dataset, columns: Sequence[str], records: Sequence[Mapping[str, Any]] = ()
) -> list[HeldOut]:
    """Scores of a student's predictions against each label column; empty for text generation.

    Every process must call it.

    Args:
        student: the student.
        dataset: rows that it was not trained on.
        columns: label columns to compare with; a column without any label is left out. A multi-head student compares
            each variable with its own column and that of its human labels.
        records: provenance of the rows.
    """
    config = student.config
    if config.task == "text-generation" or not len(dataset):
        return []
    written = {str(record.get("column")) for record in records} | set(annotation_columns(dataset.column_names))
    if not isinstance(config.heads, dict):
        tokens = config.text_columns[0] if config.task == "token-classification" else None
        lists = tokens is not None and not hasattr(dataset.features[tokens], "dtype")
        prediction = student.predict(dataset)
        return prediction_scores(prediction, dataset, columns, written, tokens=tokens if lists else None)
    scores = []
    for variable, prediction in student.predict_variables(dataset).items():
        own = [variable, *filter(None, [config.heads[variable].get("human")])]
        scores += prediction_scores(prediction, dataset, own, written)
    return scores
