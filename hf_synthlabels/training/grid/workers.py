"""The queue of a grid's runs: worked off here, or by several processes side by side that share a journal."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.training.grid.journal import RunJournal
from hf_synthlabels.training.grid.run import GridRun, RunResult
from hf_synthlabels.training.grid.shared import SharedRows, open_rows
from hf_synthlabels.training.grid.training import BaseShelf, train_run

__all__ = ["Task", "default_workers", "work_off"]


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


def work_off(tasks: Sequence[Task], workers: int) -> Iterator[RunResult]:
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
    context = multiprocessing.get_context("spawn")
    count = min(workers, len(tasks))
    slots = context.Queue()
    for slot in range(count):
        slots.put(slot)
    with _threads_of_workers(tasks), ProcessPoolExecutor(count, context, _start, (slots,)) as pool:
        waiting = list(reversed(tasks))
        running: dict[Future[RunResult], Task] = {}
        try:
            while waiting or running:
                # No more than are worked on: an error does not leave a long queue behind.
                while waiting and len(running) < count:
                    task = waiting.pop()
                    running[pool.submit(_train, task)] = task
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    running.pop(future)
                    yield future.result()
        except BrokenProcessPool:
            raise TrainingError(
                f"`workers` is {count}, and one of them was ended from outside, as happens when memory runs out. What "
                "had finished is kept; run it again, with fewer workers if it happens again."
            ) from None


class _Worker:
    """Keeps encoders and tokenised rows from one run to the next."""

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, ...], BaseShelf] = {}
        self._rows: dict[Path, SharedRows] = {}

    def train(self, task: Task) -> RunResult:
        shelf = self._shelves.setdefault(task.names, BaseShelf(task.names))
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


def _start(slots: Any) -> None:
    """Pin a worker to a GPU before it looks for one: they take turns."""
    global _worker
    slot = slots.get()
    visible = _gpus(os.environ)
    if visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[slot % len(visible)]
    _worker = _Worker()
    # Each training begins with a full collection, which takes a quarter of a second when it walks through the
    # libraries. They stay as long as this process.
    import hf_synthlabels.training  # noqa: F401

    gc.freeze()


def _gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that this program may use, as CUDA_VISIBLE_DEVICES names them."""
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name.strip()]
    import torch

    # Counts without starting CUDA in this process.
    return [str(number) for number in range(torch.cuda.device_count())]


def _train(task: Task) -> RunResult:
    if _worker is None:
        raise RuntimeError("this process is no worker")
    return _worker.train(task)


class _threads_of_workers:  # noqa: N801 - reads as a `with` phrase
    """OpenMP takes its threads when a process first loads torch: what a run may use, so that workers do not fight."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._wanted = {
            "OMP_NUM_THREADS": str(max(task.run.threads for task in tasks)),
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._wanted}
        os.environ.update(self._wanted)

    def __exit__(self, *error: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
