"""The best evaluation of a run: which it was, and how far the others were from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError


def best_metrics(args: Any, state: Any) -> dict[str, float]:
    """Which evaluation the weights are from, after training with `load_best_model_at_end`; nothing without.

    Returns:
        `best_epoch`, `best_step`, `evaluations` (how many there were to choose from), and of the metric that chose:
        `best_<metric>`, `last_<metric>` and `mean_<metric>`, the mean over all evaluations. The best of several
        evaluations on the same rows is a little optimistic; the other two say by how much at most.
    """
    metric = args.metric_for_best_model
    if not args.load_best_model_at_end or metric is None or state.best_global_step is None:
        return {}
    key = metric if metric.startswith("eval_") else f"eval_{metric}"
    found = {log["step"]: log for log in state.log_history if key in log}
    values = [log[key] for log in found.values()]
    if state.best_global_step not in found:
        return {}
    best, name = found[state.best_global_step], key.removeprefix("eval_")
    return {
        "best_epoch": float(best["epoch"]),
        "best_step": float(state.best_global_step),
        "evaluations": float(len(values)),
        f"best_{name}": float(best[key]),
        f"last_{name}": float(values[-1]),
        f"mean_{name}": float(np.mean(values)),
    }


def unknown_metric(metric: str, metrics: dict[str, float]) -> ConfigError:
    """What to say of a metric that no evaluation gives."""
    known = sorted(name.removeprefix("eval_") for name in metrics if name.startswith("eval_"))
    timing = ("runtime", "samples_per_second", "steps_per_second", "model_preparation_time")
    known = [name for name in known if name not in timing]
    return ConfigError(f"`metric_for_best_model` is {metric!r}, which no evaluation gives. Give one of {known}.")
