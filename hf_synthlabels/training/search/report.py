"""GridReport: what was chosen for each model, label source and size, and what that is worth on the test rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hf_synthlabels.statistics import Interval
from hf_synthlabels.training.search.grid_run import Choice


@dataclass(frozen=True, slots=True)
class CellReport:
    """One model, label source and size."""

    model: str
    source: str
    size: int | None
    rows: int
    """Training rows."""
    choice: Choice
    validation: float
    """Score of the choice on the rows that chose it, mean over seeds."""
    corrected: float
    """The same for rows that did not choose (BBC-CV); lower, because the best of many looks better than it is."""
    n_candidates: int
    n_diverged: int
    test: Interval | None
    """Score on the test rows over rows and seeds; None without test rows."""
    gain: Interval | None
    """Against the first combination that the file lists, which nobody chose: what searching brought."""
    against_first_source: Interval | None
    """Against the first label source, each with its own choice; None for the first."""
    refit: Interval | None
    """Trained again with linear decay: score on the test rows, on the validation rows where there are none."""
    refit_difference: Interval | None
    """The refit minus the reading that was chosen."""

    @property
    def optimism(self) -> float:
        """How much the validation score promises too much."""
        return self.validation - self.corrected


@dataclass(frozen=True, slots=True)
class GridCost:
    """What a grid took, and what a run for every combination would have taken."""

    runs: int
    cells: int
    """Combinations with all their seeds: what the runs stand for."""
    steps: int
    steps_separately: int
    """Optimiser steps of one run for each epoch count."""
    wall_s: float
    """Seconds of all runs one after another."""
    cpu_s: float


@dataclass(frozen=True, slots=True)
class GridReport:
    """The outcome of a grid; printed it is a table."""

    metric: str
    schedule: str
    n_validation: int
    n_test: int
    n_left_out: int
    """Training rows that some source has no label for; no source trains on them."""
    seeds: tuple[int, ...]
    cells: tuple[CellReport, ...]
    cost: GridCost
    student: str | None = None
    """The folder of the best refitted student."""

    def to_json(self) -> str:
        """Every number; nan and infinity become null, because JSON has neither."""
        return json.dumps(_plain(asdict(self)), indent=2)

    @classmethod
    def from_json(cls, text: str) -> GridReport:
        """The report that `to_json` wrote."""
        content = json.loads(text)
        cells = tuple(_cell(each) for each in content["cells"])
        return cls(**{**content, "seeds": tuple(content["seeds"]), "cells": cells, "cost": GridCost(**content["cost"])})

    def __str__(self) -> str:
        head = ("model", "labels", "rows", "rate", "batch", "epochs", "chosen at", "unbiased", "test", "searching")
        table = [head, *(_line(cell) for cell in self.cells)]
        widths = [max(len(line[k]) for line in table) for k in range(len(head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table]
        return "\n".join([*(line.rstrip() for line in lines), "", *self._notes()])

    def _notes(self) -> list[str]:
        cost = self.cost
        notes = [
            f"Scores are {self.metric}, means over {len(self.seeds)} seeds. `chosen at` is on the {self.n_validation} "
            "human-labelled rows that chose, so it promises too much; `unbiased` is what choosing gives on rows that "
            "did not (BBC-CV).",
        ]
        if self.n_test:
            notes.append(
                f"`test` is on {self.n_test:,} other human-labelled rows; `searching` is against the first "
                "combination of the file."
            )
        for cell in self.cells:
            where = f"{_short(cell.model)}, {cell.source}, {cell.rows:,} rows"
            if cell.against_first_source is not None:
                notes.append(f"{where}: {cell.against_first_source} against {self.cells[0].source}.")
            if cell.refit is not None:
                notes.append(f"{where}: with linear decay {cell.refit}, difference {cell.refit_difference}.")
            if cell.n_diverged:
                notes.append(f"{where}: {cell.n_diverged} combinations diverged or were given up.")
        if self.n_left_out:
            notes.append(f"{self.n_left_out:,} training rows lack a label of some source and were left out for all.")
        notes.append(
            f"{cost.runs} runs stand for {cost.cells} combinations and seeds: {cost.steps:,} optimiser steps in place "
            f"of {cost.steps_separately:,}; {cost.cpu_s:,.0f} s of processor time."
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
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
