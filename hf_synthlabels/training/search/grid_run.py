"""GridRun: one training run of a grid, which tells of several epoch counts; and how it is identified."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from hf_synthlabels.training.search.config import GridFile


@dataclass(frozen=True, slots=True, order=True)
class Choice:
    """What is chosen: a combination of learning rate, batch size and epochs."""

    learning_rate: float
    batch_size: int
    epochs: int


@dataclass(frozen=True, slots=True)
class GridRun:
    """One student to train, read after each of `epochs`."""

    model: str
    source: str
    size: int | None
    learning_rate: float
    batch_size: int
    seed: int
    epochs: tuple[int, ...]
    schedule: str
    """A reusable schedule, or `linear` for a run that is read only at its end."""
    warmup_steps: int
    decay: float
    threads: int
    options: Mapping[str, Any]
    """The other options of the student."""

    @property
    def cell(self) -> tuple[str, str, int | None]:
        """Model, label source and size: where one combination is chosen."""
        return self.model, self.source, self.size


@dataclass(frozen=True, slots=True)
class Reading:
    """What a student says after so many epochs: label codes in row order."""

    epochs: int
    steps: int
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunResult:
    """The readings of a run and what it cost."""

    key: str
    readings: tuple[Reading, ...]
    rows: int
    """Training rows."""
    wall_s: float
    cpu_s: float
    """Processor time of the process, all threads."""
    steps: int
    """Optimiser steps in all, those before each reading of a decaying rate included."""
    diverged: str | None = None
    """Why the run has no readings beyond those it has: the loss was no number any more."""

    def at(self, epochs: int) -> Reading | None:
        """The reading after so many epochs, if the run came so far."""
        return next((reading for reading in self.readings if reading.epochs == epochs), None)


def grid_runs(file: GridFile) -> Iterator[GridRun]:
    """Every run of a grid, the same ones for every label source; cells one after another, seeds innermost."""
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
    """The run that trains a chosen combination with the usual schedule: a warm-up, then linear decay to 0."""
    values = {name: getattr(run, name) for name in GridRun.__slots__}
    chosen = {"learning_rate": choice.learning_rate, "batch_size": choice.batch_size, "epochs": (choice.epochs,)}
    return GridRun(**values | chosen | {"schedule": "linear"})


def run_key(run: GridRun, rows: str) -> str:
    """A hash of all that can change what a run says: its options, the rows, the versions beneath.

    Args:
        run: the run.
        rows: the fingerprint of the shared rows.
    """
    versions = {package: metadata.version(package) for package in ("torch", "transformers")}
    options = asdict(run)
    if run.schedule != "warmup_stable_decay":
        # It counts only where the rate decays before each reading.
        options.pop("decay")
    content = {"run": options, "rows": rows, "versions": versions}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:20]
