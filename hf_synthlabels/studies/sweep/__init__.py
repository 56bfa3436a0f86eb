"""Sweeps: tasks × label sources × prompts × sizes × students × strategies × seeds, every cell once, resumable."""

from __future__ import annotations

from hf_synthlabels.studies.sweep.file import SweepStudy
from hf_synthlabels.studies.sweep.job import Job, Outcome
from hf_synthlabels.studies.sweep.run import JobEngine, PlannedCell, plan_sweep, run_sweep
from hf_synthlabels.studies.sweep.summary import arms_section, summary_table
from hf_synthlabels.studies.sweep.workers import run_jobs

__all__ = [
    "Job",
    "JobEngine",
    "Outcome",
    "PlannedCell",
    "SweepStudy",
    "arms_section",
    "plan_sweep",
    "run_jobs",
    "run_sweep",
    "summary_table",
]
