"""Once: metrics that are computed on the first of several processes, and known to all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from transformers import EvalPrediction

Metrics = Callable[[EvalPrediction], dict[str, Any]]


def main_process_only(metrics: Metrics) -> Metrics:
    """A `compute_metrics` that runs on the first process only, while the others wait for its result.

    `Trainer` gathers all predictions and calls `compute_metrics` in every process: a judge that is asked over the
    network would be paid as many times. `StudentTrainer` does this by itself; for a plain `Trainer` wrap the function.
    Where a judge takes long, raise `ddp_timeout` of the training arguments.

    Raises:
        RuntimeError: in the other processes, when the first one's metrics raised; there the error itself is raised.
    """

    @functools.wraps(metrics)
    def once(prediction: EvalPrediction) -> dict[str, Any]:
        from accelerate import PartialState
        from accelerate.utils import broadcast_object_list

        state = PartialState()
        if state.num_processes == 1:
            return metrics(prediction)
        shared: list[Any] = [None, None]
        raised: Exception | None = None
        if state.is_main_process:
            try:
                shared[0] = metrics(prediction)
            except Exception as error:
                # The others would wait for ever.
                raised = error
                shared[1] = f"{type(error).__name__}: {error}"
        broadcast_object_list(shared, from_process=0)
        if raised is not None:
            raise raised
        if shared[1] is not None:
            raise RuntimeError(f"`compute_metrics` failed in the first process: {shared[1]}")
        found: dict[str, Any] = shared[0]
        return found

    return once
