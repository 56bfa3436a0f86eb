"""Grids of students: every combination once, epochs read off one run, chosen on human labels, resumable."""

from __future__ import annotations

from hf_synthlabels.training.search.config import GridFile, GridOptions, Search
from hf_synthlabels.training.search.grid import Grid
from hf_synthlabels.training.search.grid_run import Choice, GridRun, Reading, RunResult, grid_runs
from hf_synthlabels.training.search.report import CellReport, GridCost, GridReport
from hf_synthlabels.training.search.run_grid import run_grid
from hf_synthlabels.training.search.run_queue import Task, run_tasks

__all__ = [
    "CellReport",
    "Choice",
    "Grid",
    "GridCost",
    "GridFile",
    "GridOptions",
    "GridReport",
    "GridRun",
    "Reading",
    "RunResult",
    "Search",
    "Task",
    "grid_runs",
    "run_grid",
    "run_tasks",
]
