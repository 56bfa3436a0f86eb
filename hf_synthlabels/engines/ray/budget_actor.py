"""BudgetActor: the Ray actor that stores all answers and accounts for one budget, on the machine of the command."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.store.write_groups import Writes
from hf_synthlabels.engines.ray.job_files import Folder

if TYPE_CHECKING:
    import pyarrow as pa

COPY_S = 5.0
"""How long an answer may be on this machine's disk alone."""

ROWS_PER_FILE = 50_000


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply to a worker whose writes are on disk."""

    results: tuple[Any, ...] = ()
    """One for each call, in their order."""
    stopped: bool = False
    """Whether the run is ending, so that nothing more may be sent."""


@dataclass(frozen=True, slots=True)
class _Worker:
    """The worker that has a rank."""

    name: str
    since: float


class BudgetActor:
    """Writes the answers and the usage of all workers to the response store of this machine.

    So all workers and later single-machine runs share the answers, and the budget is one account. A worker sends its
    next request only when its last answer is on disk here, so its death costs at most the requests in flight. New
    answers are also copied to the output folder every few seconds, in case this machine is lost.

    The methods may be called from several threads.

    Args:
        store: file of the response store.
        answers: folder for copies of answers; None makes no copies.
        num_workers: number of workers.

    Raises:
        StoreError: the store cannot be opened.
    """

    def __init__(self, store: str, answers: Folder | None, num_workers: int = 1) -> None:
        self._store = ResponseStore(store)
        self._answers = answers
        self._uncopied: list[tuple[str, str]] = []
        self._stats: dict[str, Mapping[str, Any]] = {}
        self._workers: dict[int, _Worker] = {}
        self._num_workers = num_workers
        self._stopped = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._copier = threading.Thread(target=self._copy_regularly, name="answer-copies", daemon=True)
        self._copier.start()

    def worker_rank(self, name: str) -> int:
        """The rank of a worker, which decides its part of the rate limits; a new worker replaces the oldest one."""
        with self._lock:
            for rank, worker in self._workers.items():
                if worker.name == name:
                    return rank
            free = [rank for rank in range(self._num_workers) if rank not in self._workers]
            rank = free[0] if free else min(self._workers, key=lambda taken: self._workers[taken].since)
            self._workers[rank] = _Worker(name, time.monotonic())
            return rank

    def num_started(self) -> int:
        """Number of workers that have started."""
        with self._lock:
            return len(self._workers)

    def get(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Stored answers among the given keys."""
        return self._store.get(keys)

    def write(self, worker: str, writes: Writes, stats: Mapping[str, Any] | None) -> Reply:
        """Write to the response store; all of it is on disk when this returns.

        Raises:
            StoreError: the store cannot be written.
        """
        results = self._store.apply(writes) if writes else []
        with self._lock:
            self._uncopied += writes.answers
            if stats is not None:
                self._stats[worker] = stats
            return Reply(tuple(results), self._stopped)

    def total_stats(self) -> dict[str, Any]:
        """Statistics of all workers together, as plain values."""
        total = RunStats()
        with self._lock:
            for stats in self._stats.values():
                total.add(stats)
        return total.to_dict()

    def stop(self) -> None:
        """Make all workers send nothing more; the reply to their next write tells them."""
        with self._lock:
            self._stopped = True

    def close(self) -> None:
        """Copy the remaining answers and close the store.

        Raises:
            OSError: the output folder cannot be written.
        """
        self._closing.set()
        self._copier.join()
        self._copy()
        self._store.close()

    def _copy_regularly(self) -> None:
        while not self._closing.wait(COPY_S):
            try:
                self._copy()
            except Exception:
                # The output may be unavailable for a while. The answers are kept here, and `close` raises the error.
                continue

    def _copy(self) -> None:
        if self._answers is None:
            return
        with self._lock:
            answers, self._uncopied = self._uncopied, []
        try:
            _write_answers(self._answers, answers)
        except BaseException:
            with self._lock:
                self._uncopied = answers + self._uncopied
            raise


def gather_answers(folder: Folder, store: ResponseStore) -> int:
    """Copy missing answers from an output folder into a response store; returns their number.

    Raises:
        StoreError: they cannot be written.
    """
    count = 0
    for name in folder.names():
        for answers in _batches(folder.read_table(name)):
            known = store.get(answers)
            for key in answers.keys() - known.keys():
                store.put(key, json.loads(answers[key]))
                count += 1
    store.flush()
    return count


def merge_answers(folder: Folder) -> None:
    """Merge the files of copied answers into few; at any time, each answer is in at least one file."""
    names = folder.names()
    if len(names) < 2:
        return
    answers: dict[str, str] = {}
    for name in names:
        for batch in _batches(folder.read_table(name)):
            answers.update(batch)
    items = list(answers.items())
    for start in range(0, len(items), ROWS_PER_FILE):
        _write_answers(folder, items[start : start + ROWS_PER_FILE])
    for name in names:
        folder.remove(name)


def _write_answers(folder: Folder, answers: Sequence[tuple[str, str]]) -> None:
    if not answers:
        return
    import pyarrow as pa

    keys, payloads = zip(*answers, strict=True)
    folder.write_table(f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.parquet", pa.table({"key": keys, "payload": payloads}))


def _batches(table: pa.Table) -> Iterator[dict[str, str]]:
    """Payloads by key, some hundred at a time."""
    for batch in table.to_batches(max_chunksize=500):
        yield dict(zip(batch.column("key").to_pylist(), batch.column("payload").to_pylist(), strict=True))
