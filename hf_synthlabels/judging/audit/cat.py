"""CAT: whether a metric's scores mean the same in every task (comparable across tasks, Faysse et al. 2023).

Four statistics, because a single one hides what confounds it: scores that only tell tasks apart order pairs of rows
from different tasks rather well when tasks differ in their means. Every task counts the same, whatever its rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hf_synthlabels.judging.audit.audit_rows import AuditRows, Floats
from hf_synthlabels.judging.audit.cit import mean_over_tasks, task_sides
from hf_synthlabels.judging.audit.pair_counts import Side, pair_sums
from hf_synthlabels.judging.audit.resampling import Draws, Resamples, cluster_sums
from hf_synthlabels.statistics.arrays import divided

ROUNDING = 1e-12
"""A variance of scores below it is rounding."""


@dataclass(frozen=True, slots=True)
class CAT:
    """The statistics, each as draws; all nan for fewer than two tasks, or when all scores are equal."""

    overall: Mapping[str, Draws]
    """
    cat_offset: standard deviation over tasks of mean score - mean human score, uncalibrated; 0 is best.
    cat_transfer: 1 - MAE / MAE of a constant, for the mean human score of a task predicted from its mean score by the
        line that fits the rows of all other tasks; 1 is best, 0 is no better than the other tasks' human mean.
    cat_dr2: R2 of a line for each task - R2 of one line for all; 0 is best.
    cat_within_c: concordance of pairs of rows of the same task, mean over tasks; ties count one half.
    cat_cross_c: concordance of pairs of rows of two tasks, mean over pairs of tasks.
    cat_cross_null: what cat_cross_c is, in the mean, when scores are shuffled within tasks: task means alone.
    cat_cross_excess: cat_cross_c - cat_cross_null; 0 is a metric that knows only which task it is.
    cat_gap: cat_cross_c - cat_within_c.
    """
    tasks: Mapping[str, Draws]
    """Each task's offset: mean score - mean human score."""


@dataclass(frozen=True, slots=True)
class _Moments:
    """Means over the rows of each task, shape (resamples, tasks)."""

    s: Floats
    h: Floats
    ss: Floats
    sh: Floats
    hh: Floats

    def over(self, tasks: Sequence[int]) -> _Moments:
        """The mean of some tasks, all counting the same: shape (resamples,)."""
        return _Moments(*(getattr(self, name)[:, tasks].mean(axis=1) for name in ("s", "h", "ss", "sh", "hh")))

    @property
    def slope(self) -> Floats:
        """Of the line that fits human scores best; 0 where scores do not vary."""
        spread = self.ss - self.s**2
        return np.where(spread > ROUNDING, (self.sh - self.s * self.h) / np.where(spread > ROUNDING, spread, 1), 0.0)

    @property
    def spread(self) -> Floats:
        """The variance of human scores."""
        return self.hh - self.h**2

    @property
    def unexplained(self) -> Floats:
        """The mean squared error of that line."""
        return self.spread - self.slope * (self.sh - self.s * self.h)


def cat(rows: AuditRows, resamples: Resamples) -> CAT:
    """The four statistics of comparability across tasks, on the rows that have a score."""
    sides = {name: side for name, (_, side) in task_sides(rows, resamples).items()}
    moments = _moments(list(sides.values()), resamples)
    offsets = {name: moments.s[:, place] - moments.h[:, place] for place, name in enumerate(sides)}
    scores = rows.scores[rows.scored]
    if len(sides) < 2 or np.ptp(scores) == 0:
        return CAT(dict.fromkeys(STATISTICS, np.full(len(resamples.weights), np.nan)), offsets)
    within, cross, null = _concordances(list(sides.values()), resamples)
    values = {
        "cat_offset": (moments.s - moments.h).std(axis=1),
        "cat_transfer": _transfer(moments),
        "cat_dr2": _calibrations_apart(moments),
        "cat_within_c": within,
        "cat_cross_c": cross,
        "cat_cross_null": null,
        "cat_cross_excess": cross - null,
        "cat_gap": cross - within,
    }
    return CAT(values, offsets)


STATISTICS = (
    *("cat_offset", "cat_transfer", "cat_dr2", "cat_within_c", "cat_cross_c", "cat_cross_null", "cat_cross_excess"),
    "cat_gap",
)


def _moments(sides: Sequence[Side], resamples: Resamples) -> _Moments:
    tables = []
    for side in sides:
        s, h = side.scores, side.human
        columns = np.stack([np.ones(len(side)), s, h, s * s, s * h, h * h], axis=1)
        sums = resamples.weights @ cluster_sums(columns, side.groups, resamples.weights.shape[1])
        tables.append(divided(sums[:, 1:], sums[:, :1]))
    if not tables:
        return _Moments(*(np.empty((len(resamples.weights), 0)) for _ in range(5)))
    return _Moments(*np.moveaxis(np.stack(tables, axis=1), 2, 0))


def _transfer(moments: _Moments) -> Draws:
    """1 - sum of errors of the line fitted on the other tasks / sum of errors of their human mean."""
    n = moments.s.shape[1]
    errors, constant = [], []
    for task in range(n):
        others = moments.over([other for other in range(n) if other != task])
        predicted = others.h + others.slope * (moments.s[:, task] - others.s)
        errors.append(np.abs(predicted - moments.h[:, task]))
        constant.append(np.abs(others.h - moments.h[:, task]))
    total = np.sum(constant, axis=0)
    return 1 - divided(np.sum(errors, axis=0), np.where(total > ROUNDING, total, 0.0))


def _calibrations_apart(moments: _Moments) -> Draws:
    """R2 of one line for each task less R2 of one line for all, both of the variance of all human scores."""
    pooled = moments.over(list(range(moments.s.shape[1])))
    return divided(pooled.unexplained - moments.unexplained.mean(axis=1), pooled.spread)


def _concordances(sides: Sequence[Side], resamples: Resamples) -> tuple[Draws, Draws, Draws]:
    """Within tasks, across tasks, and across tasks by chance."""
    size = len(resamples.weights)
    within = [pair_sums(resamples.weights, side).concordance for side in sides]
    across = [pair_sums(resamples.weights, one, other) for one, other in combinations(sides, 2)]
    return (
        mean_over_tasks(within, size),
        mean_over_tasks([pairs.concordance for pairs in across], size),
        mean_over_tasks([pairs.concordance_by_chance for pairs in across], size),
    )
