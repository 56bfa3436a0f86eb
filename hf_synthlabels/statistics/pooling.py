"""Pooling: differences of several tasks together, and many tests at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.codes import Floats
from hf_synthlabels.statistics.intervals import Interval, percentile_interval
from hf_synthlabels.statistics.rows import Drawing

__all__ = ["PooledTasks", "drawn_p_value", "holm", "pool_tasks"]


@dataclass(frozen=True, slots=True)
class PooledTasks:
    """The same difference on several tasks."""

    tasks: int
    these: Interval
    """Mean over these tasks; rows and seeds are drawn, the tasks are what they are."""
    such: Interval
    """Mean over tasks of which these are a sample: tasks, seeds and rows are drawn. Undefined for a single task."""
    median: Interval
    """Median over such tasks, drawn in the same way."""
    wilcoxon: float
    """Two-sided p-value of Wilcoxon's signed ranks over tasks; 1 where no task differs."""
    p_values: tuple[float, ...]
    """Of each task alone, two-sided from its draws, corrected by Holm's steps for their number."""


def pool_tasks(points: Sequence[float], draws: Sequence[Floats], drawing: Drawing | None = None) -> PooledTasks:
    """Pool differences over tasks by a hierarchical bootstrap: tasks, and within each its seeds and rows.

    `such` draws as many tasks as there are, with replacement, and of each the difference in a resample of its own
    (Davison & Hinkley 1997, section 3.8). Where tasks have few rows their noise is counted at both stages and the
    interval is too wide rather than too narrow.

    Args:
        points: the difference of each task.
        draws: of each task the differences in its resamples, shape (resamples,).
        drawing: level, resamples and seed.

    Raises:
        DataError: there is no task, or the lengths differ.
    """
    drawing = drawing or Drawing()
    if not points or len(points) != len(draws):
        raise DataError(f"`points` has {len(points)} tasks and `draws` {len(draws)}: give one of each for every task.")
    shortest = min(map(len, draws))
    values, found = np.array([each[:shortest] for each in draws]), np.array(points, dtype=np.float64)
    rng = np.random.default_rng(drawing.seed)
    shape = (drawing.resamples, len(found))
    tasks = rng.integers(len(found), size=shape) if len(found) > 1 else np.zeros(shape, dtype=np.int64)
    drawn = values[tasks, rng.integers(shortest, size=shape)]
    within = values[np.arange(len(found))[:, None], rng.integers(shortest, size=shape).T]

    def interval(numbers: Floats, estimate: float, stages: str) -> Interval:
        known = numbers if len(found) > 1 or stages == "seeds and rows" else np.empty(0)
        return percentile_interval(known, estimate, drawing.level, f"bootstrap: {stages}", len(found))

    return PooledTasks(
        len(found),
        interval(within.mean(axis=0), float(found.mean()), "seeds and rows"),
        interval(drawn.mean(axis=1), float(found.mean()), "tasks, seeds and rows"),
        interval(np.median(drawn, axis=1), float(np.median(found)), "tasks, seeds and rows"),
        float(stats.wilcoxon(found).pvalue) if np.any(found != 0) else 1.0,
        holm([drawn_p_value(each) for each in draws]),
    )


def drawn_p_value(values: Floats, null: float = 0.0) -> float:
    """Two-sided p-value of a null value from bootstrap draws: twice the smaller tail, the sample counted as a draw.

    It is what the percentile interval says: below 1 - level just where the interval leaves the value out (Davison &
    Hinkley 1997, section 4.4.5). Not below 2 / (draws + 1). Draws that are nan are left out; 1 when all are.
    """
    kept = values[~np.isnan(values)]
    tail = min(int((kept <= null).sum()), int((kept >= null).sum()))
    return min(1.0, 2 * (tail + 1) / (kept.size + 1))


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
