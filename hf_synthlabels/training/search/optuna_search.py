"""Optuna in place of every combination: learning rates between the listed ones, batch sizes from the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, import_extra
from hf_synthlabels.statistics.comparison.conditions import seed_scores
from hf_synthlabels.training.search.config import Search
from hf_synthlabels.training.search.grid import Grid
from hf_synthlabels.training.search.grid_run import GridRun, Reading, RunResult, grid_runs
from hf_synthlabels.training.search.run_training import ModelCache, train_run
from hf_synthlabels.training.search.shared_rows import open_rows

MIN_P = 0.1
"""The level at which a combination is given up by Wilcoxon's test; 2⁻ⁿ is the smallest p of n seeds."""

Cell = tuple[str, str, int | None]


def search_runs(grid: Grid) -> tuple[dict[str, GridRun], dict[str, RunResult]]:
    """The runs that Optuna chose, and their results: the same sampler, seed and number of trials for every cell.

    A trial is a learning rate and a batch size with all seeds; its value is the best epoch's mean over seeds on the
    validation rows. What was given up stays out of the results, for every seed of it. Trials are adaptive, so label
    sources are tried on the same space and budget but, after the sampler's first ten, not on the same combinations.

    Raises:
        ConfigError: Wilcoxon's test can not tell anything with so few seeds.
        MissingExtraError: Optuna is not installed.
        SynthLabelsError: as `train_run` says.
    """
    optuna: Any = import_extra("optuna", "search")
    wanted = grid.file.grid.search
    if wanted is None:
        raise ConfigError("`grid.search` is missing. Write `search: {trials: 20}`.")
    needed = int(np.ceil(-np.log2(MIN_P)))
    if wanted.pruner == "wilcoxon" and len(grid.file.grid.seed) < needed:
        raise ConfigError(
            f"`search.pruner` is 'wilcoxon', which needs {needed} seeds or more to tell anything; `seed` lists "
            f"{len(grid.file.grid.seed)}. List more, or take 'median'."
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cells: dict[Cell, dict[int, GridRun]] = {}
    for run in grid_runs(grid.file):
        cells.setdefault(run.cell, {}).setdefault(run.seed, run)
    runs: dict[str, GridRun] = {}
    results: dict[str, RunResult] = {}
    searcher = _Searcher(grid, wanted, optuna, ModelCache(grid.rows.names), runs, results)
    for by_seed in cells.values():
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=wanted.seed), pruner=_pruner(optuna, wanted)
        )
        study.optimize(searcher.objective(list(by_seed.values())), n_trials=wanted.trials)
    return runs, results


def _pruner(optuna: Any, wanted: Search) -> Any:
    pruners = {
        "none": lambda: optuna.pruners.NopPruner(),
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4),
        "wilcoxon": lambda: optuna.pruners.WilcoxonPruner(p_threshold=MIN_P),
    }
    return pruners[wanted.pruner]()


class _Searcher:
    """Trains the seeds of a trial one after another, from the journal where it knows them."""

    def __init__(
        self,
        grid: Grid,
        wanted: Search,
        optuna: Any,
        shelf: ModelCache,
        runs: dict[str, GridRun],
        results: dict[str, RunResult],
    ) -> None:
        self._grid, self._wanted, self._optuna, self._shelf = grid, wanted, optuna, shelf
        self._runs, self._results = runs, results
        self._rows = {model: open_rows(place, grid.rows.names) for model, place in grid.places.items()}

    def objective(self, seeds: list[GridRun]) -> Callable[[Any], float]:
        """What Optuna maximises for one model, label source and size."""
        rates, batches = self._grid.file.grid.learning_rate, self._grid.file.grid.batch_size

        def value(trial: Any) -> float:
            rate = trial.suggest_float("learning_rate", min(rates), max(rates), log=True)
            batch = trial.suggest_categorical("batch_size", batches)
            own = [replace(run, learning_rate=rate, batch_size=batch) for run in seeds]
            found: dict[str, RunResult] = {}
            for number, run in enumerate(own):
                key = self._grid.key(run)
                found[key] = self._train(key, run, trial if number == 0 else None)
                if self._wanted.pruner == "wilcoxon":
                    trial.report(max(map(self._score, found[key].readings), default=0.0), number)
                    if trial.should_prune():
                        raise self._optuna.TrialPruned
                if found[key].diverged:
                    raise self._optuna.TrialPruned
            self._runs.update(zip(found, own, strict=True))
            self._results.update(found)
            # The epoch is one for all seeds.
            return float(np.max(np.mean([[self._score(one) for one in r.readings] for r in found.values()], axis=0)))

        return value

    def _train(self, key: str, run: GridRun, trial: Any) -> RunResult:
        """One seed; the median of earlier trials may end the first one after an epoch.

        Raises:
            TrialPruned: it did. What was seen is kept, so that a search that is started again decides the same.
        """
        pruned = False

        def report(reading: Reading) -> bool:
            nonlocal pruned
            if trial is None or self._wanted.pruner != "median":
                return True
            trial.report(self._score(reading), reading.epochs)
            pruned = reading.epochs < max(run.epochs) and trial.should_prune()
            return not pruned

        known = self._grid.journal.get(key) or self._grid.journal.get(f"{key}-given-up")
        if known is not None:
            for reading in known.readings:
                if not report(reading):
                    break
            if pruned or len(known.readings) == len(run.epochs) or known.diverged:
                if pruned:
                    raise self._optuna.TrialPruned
                return known
            pruned = False
            trial = None
        result = train_run(run, self._rows[run.model], self._shelf, key, report=report)
        self._grid.tell(f"{run.source}, rate {run.learning_rate:.2g}, batch {run.batch_size}, seed {run.seed}")
        if pruned:
            self._grid.journal.put(replace(result, key=f"{key}-given-up"))
            raise self._optuna.TrialPruned
        self._grid.journal.put(result)
        return result

    def _score(self, reading: Reading) -> float:
        rows, metric = self._grid.rows, self._grid.file.grid.metric
        return float(seed_scores(rows.validation_codes, np.array(reading.validation), len(rows.names), metric)[0])
