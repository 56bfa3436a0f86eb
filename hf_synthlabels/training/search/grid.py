"""Grid: its rows, its journal, what was chosen in it and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.comparison.conditions import ConditionComparison, compare_conditions
from hf_synthlabels.training.base_model import load_base
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.search.config import GridFile
from hf_synthlabels.training.search.grid_run import Choice, GridRun, RunResult, refit_run, run_key
from hf_synthlabels.training.search.report import CellReport, GridCost, GridReport
from hf_synthlabels.training.search.run_queue import Task, default_workers, run_tasks
from hf_synthlabels.training.search.search_journal import RunJournal
from hf_synthlabels.training.search.selection import Candidate, Chosen, by_cell, candidates, choose
from hf_synthlabels.training.search.shared_rows import GridRows, grid_rows, tokenize_shared_rows
from hf_synthlabels.training.student_file import TrainingData

Progress = Callable[[str], None]
Engine = Callable[[Sequence[Task], int], Iterable[RunResult]]
"""Trains tasks and yields their results, which are in the journal by then; `run_tasks` is the one for one machine."""
Cell = tuple[str, str, int | None]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A grid with its rows tokenised, ready to train."""

    file: GridFile
    folder: Path
    rows: GridRows
    places: Mapping[str, Path]
    """Where the tokens of each model are."""
    tell: Progress
    engine: Engine

    @classmethod
    def open(
        cls, file: GridFile, folder: Path, data: TrainingData | None, tell: Progress, engine: Engine = run_tasks
    ) -> Grid:
        """Read, split and tokenise the rows.

        Raises:
            SynthLabelsError: as `run_grid` says.
        """
        configs = {model: _config(file, model) for model in file.models}
        first = configs[file.models[0]]
        rows = grid_rows(file, file.data.load(first) if data is None else data)
        largest = max(size or 0 for size in file.grid.size)
        if largest > len(rows.pool):
            raise DataError(
                f"`size` is {largest}, but {len(rows.pool)} rows are left to train on: those with a label of every "
                f"source, without {len(rows.validation)} validation rows. Give that or less."
            )
        places = {}
        for model, config in configs.items():
            tokenizer = load_base(config, rows.names).tokenizer
            fingerprint = tokenize_shared_rows(rows, config, tokenizer, folder).fingerprint
            places[model] = folder / "tokens" / fingerprint
        return cls(file, folder, rows, places, tell, engine)

    @property
    def journal(self) -> RunJournal:
        """What has finished before."""
        return RunJournal(self.folder)

    def key(self, run: GridRun) -> str:
        """The hash by which the journal knows a run."""
        return run_key(run, self.places[run.model].name)

    def task(self, key: str, run: GridRun, save: Path | None = None) -> Task:
        """What a worker needs for a run."""
        return Task(key, run, self.places[run.model], self.rows.names, self.folder, save)

    def train(self, runs: Mapping[str, GridRun], save: Mapping[str, Path] | None = None) -> dict[str, RunResult]:
        """The results of all runs, those that are missing trained now."""
        wanted = save or {}
        results = {key: known for key in runs if (known := self.journal.get(key)) is not None}
        missing = [
            self.task(key, run, wanted.get(key))
            for key, run in runs.items()
            if key not in results or (key in wanted and not wanted[key].exists())
        ]
        if len(missing) < len(runs):
            self.tell(f"{len(runs) - len(missing)} of {len(runs)} runs were done before")
        for number, result in enumerate(self.engine(missing, self.file.grid.workers or default_workers()), start=1):
            results[result.key] = result
            self.tell(_told(number, len(missing), runs[result.key], result))
        return results

    def report(self, runs: Mapping[str, GridRun], results: Mapping[str, RunResult]) -> GridReport:
        """Choose for each cell, refit what was chosen, and say what it is worth."""
        grid, names = self.file.grid, self.rows.names
        truth = self.rows.validation_codes
        chosen: dict[Cell, Chosen] = {}
        first: dict[Cell, Candidate | None] = {}
        n_rows: dict[Cell, int] = {}
        for cell, part in by_cell(runs, results).items():
            found = candidates(part, truth, len(names), grid.metric)
            tried = len({(run.learning_rate, run.batch_size) for run, _ in part}) * len(set(grid.epochs))
            chosen[cell] = choose(found, truth, len(names), grid.metric, tried=tried)
            listed = Choice(grid.learning_rate[0], grid.batch_size[0], grid.epochs[0])
            first[cell] = next((one for one in found if one.choice == listed), None)
            n_rows[cell] = part[0][1].rows
        refits, student = self._refits(chosen) if grid.refit else ({}, None)
        cells = tuple(self._cell(cell, n_rows[cell], chosen, first[cell], refits.get(cell)) for cell in chosen)
        return GridReport(
            metric=grid.metric,
            schedule=grid.schedule,
            n_validation=len(truth),
            n_test=len(self.rows.test_codes),
            n_left_out=self.rows.n_left_out,
            seeds=tuple(grid.seed),
            cells=cells,
            cost=_cost(runs, results),
            student=None if student is None else str(student),
        )

    def _refits(self, chosen: Mapping[Cell, Chosen]) -> tuple[dict[Cell, Candidate], Path]:
        """The chosen combinations trained with linear decay; the best one's first seed is kept as a student."""
        runs: dict[Cell, list[GridRun]] = {
            cell: [refit_run(run, one.best.choice) for run in one.best.runs] for cell, one in chosen.items()
        }
        best = max(chosen, key=lambda cell: chosen[cell].corrected)
        student = self.folder / "student"
        keys = {self.key(run): run for part in runs.values() for run in part}
        results = self.train(keys, {self.key(runs[best][0]): student / self.key(runs[best][0])})
        refits = {}
        for cell, part in runs.items():
            pairs = [(run, results[self.key(run)]) for run in part]
            found = candidates(pairs, self.rows.validation_codes, len(self.rows.names), self.file.grid.metric)
            if found:
                refits[cell] = found[0]
        return refits, student / self.key(runs[best][0])

    def _cell(
        self,
        cell: Cell,
        n_rows: int,
        chosen: Mapping[Cell, Chosen],
        first: Candidate | None,
        refit: Candidate | None,
    ) -> CellReport:
        model, source, size = cell
        one = chosen[cell]
        tested = len(self.rows.test_codes) > 0
        rival = chosen.get((model, next(iter(self.file.grid.label_source)), size))
        other = None if rival is one else rival
        refitted = None if refit is None else self._compare(refit, one.best)
        return CellReport(
            model=model,
            source=source,
            size=size,
            rows=n_rows,
            choice=one.best.choice,
            validation=one.best.score,
            corrected=one.corrected,
            n_candidates=one.n_candidates,
            n_diverged=one.n_diverged,
            test=self._compare(one.best, one.best).a if tested else None,
            gain=self._compare(one.best, first).difference if tested and first is not None else None,
            against_first_source=self._compare(one.best, other.best).difference if tested and other else None,
            refit=None if refitted is None else refitted.a,
            refit_difference=None if refitted is None else refitted.difference,
        )

    def _compare(self, a: Candidate, b: Candidate) -> ConditionComparison:
        """On the test rows; on those that chose where there are none."""
        n, metric = len(self.rows.names), self.file.grid.metric
        if len(self.rows.test_codes):
            return compare_conditions(self.rows.test_codes, a.test, b.test, n, metric)
        return compare_conditions(self.rows.validation_codes, a.validation, b.validation, n, metric)


def _config(file: GridFile, model: str) -> StudentConfig:
    """What reads the rows for a model.

    Raises:
        ConfigError: an option is not valid.
    """
    values = {**file.student, "model": model, "label_column": file.grid.human}
    return StudentConfig.from_dict(values, where="grid, student")


def _cost(runs: Mapping[str, GridRun], results: Mapping[str, RunResult]) -> GridCost:
    done = [(run, results[key]) for key, run in runs.items() if key in results]
    separate = [_steps_separately(run, result) for run, result in done]
    return GridCost(
        runs=len(done),
        cells=sum(len(run.epochs) for run, _ in done),
        steps=sum(result.steps for _, result in done),
        steps_separately=sum(separate),
        wall_s=math.fsum(result.wall_s for _, result in done),
        cpu_s=math.fsum(result.cpu_s for _, result in done),
    )


def _steps_separately(run: GridRun, result: RunResult) -> int:
    last = result.readings[-1] if result.readings else None
    return 0 if last is None else last.steps // last.epochs * sum(run.epochs)


def _told(number: int, of: int, run: GridRun, result: RunResult) -> str:
    size = "all" if run.size is None else str(run.size)
    end = "diverged" if result.diverged else f"{result.wall_s:.1f} s"
    return (
        f"{number} of {of}: {run.source}, {size} rows, rate {run.learning_rate:g}, batch {run.batch_size}, "
        f"seed {run.seed}, {run.schedule}: {end}"
    )
