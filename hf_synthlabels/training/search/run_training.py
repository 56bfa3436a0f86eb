"""One run of a grid: a student from weights that are held in memory, trained on shared rows, read after epochs."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
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
from hf_synthlabels.training.search.epoch_evaluations import EpochReadings, decay_steps
from hf_synthlabels.training.search.grid_run import GridRun, Reading, RunResult
from hf_synthlabels.training.search.shared_rows import SharedRows
from hf_synthlabels.training.trainer import StudentTrainer

CPU_EVAL_ROWS = 16

Report = Callable[[Reading], bool]
"""Told each reading as it comes; False ends the run early."""


@dataclass(slots=True)
class ModelCache:
    """Encoders that have been loaded once; a run gets its own copy with a head drawn by its seed."""

    names: tuple[str, ...]
    _bases: dict[str, tuple[BaseModel, dict[str, torch.Tensor]]] = field(default_factory=dict)

    def tokenizer(self, config: StudentConfig) -> Any:
        """The tokenizer of a model."""
        return self._base(config)[0].tokenizer

    def take(self, config: StudentConfig) -> BaseModel:
        """What `load_base` would load, without reading the disk again.

        Raises:
            TrainingError: the model can not be loaded.
        """
        base, weights = self._base(config)
        with quiet(active=True):
            set_seed(config.seed)
            kind: type[PreTrainedModel] = type(base.model)
            # Copies: transformers takes the tensors as they are, and training would change those on the shelf.
            own = {name: value.clone() for name, value in weights.items()}
            model = kind.from_pretrained(None, config=base.model.config, state_dict=own, dtype=torch.float32)
        return BaseModel(model, base.tokenizer)

    def _base(self, config: StudentConfig) -> tuple[BaseModel, dict[str, torch.Tensor]]:
        name = str(config.model)
        if name not in self._bases:
            base = load_base(config, self.names)
            # What another seed draws otherwise is the head, which is not of the file.
            seed = config.seed
            config.seed = seed + 1
            other = load_base(config, self.names).model.state_dict()
            config.seed = seed
            weights = base.model.state_dict()
            same = {key: value for key, value in weights.items() if torch.equal(value, other[key])}
            self._bases[name] = base, same
        return self._bases[name]


def run_config(run: GridRun, output_dir: str) -> StudentConfig:
    """The student's configuration for a run.

    Raises:
        ConfigError: an option is not valid.
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
        # Some hundred rows in batches of 64 are padded a lot, and a CPU gains nothing from large batches.
        config.per_device_eval_batch_size = CPU_EVAL_ROWS
    return config


def train_run(
    run: GridRun,
    rows: SharedRows,
    shelf: ModelCache,
    key: str,
    *,
    report: Report | None = None,
    save: Path | None = None,
) -> RunResult:
    """Train a student and read it after each of its epochs; the same run gives the same readings.

    Args:
        run: what to train.
        rows: tokenised by the run's model.
        shelf: where its weights are.
        key: of the result.
        report: told each reading.
        save: a folder for model and tokenizer as they are at the end.

    Raises:
        ConfigError: an option is not valid, or there are several processes.
        DataError: there are fewer rows than the size says, or all have one label.
        TrainingError: the model can not be loaded.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(run.threads)
    try:
        with tempfile.TemporaryDirectory(prefix="synthlabels-run-") as scratch:
            config = run_config(run, scratch)
            if config.world_size > 1:
                raise ConfigError("`grid` was started on several processes. Start it alone: it has `workers` itself.")
            return _Run(run, config, rows, shelf, key, report).train(save)
    finally:
        torch.set_num_threads(before)


@dataclass(slots=True)
class _Run:
    run: GridRun
    config: StudentConfig
    rows: SharedRows
    shelf: ModelCache
    key: str
    report: Report | None
    readings: list[Reading] = field(default_factory=list)
    diverged: str | None = None
    trainer: StudentTrainer | None = None

    def train(self, save: Path | None) -> RunResult:
        wall, processor = time.perf_counter(), time.process_time()
        part = self.rows.training_part(self.run)
        self._check_steps(len(part))
        decay = self.run.decay if self.run.schedule == "warmup_stable_decay" else None
        callback = EpochReadings(self.run.epochs, self._read, decay=decay)
        trainer = self.trainer = callback.trainer = self._trainer(part, callback)
        try:
            trainer.train()
        except DivergedError as error:
            # A rate that is too high for its cell is a finding, not the end of the grid.
            self.diverged = str(error)
        if save is not None:
            with quiet(active=True):
                trainer.model.save_pretrained(save)
                self.shelf.tokenizer(self.config).save_pretrained(save)
        steps = int(trainer.state.global_step) + callback.extra_steps
        # What is left is collected when the next run begins.
        trainer.optimizer = trainer.lr_scheduler = None
        return RunResult(
            key=self.key,
            readings=tuple(self.readings),
            rows=len(part),
            wall_s=time.perf_counter() - wall,
            cpu_s=time.process_time() - processor,
            steps=steps,
            diverged=self.diverged,
        )

    def _check_steps(self, n_rows: int) -> None:
        per_update = self.run.batch_size * self.config.gradient_accumulation_steps
        steps = math.ceil(n_rows / per_update)
        if self.run.schedule == "warmup_stable_decay":
            first = min(self.run.epochs) * steps - decay_steps(self.run.decay, steps)
            if steps < 2 or first < self.run.warmup_steps:
                raise ConfigError(
                    f"`warmup_steps` is {self.run.warmup_steps}, but with {n_rows} rows in batches of {per_update} the "
                    f"rate falls after {first} steps already. Give smaller batches or fewer warm-up steps."
                )

    def _trainer(self, part: Dataset, callback: EpochReadings) -> StudentTrainer:
        base = self.shelf.take(self.config)
        # The precision of the process's first run sticks in accelerate's shared state.
        AcceleratorState._reset_state()
        trainer = StudentTrainer(
            base.model, self.config, train_dataset=part, processing_class=base.tokenizer, callbacks=[callback]
        )
        if self.config.disable_tqdm:
            trainer.remove_callback(PrinterCallback)
        return trainer

    def _read(self, epochs: int, steps: int) -> bool:
        validation, test = (self._codes(part) for part in (self.rows.validation, self.rows.test))
        if validation is None or test is None:
            self.diverged = f"the loss was no number any more after {steps} steps"
            return False
        reading = Reading(epochs, steps, validation, test)
        self.readings.append(reading)
        return self.report is None or self.report(reading)

    def _codes(self, part: Dataset | None) -> tuple[int, ...] | None:
        """What the student says of each row; None when it says nothing that is a number."""
        if part is None or self.trainer is None:
            return ()
        logits = self.trainer.predict(part).predictions
        if isinstance(logits, tuple):
            logits = logits[0]
        if not np.isfinite(logits).all():
            return None
        return tuple(np.asarray(logits).argmax(axis=-1).tolist())
