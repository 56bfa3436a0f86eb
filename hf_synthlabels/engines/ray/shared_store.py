"""SharedStore: the response store of the command's machine, as a worker uses it through the budget actor."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from hf_synthlabels.clients import Run
from hf_synthlabels.clients.store.ledger import Allowance, UsageRecord
from hf_synthlabels.clients.store.response_store import uncancellable
from hf_synthlabels.engines.ray.budget_actor import Reply, StoreCall
from hf_synthlabels.errors import StoreError, SynthLabelsError

HEARTBEAT_S = 0.5
"""How often a worker without writes reports its statistics, and learns whether the run is ending."""


class BudgetActorProtocol(Protocol):
    """The methods of `BudgetActor` that a worker calls, locally or through Ray."""

    def get(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Stored answers among the given keys."""

    def write(self, worker: str, calls: Sequence[StoreCall], stats: Mapping[str, Any] | None) -> Reply:
        """Call methods of the response store; their effects are on disk when this returns."""


@dataclass(frozen=True, slots=True)
class RemoteBudgetActor:
    """A `BudgetActor` in another process."""

    handle: Any
    """Handle of the Ray actor."""

    def get(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Stored answers among the given keys."""
        answers: dict[str, dict[str, Any]] = self.call("get", keys)
        return answers

    def write(self, worker: str, calls: Sequence[StoreCall], stats: Mapping[str, Any] | None) -> Reply:
        """Call methods of the response store; their effects are on disk when this returns."""
        reply: Reply = self.call("write", worker, calls, stats)
        return reply

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the actor and return its result.

        Raises:
            SynthLabelsError: raised by the method.
            StoreError: the actor has died.
        """
        import ray

        try:
            return ray.get(getattr(self.handle, method).remote(*arguments))
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, SynthLabelsError) else error from None
        except ray.exceptions.RayError as error:
            raise StoreError(
                f"The process that stores the answers has died ({type(error).__name__}). The answers are kept; run the "
                "same command again."
            ) from None


class SharedStore:
    """The part of `ResponseStore` that `CachedClient` and `BudgetTracker` use, written by the budget actor.

    Writes are grouped as in `ResponseStore`: calls during one write form the next group, and the returned future is
    done when its group is on disk.

    Args:
        actor: the budget actor.
    """

    def __init__(self, actor: BudgetActorProtocol) -> None:
        self._actor = actor
        self._name = uuid.uuid4().hex
        self._calls: list[StoreCall] = []
        self._usage: dict[str, tuple[Run, UsageRecord]] = {}
        self._reserved: list[Future[Allowance]] = []
        self._commit: Future[None] = uncancellable()
        self._stats: Mapping[str, Any] | None = None
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._is_awaited = self._closing = False
        self.is_stopped = False
        """Whether the run is ending."""
        self._writer = threading.Thread(target=self._write, name="shared-store", daemon=True)
        self._writer.start()

    def report(self, stats: Mapping[str, Any]) -> None:
        """Set the statistics of this worker, which the next write reports."""
        self._stats = stats

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Stored answers among the given keys."""
        return self._actor.get(list(keys))

    def put(self, key: str, answer: Mapping[str, Any]) -> Future[None]:
        """Store an answer."""
        return self._enqueue(("put", (key, answer)))

    def acquire(self, keys: Iterable[str]) -> list[str]:
        """All of the keys: each row of a run belongs to one worker only."""
        return list(keys)

    def release(self, keys: Iterable[str]) -> None:
        """Do nothing, as no key is locked."""

    def begin_run(self, run: Run) -> None:
        """Add a run to the ledger."""
        self._enqueue(("begin_run", (run,)))

    def reserve(self, run: Run, wish: Allowance) -> Future[Allowance]:
        """Reserve requests and money for a run."""
        reserved: Future[Allowance] = Future()
        with self._changed:
            self._enqueue(("reserve", (run, wish)))
            self._reserved.append(reserved)
        return reserved

    def commit_usage(self, run: Run, usage: UsageRecord) -> None:
        """Record the usage of completed requests."""
        with self._changed:
            self._enqueue(None)
            # Each group has one record per run.
            if run.id in self._usage:
                self._usage[run.id][1].add(usage)
            else:
                self._usage[run.id] = (run, usage)

    def end_run(self, run: Run) -> None:
        """Release the unspent reservations of a run; they are released when this returns."""
        # The usage of a group is written last, so it has to be on disk before the run ends.
        self.flush()
        self._enqueue(("end_run", (run,)))
        self.flush()

    def flush(self) -> None:
        """Wait until all earlier calls are on disk.

        Raises:
            StoreError: they cannot be written, or the budget actor has died.
        """
        self._enqueue(None).result()

    def close(self) -> None:
        """Write what is pending, and stop; a second call does nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._writer.join()

    def _enqueue(self, call: StoreCall | None) -> Future[None]:
        """Add a call to the next group; without a call, the group is written all the same."""
        with self._changed:
            self._check()
            if call is not None:
                self._calls.append(call)
            self._is_awaited = True
            self._changed.notify()
            return self._commit

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._closing:
            raise StoreError("The response store of this worker is closed.")

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._is_awaited, timeout=HEARTBEAT_S)
                calls = [*self._calls, *(("commit_usage", usage) for usage in self._usage.values())]
                reserved = self._reserved
                ends = self._closing and not self._is_awaited
                self._calls, self._usage, self._reserved, self._is_awaited = [], {}, [], False
                # From here on, calls belong to the next group.
                commit, self._commit = self._commit, uncancellable()
            if ends:
                return
            try:
                reply = self._actor.write(self._name, calls, self._stats)
                pairs = list(zip(reserved, reply.reserved, strict=True))
            except BaseException as error:
                self._fail(error, commit, reserved)
                return
            self.is_stopped = reply.stopped
            for future, allowance in pairs:
                future.set_result(allowance)
            commit.set_result(None)

    def _fail(self, error: BaseException, commit: Future[None], reserved: list[Future[Allowance]]) -> None:
        """Raise an error in all pending and later calls."""
        with self._changed:
            self._error = error
            futures: list[Future[Any]] = [*reserved, *self._reserved, commit, self._commit]
        for future in futures:
            future.set_exception(error)
