"""Pooling: differences of several tasks together, and many tests at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, percentile_interval

MIN_TASKS = 5
"""Tasks below which nothing is said of tasks like them."""


@dataclass(frozen=True, slots=True)
class PooledTasks:
    """The same difference on several tasks."""

    tasks: int
    these: Interval
    """Mean over these tasks; rows and seeds are drawn, the tasks are what they are."""
    such: Interval
    """Mean over a population of tasks of which these are a sample: Student's t on T - 1 degrees of freedom. All nan
    below five tasks, which say too little about others."""
    median: Interval
    """Median of these tasks, with the interval of such tasks' median by order statistics; its ends are nan where all
    tasks are too few for the level, as are five at 95 %."""

    @property
    def mean(self) -> Interval:
        """The mean that a verdict may rest on: of tasks like these, or of these alone where they are too few."""
        return self.these if math.isnan(self.such.estimate) else self.such

    wilcoxon: float
    """Two-sided p-value of Wilcoxon's signed ranks over tasks; 1 where no task differs."""
    p_values: tuple[float, ...]
    """Of each task alone, two-sided from its draws, corrected by Holm's steps for their number."""


def pool_tasks(
    points: Sequence[float], draws: Sequence[Floats], bootstrap: BootstrapConfig | None = None
) -> PooledTasks:
    """Pool differences over tasks, for these tasks and for tasks like them.

    `these` draws each task's rows and seeds. `such` is Student's interval of the task means: their variance over tasks
    holds the variance between tasks and the noise within them, so that mean +- t(T - 1) sqrt(variance / T) needs
    neither by itself. A bootstrap of T tasks would lack the factor sqrt(T / (T - 1)) and Student's quantile, and cover
    .73 with two tasks and .87 with five. `median` has an interval between order statistics (Hettmansperger & Sheather
    1986).

    Args:
        points: the difference of each task.
        draws: of each task the differences in its resamples, shape (resamples,).
        bootstrap: level, resamples and seed.

    Raises:
        DataError: there is no task, or the lengths differ.
    """
    bootstrap = bootstrap or BootstrapConfig()
    if not points or len(points) != len(draws):
        raise DataError(f"`points` has {len(points)} tasks and `draws` {len(draws)}: give one of each for every task.")
    shortest = min(map(len, draws))
    values, found = np.array([each[:shortest] for each in draws]), np.array(points, dtype=np.float64)
    rng = np.random.default_rng(bootstrap.seed)
    within = values[np.arange(len(found))[:, None], rng.integers(shortest, size=(len(found), bootstrap.resamples))]
    tasks, mean = len(found), float(found.mean())
    return PooledTasks(
        tasks,
        percentile_interval(within.mean(axis=0), mean, bootstrap.level, "bootstrap: seeds and rows", tasks),
        _mean_of_such(found, bootstrap.level),
        _median_of_such(found, bootstrap.level),
        float(stats.wilcoxon(found).pvalue) if np.any(found != 0) else 1.0,
        holm([bootstrap_p_value(each) for each in draws]),
    )


def _mean_of_such(points: Floats, level: float) -> Interval:
    tasks, method = len(points), "student: tasks"
    if tasks < MIN_TASKS:
        return Interval(math.nan, math.nan, math.nan, level, method, tasks)
    mean = float(points.mean())
    half = float(stats.t.ppf((1 + level) / 2, tasks - 1)) * float(points.std(ddof=1)) / math.sqrt(tasks)
    return Interval(mean, mean - half, mean + half, level, method, tasks)


def _median_of_such(points: Floats, level: float) -> Interval:
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
    """Two-sided p-value of a null value from bootstrap draws: twice the smaller tail, the sample counted as a draw.

    It is what the percentile interval says: below 1 - level just where the interval leaves the value out (Davison &
    Hinkley 1997, section 4.4.5). Not below 2 / (draws + 1). Draws that are nan are left out; 1 when all are.
    """
    kept = values[~np.isnan(values)]
    tail = min(int((kept <= null).sum()), int((kept >= null).sum()))
    return min(1.0, 2 * (tail + 1) / (kept.size + 1))


def normal_p_value(interval: Interval, null: float = 0.0) -> float:
    """Two-sided p-value of a null value from a normal interval: below 1 - level just where the interval excludes it.

    It is 1 where the interval is undefined or has no width.
    """
    below = null < interval.estimate
    reach = interval.estimate - interval.low if below else interval.high - interval.estimate
    if not reach > 0:
        return 1.0
    distance = abs(interval.estimate - null) / reach * normal_quantile(interval.level)
    return float(2 * stats.norm.sf(distance))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values corrected for their number by Holm's steps (1979): the chance of any false alarm stays the level.

    The k-th smallest of m is multiplied by m - k + 1; none is below a smaller one, or above 1.
    """
    found = np.array(p_values, dtype=np.float64)
    order = np.argsort(found, kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1)))
    corrected = np.empty_like(steps)
    corrected[order] = steps
    return tuple(corrected.tolist())
