"""The queue of a grid's runs: worked off here, or by several processes side by side that share a journal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_synthlabels.training.process_pool import map_in_processes
from hf_synthlabels.training.search.grid_run import GridRun, RunResult
from hf_synthlabels.training.search.run_training import ModelCache, train_run
from hf_synthlabels.training.search.search_journal import RunJournal
from hf_synthlabels.training.search.shared_rows import SharedRows, open_rows


@dataclass(frozen=True, slots=True)
class Task:
    """A run that is missing in the journal."""

    key: str
    run: GridRun
    place: Path
    """Where its tokenised rows are."""
    names: tuple[str, ...]
    folder: Path
    """Of the grid: the journal is there."""
    save: Path | None = None
    """Where model and tokenizer go at the end, if they are wanted."""


def default_workers() -> int:
    """One run per GPU; without a GPU one per core that this process may use."""
    import torch

    if torch.accelerator.is_available():
        return max(1, torch.accelerator.device_count())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(tasks: Sequence[Task], workers: int) -> Iterator[RunResult]:
    """Train what is missing, each result as it comes; it is in the journal by then.

    Args:
        tasks: in the order in which they begin.
        workers: processes; with 1 everything happens in this one.

    Raises:
        TrainingError: a worker died; what had finished is kept.
        SynthLabelsError: a run can not be trained as asked; those that had begun are finished first.
    """
    if workers == 1 or len(tasks) < 2:
        local = _Worker()
        yield from map(local.train, tasks)
        return
    yield from map_in_processes(_train, tasks, workers, threads=max(task.run.threads for task in tasks))


class _Worker:
    """Keeps encoders and tokenised rows from one run to the next."""

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, ...], ModelCache] = {}
        self._rows: dict[Path, SharedRows] = {}

    def train(self, task: Task) -> RunResult:
        shelf = self._shelves.setdefault(task.names, ModelCache(task.names))
        if task.place not in self._rows:
            self._rows[task.place] = open_rows(task.place, task.names)
        journal = RunJournal(task.folder)
        known = journal.get(task.key)
        # Another grid on the same folder may have done it meanwhile.
        if known is not None and task.save is None:
            return known
        result = train_run(task.run, self._rows[task.place], shelf, task.key, save=task.save)
        journal.put(result)
        return result


_worker: _Worker | None = None


def _train(task: Task) -> RunResult:
    """In a process of its own, which stays for the next run."""
    global _worker
    if _worker is None:
        _worker = _Worker()
    return _worker.train(task)
