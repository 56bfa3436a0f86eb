"""Execution of jobs in this process or in several worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hf_synthlabels.studies.students.job import Job, Outcome, known_outcome
from hf_synthlabels.studies.students.journal import CellFiles
from hf_synthlabels.studies.students.learning import run_job
from hf_synthlabels.studies.tasks.training_tables import Tables, open_tables


def run_jobs(jobs: Sequence[Job], workers: int) -> Iterator[Outcome]:
    """Train what is missing, each outcome as it comes; it is in the journal by then.

    Args:
        jobs: in the order in which they begin.
        workers: processes; with 1 everything happens in this one. They take turns on the GPUs that there are.

    Raises:
        TrainingError: a worker died; what had finished is kept.
    """
    if not jobs:
        return
    from hf_synthlabels.training.search.process_pool import run_tasks

    yield from run_tasks(_Worker, jobs, workers, threads=max(job.threads for job in jobs))


class _Worker:
    """Keeps tables from one job to the next."""

    def __init__(self) -> None:
        self._tables: dict[Path, Tables] = {}

    def __call__(self, job: Job) -> Outcome:
        journal = CellFiles(job.folder)
        # Another study on the same folder may have done it meanwhile.
        if (known := known_outcome(journal, job)) is not None:
            return known
        if job.place not in self._tables:
            self._tables[job.place] = open_tables(job.place)
        outcome = run_job(job, self._tables[job.place])
        journal.write(job.key, outcome.to_dict())
        return outcome
