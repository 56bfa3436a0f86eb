"""Grid: its rows and journal, the training of its runs, and the report on the selected combinations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.comparison.conditions import ConditionComparison, compare_conditions
from hf_synthlabels.training.base_model import load_base
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.training_data import TrainingData
from hf_synthlabels.training.search.config import Choice, GridFile, GridRun, refit_run
from hf_synthlabels.training.search.process_pool import default_workers
from hf_synthlabels.training.search.report import CellReport, GridCost, GridReport
from hf_synthlabels.training.search.results import (
    Candidate,
    Cell,
    RunJournal,
    RunResult,
    Selection,
    by_cell,
    candidates,
    run_key,
    select,
)
from hf_synthlabels.training.search.run_training import RunTask, run_tasks
from hf_synthlabels.training.search.shared_rows import GridRows, grid_rows, tokenize_shared_rows

Progress = Callable[[str], None]
Engine = Callable[[Sequence[RunTask], int], Iterable[RunResult]]
"""Trains runs and yields their results once they are in the journal; `run_tasks` does so on this machine."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A grid with tokenized rows, ready to train."""

    file: GridFile
    folder: Path
    rows: GridRows
    places: Mapping[str, Path]
    """Folder of the tokenized rows of each model."""
    log: Progress
    engine: Engine

    @classmethod
    def open(
        cls, file: GridFile, folder: Path, data: TrainingData | None, log: Progress, engine: Engine = run_tasks
    ) -> Grid:
        """Read, split and tokenize the rows.

        Raises:
            SynthLabelsError: see `run_grid`.
        """
        values = {**file.student, "label_column": file.grid.human}
        configs = {
            model: StudentConfig.from_dict({**values, "model": model}, where="grid, student") for model in file.models
        }
        rows = grid_rows(file, file.data.load(configs[file.models[0]]) if data is None else data)
        largest = max(size or 0 for size in file.grid.size)
        if largest > len(rows.pool):
            raise DataError(
                f"`size` is {largest}, but only {len(rows.pool)} rows besides the {len(rows.validation)} validation "
                "rows have a label of every source. Lower it."
            )
        places = {}
        for model, config in configs.items():
            tokenizer = load_base(config, rows.names).tokenizer
            fingerprint = tokenize_shared_rows(rows, config, tokenizer, folder).fingerprint
            places[model] = folder / "tokens" / fingerprint
        return cls(file, folder, rows, places, log, engine)

    @property
    def journal(self) -> RunJournal:
        """The results of finished runs."""
        return RunJournal(self.folder)

    def key(self, run: GridRun) -> str:
        """The key of a run in the journal."""
        return run_key(run, self.places[run.model].name)

    def train(self, runs: Mapping[str, GridRun], save: Mapping[str, Path] | None = None) -> dict[str, RunResult]:
        """The results of all runs by key; missing ones are trained.

        Args:
            runs: runs by key.
            save: folders for the models of some runs.
        """
        folders = save or {}
        results = {key: known for key in runs if (known := self.journal.get(key)) is not None}
        missing = [
            RunTask(key, run, self.places[run.model], self.rows.names, self.folder, folders.get(key))
            for key, run in runs.items()
            if key not in results or (key in folders and not folders[key].exists())
        ]
        if len(missing) < len(runs):
            self.log(f"{len(runs) - len(missing)} of {len(runs)} runs are in the journal")
        for number, result in enumerate(self.engine(missing, self.file.grid.workers or default_workers()), start=1):
            results[result.key] = result
            self.log(_progress_line(number, len(missing), runs[result.key], result))
        return results

    def report(self, runs: Mapping[str, GridRun], results: Mapping[str, RunResult]) -> GridReport:
        """Select the best configuration per condition, retrain it with linear decay, and report its scores."""
        grid, names = self.file.grid, self.rows.names
        human = self.rows.validation_codes
        selections: dict[Cell, Selection] = {}
        baselines: dict[Cell, Candidate | None] = {}
        n_rows: dict[Cell, int] = {}
        for cell, part in by_cell(runs, results).items():
            options = candidates(part, human, len(names), grid.metric)
            tried = len({(run.learning_rate, run.batch_size) for run, _ in part}) * len(set(grid.epochs))
            selections[cell] = select(options, human, len(names), grid.metric, tried=tried)
            first = Choice(grid.learning_rate[0], grid.batch_size[0], grid.epochs[0])
            baselines[cell] = next((option for option in options if option.choice == first), None)
            n_rows[cell] = part[0][1].rows
        refits, student = self._refits(selections) if grid.refit else ({}, None)
        cells = [
            self._cell_report(cell, n_rows[cell], selections, baselines[cell], refits.get(cell)) for cell in selections
        ]
        return GridReport(
            metric=grid.metric,
            schedule=grid.schedule,
            n_validation=len(human),
            n_test=len(self.rows.test_codes),
            n_left_out=self.rows.n_left_out,
            seeds=tuple(grid.seed),
            cells=tuple(cells),
            cost=_cost(runs, results),
            student=None if student is None else str(student),
        )

    def _refits(self, selections: Mapping[Cell, Selection]) -> tuple[dict[Cell, Candidate], Path]:
        """The selected combinations trained with linear decay; the best one's first seed is saved as a student."""
        runs: dict[Cell, list[GridRun]] = {
            cell: [refit_run(run, selection.best.choice) for run in selection.best.runs]
            for cell, selection in selections.items()
        }
        best = max(selections, key=lambda cell: selections[cell].corrected)
        student_key = self.key(runs[best][0])
        student = self.folder / "student" / student_key
        results = self.train({self.key(run): run for part in runs.values() for run in part}, {student_key: student})
        refits = {}
        for cell, part in runs.items():
            pairs = [(run, results[self.key(run)]) for run in part]
            options = candidates(pairs, self.rows.validation_codes, len(self.rows.names), self.file.grid.metric)
            if options:
                refits[cell] = options[0]
        return refits, student

    def _cell_report(
        self,
        cell: Cell,
        n_rows: int,
        selections: Mapping[Cell, Selection],
        baseline: Candidate | None,
        refit: Candidate | None,
    ) -> CellReport:
        model, source, size = cell
        selection = selections[cell]
        tested = len(self.rows.test_codes) > 0
        first_source = selections.get((model, next(iter(self.file.grid.label_source)), size))
        other = None if first_source is selection else first_source
        refitted = None if refit is None else self._compare(refit, selection.best)
        return CellReport(
            model=model,
            source=source,
            size=size,
            rows=n_rows,
            choice=selection.best.choice,
            validation=selection.best.score,
            corrected=selection.corrected,
            n_candidates=selection.n_candidates,
            n_diverged=selection.n_diverged,
            test=self._compare(selection.best, selection.best).a if tested else None,
            gain=self._compare(selection.best, baseline).difference if tested and baseline is not None else None,
            against_first_source=self._compare(selection.best, other.best).difference if tested and other else None,
            refit=None if refitted is None else refitted.a,
            refit_difference=None if refitted is None else refitted.difference,
        )

    def _compare(self, a: Candidate, b: Candidate) -> ConditionComparison:
        """Compare on the test rows, or on the validation rows if there are none."""
        n, metric = len(self.rows.names), self.file.grid.metric
        if len(self.rows.test_codes):
            return compare_conditions(self.rows.test_codes, a.test, b.test, n, metric)
        return compare_conditions(self.rows.validation_codes, a.validation, b.validation, n, metric)


def _cost(runs: Mapping[str, GridRun], results: Mapping[str, RunResult]) -> GridCost:
    done = [(run, results[key]) for key, run in runs.items() if key in results]
    return GridCost(
        runs=len(done),
        cells=sum(len(run.epochs) for run, _ in done),
        steps=sum(result.steps for _, result in done),
        steps_separately=sum(_steps_separately(run, result) for run, result in done),
        wall_s=math.fsum(result.wall_s for _, result in done),
        cpu_s=math.fsum(result.cpu_s for _, result in done),
    )


def _steps_separately(run: GridRun, result: RunResult) -> int:
    last = result.evaluations[-1] if result.evaluations else None
    return 0 if last is None else last.steps // last.epochs * sum(run.epochs)


def _progress_line(number: int, count: int, run: GridRun, result: RunResult) -> str:
    size = "all" if run.size is None else str(run.size)
    outcome = "diverged" if result.diverged else f"{result.wall_s:.1f} s"
    return (
        f"{number} of {count}: {run.source}, {size} rows, rate {run.learning_rate:g}, batch {run.batch_size}, "
        f"seed {run.seed}, {run.schedule}: {outcome}"
    )
