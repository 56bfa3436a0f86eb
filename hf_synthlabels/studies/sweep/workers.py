"""The cells that are missing, worked off here or by several processes side by side that share a journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hf_synthlabels.studies.journal import CellFiles
from hf_synthlabels.studies.sweep.job import Job, Outcome, Tables, known_outcome, open_tables
from hf_synthlabels.studies.sweep.learning import run_job


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
