"""BudgetActor: the one who writes the answers and accounts of all actors, on the machine where the run was started."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.store.ledger import Allowance
from hf_synthlabels.engines.ray.job_files import Folder
from hf_synthlabels.engines.ray.store_entries import Answered, Began, Ended, Entry, Reply, Settled, Wished

if TYPE_CHECKING:
    import pyarrow as pa

COPY_S = 5.0
"""How long an answer may be on this machine's disk alone."""

ROWS_PER_FILE = 50_000


class BudgetActor:
    """Keeps what all actors buy in the response store of one machine, which is also the one that single runs use.

    So an answer that any of them bought is every other's, and a budget is one account. An actor sends its next
    request only when its last answer is written here; so its death costs at most what it had on the way. Every
    few seconds new answers are copied to the output folder as well, so that the death of this machine costs no more
    than these seconds.

    It is called from several threads.

    Args:
        store: the file of the response store.
        answers: the folder for copies of answers; None for none.
        seats: how many actors there are.

    Raises:
        StoreError: the store can not be opened.
    """

    def __init__(self, store: str, answers: Folder | None, seats: int = 1) -> None:
        self._store = ResponseStore(store)
        self._answers = answers
        self._fresh: list[Answered] = []
        self._tallies: dict[str, Mapping[str, Any]] = {}
        self._seats: dict[int, tuple[str, float]] = {}
        self._seat_count = seats
        self._stopped = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._copier = threading.Thread(target=self._copy_on, name="answer-copies", daemon=True)
        self._copier.start()

    def seat(self, actor: str) -> int:
        """Which part of the limits an actor has; one that takes the place of a dead one has that one's."""
        with self._lock:
            for number, (name, _) in self._seats.items():
                if name == actor:
                    return number
            free = [number for number in range(self._seat_count) if number not in self._seats]
            number = free[0] if free else min(self._seats, key=lambda one: self._seats[one][1])
            self._seats[number] = (actor, time.monotonic())
            return number

    def seated(self) -> int:
        """How many actors have begun."""
        with self._lock:
            return len(self._seats)

    def find(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among the given keys."""
        return self._store.get(keys)

    def write(self, writer: str, entries: Sequence[Entry], tally: Mapping[str, Any] | None) -> Reply:
        """Write entries; they are on disk when this returns. `tally` is all that the writer has come to.

        Raises:
            StoreError: they can not be written.
        """
        grants: list[Future[Allowance]] = []
        for entry in entries:
            match entry:
                case Answered(key, payload):
                    self._store.put(key, payload)
                case Began(run):
                    self._store.begin_run(run)
                case Wished(run, wish):
                    grants.append(self._store.reserve(run, wish))
                case Settled(run, settlement):
                    self._store.commit_usage(run, settlement)
                case Ended(run):
                    self._store.end_run(run)
        if entries:
            self._store.flush()
        with self._lock:
            self._fresh += [entry for entry in entries if isinstance(entry, Answered)]
            if tally is not None:
                self._tallies[writer] = tally
            return Reply(tuple(grant.result() for grant in grants), self._stopped)

    def standing(self) -> dict[str, Any]:
        """What all writers together have come to, as a tally's plain values."""
        tally = RunStats()
        with self._lock:
            for part in self._tallies.values():
                tally.add(part)
        return tally.to_dict()

    def stop(self) -> None:
        """Have all actors send nothing more; each is told with the reply to what it writes next."""
        with self._lock:
            self._stopped = True

    def close(self) -> None:
        """Copy what is not copied yet, and let go of the store.

        Raises:
            OSError: the output folder can not be written.
        """
        self._closing.set()
        self._copier.join()
        self._copy()
        self._store.close()

    def _copy_on(self) -> None:
        while not self._closing.wait(COPY_S):
            try:
                self._copy()
            except Exception:
                # The output may be out of reach for a while. The answers are kept here, and `close` tells it.
                continue

    def _copy(self) -> None:
        if self._answers is None:
            return
        with self._lock:
            fresh, self._fresh = self._fresh, []
        try:
            _write_answers(self._answers, [(one.key, json.dumps(one.payload)) for one in fresh])
        except BaseException:
            with self._lock:
                self._fresh = fresh + self._fresh
            raise


def gather_answers(folder: Folder, store: ResponseStore) -> int:
    """Bring the answers of an output folder into a response store that lacks them; returns how many.

    Raises:
        StoreError: they can not be written.
    """
    count = 0
    for name in folder.names():
        for keys, payloads in _batches(folder.read_table(name)):
            known = store.get(keys)
            for key, payload in zip(keys, payloads, strict=True):
                if key not in known:
                    store.put(key, json.loads(payload))
                    count += 1
    store.flush()
    return count


def merge_answers(folder: Folder) -> None:
    """Make few files of many; an answer is at any time in one of them."""
    names = folder.names()
    if len(names) < 2:
        return
    found: dict[str, str] = {}
    for name in names:
        for keys, payloads in _batches(folder.read_table(name)):
            found.update(zip(keys, payloads, strict=True))
    answers = list(found.items())
    for start in range(0, len(answers), ROWS_PER_FILE):
        _write_answers(folder, answers[start : start + ROWS_PER_FILE])
    for name in names:
        folder.remove(name)


def _write_answers(folder: Folder, answers: Sequence[tuple[str, str]]) -> None:
    if not answers:
        return
    import pyarrow as pa

    keys, payloads = zip(*answers, strict=True)
    folder.write_table(f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.parquet", pa.table({"key": keys, "payload": payloads}))


def _batches(table: pa.Table) -> list[tuple[list[str], list[str]]]:
    return [
        (batch.column("key").to_pylist(), batch.column("payload").to_pylist())
        for batch in table.to_batches(max_chunksize=500)
    ]
