"""One call from rows with label columns to a trained student."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from accelerate.state import AcceleratorState
from datasets import Dataset, IterableDataset
from transformers import PrinterCallback, TrainerCallback

from hf_synthlabels.errors import ConfigError, TrainingError
from hf_synthlabels.tables.columns import annotation_columns
from hf_synthlabels.training.base_model import BaseModel, load_base, quiet
from hf_synthlabels.training.callbacks.cost import RunCost, cost_metrics
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.packing import check_causal, check_isolation
from hf_synthlabels.training.distributed.micro_batches import ROW
from hf_synthlabels.training.distributed.sharded_weights import shardable, whole_weights
from hf_synthlabels.training.evaluation.best_evaluation import best_metrics
from hf_synthlabels.training.options.hub_options import NO_PUBLISHER
from hf_synthlabels.training.prediction import check_columns, label_columns, labelled_stream, with_labels
from hf_synthlabels.training.saving.saved_student import (
    read_student,
    save_student,
    settings_of,
    student_folder,
    update_student,
)
from hf_synthlabels.training.student_file import label_names
from hf_synthlabels.training.tasks import LabelledRows, NamedTask, Prediction, Rows, StudentTask, student_task
from hf_synthlabels.training.trainer import StudentTrainer
from hf_synthlabels.training.weak_supervision.curriculum import check_can_follow, second_stage_config
from hf_synthlabels.training.weak_supervision.forward_correction import SOURCE, ForwardCorrection
from hf_synthlabels.training.weak_supervision.learning_rows import (
    LearningRows,
    evaluation_rows,
    learning_rows,
    save_sources,
)

SPEED = ("_runtime", "_per_second", "_preparation_time")
"""How what Trainer measures of itself ends."""


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """A trained model with what is needed to use it and to tell how it came about."""

    trainer: StudentTrainer
    config: StudentConfig
    rows: Rows
    """The rows it was trained on, and how many were left out; none for a student that was loaded."""
    metrics: Mapping[str, float]
    """`train_loss`, `train_steps`, `train_seconds`, the same with `human_` before them for human rows that came after,
    and after an evaluation `eval_loss`, `eval_rows`, `eval_rows_unlabelled` and the scores of the kind of label:
    `eval_accuracy` and `eval_f1_macro` of names, `eval_f1_micro` too of several, `eval_mae` and `eval_spearman` of
    numbers, `eval_entity_f1` of entities, `eval_exact_match` and `eval_token_f1` of answers. Against labels that an LLM
    wrote they are `eval_llm_agreement`, `eval_llm_f1_macro` and so on. With
    `load_best_model_at_end` they are those of the best weights, and `best_epoch` and its neighbours say which (see
    `best_metrics`)."""
    learning: LearningRows | None = None
    """Of one name per row, who labelled the rows, and the transition matrix and temperature that were estimated from
    the human ones."""

    @property
    def names(self) -> tuple[str, ...]:
        """Label names in the order of the codes and of the probabilities' columns; none where the kind has none."""
        return self.rows.names

    @property
    def task(self) -> StudentTask:
        """All that depends on the kind of label."""
        return student_task(self.config, self.names)

    def predict(self, dataset: Dataset) -> Prediction:
        """Label every row; none is dropped, a missing text counts as an empty one.

        Args:
            dataset: rows with the text columns that the student was trained on.

        Raises:
            DataError: a text column is missing or does not hold text, or a question leaves no room for its context.
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
        """The rows with label columns: `<column>`, `<column>_status`, `<column>_confidence`, as annotation writes them.

        A Dataset is labelled at once, a stream as it is read.

        Args:
            rows: with the text columns that the student was trained on.
            column: the name of the label column.
            min_confidence: rows below it abstain: status `abstained`, no label.
            probabilities: also add `<column>_probs`, the probability of every name.

        Raises:
            DataError: a text column is missing or does not hold text, or a label column is there already.
            ConfigError: the kind of label has no confidence or no probabilities.
        """
        check_columns(self.task.schema, min_confidence, probabilities=probabilities)

        def added(part: Dataset) -> Dataset:
            found = self.predict(part)
            return label_columns(found, column, min_confidence=min_confidence, probabilities=probabilities)

        if isinstance(rows, IterableDataset):
            return labelled_stream(rows, added, self.task.schema, column, probabilities=probabilities)
        return with_labels(rows, added(rows))

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> Self:
        """A student that `save` or `hf-synthlabels train` wrote, ready to predict.

        Args:
            name: its folder, or its repository on the Hub.
            options: of StudentConfig, where they shall differ, such as `per_device_eval_batch_size` or `threshold`.

        Raises:
            ConfigError: there is no such folder, or an option is wrong.
            TrainingError: it has no student.json, or its model cannot be loaded.
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
        rows = LabelledRows(np.empty(0, dtype=np.int64), (), saved.names, 0)
        return cls(trainer, config, rows, saved.metrics)

    def save(self, folder: str | Path) -> None:
        """Write model, tokenizer and student.json; every process must call it, the first one writes.

        transformers reads the model, and `Student.from_pretrained` all of it. Where human labels were distinguished
        from the LLM's, `label_sources.json` has their numbers and the estimates. An interruption leaves what was in
        the folder before.

        Raises:
            TrainingError: the folder cannot be written, or holds the model that the student's adapters need.
        """
        weights = whole_weights(self.trainer)
        if self.trainer.is_world_process_zero():
            with quiet(active=bool(self.config.disable_tqdm)):
                save_student(self.trainer.model, self.trainer.processing_class, folder, self.config, weights)
            save_sources(self.learning, folder)
            update_student(folder, **settings_of(self.config, self.names, self.metrics))


def train_student(
    config: StudentConfig,
    train: Dataset,
    *,
    names: Sequence[str] = (),
    eval: Dataset | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    publish: Callable[[Student], object] | None = None,
) -> Student:
    """Train a student on the rows that have a label; the same config and rows give the same student.

    Args:
        config: what to train and how; `max_steps` makes arms of different size train equally long.
        train: rows with the text, label and, where the config names them, probability and weight columns. Labels are
            those that annotation writes, or a data set that people labelled has.
        names: every label name, in the order of the student's outputs; by default those that the label column has.
        eval: rows to compute the evaluation metrics on; those without a label are left out and counted.
        callbacks: Trainer's, beside those of its reporters; one with an attribute `trainer`, as FormatCurve, gets it.
        publish: called in every process with the finished student, where `push_to_hub` is true; see
            `publishing.StudentPublisher`. Nothing is pushed before.

    Raises:
        ConfigError: no model is named, it can not read texts of `max_length` tokens, `eval_strategy` lacks `eval`, or
            `push_to_hub` lacks `publish`.
        DataError: a column is missing or holds what it should not, no row has a label, or all have the same.
        TrainingError: the model can not be loaded, or training diverged.
    """
    if config.push_to_hub and publish is None:
        raise ConfigError(NO_PUBLISHER)
    names = names or label_names(train, config.label_column, config.task)
    task = student_task(config, names)
    learning = learning_rows(train, config, names) if isinstance(task, NamedTask) else None
    rows = task.rows(train) if learning is None else learning.rows
    task.check(rows)
    held_out = None if eval is None else _held_out(task, eval, config, names)
    if held_out is None and config.eval_strategy != "no":
        raise ConfigError(
            f"`eval_strategy` is {config.eval_strategy.value!r}, but there are no rows to evaluate on. Pass `eval`, "
            "or leave the option out."
        )
    base = load_base(config, task.schema.names, head=task.head)
    rows = task.learnable(train, rows, base.tokenizer)
    tested = None if eval is None or held_out is None else _Tested(eval, held_out)
    trainer = _trainer(config, base, task, _features(task, train, rows, learning, base), tested, learning, callbacks)
    metrics = _trained(trainer, config, "train")
    if learning is not None and learning.after is not None:
        later = second_stage_config(config)
        last = _named(task.features(train, learning.after, base.tokenizer, training=True), learning.after)
        trainer = _trainer(later, base, task, last, tested, learning, callbacks)
        metrics |= _trained(trainer, later, "human_train")
    if held_out is not None:
        assert eval is not None
        llm = config.human_column is None and config.label_column in annotation_columns(eval.column_names)
        metrics |= _evaluated(trainer, held_out, llm=llm)
    # A study keeps many students; the optimizer is twice the size of the model.
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.accelerator.free_memory()
    student = Student(trainer, config, rows, metrics, learning)
    if config.push_to_hub and publish is not None:
        publish(student)
    return student


@dataclass(frozen=True, slots=True, eq=False)
class _Tested:
    """A data set to evaluate on, and its rows that have a label."""

    dataset: Dataset
    rows: Rows


def _held_out(task: StudentTask, dataset: Dataset, config: StudentConfig, names: Sequence[str]) -> Rows:
    return evaluation_rows(dataset, config, names) if isinstance(task, NamedTask) else task.rows(dataset)


def _trained(trainer: StudentTrainer, config: StudentConfig, name: str) -> dict[str, float]:
    """Train, and tell the mean loss, the steps and the seconds, and of the best evaluation which it was."""
    given: str | bool | None = config.resume_from_checkpoint
    # A checkpoint that is named belongs to the first part; the second goes on from its own last one.
    result = trainer.train(given if name == "train" else bool(given))
    if not math.isfinite(result.training_loss):
        raise TrainingError(
            f"`learning_rate` is {config.learning_rate}, with which the loss became {result.training_loss}. Lower it."
        )
    return {
        f"{name}_loss": float(result.training_loss),
        f"{name}_steps": float(result.global_step),
        f"{name}_seconds": float(result.metrics["train_runtime"]),
        **cost_metrics(trainer.callback_handler.callbacks, name),
        **{f"{name.removesuffix('train')}{key}": value for key, value in best_metrics(config, trainer.state).items()},
    }


def _evaluated(trainer: StudentTrainer, held_out: Rows, *, llm: bool) -> dict[str, float]:
    measured = trainer.evaluate()
    metrics = {key: value for key, value in measured.items() if key.startswith("eval_") and not key.endswith(SPEED)}
    if llm:
        # To agree with an LLM is not to be right.
        names = {key: key.removeprefix("eval_").replace("accuracy", "agreement") for key in metrics}
        metrics = {key if key == "eval_loss" else f"eval_llm_{names[key]}": value for key, value in metrics.items()}
    return metrics | {"eval_rows": float(len(held_out)), "eval_rows_unlabelled": float(held_out.n_unlabelled)}


def _features(
    task: StudentTask, dataset: Dataset, rows: Rows, learning: LearningRows | None, base: BaseModel
) -> Dataset:
    features = _named(task.features(dataset, rows, base.tokenizer, training=True), rows)
    if learning is None or learning.transition is None:
        return features
    return features.add_column(SOURCE, learning.human.astype(int).tolist())


def _named(features: Dataset, rows: Rows) -> Dataset:
    """With the number of each row in its data set, those without a label counted, for errors to name it by."""
    # Windows and packs are numbered as they come.
    return features.add_column(ROW, rows.kept.tolist()) if len(features) == len(rows) else features


def _trainer(
    config: StudentConfig,
    base: BaseModel,
    task: StudentTask,
    train: Dataset,
    tested: _Tested | None,
    learning: LearningRows | None,
    callbacks: Sequence[TrainerCallback],
) -> StudentTrainer:
    objective = task.objective
    if learning is not None and learning.transition is not None:
        objective = ForwardCorrection(tuple(tuple(row) for row in learning.transition.matrix.tolist()))
    held_out = None if tested is None else task.features(tested.dataset, tested.rows, base.tokenizer, training=False)
    # The precision of the process's first run sticks in accelerate's shared state, and a run with another one is
    # refused. Trainer makes the state anew; the process group stays.
    AcceleratorState._reset_state()
    shardable(base.model)
    trainer = StudentTrainer(
        base.model,
        config,
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=base.tokenizer,
        data_collator=task.collator(base.tokenizer),
        compute_metrics=None if tested is None else task.metrics(tested.dataset, tested.rows, base.tokenizer),
        objective=objective,
        callbacks=list(callbacks),
    )
    RunCost(config.usd_per_hour).install(trainer)
    for callback in callbacks:
        if hasattr(callback, "trainer"):
            callback.trainer = trainer
    if config.task == "text-generation":
        # As it will train: with a cache, which Trainer turns off, examples do see each other.
        check_causal(trainer.model)
        if config.packing:
            check_isolation(trainer.model)
    if learning is not None and learning.after is not None:
        check_can_follow(trainer)
    if config.disable_tqdm:
        # Without progress bars Trainer prints its log instead.
        trainer.remove_callback(PrinterCallback)
    return trainer
