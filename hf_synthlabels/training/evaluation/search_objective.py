"""What `hyperparameter_search` looks for: the best evaluation of a trial, by the metric that the options name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_synthlabels.training.evaluation.best_evaluation import unknown_metric


def searched_by(args: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a search, with an objective and a direction where none are given.

    Trainer adds all metrics up and takes the smallest sum (transformers 5.23).

    Args:
        args: with `metric_for_best_model`, the loss where there is none, and `greater_is_better`.
        options: of `Trainer.hyperparameter_search`.

    Raises:
        ConfigError: when the search begins, where no evaluation gives the metric.
    """
    metric = (args.metric_for_best_model or "loss").removeprefix("eval_")
    greater = args.greater_is_better
    if greater is None:
        greater = not metric.endswith("loss")

    def objective(metrics: dict[str, float]) -> float:
        if f"eval_{metric}" not in metrics:
            raise unknown_metric(metric, metrics)
        return metrics[f"eval_{metric}"]

    found = dict(options)
    if found.get("compute_objective") is None:
        found["compute_objective"] = objective
        # With an objective of one's own the direction is one's own too, as Trainer has it.
        found["direction"] = found.get("direction") or ("maximize" if greater else "minimize")
    return found


def best_of_trial(before: Any, now: Any, direction: Any) -> Any:
    """The better of what a trial had and has; what are no numbers, as several objectives are not, is left as it is.

    Args:
        before: the best of the evaluations so far; None at the first.
        now: of this evaluation.
        direction: "maximize" or "minimize", as a word or as Optuna's.
    """
    if not isinstance(before, int | float) or not isinstance(now, int | float):
        return now
    return max(before, now) if str(direction).lower().endswith("maximize") else min(before, now)
