"""Differences pooled over tasks, and p-values corrected for multiple tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.intervals import Interval, percentile_interval

MIN_TASKS = 5
"""Tasks below which there is no estimate for the population of tasks."""


@dataclass(frozen=True, slots=True)
class PooledTasks:
    """One difference on several tasks."""

    tasks: int
    fixed_tasks: Interval
    """Mean over these tasks; rows and seeds are resampled."""
    random_tasks: Interval
    """Mean over the population of tasks: Student's t on T - 1 degrees of freedom; nan below five tasks."""
    median: Interval
    """Median of these tasks, with an interval for the population's median by order statistics; its limits are nan for
    too few tasks for the level, as for five at 95%."""
    wilcoxon: float
    """Two-sided p-value of Wilcoxon's signed-rank test over tasks; 1 if no task differs."""
    p_values: tuple[float, ...]
    """Of each task, two-sided from its replicates, with Holm's correction."""

    @property
    def mean(self) -> Interval:
        """The mean for a verdict: of the population of tasks, or of these tasks if they are too few."""
        return self.fixed_tasks if math.isnan(self.random_tasks.estimate) else self.random_tasks


def pool_tasks(
    points: Sequence[float], replicates: Sequence[Floats], bootstrap: BootstrapConfig | None = None
) -> PooledTasks:
    """Pool differences over tasks, for fixed and for random tasks.

    `random_tasks` is Student's interval of the task means, whose variance includes the variance between and within
    tasks; a bootstrap of few tasks would be too narrow. `median` has an interval between order statistics
    (Hettmansperger & Sheather 1986).

    Args:
        points: difference of each task.
        replicates: bootstrap replicates of the difference of each task, shape (resamples,).
        bootstrap: level, resamples and seed.

    Raises:
        DataError: there is no task, or the lengths differ.
    """
    bootstrap = bootstrap or BootstrapConfig()
    if not points or len(points) != len(replicates):
        raise DataError(
            f"`points` has {len(points)} tasks and `replicates` {len(replicates)}: give one of each for every task."
        )
    shortest = min(map(len, replicates))
    values, means = np.array([each[:shortest] for each in replicates]), np.array(points, dtype=np.float64)
    rng = np.random.default_rng(bootstrap.seed)
    picks = rng.integers(shortest, size=(len(means), bootstrap.resamples))
    within = values[np.arange(len(means))[:, None], picks].mean(axis=0)
    tasks, mean = len(means), float(means.mean())
    return PooledTasks(
        tasks=tasks,
        fixed_tasks=percentile_interval(within, mean, bootstrap.level, "bootstrap: seeds and rows", tasks),
        random_tasks=_mean_of_population(means, bootstrap.level),
        median=_median_of_population(means, bootstrap.level),
        wilcoxon=float(stats.wilcoxon(means).pvalue) if np.any(means != 0) else 1.0,
        p_values=holm([bootstrap_p_value(each) for each in replicates]),
    )


def _mean_of_population(points: Floats, level: float) -> Interval:
    tasks, method = len(points), "student: tasks"
    if tasks < MIN_TASKS:
        return Interval.undefined(level, method, tasks)
    mean = float(points.mean())
    half = float(stats.t.ppf((1 + level) / 2, tasks - 1)) * float(points.std(ddof=1)) / math.sqrt(tasks)
    return Interval(mean, mean - half, mean + half, level, method, tasks)


def _median_of_population(points: Floats, level: float) -> Interval:
    """Between order statistics, interpolated to the level."""
    tasks, method = len(points), "order statistics: tasks"
    ordered, middle = np.sort(points), float(np.median(points))
    covers = [1 - 2 * float(stats.binom.cdf(k - 1, tasks, 0.5)) for k in range(1, tasks // 2 + 1)]
    if not covers or covers[0] < level:
        return Interval(middle, math.nan, math.nan, level, method, tasks)
    k = max(place for place, cover in enumerate(covers, start=1) if cover >= level)
    outer, inner = covers[k - 1], covers[k] if k < len(covers) else 0.0
    part = (outer - level) / (outer - inner)
    weight = (tasks - k) * part / (k + (tasks - 2 * k) * part) if part > 0 else 0.0
    low = (1 - weight) * ordered[k - 1] + weight * ordered[k]
    high = (1 - weight) * ordered[tasks - k] + weight * ordered[tasks - k - 1]
    return Interval(middle, float(low), float(high), level, method, tasks)


def bootstrap_p_value(values: Floats, null: float = 0.0) -> float:
    """Two-sided p-value of a null value from bootstrap replicates; 1 if all are nan.

    It is below 1 - level exactly where the percentile interval excludes the null value, and at least
    2 / (resamples + 1) (Davison & Hinkley 1997, section 4.4.5).
    """
    kept = values[~np.isnan(values)]
    tail = min(int((kept <= null).sum()), int((kept >= null).sum()))
    return min(1.0, 2 * (tail + 1) / (kept.size + 1))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted by Holm's step-down method (1979), which controls the family-wise error rate."""
    raw = np.array(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)))
    adjusted = np.empty_like(steps)
    adjusted[order] = steps
    return tuple(adjusted.tolist())
