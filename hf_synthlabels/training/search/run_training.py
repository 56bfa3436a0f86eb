"""Training of one run of a grid: from cached weights, on shared rows, evaluated after given epochs."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import PreTrainedModel, PrinterCallback, set_seed

from hf_synthlabels.errors import ConfigError, DivergedError
from hf_synthlabels.training.base_model import BaseModel, load_base, quiet
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.search import process_pool
from hf_synthlabels.training.search.config import GridRun
from hf_synthlabels.training.search.epoch_evaluations import EpochEvaluations, decay_steps
from hf_synthlabels.training.search.results import EpochEvaluation, RunJournal, RunResult
from hf_synthlabels.training.search.shared_rows import SharedRows, open_rows
from hf_synthlabels.training.tasks.base import first_output
from hf_synthlabels.training.trainer import StudentTrainer

CPU_EVAL_ROWS = 16

Report = Callable[[EpochEvaluation], bool]
"""Called with each evaluation; False ends the run early."""


@dataclass(slots=True)
class ModelCache:
    """Pretrained models in memory; each run gets a copy with a head initialized from its seed."""

    names: tuple[str, ...]
    _bases: dict[str, tuple[BaseModel, dict[str, torch.Tensor]]] = field(default_factory=dict)

    def tokenizer(self, config: StudentConfig) -> Any:
        """The tokenizer of a model."""
        return self._base(config)[0].tokenizer

    def load(self, config: StudentConfig) -> BaseModel:
        """The same model as `load_base` returns, without reading the disk again.

        Raises:
            TrainingError: the model cannot be loaded.
        """
        base, weights = self._base(config)
        with quiet(active=True):
            set_seed(config.seed)
            kind: type[PreTrainedModel] = type(base.model)
            # Copies, because transformers uses the tensors themselves and training would change the cache.
            copies = {name: value.clone() for name, value in weights.items()}
            model = kind.from_pretrained(None, config=base.model.config, state_dict=copies, dtype=torch.float32)
        return BaseModel(model, base.tokenizer)

    def _base(self, config: StudentConfig) -> tuple[BaseModel, dict[str, torch.Tensor]]:
        name = str(config.model)
        if name not in self._bases:
            base = load_base(config, self.names)
            # Weights that differ between seeds are those of the new head, which the file does not have.
            seed = config.seed
            config.seed = seed + 1
            other = load_base(config, self.names).model.state_dict()
            config.seed = seed
            weights = base.model.state_dict()
            pretrained = {key: value for key, value in weights.items() if torch.equal(value, other[key])}
            self._bases[name] = base, pretrained
        return self._bases[name]


@dataclass(frozen=True, slots=True)
class RunTask:
    """A run that is missing in the journal."""

    key: str
    run: GridRun
    place: Path
    """Folder of its tokenized rows."""
    names: tuple[str, ...]
    folder: Path
    """Folder of the grid, with the journal."""
    save: Path | None = None
    """Folder for model and tokenizer after training, if they are needed."""


class GridWorker:
    """Runs tasks in one process; keeps models and tokenized rows between them."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, ...], ModelCache] = {}
        self._rows: dict[Path, SharedRows] = {}

    def __call__(self, task: RunTask) -> RunResult:
        """Train a run and add its result to the journal."""
        models = self._models.setdefault(task.names, ModelCache(task.names))
        if task.place not in self._rows:
            self._rows[task.place] = open_rows(task.place, task.names)
        journal = RunJournal(task.folder)
        known = journal.get(task.key)
        # Another grid on the same folder may have trained it meanwhile.
        if known is not None and task.save is None:
            return known
        result = train_run(task.run, self._rows[task.place], models, task.key, save=task.save)
        journal.put(result)
        return result


def run_tasks(tasks: Sequence[RunTask], workers: int) -> Iterator[RunResult]:
    """Train the missing runs in parallel processes; each result is in the journal when it is yielded.

    Raises:
        TrainingError: a worker died; finished results are kept.
        SynthLabelsError: a run cannot be trained; running ones finish first.
    """
    threads = max((task.run.threads for task in tasks), default=1)
    yield from process_pool.run_tasks(GridWorker, tasks, workers, threads=threads)


def run_config(run: GridRun, output_dir: str) -> StudentConfig:
    """The student's configuration for a run.

    Raises:
        ConfigError: an option is invalid.
    """
    schedule = "linear" if run.schedule == "linear" else "constant_with_warmup"
    values = {
        **run.options,
        "model": run.model,
        "learning_rate": run.learning_rate,
        "per_device_train_batch_size": run.batch_size,
        "num_train_epochs": max(run.epochs),
        "seed": run.seed,
        "lr_scheduler_type": schedule,
        "warmup_steps": run.warmup_steps,
        "output_dir": output_dir,
        "logging_strategy": run.options.get("logging_strategy", "no"),
    }
    config = StudentConfig.from_dict(values, where="grid")
    if config.device.type == "cpu" and "per_device_eval_batch_size" not in values:
        # A few hundred rows in batches of 64 have much padding, and a CPU gains nothing from large batches.
        config.per_device_eval_batch_size = CPU_EVAL_ROWS
    return config


def train_run(
    run: GridRun,
    rows: SharedRows,
    models: ModelCache,
    key: str,
    *,
    report: Report | None = None,
    save: Path | None = None,
) -> RunResult:
    """Train a student and evaluate it after each of its epochs; the result is reproducible.

    Args:
        run: the run.
        rows: rows tokenized for the run's model.
        models: pretrained models.
        key: key of the result.
        report: called with each evaluation.
        save: folder for model and tokenizer after training.

    Raises:
        ConfigError: an option is invalid, or there are several processes.
        DataError: there are fewer rows than the size, or all have the same label.
        TrainingError: the model cannot be loaded.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(run.threads)
    try:
        with tempfile.TemporaryDirectory(prefix="synthlabels-run-") as scratch:
            config = run_config(run, scratch)
            if config.world_size > 1:
                raise ConfigError("`grid` was launched on several processes. Start one process and use `workers`.")
            return _train(run, config, rows, models, key, report or (lambda _: True), save)
    finally:
        torch.set_num_threads(before)


def _train(
    run: GridRun,
    config: StudentConfig,
    rows: SharedRows,
    models: ModelCache,
    key: str,
    report: Report,
    save: Path | None,
) -> RunResult:
    wall, cpu = time.perf_counter(), time.process_time()
    part = rows.training_part(run)
    _check_steps(run, config, len(part))
    evaluations: list[EpochEvaluation] = []
    diverged: list[str] = []

    def evaluate(epochs: int, steps: int) -> bool:
        validation, test = (_predicted_codes(trainer, unseen) for unseen in (rows.validation, rows.test))
        if validation is None or test is None:
            diverged.append(f"the loss became NaN or infinite after {steps} steps")
            return False
        evaluations.append(EpochEvaluation(epochs, steps, validation, test))
        return report(evaluations[-1])

    decay = run.decay if run.schedule == "warmup_stable_decay" else None
    callback = EpochEvaluations(run.epochs, evaluate, decay=decay)
    base = models.load(config)
    # accelerate keeps the precision of the first run of a process.
    AcceleratorState._reset_state()
    trainer = StudentTrainer(
        base.model, config, train_dataset=part, processing_class=base.tokenizer, callbacks=[callback]
    )
    if config.disable_tqdm:
        trainer.remove_callback(PrinterCallback)
    callback.trainer = trainer
    try:
        trainer.train()
    except DivergedError as error:
        # A learning rate that diverges is a result of the grid.
        diverged.append(str(error))
    if save is not None:
        with quiet(active=True):
            trainer.model.save_pretrained(save)
            base.tokenizer.save_pretrained(save)
    steps = int(trainer.state.global_step) + callback.extra_steps
    trainer.optimizer = trainer.lr_scheduler = None
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return RunResult(key, tuple(evaluations), len(part), *seconds, steps, diverged[-1] if diverged else None)


def _check_steps(run: GridRun, config: StudentConfig, n_rows: int) -> None:
    """Reject a schedule whose decay would begin before the warm-up ends."""
    if run.schedule != "warmup_stable_decay":
        return
    per_update = run.batch_size * config.gradient_accumulation_steps
    steps = math.ceil(n_rows / per_update)
    first = min(run.epochs) * steps - decay_steps(run.decay, steps)
    if steps < 2 or first < run.warmup_steps:
        raise ConfigError(
            f"`warmup_steps` is {run.warmup_steps}, but with {n_rows} rows in batches of {per_update} the decay starts "
            f"after {first} steps. Lower the batch size or the warm-up steps."
        )


def _predicted_codes(trainer: StudentTrainer, part: Dataset | None) -> tuple[int, ...] | None:
    """The predicted code of each row; None if a logit is not finite."""
    if part is None:
        return ()
    logits = first_output(trainer.predict(part).predictions)
    return tuple(logits.argmax(axis=-1).tolist()) if np.isfinite(logits).all() else None
