"""TFA: whether a metric minds the format of the answer, or of the judge's prompt (task- and format-agnostic).

Two facets with one computation. Rows of the same answer in k formats (see `perturb`) show whether the format of the
answer moves its score; rows of one answer judged under k prompts or answer formats show it of the judge's protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.audit_rows import AuditRows, Bools, Codes, Floats, Ints
from hf_synthlabels.judging.audit.cit import cit, mean_over_tasks
from hf_synthlabels.judging.audit.pair_counts import Side, pair_sums
from hf_synthlabels.judging.audit.resampling import Draws, Resamples, cluster_sums
from hf_synthlabels.statistics.arrays import divided

ROUNDING = 1e-12
"""A mean square below it, as a share of the squared numbers, is rounding."""


@dataclass(frozen=True, slots=True)
class TaskTFA:
    """One task's agreement over formats, each as draws."""

    units: int
    """Answers with a score in every format; the other answers are left out of all but `auc`."""
    dropped: int
    icc: Draws
    icc_consistency: Draws
    item_share: Draws
    format_share: Draws
    residual_share: Draws
    flip: Draws
    flip_any: Draws
    auc: Draws
    """nan unless the human scores of the task are only 0 and 1, and both occur."""
    auc_all: Draws


@dataclass(frozen=True, slots=True)
class FormatTFA:
    """One format's scores, each as draws: means over tasks, every task counting the same."""

    mean: Draws
    mean_right: Draws
    """Of the answers whose human score is 1."""
    mean_wrong: Draws
    """Of those whose human score is 0."""
    auc: Draws
    """P(score of a right answer in this format > score of a wrong answer in the house format)."""
    spearman: Draws
    system_kendall: Draws


@dataclass(frozen=True, slots=True)
class TFA:
    """The statistics, each as draws: the mean over the tasks for which it is defined, and each task's and format's."""

    overall: Mapping[str, Draws]
    """
    tfa_icc: ICC(A,1) of answers x formats (McGraw & Wong 1996); 1 when the format does not move any score.
    tfa_icc_consistency: ICC(C,1): a format that adds the same to every score does not count.
    tfa_item_share, tfa_format_share, tfa_residual_share: shares of the variance of single scores (G-study); residual is
        answer x format with noise.
    tfa_flip: how often the verdict, score >= threshold, differs between two formats of the same answer.
    tfa_flip_any: the share of answers whose verdict is not the same in all formats.
    tfa_auc: P(score of a right answer in any format > score of a wrong answer in the house format), ties one half.
    tfa_auc_all: the same with wrong answers in any format: what favours the longer text, which a bare wrong answer
        never is, gains nothing here.
    tfa_spearman_range, tfa_system_kendall_range: highest less lowest agreement with humans over formats.
    """
    tasks: Mapping[str, TaskTFA]
    formats: Mapping[str, FormatTFA]
    merged: int
    """Cells (an answer in a format) with several scores, of which the mean was taken: perhaps `systems` is missing."""


@dataclass(frozen=True, slots=True)
class _Table:
    """One task's answers, with their scores by format."""

    scores: Floats
    """Shape (answers, formats that occur in the task); the mean where a cell has several scores, nan where none."""
    human: Floats
    groups: Ints
    house: int | None
    """The column of the house format, if the task has it."""
    formats: Ints
    merged: int


STATISTICS = (
    *("icc", "icc_consistency", "item_share", "format_share", "residual_share", "flip", "flip_any", "auc", "auc_all"),
)
RANGES = ("spearman", "system_kendall")

NAMES = (*(f"tfa_{name}" for name in STATISTICS), *(f"tfa_{name}_range" for name in RANGES))
"""The statistics of `TFA.overall`."""


def tfa(rows: AuditRows, resamples: Resamples, *, house: str | None = None, threshold: float = 0.5) -> TFA:
    """Agreement of scores over formats.

    An answer is what has the same task, cluster, system and human score: a right and a wrong answer to one question are
    two answers.

    Args:
        rows: with formats.
        resamples: the draws.
        house: the format in which wrong answers stand in `tfa_auc`; the first that occurs by default.
        threshold: the score from which a verdict is "acceptable".

    Raises:
        DataError: the rows have no formats.
        ConfigError: `house` does not occur.
    """
    if rows.formats is None:
        raise DataError("`formats` is missing: name the format of every row.")
    names = rows.formats.names
    if house is not None and house not in names:
        raise ConfigError(f"`house` is {house!r}: give one of the formats, {', '.join(names)}.")
    home = names.index(house) if house is not None else 0
    tables = {name: _table(rows, rows.formats, code, home, resamples) for code, name in enumerate(rows.tasks.names)}
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


def _table(rows: AuditRows, formats: Codes, task: int, home: int, resamples: Resamples) -> _Table:
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
    at_home = np.flatnonzero(columns == home)
    return _Table(
        divided(total, count),
        chosen.human[first],
        resamples.groups[kept][first],
        int(at_home[0]) if at_home.size else None,
        columns,
        int((count > 1).sum()),
    )


def _task(table: _Table, resamples: Resamples, threshold: float) -> TaskTFA:
    whole = ~np.isnan(table.scores).any(axis=1)
    scores, groups = table.scores[whole], table.groups[whole]
    icc, consistency, shares = _variances(scores, groups, resamples.weights)
    flip, flip_any = _flips(scores >= threshold, groups, resamples.weights)
    item, form, residual = shares
    every = list(range(table.scores.shape[1]))
    house = [] if table.house is None else [table.house]
    auc, auc_all = (_auc(table, every, wrong, resamples.weights) for wrong in (house, every))
    return TaskTFA(
        int(whole.sum()), int((~whole).sum()), icc, consistency, item, form, residual, flip, flip_any, auc, auc_all
    )


def _variances(scores: Floats, groups: Ints, weights: Floats) -> tuple[Draws, Draws, tuple[Draws, Draws, Draws]]:
    """ICC(A,1), ICC(C,1) and the shares of items, formats and residual, from sums that add up over answers."""
    k = scores.shape[1]
    centred = scores - (scores.mean() if len(scores) else 0)
    columns = np.column_stack([np.ones(len(scores)), (centred**2).sum(axis=1), centred.sum(axis=1) ** 2, centred])
    sums = weights @ cluster_sums(columns, groups, weights.shape[1])
    n, squares, of_items, of_formats = sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3:]
    mean = divided(of_formats.sum(axis=1) ** 2, n * k)
    item_sum, format_sum = of_items / k - mean, divided((of_formats**2).sum(axis=1), n) - mean
    rest = squares - mean - item_sum - format_sum
    degrees = np.where(n > 1, n - 1, np.nan)
    found = [item_sum / degrees, format_sum / (k - 1), rest / (degrees * (k - 1))]
    rounding = ROUNDING * (1 + np.abs(centred).max(initial=0) ** 2)
    items, formats, residual = (np.where(np.abs(part) < rounding, 0.0, part) for part in found)
    agreement = divided(items - residual, items + (k - 1) * residual + divided(k * (formats - residual), n))
    consistency = divided(items - residual, items + (k - 1) * residual)
    item, form = np.maximum((items - residual) / k, 0), np.maximum(divided(formats - residual, n), 0)
    total = item + form + residual
    return agreement, consistency, (divided(item, total), divided(form, total), divided(residual, total))


def _flips(verdicts: Bools, groups: Ints, weights: Floats) -> tuple[Draws, Draws]:
    """How often two formats' verdicts differ, and the share of answers for which any two do."""
    k, yes = verdicts.shape[1], verdicts.sum(axis=1)
    columns = np.column_stack([np.ones(len(yes)), 2 * yes * (k - yes) / (k * (k - 1)), (yes > 0) & (yes < k)])
    sums = weights @ cluster_sums(columns.astype(np.float64), groups, weights.shape[1])
    return divided(sums[:, 1], sums[:, 0]), divided(sums[:, 2], sums[:, 0])


def _auc(table: _Table, right_in: Sequence[int], wrong_in: Sequence[int], weights: Floats) -> Draws:
    """P(right in one of some formats > wrong in one of others), over all such pairs."""
    right, wrong = table.human == 1, table.human == 0
    ours, theirs = _side(table, right, right_in), _side(table, wrong, wrong_in)
    if not (right | wrong).all() or not len(ours) or not len(theirs):
        return np.full(len(weights), np.nan)
    return pair_sums(weights, ours, theirs).concordance


def _side(table: _Table, which: Bools, columns: Sequence[int]) -> Side:
    """The scores that some answers have in some formats."""
    cells = table.scores[which][:, columns]
    known = ~np.isnan(cells)
    groups = np.broadcast_to(table.groups[which][:, None], cells.shape)
    human = np.broadcast_to(table.human[which][:, None], cells.shape)
    return Side(cells[known], human[known], groups[known])


def _format(rows: AuditRows, formats: Codes, code: int, tables: Sequence[_Table], resamples: Resamples) -> FormatTFA:
    kept, size = formats.values == code, len(resamples.weights)
    here = Resamples(resamples.weights, resamples.groups[kept], resamples.clusters, resamples.level)
    order = cit(rows[kept], here).overall
    found: dict[str, list[Draws]] = {"mean": [], "mean_right": [], "mean_wrong": [], "auc": []}
    for table in tables:
        for column in np.flatnonzero(table.formats == code):
            scores = table.scores[:, column]
            found["mean"].append(_mean(scores, table.groups, resamples.weights))
            for name, human in (("mean_right", 1), ("mean_wrong", 0)):
                which = table.human == human
                found[name].append(_mean(scores[which], table.groups[which], resamples.weights))
            house = [] if table.house is None else [table.house]
            found["auc"].append(_auc(table, [int(column)], house, resamples.weights))
    means = {name: mean_over_tasks(draws, size) for name, draws in found.items()}
    return FormatTFA(**means, spearman=order["cit_spearman"], system_kendall=order["cit_system_kendall"])


def _mean(scores: Floats, groups: Ints, weights: Floats) -> Draws:
    """The mean of the scores that there are."""
    known = ~np.isnan(scores)
    columns = np.column_stack([np.ones(known.sum()), scores[known]])
    sums = weights @ cluster_sums(columns, groups[known], weights.shape[1])
    return divided(sums[:, 1], sums[:, 0])


def _range(draws: Sequence[Draws], size: int) -> Draws:
    known = [each for each in draws if not np.isnan(each[0])]
    if len(known) < 2:
        return np.full(size, np.nan)
    out: Draws = np.ptp(np.stack(known), axis=0)
    return out
