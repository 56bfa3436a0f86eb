"""GridFile: the hyperparameter grid of `hf-synthlabels train --grid`, its data, and its runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.annotation.recipe.strict_yaml import read_yaml, validated
from hf_synthlabels.clients.config import StrictModel
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.student_file import DataSource

Schedule = Literal["constant_with_warmup", "warmup_stable_decay"]
"""Schedules whose first epochs do not depend on the total, so that one run evaluates all epoch counts."""

# Student options that the grid sets; in `student` they would be overwritten.
RESERVED = {
    "learning_rate": "list it under `grid.learning_rate`",
    "per_device_train_batch_size": "list it under `grid.batch_size`",
    "num_train_epochs": "list it under `grid.epochs`",
    "seed": "list it under `grid.seed`",
    "max_steps": "list the epochs under `grid.epochs`",
    "lr_scheduler_type": "write `grid.schedule`",
    "warmup_steps": "write `grid.warmup_steps`",
    "output_dir": "give the folder with `-o`",
    "eval_strategy": "the grid evaluates after each epoch",
    "save_strategy": "the journal of the grid saves the runs",
    "load_best_model_at_end": "the grid evaluates every epoch",
    "push_to_hub": "publish the best student with `hf-synthlabels push model`",
    "heads": "train a multi-head student without a grid",
    "label_column": "list it under `grid.label_source`",
}


class Search(StrictModel):
    """Optuna search: the number of combinations to try, instead of all."""

    trials: PositiveInt
    pruner: Literal["none", "median", "wilcoxon"] = "median"
    """When to stop a combination early: after an epoch, compared with the median of earlier trials, or after a seed, by
    Wilcoxon's signed-rank test against the best trial."""
    seed: int = 0


class GridOptions(StrictModel):
    """The key `grid`: the values of each axis, and how the best combination is selected."""

    human: str = "label"
    """Column with the human labels for selection and testing."""
    label_source: dict[str, str | dict[str, Any]]
    """Label column, or student options with a `label_column`, by source name."""
    size: list[PositiveInt | None] = Field(default=[None], min_length=1)
    """Number of training rows; null uses all."""
    learning_rate: list[float] = Field(default=[2e-5, 5e-5, 1e-4], min_length=1)
    batch_size: list[PositiveInt] = Field(default=[16], min_length=1)
    epochs: list[PositiveInt] = Field(default=[1, 2, 3, 4], min_length=1)
    """Evaluated during one run of the largest number of epochs."""
    seed: list[int] = Field(default=[0, 1, 2], min_length=1)
    model: list[str] | None = None
    """Pretrained models; default: `student.model`."""
    validation_rows: PositiveInt = 250
    """Number of human-labeled rows for selection; they are not trained on."""
    metric: Literal["macro_f1", "accuracy"] = "macro_f1"
    schedule: Schedule = "constant_with_warmup"
    warmup_steps: int = Field(default=10, ge=0)
    decay: float = Field(default=0.2, gt=0, lt=1)
    """`warmup_stable_decay`: share of an epoch over which the rate decays to 0 before each evaluation."""
    refit: bool = True
    """Train the selected combination again with linear decay, and report the difference."""
    workers: PositiveInt | None = None
    """Number of parallel runs. Default: one per GPU, or per core without a GPU; small models gain from several per
    GPU."""
    threads: PositiveInt = 1
    """CPU threads per run; fixed, because the last digits of results depend on it."""
    engine: Engine = Engine()
    """Local processes, or with `ray` Ray Tune on a cluster; `gpus_per_actor: 0.25` puts four runs on one GPU."""
    search: Search | None = None

    @field_validator("size", "learning_rate", "batch_size", "epochs", "seed", "model")
    @classmethod
    def _each_once(cls, values: list[Any] | None) -> list[Any] | None:
        if values is not None and (not values or len(set(values)) != len(values)):
            raise ValueError("list at least one value, without duplicates")
        return values

    @field_validator("learning_rate")
    @classmethod
    def _above_zero(cls, values: list[float]) -> list[float]:
        if min(values) <= 0:
            raise ValueError("learning rates must be above 0, such as 5e-5")
        return values

    @model_validator(mode="after")
    def _sources(self) -> Self:
        if not self.label_source:
            raise ValueError("`label_source` is empty; name a label column, such as {llm: llm_label}")
        if self.search is not None and self.engine.name == "ray":
            raise ValueError("`search` runs trials sequentially and requires the engine 'local'")
        for name, source in self.label_source.items():
            if isinstance(source, dict) and not isinstance(source.get("label_column"), str):
                raise ValueError(f"`label_source` {name!r} has no `label_column`; name the column with its labels")
        return self

    def source_options(self, source: str) -> dict[str, Any]:
        """The student options of a label source, including `label_column`."""
        options = self.label_source[source]
        return {"label_column": options} if isinstance(options, str) else dict(options)


class GridFile(StrictModel):
    """A file with the keys `student`, `data` and `grid`."""

    student: dict[str, Any]
    data: DataSource
    grid: GridOptions

    @classmethod
    def from_yaml(cls, path: str | Path, *, data: str | Path | None = None) -> Self:
        """Read a YAML file; `data` is a CSV, JSON or Parquet file that replaces the key `data`.

        Raises:
            ConfigError: the file cannot be read, or has an unknown key or an invalid value.
        """
        content = read_yaml(Path(path), "grid", ConfigError)
        if not isinstance(content, dict):
            raise ConfigError(f"`{path}` contains {type(content).__name__}, not the keys `student`, `data`, `grid`.")
        if data is not None:
            content = {**content, "data": DataSource.of_file(data).model_dump()}
        return cls.from_dict(content, where=str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str = "grid") -> Self:
        """Create a grid from plain values.

        Raises:
            ConfigError: a key or value is invalid, or `student` has an option that the grid sets.
        """
        file = validated(cls, content, where, ConfigError)
        for key in file.student:
            if key in RESERVED:
                raise ConfigError(f"{where}: `student.{key}` is set by the grid: {RESERVED[key]}.")
        if not file.models:
            raise ConfigError(f"{where}: `student.model` is missing. Name the model, or several in `grid.model`.")
        return file

    @property
    def models(self) -> Sequence[str]:
        """The pretrained models of the grid."""
        return self.grid.model or ([self.student["model"]] if self.student.get("model") else [])


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
    return replace(
        run,
        learning_rate=choice.learning_rate,
        batch_size=choice.batch_size,
        epochs=(choice.epochs,),
        schedule="linear",
    )
