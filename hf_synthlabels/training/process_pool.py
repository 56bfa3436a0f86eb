"""A queue worked off by processes side by side, which take turns on the GPUs and do not fight for the cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, TypeVar

from hf_synthlabels.errors import TrainingError

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], count: int, *, threads: int
) -> Iterator[Result]:
    """The results of all items, each as it comes.

    Args:
        work: a function of a module, called in the processes.
        items: in the order in which they begin.
        count: processes, more than there are items at most.
        threads: of each process.

    Raises:
        TrainingError: a process died; what had finished has been yielded.
        Exception: as `work` says; those that had begun are finished first.
    """
    context = multiprocessing.get_context("spawn")
    count = min(count, len(items))
    slots = context.Queue()
    for slot in range(count):
        slots.put(slot)
    with _Threads(threads), ProcessPoolExecutor(count, context, _start, (slots,)) as pool:
        waiting = list(reversed(items))
        running: set[Future[Result]] = set()
        try:
            while waiting or running:
                # No more than are worked on: an error does not leave a long queue behind.
                while waiting and len(running) < count:
                    running.add(pool.submit(work, waiting.pop()))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise TrainingError(
                f"`workers` is {count}, and one of them was ended from outside, as happens when memory runs out. What "
                "had finished is kept; run it again, with fewer workers if it happens again."
            ) from None


def _start(slots: Any) -> None:
    """Pin a worker to a GPU before it looks for one: they take turns."""
    slot = slots.get()
    visible = _gpus(os.environ)
    if visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[slot % len(visible)]
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


class _Threads:
    """OpenMP takes its threads when a process first loads torch: what a run may use, so that workers do not fight."""

    def __init__(self, threads: int) -> None:
        self._wanted = {
            "OMP_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._wanted}
        os.environ.update(self._wanted)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
