"""GridReport: the selected combination of each cell, with its scores on the test rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hf_synthlabels.statistics import Interval
from hf_synthlabels.training.search.config import Choice


@dataclass(frozen=True, slots=True)
class CellReport:
    """One model, label source and size."""

    model: str
    source: str
    size: int | None
    rows: int
    """Number of training rows."""
    choice: Choice
    validation: float
    """Score of the selection on the validation rows, mean over seeds."""
    corrected: float
    """The same corrected for selection bias (BBC-CV), usually lower."""
    n_candidates: int
    n_diverged: int
    test: Interval | None
    """Score on the test rows, with an interval over rows and seeds; None without test rows."""
    gain: Interval | None
    """Difference from the first combination listed in the file: the gain of the search."""
    against_first_source: Interval | None
    """Difference from the first label source, each with its own selection; None for the first."""
    refit: Interval | None
    """Score after training with linear decay, on the test rows or, without any, the validation rows."""
    refit_difference: Interval | None
    """The refit minus the selected evaluation."""


@dataclass(frozen=True, slots=True)
class GridCost:
    """Cost of a grid, next to that of one run per combination."""

    runs: int
    cells: int
    """Number of combinations times seeds."""
    steps: int
    steps_separately: int
    """Optimizer steps of one run per epoch count."""
    wall_s: float
    """Total seconds of all runs."""
    cpu_s: float


@dataclass(frozen=True, slots=True)
class GridReport:
    """The result of a grid; `str` is a table."""

    metric: str
    schedule: str
    n_validation: int
    n_test: int
    n_left_out: int
    """Number of training rows without a label of some source; they are left out for all."""
    seeds: tuple[int, ...]
    cells: tuple[CellReport, ...]
    cost: GridCost
    student: str | None = None
    """The folder of the best refitted student."""

    def to_json(self) -> str:
        """All numbers as JSON; NaN and infinity become null."""
        return json.dumps(_plain(asdict(self)), indent=2)

    @classmethod
    def from_json(cls, text: str) -> GridReport:
        """The report that `to_json` wrote."""
        content = json.loads(text)
        cells = tuple(_cell(each) for each in content["cells"])
        return cls(**{**content, "seeds": tuple(content["seeds"]), "cells": cells, "cost": GridCost(**content["cost"])})

    def __str__(self) -> str:
        head = ("model", "labels", "rows", "rate", "batch", "epochs", "validation", "corrected", "test", "gain")
        table = [head, *(_line(cell) for cell in self.cells)]
        widths = [max(len(line[k]) for line in table) for k in range(len(head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
        return "\n".join([*(line.rstrip() for line in lines), "", *self._notes()])

    def _notes(self) -> list[str]:
        cost = self.cost
        notes = [
            f"Scores are {self.metric}, means over {len(self.seeds)} seeds. `validation` is on the {self.n_validation} "
            "human-labeled rows used for selection, so it is optimistic; `corrected` removes the selection bias "
            "(BBC-CV).",
        ]
        if self.n_test:
            notes.append(
                f"`test` is on {self.n_test:,} other human-labeled rows; `gain` is the difference from the first "
                "combination of the file."
            )
        for cell in self.cells:
            where = f"{_short(cell.model)}, {cell.source}, {cell.rows:,} rows"
            if cell.against_first_source is not None:
                notes.append(f"{where}: difference from {self.cells[0].source}: {cell.against_first_source}.")
            if cell.refit is not None:
                notes.append(f"{where}: with linear decay {cell.refit}, difference {cell.refit_difference}.")
            if cell.n_diverged:
                notes.append(f"{where}: {cell.n_diverged} combinations diverged or were pruned.")
        if self.n_left_out:
            notes.append(f"{self.n_left_out:,} training rows without a label of some source were left out for all.")
        notes.append(
            f"{cost.runs} runs cover {cost.cells} combinations and seeds: {cost.steps:,} optimizer steps instead of "
            f"{cost.steps_separately:,}; {cost.cpu_s:,.0f} s of CPU time."
        )
        return notes


def _cell(values: Mapping[str, Any]) -> CellReport:
    intervals = ("test", "gain", "against_first_source", "refit", "refit_difference")
    read = {name: None if values[name] is None else Interval.from_dict(values[name]) for name in intervals}
    numbers = {name: math.nan if values[name] is None else values[name] for name in ("validation", "corrected")}
    return CellReport(**{**values, "choice": Choice(**values["choice"]), **read, **numbers})


def _line(cell: CellReport) -> tuple[str, ...]:
    choice = cell.choice
    return (
        _short(cell.model),
        cell.source,
        f"{cell.rows:,}",
        f"{choice.learning_rate:g}",
        f"{choice.batch_size}",
        f"{choice.epochs}",
        f"{cell.validation:.3f}",
        f"{cell.corrected:.3f}",
        "-" if cell.test is None else str(cell.test),
        "-" if cell.gain is None else f"{cell.gain.estimate:+.3f}",
    )


def _short(model: str) -> str:
    return model.rstrip("/").rsplit("/", 1)[-1]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
