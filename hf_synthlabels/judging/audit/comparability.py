"""CIT and CAT: whether a metric ranks answers within a task, and compares across tasks, as humans do.

Both are defined by Faysse et al. (2023). Every task has the same weight, whatever its number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hf_synthlabels.judging.audit.pairs import PairSums, Side, pair_sums, tie_width
from hf_synthlabels.judging.audit.rows import AuditRows, Floats, Replicates, Resamples, cluster_sums
from hf_synthlabels.statistics.agreement.correlation import weighted_spearman
from hf_synthlabels.statistics.arrays import divided

MAX_NUMBERS = 4_000_000
"""Maximum number of resamples x distinct rows that are ranked at once."""

MAX_ROWS = 5000
"""Maximum number of rows per task, since all pairs are compared; more rows are sampled, the same for all metrics."""

MIN_SYSTEMS = 3
"""Minimum number of systems for a correlation of systems."""

ROUNDING = 1e-12
"""A smaller variance of scores is a rounding error."""

CIT_STATISTICS = ("spearman", "kendall", "accuracy", "system_spearman", "system_kendall")

CAT_STATISTICS = (
    *("cat_offset", "cat_transfer", "cat_dr2", "cat_within_c", "cat_cross_c", "cat_cross_null", "cat_cross_excess"),
    "cat_gap",
)


@dataclass(frozen=True, slots=True)
class TaskCIT:
    """Replicates of one task's rank agreement."""

    pairs: PairSums
    tie: float
    """Scores at most this far apart count as tied in `accuracy`: the width that agrees best with human ties."""
    spearman: Replicates
    kendall: Replicates
    accuracy: Replicates
    system_spearman: Replicates
    """Correlation of the systems' mean scores with their mean human scores; nan for fewer than three systems."""
    system_kendall: Replicates


@dataclass(frozen=True, slots=True)
class CIT:
    """Replicates of each statistic: the mean over tasks, and of each task."""

    overall: Mapping[str, Replicates]
    """cit_spearman, cit_kendall, cit_accuracy, cit_system_spearman, cit_system_kendall."""
    tasks: Mapping[str, TaskCIT]


@dataclass(frozen=True, slots=True)
class CAT:
    """Replicates of each statistic; all nan for fewer than two tasks, or if all scores are equal."""

    overall: Mapping[str, Replicates]
    """
    cat_offset: standard deviation over tasks of mean score - mean human score, uncalibrated; 0 is best.
    cat_transfer: 1 - MAE / MAE of a constant, for the mean human score of a task predicted from its mean score by the
        line that fits the rows of all other tasks; 1 is best, 0 is no better than the other tasks' human mean.
    cat_dr2: R2 of a line for each task - R2 of one line for all; 0 is best.
    cat_within_c: concordance of pairs of rows of the same task, mean over tasks; ties count one half.
    cat_cross_c: concordance of pairs of rows of two tasks, mean over pairs of tasks.
    cat_cross_null: expected cat_cross_c if scores are shuffled within tasks: the effect of task means alone.
    cat_cross_excess: cat_cross_c - cat_cross_null; 0 for a metric that only identifies the task.
    cat_gap: cat_cross_c - cat_within_c.
    """
    tasks: Mapping[str, Replicates]
    """Offset of each task: mean score - mean human score."""


def task_sides(rows: AuditRows, resamples: Resamples) -> dict[str, tuple[AuditRows, Side]]:
    """At most `MAX_ROWS` scored rows of each task that has any, by the task's name."""
    sides = {}
    for code, name in enumerate(rows.tasks.names):
        kept = np.flatnonzero((rows.tasks.values == code) & rows.scored)
        if len(kept) > MAX_ROWS:
            kept = np.sort(np.random.default_rng(0).choice(kept, MAX_ROWS, replace=False))
        if kept.size:
            selected = rows[kept]
            sides[name] = selected, Side(selected.scores, selected.human, resamples.groups[kept])
    return sides


def mean_over_tasks(replicates: Sequence[Replicates], size: int) -> Replicates:
    """The mean over the tasks with a defined statistic; nan without such a task."""
    if not replicates:
        return np.full(size, np.nan)
    table = np.stack(replicates)
    known = ~np.isnan(table)
    return divided(np.where(known, table, 0).sum(axis=0), known.sum(axis=0))


def cit(rows: AuditRows, resamples: Resamples) -> CIT:
    """Spearman's rho, Kendall's tau-b and pairwise accuracy, of items and of systems.

    A task with equal scores counts as 0 in the means of correlations. A task with equal human scores is excluded.
    """
    tasks = {name: _task_cit(*parts, resamples) for name, parts in task_sides(rows, resamples).items()}
    overall = {f"cit_{name}": _mean_cit(list(tasks.values()), name, resamples) for name in CIT_STATISTICS}
    return CIT(overall, tasks)


def _task_cit(rows: AuditRows, side: Side, resamples: Resamples) -> TaskCIT:
    tie = tie_width(side)
    pairs = pair_sums(resamples.weights, side, tie=tie)
    system_spearman, system_kendall = system_correlations(rows, side, resamples)
    return TaskCIT(
        pairs, tie, _spearman(side, resamples), pairs.kendall, pairs.accuracy, system_spearman, system_kendall
    )


def _mean_cit(tasks: Sequence[TaskCIT], name: str, resamples: Resamples) -> Replicates:
    size = len(resamples.weights)
    if all(task.pairs.scores_differ[0] == 0 for task in tasks):
        return mean_over_tasks([], size)
    replicates = []
    for task in tasks:
        values: Replicates = getattr(task, name)
        if name in ("spearman", "kendall"):
            all_tied = (task.pairs.scores_differ == 0) & (task.pairs.human_differ > 0)
            values = np.where(all_tied, 0.0, values)
        replicates.append(values)
    return mean_over_tasks(replicates, size)


def _spearman(side: Side, resamples: Resamples) -> Replicates:
    """Spearman's rho of each resample, from the weight of each distinct pair of scores."""
    cells, place = np.unique(np.stack([side.scores, side.human], axis=1), axis=0, return_inverse=True)
    present, groups = np.unique(side.groups, return_inverse=True)
    per_group = np.zeros((len(present), len(cells)))
    np.add.at(per_group, (groups, place.ravel()), 1)
    weights = resamples.weights[:, present]
    size = max(1, MAX_NUMBERS // len(cells))
    chunks = [weights[start : start + size] @ per_group for start in range(0, len(weights), size)]
    return np.concatenate([weighted_spearman(chunk, cells[:, 0], cells[:, 1]) for chunk in chunks])


def system_correlations(rows: AuditRows, side: Side, resamples: Resamples) -> tuple[Replicates, Replicates]:
    """Spearman's rho and Kendall's tau-b of the systems' mean scores with their mean human scores."""
    undefined = np.full(len(resamples.weights), np.nan)
    if rows.systems is None or len(np.unique(rows.systems.values)) < MIN_SYSTEMS:
        return undefined, undefined
    systems = np.unique(rows.systems.values)
    scores, human = [], []
    for system in systems:
        kept = rows.systems.values == system
        columns = np.stack([np.ones(kept.sum()), side.scores[kept], side.human[kept]], axis=1)
        sums = resamples.weights @ cluster_sums(columns, side.groups[kept], resamples.weights.shape[1])
        scores.append(divided(sums[:, 1], sums[:, 0]))
        human.append(divided(sums[:, 2], sums[:, 0]))
    # Means of the same numbers in another order differ by rounding errors.
    x, y = (np.asarray(np.round(np.stack(means, axis=1), 10), dtype=np.float64) for means in (scores, human))
    complete = np.flatnonzero(~np.isnan(x).any(axis=1))
    rho, tau = undefined.copy(), undefined.copy()
    size = max(1, MAX_NUMBERS // len(systems) ** 2)
    for start in range(0, len(complete), size):
        chunk = complete[start : start + size]
        rho[chunk], tau[chunk] = _correlations(x[chunk], y[chunk])
    return rho, tau


def _correlations(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Spearman's rho and Kendall's tau-b of each row of two tables."""
    signs_x = np.sign(x[:, :, None] - x[:, None, :])
    signs_y = np.sign(y[:, :, None] - y[:, None, :])
    across = (signs_x * signs_y).sum(axis=(1, 2))
    tau = divided(across, np.sqrt(np.abs(signs_x).sum(axis=(1, 2)) * np.abs(signs_y).sum(axis=(1, 2))))
    # The mean rank of a value is half the sum of its signs, plus a constant.
    rank_x, rank_y = signs_x.sum(axis=2), signs_y.sum(axis=2)
    spread = np.sqrt((rank_x**2).sum(axis=1) * (rank_y**2).sum(axis=1))
    return divided((rank_x * rank_y).sum(axis=1), spread), tau


@dataclass(frozen=True, slots=True)
class _Moments:
    """Means over the rows of each task, shape (1 + resamples, tasks), of scores s, human scores h and products."""

    s: Floats
    h: Floats
    ss: Floats
    sh: Floats
    hh: Floats

    def over(self, tasks: Sequence[int]) -> _Moments:
        """The unweighted mean of some tasks: shape (1 + resamples,)."""
        return _Moments(*(getattr(self, name)[:, tasks].mean(axis=1) for name in ("s", "h", "ss", "sh", "hh")))

    @property
    def slope(self) -> Floats:
        """Slope of the least-squares line from scores to human scores; 0 if scores do not vary."""
        spread = self.ss - self.s**2
        return np.where(spread > ROUNDING, (self.sh - self.s * self.h) / np.where(spread > ROUNDING, spread, 1), 0.0)

    @property
    def spread(self) -> Floats:
        """Variance of human scores."""
        return self.hh - self.h**2

    @property
    def unexplained(self) -> Floats:
        """Mean squared error of that line."""
        return self.spread - self.slope * (self.sh - self.s * self.h)


def cat(rows: AuditRows, resamples: Resamples) -> CAT:
    """Comparability across tasks, on the rows with a score.

    A single statistic would hide confounding: scores that only identify the task order pairs of rows from different
    tasks well if the tasks differ in their means.
    """
    sides = {name: side for name, (_, side) in task_sides(rows, resamples).items()}
    moments = _moments(list(sides.values()), resamples)
    offsets = {name: moments.s[:, place] - moments.h[:, place] for place, name in enumerate(sides)}
    scores = rows.scores[rows.scored]
    if len(sides) < 2 or np.ptp(scores) == 0:
        return CAT(dict.fromkeys(CAT_STATISTICS, np.full(len(resamples.weights), np.nan)), offsets)
    within, cross, null = _concordances(list(sides.values()), resamples)
    values = {
        "cat_offset": (moments.s - moments.h).std(axis=1),
        "cat_transfer": _transfer(moments),
        "cat_dr2": _delta_r2(moments),
        "cat_within_c": within,
        "cat_cross_c": cross,
        "cat_cross_null": null,
        "cat_cross_excess": cross - null,
        "cat_gap": cross - within,
    }
    return CAT(values, offsets)


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


def _transfer(moments: _Moments) -> Replicates:
    """1 - total error of the line fitted on the other tasks / total error of their human mean."""
    n = moments.s.shape[1]
    errors, constant_errors = [], []
    for task in range(n):
        others = moments.over([other for other in range(n) if other != task])
        predicted = others.h + others.slope * (moments.s[:, task] - others.s)
        errors.append(np.abs(predicted - moments.h[:, task]))
        constant_errors.append(np.abs(others.h - moments.h[:, task]))
    total = np.sum(constant_errors, axis=0)
    return 1 - divided(np.sum(errors, axis=0), np.where(total > ROUNDING, total, 0.0))


def _delta_r2(moments: _Moments) -> Replicates:
    """R2 of one line for each task minus R2 of one line for all, both of the variance of all human scores."""
    pooled = moments.over(list(range(moments.s.shape[1])))
    return divided(pooled.unexplained - moments.unexplained.mean(axis=1), pooled.spread)


def _concordances(sides: Sequence[Side], resamples: Resamples) -> tuple[Replicates, Replicates, Replicates]:
    """Within tasks, across tasks, and across tasks by chance."""
    size = len(resamples.weights)
    within = [pair_sums(resamples.weights, side).concordance for side in sides]
    across = [pair_sums(resamples.weights, first, second) for first, second in combinations(sides, 2)]
    return (
        mean_over_tasks(within, size),
        mean_over_tasks([pairs.concordance for pairs in across], size),
        mean_over_tasks([pairs.concordance_by_chance for pairs in across], size),
    )
