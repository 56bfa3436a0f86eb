"""The best evaluation of a run, and the objective of a hyperparameter search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError

TIMING = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")


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
