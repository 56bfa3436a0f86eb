"""train_student: from rows with label columns to a trained student."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from hf_synthlabels.annotation import provenance
from hf_synthlabels.errors import ConfigError, TrainingError
from hf_synthlabels.tables.columns import annotation_columns
from hf_synthlabels.training.base_model import BaseModel, fix_embedding_sharding, load_base
from hf_synthlabels.training.callbacks import RunCost, cost_metrics
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.features import ROW, SOURCE
from hf_synthlabels.training.data.label_names import label_names
from hf_synthlabels.training.data.training_rows import TrainingRows
from hf_synthlabels.training.data.variable_heads import complete_heads
from hf_synthlabels.training.evaluation import best_metrics
from hf_synthlabels.training.student import Student
from hf_synthlabels.training.tasks import StudentTask, student_task
from hf_synthlabels.training.tasks.generation import check_causal, check_isolation, pack
from hf_synthlabels.training.tasks.multi_head import MultiHeadTask
from hf_synthlabels.training.tasks.objectives import Classification
from hf_synthlabels.training.tasks.sequence import SingleLabelTask
from hf_synthlabels.training.trainer import StudentTrainer
from hf_synthlabels.training.weak_supervision.learning_rows import (
    LearningRows,
    evaluation_rows,
    learning_rows,
    reject_sharded_second_stage,
    second_stage_config,
)

TIMING_SUFFIXES = ("_runtime", "_per_second", "_preparation_time")
"""Endings of Trainer's timing metrics."""


def train_student(
    config: StudentConfig,
    train: Dataset,
    *,
    names: Sequence[str] = (),
    eval: Dataset | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    publish: Callable[[Student], object] | None = None,
) -> Student:
    """Train a student on the labeled rows; the same config and rows give the same student.

    Args:
        config: the options; `max_steps` equalizes the training length of data sets of different size.
        train: rows with the text and label columns, and those of probabilities and weights that the config names.
        names: label names in the order of the outputs; default: the names of the label column.
        eval: rows to evaluate on; those without a label are left out and counted.
        callbacks: additional Trainer callbacks; one with an attribute `trainer`, such as FormatCurve, receives it.
        publish: called in every process with the finished student if `push_to_hub` is true; see
            `publishing.StudentPublisher`.

    Raises:
        ConfigError: no model is named, it cannot read `max_length` tokens, `eval_strategy` requires `eval`, or
            `push_to_hub` requires `publish`.
        DataError: a column is missing or invalid, no row has a label, or all labels are equal.
        TrainingError: the model cannot be loaded, or the training diverged.
    """
    if config.push_to_hub and publish is None:
        raise ConfigError(
            "`push_to_hub` requires `publish`. Pass `publish=StudentPublisher.of(config, card)` from "
            "hf_synthlabels.publishing, run `hf-synthlabels train`, or publish the saved student with "
            "`hf-synthlabels push model`."
        )
    config = _with_complete_heads(config, train)
    if config.heads is None:
        names = names or label_names(train, config.label_column, config.task)
    run = _Training.prepare(config, train, names, eval)
    metrics, trainer = run.train(callbacks)
    if run.eval_rows is not None:
        metrics |= _evaluate(trainer, run.eval_rows, llm=run.is_llm_evaluation())
    # The optimizer state is twice the size of the model, and a study keeps many students.
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.accelerator.free_memory()
    student = Student(trainer, config, run.rows, metrics, run.learning)
    if config.push_to_hub and publish is not None:
        publish(student)
    return student


def _with_complete_heads(config: StudentConfig, train: Dataset) -> StudentConfig:
    """The config with kind, label names and human labels of every head, if it has heads."""
    if not isinstance(config.heads, dict):
        return config
    complete = copy.copy(config)
    complete.heads = complete_heads(config.heads, train, provenance(train))
    return complete


@dataclass(frozen=True, slots=True, eq=False)
class _Training:
    """The inputs of a training, and its one or two stages."""

    config: StudentConfig
    task: StudentTask
    base: BaseModel
    dataset: Dataset
    rows: TrainingRows
    learning: LearningRows | None
    eval_dataset: Dataset | None
    eval_rows: TrainingRows | None

    @classmethod
    def prepare(
        cls, config: StudentConfig, train: Dataset, names: Sequence[str], eval_dataset: Dataset | None
    ) -> _Training:
        """Check the rows and load the model."""
        task = student_task(config, names)
        single = isinstance(task, SingleLabelTask)
        learning = learning_rows(train, config, names) if single else None
        rows = task.rows(train) if learning is None else learning.rows
        eval_rows: TrainingRows | None = None
        if eval_dataset is not None:
            if isinstance(task, MultiHeadTask):
                eval_rows = task.evaluation_rows(eval_dataset)
            else:
                eval_rows = evaluation_rows(eval_dataset, config, names) if single else task.rows(eval_dataset)
        elif config.eval_strategy != "no":
            raise ConfigError(
                f"`eval_strategy` is {config.eval_strategy.value!r}, which requires rows to evaluate on. Pass `eval`, "
                "or leave the option out."
            )
        base = load_base(config, task.schema.names, head=task.head)
        rows = task.learnable(train, rows, base.tokenizer)
        return cls(config, task, base, train, rows, learning, eval_dataset, eval_rows)

    def train(self, callbacks: Sequence[TrainerCallback]) -> tuple[dict[str, float], StudentTrainer]:
        """Train on all rows, then, with `human_strategy: finetune`, on the human-labeled ones."""
        features = self._features(self.rows)
        if self.learning is not None and self.learning.transition is not None:
            features = features.add_column(SOURCE, self.learning.human.astype(int).tolist())
        trainer = self._trainer(self.config, features, callbacks)
        metrics = _train(trainer, self.config, "train")
        if self.learning is not None and self.learning.second_stage is not None:
            config = second_stage_config(self.config)
            trainer = self._trainer(config, self._features(self.learning.second_stage), callbacks)
            metrics |= _train(trainer, config, "human_train")
        return metrics, trainer

    def is_llm_evaluation(self) -> bool:
        """Whether the evaluation labels are those of an LLM."""
        columns = () if self.eval_dataset is None else annotation_columns(self.eval_dataset.column_names)
        if isinstance(self.task, MultiHeadTask) and self.eval_dataset is not None:
            return any(name in columns for name in self.task.evaluation_columns(self.eval_dataset))
        return self.config.human_column is None and self.config.label_column in columns

    def _features(self, rows: TrainingRows) -> Dataset:
        features = self.task.features(self.dataset, rows, self.base.tokenizer)
        if self.config.task == "text-generation" and self.config.packing:
            features = pack(features, self.config.max_length)
        # Windows and packed rows have no single row index.
        return features.add_column(ROW, rows.kept.tolist()) if len(features) == len(rows) else features

    def _trainer(
        self, config: StudentConfig, features: Dataset, callbacks: Sequence[TrainerCallback]
    ) -> StudentTrainer:
        objective, eval_features, metrics = self.task.objective, None, None
        if self.learning is not None and self.learning.transition is not None:
            objective = Classification(transition=tuple(map(tuple, self.learning.transition.matrix.tolist())))
        if self.eval_dataset is not None and self.eval_rows is not None:
            labeled = (self.eval_dataset, self.eval_rows, self.base.tokenizer)
            eval_features, metrics = self.task.features(*labeled), self.task.metrics(*labeled)
        # accelerate keeps the precision of the first run of a process and rejects a run with another one. Trainer
        # creates the state again; the process group stays.
        AcceleratorState._reset_state()
        fix_embedding_sharding(self.base.model)
        trainer = StudentTrainer(
            self.base.model,
            config,
            train_dataset=features,
            eval_dataset=eval_features,
            processing_class=self.base.tokenizer,
            data_collator=self.task.collator(self.base.tokenizer),
            compute_metrics=metrics,
            objective=objective,
            callbacks=list(callbacks),
        )
        RunCost(config.usd_per_hour).install(trainer)
        for callback in callbacks:
            if hasattr(callback, "trainer"):
                callback.trainer = trainer
        if config.task == "text-generation":
            # On the trainer's model, whose cache is off: with a cache packed examples can attend to each other.
            check_causal(trainer.model)
            if config.packing:
                check_isolation(trainer.model)
        if self.learning is not None and self.learning.second_stage is not None:
            reject_sharded_second_stage(trainer)
        if config.disable_tqdm:
            # Without progress bars Trainer prints its log instead.
            trainer.remove_callback(PrinterCallback)
        return trainer


def _train(trainer: StudentTrainer, config: StudentConfig, prefix: str) -> dict[str, float]:
    """Train one stage and return its metrics."""
    resume: str | bool | None = config.resume_from_checkpoint
    # A named checkpoint belongs to the first stage; the second one resumes from its own last checkpoint.
    result = trainer.train(resume if prefix == "train" else bool(resume))
    if not math.isfinite(result.training_loss):
        raise TrainingError(
            f"`learning_rate` is {config.learning_rate}, and the loss became {result.training_loss}. Lower it."
        )
    return {
        f"{prefix}_loss": float(result.training_loss),
        f"{prefix}_steps": float(result.global_step),
        f"{prefix}_seconds": float(result.metrics["train_runtime"]),
        **cost_metrics(trainer.callback_handler.callbacks, prefix),
        **{f"{prefix.removesuffix('train')}{key}": value for key, value in best_metrics(config, trainer.state).items()},
    }


def _evaluate(trainer: StudentTrainer, rows: TrainingRows, *, llm: bool) -> dict[str, float]:
    measured = trainer.evaluate()
    metrics = {
        key: value for key, value in measured.items() if key.startswith("eval_") and not key.endswith(TIMING_SUFFIXES)
    }
    if llm:
        # Scores against LLM labels are agreement, not accuracy.
        names = {key: key.removeprefix("eval_").replace("accuracy", "agreement") for key in metrics}
        metrics = {key if key == "eval_loss" else f"eval_llm_{names[key]}": value for key, value in metrics.items()}
    return metrics | {"eval_rows": float(len(rows)), "eval_rows_unlabelled": float(rows.n_unlabelled)}
