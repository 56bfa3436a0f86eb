"""SharedStore: the response store of another machine, as an actor uses it in place of one of its own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from hf_synthlabels.clients import Run
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord
from hf_synthlabels.clients.store.response_store import uncancellable
from hf_synthlabels.engines.ray.store_entries import Answered, Began, Ended, Entry, Settled, StoreActor, Wished
from hf_synthlabels.errors import StoreError

HEARTBEAT_S = 0.5
"""How often the desk hears of an actor that has nothing to write, and the actor whether it is to stop."""


class SharedStore:
    """What `CachedClient` and `BudgetTracker` need of a `ResponseStore`, written by the bookkeeper.

    As there, writing is grouped: what comes while one group is on its way is the next group, and the future
    that is returned is done when it is on disk.

    Args:
        desk: where the bookkeeper is spoken to.
    """

    def __init__(self, desk: StoreActor) -> None:
        self._desk = desk
        self._name = uuid.uuid4().hex
        self._pending: list[Entry | None] = []
        self._settlements: dict[str, Settled] = {}
        self._granted: list[Future[Allowance]] = []
        self._commit: Future[None] = uncancellable()
        self._tally: Mapping[str, Any] | None = None
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._stopped = self._closing = False
        self._writer = threading.Thread(target=self._write, name="shared-store", daemon=True)
        self._writer.start()

    @property
    def is_stopped(self) -> bool:
        """Whether the run is to end."""
        return self._stopped

    def report(self, tally: Mapping[str, Any]) -> None:
        """Say what this actor has come to so far; it is passed on in time."""
        self._tally = tally

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among the given keys."""
        return self._desk.find(list(keys))

    def put(self, key: str, answer: Mapping[str, Any]) -> Future[None]:
        """Keep an answer; the future is done when it is on disk."""
        return self._hand_over(Answered(key, answer))

    def acquire(self, keys: Iterable[str]) -> list[str]:
        """All of the keys: of the rows of a run, each is given to one actor only."""
        return list(keys)

    def release(self, keys: Iterable[str]) -> None:
        """Nothing is held."""

    def begin_run(self, run: Run) -> None:
        """Enter a run into the ledger."""
        self._hand_over(Began(run))

    def reserve(self, run: Run, wish: Allowance) -> Future[Allowance]:
        """Reserve requests and money for a run; the result is set from the thread that writes."""
        granted: Future[Allowance] = Future()
        with self._changed:
            self._hand_over(Wished(run, wish))
            self._granted.append(granted)
        return granted

    def commit_usage(self, run: Run, settlement: UsageRecord) -> None:
        """Enter what requests came to."""
        with self._changed:
            self._check()
            # Of one run there is one entry in a group, however many answers it is for.
            known = self._settlements.setdefault(run.id, Settled(run, settlement)).settlement
            if known is not settlement:
                known.add(settlement)
            self._changed.notify()

    def end_run(self, run: Run) -> None:
        """Give back what was reserved for a run and not spent; it is done when this returns."""
        # What its requests came to is written at the end of a group: before this one.
        self.flush()
        self._hand_over(Ended(run))
        self.flush()

    def flush(self) -> None:
        """Wait until everything that was handed over is on disk.

        Raises:
            StoreError: it could not be written, or the bookkeeper is gone.
        """
        self._hand_over(None).result()

    def close(self) -> None:
        """Write what is pending; a second time does nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._writer.join()

    def _hand_over(self, entry: Entry | None) -> Future[None]:
        with self._changed:
            self._check()
            self._pending.append(entry)
            self._changed.notify()
            return self._commit

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._closing:
            # Nothing would write it any more.
            raise StoreError("The response store of this actor is closed: nothing more can be written.")

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, timeout=HEARTBEAT_S)
                entries = [entry for entry in self._pending if entry is not None]
                entries += self._settlements.values()
                granted = self._granted
                ends = self._closing and not self._has_entries()
                self._pending, self._settlements, self._granted = [], {}, []
                # From here on, what is handed over belongs to the next group.
                commit, self._commit = self._commit, uncancellable()
            if ends:
                return
            try:
                reply = self._desk.write(self._name, entries, self._tally)
                grants = list(zip(granted, reply.grants, strict=True))
            except BaseException as error:
                self._end(error, commit, granted)
                return
            self._stopped = reply.stopped
            for future, grant in grants:
                future.set_result(grant)
            commit.set_result(None)

    def _has_work(self) -> bool:
        return self._closing or self._has_entries()

    def _has_entries(self) -> bool:
        return bool(self._pending or self._settlements)

    def _end(self, error: BaseException, commit: Future[None], granted: list[Future[Allowance]]) -> None:
        """Nothing can be written any more: all who wait get the error, and so does all that is handed over later."""
        with self._changed:
            self._error = error
            granted = granted + self._granted
            last = self._commit
        for future in granted:
            future.set_exception(error)
        commit.set_exception(error)
        last.set_exception(error)
