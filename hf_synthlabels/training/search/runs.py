"""Runs of a grid and their results, and the journal that makes a grid resumable."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from hf_synthlabels.training.search.config import GridFile


@dataclass(frozen=True, slots=True, order=True)
class Choice:
    """A combination of hyperparameters."""

    learning_rate: float
    batch_size: int
    epochs: int


@dataclass(frozen=True, slots=True)
class GridRun:
    """One training run, evaluated after each of `epochs`."""

    model: str
    source: str
    size: int | None
    learning_rate: float
    batch_size: int
    seed: int
    epochs: tuple[int, ...]
    schedule: str
    """A schedule of the grid, or `linear` for a run that is evaluated only at its end."""
    warmup_steps: int
    decay: float
    threads: int
    options: Mapping[str, Any]
    """The other options of the student."""

    @property
    def cell(self) -> tuple[str, str, int | None]:
        """Model, label source and size; one combination is selected per cell."""
        return self.model, self.source, self.size


@dataclass(frozen=True, slots=True)
class EpochEvaluation:
    """Predicted label codes after a number of epochs, in row order."""

    epochs: int
    steps: int
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunResult:
    """The evaluations of a run and its cost."""

    key: str
    evaluations: tuple[EpochEvaluation, ...]
    rows: int
    """Number of training rows."""
    wall_s: float
    cpu_s: float
    """CPU time of the process, all threads."""
    steps: int
    """Optimizer steps, including the decay steps before each evaluation."""
    diverged: str | None = None
    """Error message if the loss became NaN or infinite."""

    def at(self, epochs: int) -> EpochEvaluation | None:
        """The evaluation after a number of epochs; None if the run stopped earlier."""
        return next((evaluation for evaluation in self.evaluations if evaluation.epochs == epochs), None)


def grid_runs(file: GridFile) -> Iterator[GridRun]:
    """All runs of a grid, ordered by cell, seeds last."""
    grid = file.grid
    options = {key: value for key, value in file.student.items() if key != "model"}
    axes = (file.models, grid.size, grid.label_source, grid.learning_rate, grid.batch_size, grid.seed)
    for model, size, source, rate, batch, seed in itertools.product(*axes):
        yield GridRun(
            model=model,
            source=source,
            size=size,
            learning_rate=rate,
            batch_size=batch,
            seed=seed,
            epochs=tuple(sorted(grid.epochs)),
            schedule=grid.schedule,
            warmup_steps=grid.warmup_steps,
            decay=grid.decay,
            threads=grid.threads,
            options=options | grid.source_options(source),
        )


def refit_run(run: GridRun, choice: Choice) -> GridRun:
    """The run that trains a selected combination with warm-up and linear decay to 0."""
    values = {name: getattr(run, name) for name in GridRun.__slots__}
    selected = {"learning_rate": choice.learning_rate, "batch_size": choice.batch_size, "epochs": (choice.epochs,)}
    return GridRun(**values | selected | {"schedule": "linear"})


def run_key(run: GridRun, rows: str) -> str:
    """A hash of everything that can change the result of a run: options, fingerprint of the rows, library versions."""
    versions = {package: metadata.version(package) for package in ("torch", "transformers")}
    options = asdict(run)
    if run.schedule != "warmup_stable_decay":
        # Other schedules do not use it.
        options.pop("decay")
    content = {"run": options, "rows": rows, "versions": versions}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:20]


class RunJournal:
    """Results by run key in a folder, one file each; several processes may write concurrently."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "runs"

    def get(self, key: str) -> RunResult | None:
        """The result of a finished run, if its file is complete."""
        try:
            return read_result(json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, result: RunResult) -> None:
        """Write a result atomically and durably."""
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = self._folder / f".{result.key}.{os.getpid()}"
        with scratch.open("w", encoding="utf-8") as file:
            json.dump(asdict(result), file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._folder / f"{result.key}.json")


def read_result(content: Mapping[str, Any]) -> RunResult:
    """A result from its JSON.

    Raises:
        KeyError: a field is missing.
        TypeError: a field has the wrong type.
    """
    evaluations = tuple(
        EpochEvaluation(item["epochs"], item["steps"], tuple(item["validation"]), tuple(item["test"]))
        for item in content["evaluations"]
    )
    return RunResult(**{**content, "evaluations": evaluations})
