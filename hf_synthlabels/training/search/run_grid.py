"""run_grid: train a grid of students, all combinations or those that Optuna samples, and report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, import_extra
from hf_synthlabels.statistics.comparison.conditions import seed_scores
from hf_synthlabels.tables import write_text
from hf_synthlabels.training.data.training_data import TrainingData
from hf_synthlabels.training.search.config import GridFile, GridRun, Search, grid_runs
from hf_synthlabels.training.search.grid import Engine, Grid, Progress
from hf_synthlabels.training.search.report import GridReport
from hf_synthlabels.training.search.results import Cell, EpochEvaluation, RunResult
from hf_synthlabels.training.search.run_training import ModelCache, run_tasks, train_run
from hf_synthlabels.training.search.shared_rows import open_rows

MAX_P = 0.1
"""p-value from which Wilcoxon's test prunes a combination; 2⁻ⁿ is the smallest p-value of n seeds."""


def run_grid(
    file: GridFile,
    folder: Path,
    *,
    data: TrainingData | None = None,
    progress: Progress | None = None,
    engine: Engine = run_tasks,
) -> GridReport:
    """Train the runs that are missing in the journal, select on human-labeled rows, and report.

    Runs are identified by a hash of everything that can change their result, so a grid is resumed by starting it again.

    Args:
        file: the grid.
        folder: output folder of journal, tokens, report and the best student.
        data: rows instead of those that the file names.
        progress: called with a line for each finished run.
        engine: trains the runs.

    Raises:
        ConfigError: an option is invalid.
        DataError: a column is missing or invalid, or there are too few rows.
        MissingExtraError: Optuna is not installed.
        TrainingError: a model cannot be loaded, all combinations of a cell diverged, or a worker died.
    """
    if file.grid.search is not None:
        # Before the rows are tokenized.
        import_extra("optuna", "search")
    grid = Grid.open(file, folder, data, progress or _ignore, engine)
    if file.grid.search is not None:
        runs, results = _search(grid, file.grid.search)
    else:
        runs = {grid.key(run): run for run in grid_runs(file)}
        results = grid.train(runs)
    report = grid.report(runs, results)
    write_text(folder / "grid.json", report.to_json())
    return report


def _ignore(line: str) -> None:
    """Progress callback without output."""


def _search(grid: Grid, search: Search) -> tuple[dict[str, GridRun], dict[str, RunResult]]:
    """The runs that Optuna sampled and their results, with the same sampler, seed and number of trials in every cell.

    A trial is a learning rate and a batch size with all seeds; its value is the mean over seeds at the best epoch on
    the validation rows. Pruned trials are left out of the results. Trials are adaptive, so label sources share
    the space and the budget but, after the sampler's first ten trials, not the combinations.

    Raises:
        ConfigError: there are too few seeds for Wilcoxon's test.
        MissingExtraError: Optuna is not installed.
        SynthLabelsError: see `train_run`.
    """
    optuna: Any = import_extra("optuna", "search")
    min_seeds = int(np.ceil(-np.log2(MAX_P)))
    if search.pruner == "wilcoxon" and len(grid.file.grid.seed) < min_seeds:
        raise ConfigError(
            f"`search.pruner` is 'wilcoxon', which requires at least {min_seeds} seeds; `seed` lists "
            f"{len(grid.file.grid.seed)}. Add seeds, or use 'median'."
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners: dict[str, Callable[[], Any]] = {
        "none": optuna.pruners.NopPruner,
        "median": partial(optuna.pruners.MedianPruner, n_startup_trials=4),
        "wilcoxon": partial(optuna.pruners.WilcoxonPruner, p_threshold=MAX_P),
    }
    cells: dict[Cell, dict[int, GridRun]] = {}
    for run in grid_runs(grid.file):
        cells.setdefault(run.cell, {}).setdefault(run.seed, run)
    trials = _Trials(grid, search.pruner, optuna)
    for by_seed in cells.values():
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=search.seed),
            pruner=pruners[search.pruner](),
        )
        study.optimize(trials.objective(list(by_seed.values())), n_trials=search.trials)
    return trials.runs, trials.results


class _Trials:
    """Trains the seeds of a trial one after another, unless the journal has their results."""

    def __init__(self, grid: Grid, pruner: str, optuna: Any) -> None:
        self.runs: dict[str, GridRun] = {}
        self.results: dict[str, RunResult] = {}
        self._grid, self._pruner, self._optuna = grid, pruner, optuna
        self._models = ModelCache(grid.rows.names)
        self._rows = {model: open_rows(place, grid.rows.names) for model, place in grid.places.items()}

    def objective(self, seeds: list[GridRun]) -> Callable[[Any], float]:
        """The objective that Optuna maximizes for one model, label source and size."""
        rates, batches = self._grid.file.grid.learning_rate, self._grid.file.grid.batch_size

        def value(trial: Any) -> float:
            rate = trial.suggest_float("learning_rate", min(rates), max(rates), log=True)
            batch = trial.suggest_categorical("batch_size", batches)
            runs = [replace(run, learning_rate=rate, batch_size=batch) for run in seeds]
            results: dict[str, RunResult] = {}
            for number, run in enumerate(runs):
                prunable = trial if number == 0 and self._pruner == "median" else None
                key = self._grid.key(run)
                result = results[key] = self._train(key, run, prunable)
                if self._pruner == "wilcoxon":
                    trial.report(max(map(self._score, result.evaluations), default=0.0), number)
                if result.diverged or (self._pruner == "wilcoxon" and trial.should_prune()):
                    raise self._optuna.TrialPruned
            self.runs.update(zip(results, runs, strict=True))
            self.results.update(results)
            # The number of epochs is the same for all seeds.
            scores = [[self._score(evaluation) for evaluation in result.evaluations] for result in results.values()]
            return float(np.max(np.mean(scores, axis=0)))

        return value

    def _train(self, key: str, run: GridRun, trial: Any) -> RunResult:
        """Train one seed; the median of earlier trials may prune it after an epoch, unless `trial` is None.

        Raises:
            TrialPruned: the trial was pruned. Its evaluations are kept, so that a restarted search decides the same.
        """

        def report(evaluation: EpochEvaluation) -> bool:
            if trial is None:
                return True
            trial.report(self._score(evaluation), evaluation.epochs)
            return evaluation.epochs == max(run.epochs) or not trial.should_prune()

        journal = self._grid.journal
        known = journal.get(key) or journal.get(f"{key}-pruned")
        if known is not None:
            if not all(map(report, known.evaluations)):
                raise self._optuna.TrialPruned
            if len(known.evaluations) == len(run.epochs) or known.diverged:
                return known
            trial = None
        result = train_run(run, self._rows[run.model], self._models, key, report=report)
        self._grid.log(f"{run.source}, rate {run.learning_rate:.2g}, batch {run.batch_size}, seed {run.seed}")
        if len(result.evaluations) < len(run.epochs) and not result.diverged:
            journal.put(replace(result, key=f"{key}-pruned"))
            raise self._optuna.TrialPruned
        journal.put(result)
        return result

    def _score(self, evaluation: EpochEvaluation) -> float:
        rows, metric = self._grid.rows, self._grid.file.grid.metric
        return float(seed_scores(rows.validation_codes, np.array(evaluation.validation), len(rows.names), metric)[0])
