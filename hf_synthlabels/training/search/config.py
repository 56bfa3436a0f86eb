"""GridFile: which students a grid trains, and on what rows; the YAML file of `hf-synthlabels train --grid`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from hf_synthlabels.annotation import Engine, StrictModel, read_yaml, validated
from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.student_file import DataSource

Schedule = Literal["constant_with_warmup", "warmup_stable_decay"]
"""Schedules whose first epochs do not depend on how many follow, so that one run tells of all epoch counts."""

# What the grid itself decides; in `student` it would be overwritten or would make runs differ from what is reported.
DECIDED = {
    "learning_rate": "list it under `grid.learning_rate`",
    "per_device_train_batch_size": "list it under `grid.batch_size`",
    "num_train_epochs": "list it under `grid.epochs`",
    "seed": "list it under `grid.seed`",
    "max_steps": "the epochs under `grid.epochs` decide",
    "lr_scheduler_type": "write `grid.schedule`",
    "warmup_steps": "write `grid.warmup_steps`",
    "output_dir": "give the folder with `-o`",
    "eval_strategy": "the grid evaluates after each epoch",
    "save_strategy": "runs are kept by the grid's journal",
    "load_best_model_at_end": "the grid reads every epoch",
    "push_to_hub": "publish the best student with `hf-synthlabels push model`",
    "label_column": "list it under `grid.label_source`",
}


class Search(StrictModel):
    """Optuna in place of every combination: so many of them, chosen one after another."""

    trials: PositiveInt
    pruner: Literal["none", "median", "wilcoxon"] = "median"
    """When a combination is given up: after an epoch by the median of the earlier ones, or after a seed by Wilcoxon's
    signed-rank test against the best one, seed by seed."""
    seed: int = 0


class GridOptions(StrictModel):
    """The key `grid`: the values of each axis, and how the best combination is chosen."""

    human: str = "label"
    """The column with the human labels that choose and test."""
    label_source: dict[str, str | dict[str, Any]]
    """By name the label column, or options of the student with `label_column` among them."""
    size: list[PositiveInt | None] = Field(default=[None], min_length=1)
    """Training rows; null is all."""
    learning_rate: list[float] = Field(default=[2e-5, 5e-5, 1e-4], min_length=1)
    batch_size: list[PositiveInt] = Field(default=[16], min_length=1)
    epochs: list[PositiveInt] = Field(default=[1, 2, 3, 4], min_length=1)
    """Read off one run each: the run goes to the largest."""
    seed: list[int] = Field(default=[0, 1, 2], min_length=1)
    model: list[str] | None = None
    """The encoders; without it `student.model`."""
    validation_rows: PositiveInt = 250
    """Human-labelled rows that choose; they train no student."""
    metric: Literal["macro_f1", "accuracy"] = "macro_f1"
    schedule: Schedule = "constant_with_warmup"
    warmup_steps: int = Field(default=10, ge=0)
    decay: float = Field(default=0.2, gt=0, lt=1)
    """With `warmup_stable_decay`: the share of an epoch over which the rate falls to 0 before each reading."""
    refit: bool = True
    """Train the chosen combination again with the usual linear schedule, and show the difference."""
    workers: PositiveInt | None = None
    """Runs side by side: one per core without a GPU, one per GPU with them; several per GPU are quicker on small
    models."""
    threads: PositiveInt = 1
    """Threads of one run on the CPU; results depend on it in their last digits, so it is not guessed."""
    engine: Engine = Engine()
    """Who trains: processes of this machine, or with `ray` Ray Tune on a cluster; `gpus_per_actor: 0.25` puts four
    runs on one GPU."""
    search: Search | None = None

    @field_validator("size", "learning_rate", "batch_size", "epochs", "seed", "model")
    @classmethod
    def _each_once(cls, values: list[Any] | None) -> list[Any] | None:
        if values is not None and (not values or len(set(values)) != len(values)):
            raise ValueError("list at least one value, each once")
        return values

    @field_validator("learning_rate")
    @classmethod
    def _above_zero(cls, values: list[float]) -> list[float]:
        if min(values) <= 0:
            raise ValueError("give rates above 0, such as 5e-5")
        return values

    @model_validator(mode="after")
    def _sources(self) -> Self:
        if not self.label_source:
            raise ValueError("`label_source` is empty: name a label column, such as {llm: llm_label}")
        if self.search is not None and self.engine.name == "ray":
            raise ValueError("`search` tries one combination after another: take the engine 'local'")
        for name, source in self.label_source.items():
            if isinstance(source, dict) and not isinstance(source.get("label_column"), str):
                raise ValueError(f"`label_source` {name!r} has no `label_column`: name the column with its labels")
        return self

    def source_options(self, source: str) -> dict[str, Any]:
        """The student options of a label source, `label_column` among them."""
        given = self.label_source[source]
        return {"label_column": given} if isinstance(given, str) else dict(given)


class GridFile(StrictModel):
    """A file with the keys `student`, `data` and `grid`."""

    student: dict[str, Any]
    data: DataSource
    grid: GridOptions

    @classmethod
    def from_yaml(cls, path: str | Path, *, data: str | Path | None = None) -> Self:
        """Read the file.

        Args:
            path: the YAML file.
            data: a CSV, JSON or Parquet file in place of the key `data`.

        Raises:
            ConfigError: the file can not be read, or has a key or value that is not valid.
        """
        content = read_yaml(Path(path), "grid", ConfigError)
        if not isinstance(content, dict):
            raise ConfigError(f"`{path}` holds {type(content).__name__}. Write the keys `student`, `data` and `grid`.")
        if data is not None:
            content = {**content, "data": DataSource.of_file(data).model_dump()}
        return cls.from_dict(content, where=str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str = "grid") -> Self:
        """A grid from plain values.

        Raises:
            ConfigError: a key or value is not valid, or the student brings what the grid decides.
        """
        file = validated(cls, content, where, ConfigError)
        for key in file.student:
            if key in DECIDED:
                raise ConfigError(f"{where}: `student.{key}` is decided by the grid: {DECIDED[key]}.")
        if not file.models:
            raise ConfigError(f"{where}: `student.model` is missing. Name the encoder, or several in `grid.model`.")
        return file

    @property
    def models(self) -> Sequence[str]:
        """The encoders that are compared."""
        return self.grid.model or ([self.student["model"]] if self.student.get("model") else [])
