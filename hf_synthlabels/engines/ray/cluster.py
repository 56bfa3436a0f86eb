"""The Ray cluster: joined or started, asked for its machines, and given shards to work on."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.engines.ray.store_entries import Entry, Reply
from hf_synthlabels.errors import ClientError, StoreError, SynthLabelsError, import_extra

COLLECTOR = "outcomes"
"""The name of the thread that takes from Ray what was done."""

READERS = (COLLECTOR, "iter_threaded")
"""That, and the name which Ray Data gives to its threads that fetch ahead (Ray 2.60)."""
SETTLE_S = 20.0
"""How long these are waited for at the end."""

SHARDS_AT_ONCE = 2
"""That an actor has: while the last rows of one are on the way, the first of the other are sent."""


def load_ray(engine: Engine) -> Any:
    """Ray, not yet connected to anything.

    Raises:
        MissingExtraError: it is not installed.
    """
    if "ray" not in sys.modules:
        # Read when it is imported. It would tell its makers that it is used.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if _address(engine) is None:
            # Its own word for "on this machine only": it then binds to the loopback address.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray = import_extra("ray", "ray")
    import_extra("ray.data", "ray")
    # It logs each plan, and each error that is told here in one line.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return ray


@contextmanager
def connected(ray: Any, engine: Engine) -> Iterator[None]:
    """Stay in the engine's cluster for as long as it is needed; one that this process is in already is left so.

    Where no cluster is named, Ray is started on this machine, for this process alone and without its dashboard.

    Raises:
        ClientError: the cluster can not be reached.
    """
    if ray.is_initialized():
        yield
        return
    address = _address(engine)
    more = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **more)
    except (ConnectionError, RuntimeError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ClientError(f"`engine.address` is {address!r}, and no Ray cluster can be reached: {words}") from error
    try:
        yield
    finally:
        # Whoever speaks to Ray after this has the whole process ended by it, without a word: where a thread still
        # may, the cluster is kept for as long as the process lives.
        if _is_quiet(SETTLE_S):
            ray.shutdown()


def _is_quiet(timeout_s: float) -> bool:
    """Whether nothing more is taken from Ray Data by the threads of this process."""
    deadline = time.monotonic() + timeout_s
    while any(thread.name in READERS for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _address(engine: Engine) -> str | None:
    return engine.address or os.environ.get("RAY_ADDRESS") or None


def machines(ray: Any) -> int:
    """How many machines of the cluster can work."""
    return max(1, sum(bool(node["Alive"] and node["Resources"].get("CPU")) for node in ray.nodes()))


def on_this_machine(ray: Any) -> Any:
    """The scheduling strategy of an actor that must be where this process is."""
    strategies = import_extra("ray.util.scheduling_strategies", "ray")
    return strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


@dataclass(frozen=True, slots=True)
class RemoteDesk:
    """The bookkeeper, spoken to from another process."""

    bookkeeper: Any
    """The handle of an actor that is a `BudgetActor`."""

    def find(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The stored answers among the given keys."""
        found: dict[str, dict[str, Any]] = self.ask("find", keys)
        return found

    def write(self, writer: str, entries: Sequence[Entry], tally: Mapping[str, Any] | None) -> Reply:
        """Write entries; they are on disk when this returns."""
        reply: Reply = self.ask("write", writer, entries, tally)
        return reply

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of the bookkeeper returns.

        Raises:
            SynthLabelsError: as the method says.
            StoreError: the bookkeeper is gone.
        """
        import ray

        try:
            return ray.get(getattr(self.bookkeeper, method).remote(*arguments))
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, SynthLabelsError) else error from None
        except ray.exceptions.RayError as error:
            raise StoreError(
                f"The process that keeps the answers is gone ({type(error).__name__}). They are kept: run it again."
            ) from None


def run_shards(
    ray: Any, work: Any, arguments: tuple[Any, ...], items: Sequence[Mapping[str, Any]], engine: Engine, *, actors: int
) -> Iterator[dict[str, Any]]:
    """Have Ray Data call a worker for each item, on the actors of a pool, and yield what each call returns.

    A call whose actor or machine dies is made again, on an actor that takes its place.

    Args:
        ray: the module.
        work: a class whose objects are called with an item and return plain values.
        arguments: of the class.
        items: plain values.
        engine: what each actor needs.
        actors: how many there are.

    Raises:
        ClientError: a call raised what it should not, or the cluster can not run it.
    """
    data = ray.data
    context = data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    size = min(actors, len(items))
    # A data set keeps the context in which it was made.
    with data.DataContext.current(context):
        rows = data.from_items([{"item": json.dumps(item)} for item in items], override_num_blocks=len(items))
        outcomes = rows.map(
            _Caller,
            fn_constructor_args=(work, arguments),
            compute=data.ActorPoolStrategy(
                size=size,
                max_tasks_in_flight_per_actor=SHARDS_AT_ONCE,
                max_concurrent_calls_per_actor=SHARDS_AT_ONCE,
                enable_true_multi_threading=True,
            ),
            num_cpus=engine.cpus_per_actor,
            num_gpus=engine.gpus_per_actor or None,
        )
    try:
        for row in outcomes.iter_rows():
            yield json.loads(row["outcome"])
    except ray.exceptions.RayError as error:
        words = str(error).strip().splitlines()[-1]
        raise ClientError(
            f"The machines of the cluster can not do it: {words[:300]} "
            "Each needs this package and what the recipe uses."
        ) from error


class _Caller:
    """What Ray Data calls: plain values travel as text, so that it makes no types of them."""

    def __init__(self, work: Any, arguments: tuple[Any, ...]) -> None:
        self._work = work(*arguments)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        return {"outcome": json.dumps(self._work(json.loads(row["item"])))}
