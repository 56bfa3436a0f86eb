"""run_grid: train a grid of students, choose, and report."""

from __future__ import annotations

from pathlib import Path

from hf_synthlabels.tables import write_text
from hf_synthlabels.training.search.config import GridFile
from hf_synthlabels.training.search.grid import Engine, Grid, Progress
from hf_synthlabels.training.search.grid_run import grid_runs
from hf_synthlabels.training.search.optuna_search import search_runs
from hf_synthlabels.training.search.report import GridReport
from hf_synthlabels.training.search.run_queue import run_tasks
from hf_synthlabels.training.student_file import TrainingData


def run_grid(
    file: GridFile,
    folder: Path,
    *,
    data: TrainingData | None = None,
    progress: Progress | None = None,
    engine: Engine = run_tasks,
) -> GridReport:
    """Train every run that the journal does not have, choose on human-labelled rows, and report.

    Started again it trains only what is missing: runs are known by a hash of all that can change their result.

    Args:
        file: what to train.
        folder: where journal, tokens, report and the best student go.
        data: rows in place of those that the file names.
        progress: told each finished run in a line.
        engine: who trains.

    Raises:
        ConfigError: an option is not valid.
        DataError: a column is missing or holds what it should not, or there are too few rows.
        TrainingError: a model can not be loaded, all combinations of a cell diverged, or a worker died.
    """
    grid = Grid.open(file, folder, data, progress or _silent, engine)
    if file.grid.search is not None:
        runs, results = search_runs(grid)
    else:
        runs = {grid.key(run): run for run in grid_runs(file)}
        results = grid.train(runs)
    report = grid.report(runs, results)
    write_text(folder / "grid.json", report.to_json())
    return report


def _silent(line: str) -> None:
    """Progress for nobody."""
