"""Connection to a Ray cluster, and a pool of actors that processes items."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.errors import ClientError, import_extra

COLLECTOR = "outcomes"
"""Name of the thread that collects results from Ray."""

READERS = (COLLECTOR, "iter_threaded")
"""Names of threads that read from Ray; the second is that of Ray Data's prefetching threads (Ray 2.60)."""
READER_TIMEOUT_S = 20.0
"""How long to wait for these threads at the end."""

SHARDS_PER_WORKER = 2
"""Shards that a worker processes at once: while the last rows of one are in flight, it sends the first of the next."""


def load_ray(engine: Engine) -> Any:
    """Import Ray, with the settings that it reads on import.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    if "ray" not in sys.modules:
        # Turn off usage statistics.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if _address(engine) is None:
            # Ray then binds to the loopback address.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray = import_extra("ray", "ray")
    import_extra("ray.data", "ray")
    # Ray Data logs each plan, and errors that are raised here in one line.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return ray


@contextmanager
def connected(ray: Any, engine: Engine) -> Iterator[None]:
    """Connect to the engine's cluster, and disconnect at the end unless the process was connected before.

    Without an address, Ray is started on this machine, for this process alone and without a dashboard.

    Raises:
        ClientError: the cluster cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    address = _address(engine)
    options = {"include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ClientError(f"`engine.address` {address!r}: no Ray cluster can be reached there ({cause}).") from error
    try:
        yield
    finally:
        # A call after the shutdown makes Ray end the process without a message. If a thread may still make one, the
        # connection stays open.
        if _readers_have_ended(READER_TIMEOUT_S):
            ray.shutdown()


def _readers_have_ended(timeout_s: float) -> bool:
    """Wait until no thread of this process reads from Ray Data; False after the timeout."""
    deadline = time.monotonic() + timeout_s
    while any(thread.name in READERS for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _address(engine: Engine) -> str | None:
    return engine.address or os.environ.get("RAY_ADDRESS") or None


def num_machines(ray: Any) -> int:
    """Number of machines with processors."""
    return max(1, sum(bool(node["Alive"] and node["Resources"].get("CPU")) for node in ray.nodes()))


def on_this_machine(ray: Any) -> Any:
    """Scheduling strategy of an actor that must run on the machine of this process."""
    strategies = import_extra("ray.util.scheduling_strategies", "ray")
    return strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def run_shards(
    ray: Any, worker: Any, args: tuple[Any, ...], items: Sequence[Mapping[str, Any]], engine: Engine, *, actors: int
) -> Iterator[dict[str, Any]]:
    """Call a worker with each item on a pool of Ray Data actors, and yield the results.

    A worker is an instance of a class; items and results are plain values. If an actor or its machine dies, a new actor
    repeats its calls.

    Raises:
        ClientError: a call raised an unexpected error, or the cluster cannot run it.
    """
    data = ray.data
    context = data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    size = min(actors, len(items))
    # A data set keeps the context in which it is created.
    with data.DataContext.current(context):
        rows = data.from_items([{"item": json.dumps(item)} for item in items], override_num_blocks=len(items))
        outcomes = rows.map(
            _Caller,
            fn_constructor_args=(worker, args),
            compute=data.ActorPoolStrategy(
                size=size,
                max_tasks_in_flight_per_actor=SHARDS_PER_WORKER,
                max_concurrent_calls_per_actor=SHARDS_PER_WORKER,
                enable_true_multi_threading=True,
            ),
            num_cpus=engine.cpus_per_actor,
            num_gpus=engine.gpus_per_actor or None,
        )
    try:
        for row in outcomes.iter_rows():
            yield json.loads(row["outcome"])
    except ray.exceptions.RayError as error:
        cause = str(error).strip().splitlines()[-1]
        raise ClientError(
            f"A worker of the Ray cluster failed: {cause[:300]} "
            "Install this package and the recipe's requirements on each machine."
        ) from error


class _Caller:
    """Calls a worker with JSON: Ray Data would convert plain values to Arrow types."""

    def __init__(self, worker: Any, arguments: tuple[Any, ...]) -> None:
        self._worker = worker(*arguments)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        return {"outcome": json.dumps(self._worker(json.loads(row["item"])))}
