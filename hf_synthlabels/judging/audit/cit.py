"""CIT: whether a metric orders answers within a task as humans do (comparable intra-task, Faysse et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.judging.audit.audit_rows import AuditRows, Floats
from hf_synthlabels.judging.audit.pair_counts import PairSums, Side, pair_sums, tie_width
from hf_synthlabels.judging.audit.resampling import Draws, Resamples, cluster_sums
from hf_synthlabels.statistics.agreement.correlation import weighted_spearman
from hf_synthlabels.statistics.arrays import divided

MAX_NUMBERS = 4_000_000
"""Resamples x distinct rows that are ranked at once."""

MAX_ROWS = 5000
"""Rows of a task; of more so many are drawn at random, the same for all metrics, because all pairs are looked at."""

MIN_SYSTEMS = 3
"""Two systems are in the same order, or are not: no correlation."""


@dataclass(frozen=True, slots=True)
class TaskCIT:
    """One task's agreement in order, each as draws."""

    pairs: PairSums
    tie: float
    """Scores at most so far apart are taken as tied in `accuracy`: the width that agrees best with humans' ties."""
    spearman: Draws
    kendall: Draws
    accuracy: Draws
    system_spearman: Draws
    """Of the systems' mean scores with their mean human scores; nan for fewer than three systems."""
    system_kendall: Draws


@dataclass(frozen=True, slots=True)
class CIT:
    """The statistics, each as draws: the mean over tasks, every task counting the same, and each task's own."""

    overall: Mapping[str, Draws]
    """cit_spearman, cit_kendall, cit_accuracy, cit_system_spearman, cit_system_kendall."""
    tasks: Mapping[str, TaskCIT]


def task_sides(rows: AuditRows, resamples: Resamples) -> dict[str, tuple[AuditRows, Side]]:
    """The scored rows of each task that has any, by the task's name; `MAX_ROWS` of them at most."""
    out = {}
    for code, name in enumerate(rows.tasks.names):
        kept = np.flatnonzero((rows.tasks.values == code) & rows.scored)
        if len(kept) > MAX_ROWS:
            kept = np.sort(np.random.default_rng(0).choice(kept, MAX_ROWS, replace=False))
        if kept.size:
            chosen = rows[kept]
            out[name] = chosen, Side(chosen.scores, chosen.human, resamples.groups[kept])
    return out


def cit(rows: AuditRows, resamples: Resamples) -> CIT:
    """Spearman's rho, Kendall's tau-b and the share of pairs in the right order, of items and of systems.

    A task in which all scores are equal says nothing about its order: it counts as 0 in the means of correlations. A
    task in which all human scores are equal has no order to be found and is left out of them.
    """
    tasks = {name: _task(*parts, resamples) for name, parts in task_sides(rows, resamples).items()}
    return CIT(
        {f"cit_{name}": _mean(list(tasks.values()), name, resamples) for name in STATISTICS},
        tasks,
    )


STATISTICS = ("spearman", "kendall", "accuracy", "system_spearman", "system_kendall")


def _task(rows: AuditRows, side: Side, resamples: Resamples) -> TaskCIT:
    tie = tie_width(side)
    pairs = pair_sums(resamples.weights, side, tie=tie)
    system_spearman, system_kendall = system_draws(rows, side, resamples)
    accuracy = pairs.accuracy
    return TaskCIT(pairs, tie, _spearman(side, resamples), pairs.kendall, accuracy, system_spearman, system_kendall)


def _mean(tasks: Sequence[TaskCIT], name: str, resamples: Resamples) -> Draws:
    draws = []
    for task in tasks:
        values: Draws = getattr(task, name)
        if name in ("spearman", "kendall"):
            silent = (task.pairs.scores_differ == 0) & (task.pairs.human_differ > 0)
            values = np.where(silent, 0.0, values)
        draws.append(values)
    if all(task.pairs.scores_differ[0] == 0 for task in tasks):
        draws = []
    return mean_over_tasks(draws, len(resamples.weights))


def mean_over_tasks(draws: Sequence[Draws], size: int) -> Draws:
    """The mean of the tasks for which a statistic is defined; nan where there is none."""
    if not draws:
        return np.full(size, np.nan)
    table = np.stack(draws)
    known = ~np.isnan(table)
    return divided(np.where(known, table, 0).sum(axis=0), known.sum(axis=0))


def _spearman(side: Side, resamples: Resamples) -> Draws:
    """Spearman's rho of each resample, from how often each distinct pair of scores was drawn."""
    cells, place = np.unique(np.stack([side.scores, side.human], axis=1), axis=0, return_inverse=True)
    here, groups = np.unique(side.groups, return_inverse=True)
    per_group = np.zeros((len(here), len(cells)))
    np.add.at(per_group, (groups, place.ravel()), 1)
    weights = resamples.weights[:, here]
    size = max(1, MAX_NUMBERS // len(cells))
    chunks = [weights[start : start + size] @ per_group for start in range(0, len(weights), size)]
    return np.concatenate([weighted_spearman(chunk, cells[:, 0], cells[:, 1]) for chunk in chunks])


def system_draws(rows: AuditRows, side: Side, resamples: Resamples) -> tuple[Draws, Draws]:
    """Spearman's rho and Kendall's tau-b of the systems' mean scores with their mean human scores."""
    nothing = np.full(len(resamples.weights), np.nan)
    if rows.systems is None or len(np.unique(rows.systems.values)) < MIN_SYSTEMS:
        return nothing, nothing
    systems = np.unique(rows.systems.values)
    scores, human = [], []
    for system in systems:
        kept = rows.systems.values == system
        columns = np.stack([np.ones(kept.sum()), side.scores[kept], side.human[kept]], axis=1)
        sums = resamples.weights @ cluster_sums(columns, side.groups[kept], resamples.weights.shape[1])
        scores.append(divided(sums[:, 1], sums[:, 0]))
        human.append(divided(sums[:, 2], sums[:, 0]))
    # Means of the same numbers in another order differ by rounding.
    x, y = (np.asarray(np.round(np.stack(means, axis=1), 10), dtype=np.float64) for means in (scores, human))
    whole = np.flatnonzero(~np.isnan(x).any(axis=1))
    rho, tau = nothing.copy(), nothing.copy()
    size = max(1, MAX_NUMBERS // len(systems) ** 2)
    for start in range(0, len(whole), size):
        chunk = whole[start : start + size]
        rho[chunk], tau[chunk] = _correlations(x[chunk], y[chunk])
    return rho, tau


def _correlations(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Spearman's rho and Kendall's tau-b of each row of two tables."""
    signs_x = np.sign(x[:, :, None] - x[:, None, :])
    signs_y = np.sign(y[:, :, None] - y[:, None, :])
    across = (signs_x * signs_y).sum(axis=(1, 2))
    tau = divided(across, np.sqrt(np.abs(signs_x).sum(axis=(1, 2)) * np.abs(signs_y).sum(axis=(1, 2))))
    # The mean rank of a value is half the sum of its signs, but for a constant.
    rank_x, rank_y = signs_x.sum(axis=2), signs_y.sum(axis=2)
    spread = np.sqrt((rank_x**2).sum(axis=1) * (rank_y**2).sum(axis=1))
    return divided((rank_x * rank_y).sum(axis=1), spread), tau
