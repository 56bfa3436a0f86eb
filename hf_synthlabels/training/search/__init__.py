"""Hyperparameter grids: several epoch counts per run, selection on human labels, resumable."""

from __future__ import annotations

from hf_synthlabels.training.search.config import Choice, GridFile, GridOptions, GridRun, Search, grid_runs
from hf_synthlabels.training.search.report import CellReport, GridCost, GridReport
from hf_synthlabels.training.search.results import RunResult
from hf_synthlabels.training.search.run_grid import run_grid
from hf_synthlabels.training.search.run_training import RunTask, run_tasks

__all__ = [
    "CellReport",
    "Choice",
    "GridCost",
    "GridFile",
    "GridOptions",
    "GridReport",
    "GridRun",
    "RunResult",
    "RunTask",
    "Search",
    "grid_runs",
    "run_grid",
    "run_tasks",
]
