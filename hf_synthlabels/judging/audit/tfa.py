"""TFA (task- and format-agnostic): whether the format of an answer, or of the judge's prompt, changes its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.comparability import cit, mean_over_tasks
from hf_synthlabels.judging.audit.pairs import Side, pair_sums
from hf_synthlabels.judging.audit.rows import AuditRows, Bools, Codes, Floats, Ints, Replicates, Resamples, cluster_sums
from hf_synthlabels.statistics.arrays import divided

ROUNDING = 1e-12
"""A smaller mean square, relative to the squared numbers, is a rounding error."""


@dataclass(frozen=True, slots=True)
class TaskTFA:
    """Replicates of one task's agreement between formats."""

    units: int
    """Answers with a score in every format; the others are excluded from all statistics but `auc`."""
    dropped: int
    icc: Replicates
    icc_consistency: Replicates
    item_share: Replicates
    format_share: Replicates
    residual_share: Replicates
    flip: Replicates
    flip_any: Replicates
    auc: Replicates
    """nan unless the human scores of the task are 0 and 1, and both occur."""
    auc_all: Replicates


@dataclass(frozen=True, slots=True)
class FormatTFA:
    """Replicates of one format's statistics: unweighted means over tasks."""

    mean: Replicates
    mean_right: Replicates
    """Mean of the answers with human score 1."""
    mean_wrong: Replicates
    """Mean of the answers with human score 0."""
    auc: Replicates
    """P(score of a right answer in this format > score of a wrong answer in the reference format)."""
    spearman: Replicates
    system_kendall: Replicates


@dataclass(frozen=True, slots=True)
class TFA:
    """Replicates of each statistic: the mean over the tasks with a defined value, and of each task and format."""

    overall: Mapping[str, Replicates]
    """
    tfa_icc: ICC(A,1) of answers x formats (McGraw & Wong 1996); 1 if the format changes no score.
    tfa_icc_consistency: ICC(C,1), which ignores a constant added by a format.
    tfa_item_share, tfa_format_share, tfa_residual_share: proportions of the variance of a single score (G-study); the
        residual includes the interaction of answer and format.
    tfa_flip: probability that the verdict, score >= threshold, differs between two formats of the same answer.
    tfa_flip_any: proportion of answers with different verdicts in some formats.
    tfa_auc: P(score of a right answer in any format > score of a wrong answer in the reference format), ties one half.
    tfa_auc_all: the same with wrong answers in any format, so that a preference for longer texts does not help.
    tfa_spearman_range, tfa_system_kendall_range: highest minus lowest agreement with humans over formats.
    """
    tasks: Mapping[str, TaskTFA]
    formats: Mapping[str, FormatTFA]
    merged: int
    """Answers with several scores in one format, which were averaged: perhaps `systems` is missing."""


@dataclass(frozen=True, slots=True)
class _Table:
    """One task's answers with their scores by format."""

    scores: Floats
    """Shape (answers, formats of the task); the mean of several scores, nan without one."""
    human: Floats
    groups: Ints
    reference_format: int | None
    """The column of the reference format, if the task has it."""
    formats: Ints
    merged: int


STATISTICS = (
    *("icc", "icc_consistency", "item_share", "format_share", "residual_share", "flip", "flip_any", "auc", "auc_all"),
)
RANGES = ("spearman", "system_kendall")

NAMES = (*(f"tfa_{name}" for name in STATISTICS), *(f"tfa_{name}_range" for name in RANGES))
"""The statistics of `TFA.overall`."""


def tfa(rows: AuditRows, resamples: Resamples, *, reference_format: str | None = None, threshold: float = 0.5) -> TFA:
    """Agreement of scores between formats.

    Rows with the same task, cluster, system and human score are one answer: a right and a wrong answer to one question
    are two answers.

    Args:
        rows: rows with formats.
        resamples: bootstrap weights.
        reference_format: format of the wrong answers in `tfa_auc`; by default the first that occurs.
        threshold: minimum score of an acceptable answer.

    Raises:
        DataError: the rows have no formats.
        ConfigError: `reference_format` does not occur.
    """
    if rows.formats is None:
        raise DataError("`formats` is missing: give the format of every row.")
    names = rows.formats.names
    if reference_format is not None and reference_format not in names:
        raise ConfigError(f"`reference_format` is {reference_format!r}: give one of the formats, {', '.join(names)}.")
    reference = names.index(reference_format) if reference_format is not None else 0
    tables = {
        name: _table(rows, rows.formats, code, reference, resamples) for code, name in enumerate(rows.tasks.names)
    }
    tables = {name: table for name, table in tables.items() if table.scores.shape[1] > 1}
    tasks = {name: _task(table, resamples, threshold) for name, table in tables.items()}
    formats = {
        name: _format(rows, rows.formats, code, list(tables.values()), resamples) for code, name in enumerate(names)
    }
    size = len(resamples.weights)
    overall = {
        f"tfa_{name}": mean_over_tasks([getattr(task, name) for task in tasks.values()], size) for name in STATISTICS
    }
    for name in RANGES:
        overall[f"tfa_{name}_range"] = _range([getattr(each, name) for each in formats.values()], size)
    return TFA(overall, tasks, formats, sum(table.merged for table in tables.values()))


def _table(rows: AuditRows, formats: Codes, task: int, reference: int, resamples: Resamples) -> _Table:
    kept = rows.tasks.values == task
    chosen, shapes = rows[kept], formats.values[kept]
    systems = np.zeros(kept.sum(), np.int64) if chosen.systems is None else chosen.systems.values
    keys = np.stack([chosen.clusters.values, systems, chosen.human], axis=1)
    units, first, unit = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    columns, column = np.unique(shapes, return_inverse=True)
    cells, scored = (unit.ravel(), column), chosen.scored
    total, count = np.zeros((len(units), len(columns))), np.zeros((len(units), len(columns)))
    np.add.at(total, (cells[0][scored], cells[1][scored]), chosen.scores[scored])
    np.add.at(count, (cells[0][scored], cells[1][scored]), 1)
    in_reference = np.flatnonzero(columns == reference)
    return _Table(
        divided(total, count),
        chosen.human[first],
        resamples.groups[kept][first],
        int(in_reference[0]) if in_reference.size else None,
        columns,
        int((count > 1).sum()),
    )


def _task(table: _Table, resamples: Resamples, threshold: float) -> TaskTFA:
    complete = ~np.isnan(table.scores).any(axis=1)
    scores, groups = table.scores[complete], table.groups[complete]
    icc, consistency, item, form, residual = _variances(scores, groups, resamples.weights)
    flip, flip_any = _flips(scores >= threshold, groups, resamples.weights)
    every = list(range(table.scores.shape[1]))
    reference = [] if table.reference_format is None else [table.reference_format]
    auc, auc_all = (_auc(table, every, wrong, resamples.weights) for wrong in (reference, every))
    return TaskTFA(
        int(complete.sum()),
        int((~complete).sum()),
        icc,
        consistency,
        item,
        form,
        residual,
        flip,
        flip_any,
        auc,
        auc_all,
    )


def _variances(scores: Floats, groups: Ints, weights: Floats) -> tuple[Replicates, ...]:
    """ICC(A,1), ICC(C,1) and the variance proportions of items, formats and residual, from sums over answers."""
    k = scores.shape[1]
    centred = scores - (scores.mean() if len(scores) else 0)
    columns = np.column_stack([np.ones(len(scores)), (centred**2).sum(axis=1), centred.sum(axis=1) ** 2, centred])
    sums = weights @ cluster_sums(columns, groups, weights.shape[1])
    n, squares, of_items, of_formats = sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3:]
    mean = divided(of_formats.sum(axis=1) ** 2, n * k)
    item_sum, format_sum = of_items / k - mean, divided((of_formats**2).sum(axis=1), n) - mean
    rest = squares - mean - item_sum - format_sum
    degrees = np.where(n > 1, n - 1, np.nan)
    mean_squares = [item_sum / degrees, format_sum / (k - 1), rest / (degrees * (k - 1))]
    rounding = ROUNDING * (1 + np.abs(centred).max(initial=0) ** 2)
    items, formats, residual = (np.where(np.abs(part) < rounding, 0.0, part) for part in mean_squares)
    agreement = divided(items - residual, items + (k - 1) * residual + divided(k * (formats - residual), n))
    consistency = divided(items - residual, items + (k - 1) * residual)
    item, form = np.maximum((items - residual) / k, 0), np.maximum(divided(formats - residual, n), 0)
    total = item + form + residual
    return agreement, consistency, divided(item, total), divided(form, total), divided(residual, total)


def _flips(verdicts: Bools, groups: Ints, weights: Floats) -> tuple[Replicates, Replicates]:
    """Proportion of pairs of formats, and of answers, with different verdicts."""
    k, yes = verdicts.shape[1], verdicts.sum(axis=1)
    columns = np.column_stack([np.ones(len(yes)), 2 * yes * (k - yes) / (k * (k - 1)), (yes > 0) & (yes < k)])
    sums = weights @ cluster_sums(columns.astype(np.float64), groups, weights.shape[1])
    return divided(sums[:, 1], sums[:, 0]), divided(sums[:, 2], sums[:, 0])


def _auc(table: _Table, right_in: Sequence[int], wrong_in: Sequence[int], weights: Floats) -> Replicates:
    """P(right answer in some formats > wrong answer in others), over all such pairs."""
    right, wrong = table.human == 1, table.human == 0
    right_side, wrong_side = _side(table, right, right_in), _side(table, wrong, wrong_in)
    if not (right | wrong).all() or not len(right_side) or not len(wrong_side):
        return np.full(len(weights), np.nan)
    return pair_sums(weights, right_side, wrong_side).concordance


def _side(table: _Table, which: Bools, columns: Sequence[int]) -> Side:
    """The scores of some answers in some formats."""
    cells = table.scores[which][:, columns]
    known = ~np.isnan(cells)
    groups = np.broadcast_to(table.groups[which][:, None], cells.shape)
    human = np.broadcast_to(table.human[which][:, None], cells.shape)
    return Side(cells[known], human[known], groups[known])


def _format(rows: AuditRows, formats: Codes, code: int, tables: Sequence[_Table], resamples: Resamples) -> FormatTFA:
    kept, size = formats.values == code, len(resamples.weights)
    in_format = Resamples(resamples.weights, resamples.groups[kept], resamples.clusters, resamples.level)
    order = cit(rows[kept], in_format).overall
    statistics: dict[str, list[Replicates]] = {"mean": [], "mean_right": [], "mean_wrong": [], "auc": []}
    for table in tables:
        for column in np.flatnonzero(table.formats == code):
            scores = table.scores[:, column]
            statistics["mean"].append(_mean(scores, table.groups, resamples.weights))
            for name, human in (("mean_right", 1), ("mean_wrong", 0)):
                which = table.human == human
                statistics[name].append(_mean(scores[which], table.groups[which], resamples.weights))
            reference = [] if table.reference_format is None else [table.reference_format]
            statistics["auc"].append(_auc(table, [int(column)], reference, resamples.weights))
    means = {name: mean_over_tasks(values, size) for name, values in statistics.items()}
    return FormatTFA(**means, spearman=order["cit_spearman"], system_kendall=order["cit_system_kendall"])


def _mean(scores: Floats, groups: Ints, weights: Floats) -> Replicates:
    """The mean of the known scores."""
    known = ~np.isnan(scores)
    columns = np.column_stack([np.ones(known.sum()), scores[known]])
    sums = weights @ cluster_sums(columns, groups[known], weights.shape[1])
    return divided(sums[:, 1], sums[:, 0])


def _range(replicates: Sequence[Replicates], size: int) -> Replicates:
    known = [each for each in replicates if not np.isnan(each[0])]
    if len(known) < 2:
        return np.full(size, np.nan)
    spread: Replicates = np.ptp(np.stack(known), axis=0)
    return spread
