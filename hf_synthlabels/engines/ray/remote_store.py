"""The response store of the command's machine, as a worker uses it through the budget actor."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.clients.store.write_groups import Writes
from hf_synthlabels.engines.ray.budget_actor import Reply
from hf_synthlabels.errors import StoreError, SynthLabelsError

HEARTBEAT_S = 0.5
"""How often a worker without writes reports its statistics, and learns whether the run is ending."""


@dataclass(frozen=True, slots=True)
class RemoteBudgetActor:
    """A `BudgetActor` in another process."""

    handle: Any
    """Handle of the Ray actor."""

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


class RemoteBackend:
    """The backend of a worker's `ResponseStore`: the budget actor, which has the file."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._name = uuid.uuid4().hex
        self._stats: Mapping[str, Any] | None = None
        self._closing = threading.Event()
        self.is_stopped = False
        """Whether the run is ending."""
        self._heart = threading.Thread(target=self._beat, name="remote-store", daemon=True)
        self._heart.start()

    def report(self, stats: Mapping[str, Any]) -> None:
        """Set the statistics of this worker, which the next write reports."""
        self._stats = stats

    def get(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Stored answers among the given keys."""
        answers: dict[str, dict[str, Any]] = self._call("get", list(keys))
        return answers

    def commit(self, writes: Writes) -> list[Any]:
        """Write a group; returns the results of its calls when all of it is on disk.

        Raises:
            StoreError: it cannot be written, or the budget actor has died.
        """
        reply: Reply = self._call("write", self._name, writes, self._stats)
        self.is_stopped = reply.stopped
        return list(reply.results)

    def acquire(self, keys: Iterable[str]) -> list[str]:
        """All of the keys: each row of a run belongs to one worker only."""
        return list(keys)

    def release(self, keys: Iterable[str]) -> None:
        """Do nothing, as no key is locked."""

    def close(self) -> None:
        """Stop reporting."""
        self._closing.set()
        self._heart.join()

    def _beat(self) -> None:
        while not self._closing.wait(HEARTBEAT_S):
            try:
                self.commit(Writes())
            except Exception:
                # The next write raises the error.
                return
