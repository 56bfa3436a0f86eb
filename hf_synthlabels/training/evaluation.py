"""Evaluation during training: results in row order, computed once, and the best evaluation of a run."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import EvalPrediction

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.data.samplers import LongestFirstSampler

Metrics = Callable[[EvalPrediction], dict[str, Any]]

TIMING = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


def reading_order(dataloader: Any) -> NDArray[np.int64] | None:
    """Row indices in the order in which a loader reads them; None for a loader with its own sampler."""
    batch_sampler: Any = getattr(dataloader, "batch_sampler", None)
    # On several processes accelerate wraps the batch sampler.
    while batch_sampler is not None and hasattr(batch_sampler, "batch_sampler"):
        batch_sampler = batch_sampler.batch_sampler
    sampler = getattr(batch_sampler, "sampler", None)
    return np.asarray(sampler.order) if isinstance(sampler, LongestFirstSampler) else None


def to_row_order(values: Any, order: NDArray[np.int64] | None) -> Any:
    """An array, or each array of a tuple or list, sorted from reading order into row order.

    Args:
        values: outputs in reading order.
        order: the row indices in reading order; None returns the values unchanged.
    """
    if values is None or order is None:
        return values
    if isinstance(values, tuple | list):
        return type(values)(to_row_order(value, order) for value in values)
    return values[np.argsort(order[: len(values)])]


def metrics_in_row_order(metrics: Metrics, order: NDArray[np.int64] | None) -> Metrics:
    """Metrics that receive their inputs in row order, for example to look up another column."""

    def ordered(prediction: EvalPrediction) -> dict[str, Any]:
        parts = ("predictions", "label_ids", "inputs", "losses")
        return metrics(EvalPrediction(**{part: to_row_order(getattr(prediction, part), order) for part in parts}))

    return ordered


def mean_loss(terms: list[Tensor]) -> float:
    """Σ loss / Σ weight over all rows; Trainer's mean over batches is biased if batches differ in weight.

    Args:
        terms: loss and weight of each row, shape (rows, 2), one tensor per batch.
    """
    loss, weight = torch.cat(terms).double().sum(dim=0).tolist()
    return float(loss / weight) if weight else 0.0


def main_process_only(metrics: Metrics) -> Metrics:
    """A `compute_metrics` that runs on the main process only; the other processes wait for its result.

    Trainer gathers all predictions and calls `compute_metrics` in every process, so each of them would pay for a judge
    behind an API. `StudentTrainer` wraps its metrics itself; wrap them by hand for a plain `Trainer`. Raise
    `ddp_timeout` of the training arguments for a slow judge.

    Raises:
        RuntimeError: in the other processes, if the metrics raised in the main process.
    """

    @functools.wraps(metrics)
    def on_main_process(prediction: EvalPrediction) -> dict[str, Any]:
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
                # Raised after the broadcast, for which the other processes wait.
                raised = error
                shared[1] = f"{type(error).__name__}: {error}"
        broadcast_object_list(shared, from_process=0)
        if raised is not None:
            raise raised
        if shared[1] is not None:
            raise RuntimeError(f"`compute_metrics` failed in the main process: {shared[1]}")
        scores: dict[str, Any] = shared[0]
        return scores

    return on_main_process


@contextmanager
def preserve_rng_state() -> Iterator[None]:
    """Restore the random states of all libraries afterwards, so that an evaluation does not change the training."""
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def best_metrics(args: Any, state: Any) -> dict[str, float]:
    """The evaluation that `load_best_model_at_end` selected; empty without that option.

    Returns:
        `best_epoch`, `best_step`, `evaluations` (the number of candidates), and of the selection metric
        `best_<metric>`, `last_<metric>` and `mean_<metric>`, the mean over all evaluations. The best of several
        evaluations on the same rows is optimistically biased; the other two bound the bias.
    """
    metric = args.metric_for_best_model
    if not args.load_best_model_at_end or metric is None or state.best_global_step is None:
        return {}
    key = metric if metric.startswith("eval_") else f"eval_{metric}"
    evaluations = {log["step"]: log for log in state.log_history if key in log}
    if state.best_global_step not in evaluations:
        return {}
    values = [log[key] for log in evaluations.values()]
    best, name = evaluations[state.best_global_step], key.removeprefix("eval_")
    return {
        "best_epoch": float(best["epoch"]),
        "best_step": float(state.best_global_step),
        "evaluations": float(len(values)),
        f"best_{name}": float(best[key]),
        f"last_{name}": float(values[-1]),
        f"mean_{name}": float(np.mean(values)),
    }


def unknown_metric(metric: str, metrics: Mapping[str, float]) -> ConfigError:
    """The error for a metric that no evaluation reports."""
    names = sorted(name.removeprefix("eval_") for name in metrics if name.startswith("eval_"))
    known = [name for name in names if name not in TIMING]
    return ConfigError(f"`metric_for_best_model` is {metric!r}, which evaluation does not report. Choose from {known}.")


def search_options(args: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a hyperparameter search, with objective and direction filled in from the training arguments.

    The objective is `metric_for_best_model`, by default the loss. Trainer's default is to minimize the sum of all
    metrics (transformers 5.23).

    Raises:
        ConfigError: during the search, if no evaluation reports the metric.
    """
    if options.get("compute_objective") is not None:
        # A caller who passes an objective also passes its direction, as in Trainer.
        return dict(options)
    metric = (args.metric_for_best_model or "loss").removeprefix("eval_")
    greater = args.greater_is_better
    if greater is None:
        greater = not metric.endswith("loss")

    def objective(metrics: dict[str, float]) -> float:
        if f"eval_{metric}" not in metrics:
            raise unknown_metric(metric, metrics)
        return metrics[f"eval_{metric}"]

    direction = options.get("direction") or ("maximize" if greater else "minimize")
    return {**options, "compute_objective": objective, "direction": direction}


def best_of_trial(before: Any, now: Any, direction: Any) -> Any:
    """The better of two objective values of a trial; values that are not numbers, as in a multi-objective search, pass.

    Args:
        before: best value of the earlier evaluations; None at the first one.
        now: value of the current evaluation.
        direction: "maximize" or "minimize", as a string or as Optuna's enum.
    """
    if not isinstance(before, int | float) or not isinstance(now, int | float):
        return now
    return max(before, now) if str(direction).lower().endswith("maximize") else min(before, now)
