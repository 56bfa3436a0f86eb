"""Tasks in parallel processes, each pinned to a GPU and limited to a number of CPU threads."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from hf_synthlabels.errors import TrainingError

Task = TypeVar("Task")
Result = TypeVar("Result")

_worker: Any = None
"""The worker of this process."""


def run_tasks(
    make_worker: Callable[[], Callable[[Task], Result]], tasks: Sequence[Task], workers: int, *, threads: int
) -> Iterator[Result]:
    """Run tasks in parallel and yield each result as it completes.

    Args:
        make_worker: creates the function that runs tasks, once per process, so that it can cache models and data; a
            class or function of a module.
        tasks: in starting order.
        workers: number of processes; with 1 all tasks run in this process.
        threads: CPU threads per process.

    Raises:
        TrainingError: a process died; finished results have been yielded.
        Exception: as the worker raises; running tasks finish first.
    """
    if workers == 1 or len(tasks) < 2:
        yield from map(make_worker(), tasks)
        return
    workers = min(workers, len(tasks))
    context = multiprocessing.get_context("spawn")
    slots = context.Queue()
    for slot in range(workers):
        slots.put(slot)
    pool = ProcessPoolExecutor(workers, context, _start, (slots, make_worker))
    with _environment(threads), pool:
        waiting = list(reversed(tasks))
        running: set[Future[Result]] = set()
        try:
            while waiting or running:
                # At most one task per worker is submitted, so an error leaves no queue to finish.
                while waiting and len(running) < workers:
                    running.add(pool.submit(_work, waiting.pop()))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise TrainingError(
                f"`workers` is {workers}, and one of them was killed, as happens when memory runs out. Finished "
                "results are kept; run the command again, with fewer workers if the error repeats."
            ) from None


def default_workers() -> int:
    """One process per GPU; without a GPU one per available core."""
    import torch

    if torch.accelerator.is_available():
        return max(1, torch.accelerator.device_count())
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(slots: Any, make_worker: Callable[[], Any]) -> None:
    """Assign a GPU to a worker process before it initializes CUDA, and create its worker."""
    global _worker
    slot = slots.get()
    visible = _visible_gpus(os.environ)
    if visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[slot % len(visible)]
    # Each training starts with a full garbage collection, which takes a quarter of a second if it scans the libraries.
    # They stay for the lifetime of the process.
    import hf_synthlabels.training  # noqa: F401

    gc.freeze()
    _worker = make_worker()


def _work(task: Any) -> Any:
    return _worker(task)


def _visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that this program may use, as named in CUDA_VISIBLE_DEVICES."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch

    # Counts without initializing CUDA in this process.
    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Environment variables of worker processes; OpenMP reads them when a process first loads torch."""
    variables = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
