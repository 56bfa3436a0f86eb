"""Audit of a metric: CIT, CAT and TFA with intervals, compared with baselines.

Faysse et al. (2023, arXiv:2310.14103) require that a metric is comparable within tasks (CIT), comparable across tasks
(CAT), and task- and format-agnostic (TFA). A metric passes a property if it is significantly better than named
baselines: the lower limit of the paired difference is above 0 for each statistic of the property.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.judging.audit.audit_options import AuditOptions
from hf_synthlabels.judging.audit.comparability import MAX_ROWS, cat, cit
from hf_synthlabels.judging.audit.report import (
    PROPERTIES,
    Audit,
    Comparison,
    FormatAudit,
    MetricAudit,
    TaskAudit,
    decide,
)
from hf_synthlabels.judging.audit.rows import (
    AuditRows,
    Bools,
    Floats,
    Replicates,
    Resamples,
    check_lengths,
    draw_clusters,
    numbers,
)
from hf_synthlabels.judging.audit.tfa import NAMES, TFA, tfa
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import wilson

LENGTH = "length"
"""Name of the baseline that `lengths` defines."""

UNIT_SCALE_ONLY = ("cat_offset", "tfa_flip", "tfa_flip_any", "offset", "flip")
"""Statistics that are defined only for scores in [0, 1]."""


@dataclass(frozen=True, slots=True)
class _Statistics:
    """Replicates of one metric's statistics."""

    overall: Mapping[str, Replicates]
    tasks: Mapping[str, Mapping[str, Replicates]]
    tfa: TFA | None
    n_scored: int


def audit_metric(
    scores: Sequence[float | None],
    human: Sequence[float | None],
    tasks: Sequence[Hashable],
    *,
    items: Sequence[Hashable] | None = None,
    formats: Sequence[Hashable] | None = None,
    systems: Sequence[Hashable] | None = None,
    lengths: Sequence[float | None] | None = None,
    baselines: Mapping[str, Sequence[float | None]] | None = None,
    options: AuditOptions | None = None,
) -> Audit:
    """Audit a metric against human scores, and compare it with baselines.

    Args:
        scores: scores of the metric from 0 (worst) to 1 (best); None or nan for a missing one.
        human: human scores on the same scale; rows without one are excluded and counted.
        tasks: task of each row, such as a dataset or a rated quality.
        items: source document or question of each row, the unit of resampling; by default each row.
        formats: format of each answer, or of the judge's prompt; required for TFA.
        systems: author of each answer; required for the agreement on systems.
        lengths: lengths of the answers, for the baseline `length`.
        baselines: scores of other metrics by name, on any scale; higher is better.
        options: options of the audit.

    Returns:
        The audit. Statistics that cannot be computed are nan, with an explanation in `reasons`.

    Raises:
        DataError: the columns differ in length, or a score is not in [0, 1].
        ConfigError: `options.reference_format` does not occur, `options.criteria` is given, or a baseline is named
            `length` as well.
    """
    columns = dict(baselines or {})
    if lengths is not None:
        if LENGTH in columns:
            raise ConfigError("`baselines` has 'length', the name of the baseline of `lengths`: rename it.")
        columns[LENGTH] = lengths
    check_lengths(len(scores), **columns)
    rows = AuditRows.from_columns(scores, human, tasks, items=items, formats=formats, systems=systems)
    has_human = ~np.isnan(numbers("human", human))
    kept = {name: numbers(name, column, unit=False)[has_human] for name, column in columns.items()}
    return audit_rows(rows, kept, options, n_unreferenced=len(scores) - len(rows))


def audit_rows(
    rows: AuditRows,
    baselines: Mapping[str, Floats] | None = None,
    options: AuditOptions | None = None,
    *,
    n_unreferenced: int = 0,
) -> Audit:
    """Audit rows that are already parsed; each of `baselines` has shape (rows,), with nan for a missing score.

    Raises:
        ConfigError: `options.reference_format` does not occur, or `options.criteria` is given.
    """
    options = options or AuditOptions()
    if options.criteria is not None:
        raise ConfigError(
            "`criteria` is for `audit_judged`, which reads them from a table. Give the rows of some tasks."
        )
    resamples = draw_clusters(rows.clusters, rows.tasks, options.bootstrap)
    statistics = _statistics(rows, resamples, options)
    comparisons: list[Comparison] = []
    audits = {}
    for name, column in (baselines or {}).items():
        other = rows.with_scores(column)
        both = rows.scored & other.scored
        # If the metric has no other rows, its statistics need not be computed again.
        same_rows = (both == rows.scored).all()
        metric_statistics = statistics if same_rows else _statistics(_only(rows, both), resamples, options)
        baseline_statistics = _statistics(_only(other, both), resamples, options)
        comparisons += _compare(name, metric_statistics, baseline_statistics, other, both, resamples)
        complete = (both == other.scored).all()
        audits[name] = _audit(
            other, baseline_statistics if complete else _statistics(other, resamples, options), resamples, options
        )
    audit = _audit(rows, statistics, resamples, options)
    return Audit(audit, audits, tuple(comparisons), decide(audit.scores, comparisons), n_unreferenced)


def _only(rows: AuditRows, kept: Bools) -> AuditRows:
    """The same rows without the scores of rows that are not kept, so that the groups of clusters do not change."""
    return rows.with_scores(np.where(kept, rows.scores, np.nan))


def _statistics(rows: AuditRows, resamples: Resamples, options: AuditOptions) -> _Statistics:
    within, across = cit(rows, resamples), cat(rows, resamples)
    formats = None
    if rows.formats is not None and len(np.unique(rows.formats.values)) > 1:
        formats = tfa(rows, resamples, reference_format=options.reference_format, threshold=options.threshold)
    elif options.reference_format is not None and (
        rows.formats is None or options.reference_format not in rows.formats.names
    ):
        raise ConfigError(f"`reference_format` is {options.reference_format!r}, but no row has that format.")
    tasks: dict[str, dict[str, Replicates]] = {}
    for name, task in within.tasks.items():
        names = ("spearman", "kendall", "accuracy", "system_spearman", "system_kendall")
        tasks[name] = {each: getattr(task, each) for each in names} | {"offset": across.tasks[name]}
        if formats is not None and name in formats.tasks:
            for each in ("icc", "icc_consistency", "flip", "auc", "auc_all"):
                tasks[name][each] = getattr(formats.tasks[name], each)
    overall = dict(within.overall) | dict(across.overall)
    if rows.formats is not None:
        undefined = dict.fromkeys(NAMES, np.full(len(resamples.weights), np.nan))
        overall |= undefined if formats is None else formats.overall
    if not _is_unit_scale(rows):
        # A length cannot be compared with a human score or a threshold.
        for values in (overall, *tasks.values()):
            values |= {name: np.full(len(resamples.weights), np.nan) for name in UNIT_SCALE_ONLY if name in values}
    return _Statistics(overall, tasks, formats, int(rows.scored.sum()))


def _is_unit_scale(rows: AuditRows) -> bool:
    scores = rows.scores[rows.scored]
    return not scores.size or bool(scores.min() >= 0 and scores.max() <= 1)


def _audit(rows: AuditRows, statistics: _Statistics, resamples: Resamples, options: AuditOptions) -> MetricAudit:
    scores = {name: resamples.interval(values, statistics.n_scored) for name, values in statistics.overall.items()}
    tasks = []
    for code, name in enumerate(rows.tasks.names):
        in_task = rows.tasks.values == code
        if not in_task.any():
            continue
        n, n_scored = int(in_task.sum()), int((in_task & rows.scored).sum())
        own = statistics.tasks.get(name, {})
        intervals = {each: resamples.interval(values, n_scored) for each, values in own.items()}
        tasks.append(TaskAudit(name, wilson(n_scored, n, options.bootstrap.level), intervals))
    covered = sum(task.coverage.estimate >= options.min_coverage for task in tasks)
    formats = {} if statistics.tfa is None else _formats(statistics.tfa, statistics.n_scored, resamples)
    coverage = wilson(statistics.n_scored, len(rows), options.bootstrap.level)
    share = covered / len(tasks) if tasks else float("nan")
    reasons = _reasons(rows, statistics, resamples)
    for task in tasks:
        if task.coverage.estimate < options.min_coverage:
            reasons[f"coverage:{task.name}"] = (
                f"only {task.coverage.estimate:.1%} of {task.coverage.n} rows have a score"
            )
    return MetricAudit(scores, coverage, share, tuple(tasks), formats, reasons)


def _formats(formats: TFA, n: int, resamples: Resamples) -> dict[str, FormatAudit]:
    names = FormatAudit.__slots__
    return {
        name: FormatAudit(*(resamples.interval(getattr(each, field), n) for field in names))
        for name, each in formats.formats.items()
    }


def _compare(
    baseline: str, metric: _Statistics, base: _Statistics, other: AuditRows, both: Bools, resamples: Resamples
) -> list[Comparison]:
    """The paired differences of the deciding statistics; positive if the metric is better."""
    out = []
    for statistics in PROPERTIES.values():
        for name, sign in statistics.items():
            if name not in metric.overall or name not in base.overall:
                continue
            if name.startswith("tfa") and not _depends_on_format(other, both):
                continue
            gap = sign * (metric.overall[name] - base.overall[name])
            difference: Interval = resamples.interval(gap, metric.n_scored)
            out.append(Comparison(name, baseline, difference))
    return out


def _depends_on_format(rows: AuditRows, both: Bools) -> bool:
    """Whether the scores differ between formats."""
    if rows.formats is None:
        return False
    by_format = [np.sort(rows.scores[both & (rows.formats.values == code)]) for code in np.unique(rows.formats.values)]
    return not all(np.array_equal(by_format[0], each) for each in by_format)


def _reasons(rows: AuditRows, statistics: _Statistics, resamples: Resamples) -> dict[str, str]:
    """Why statistics are nan, and other remarks."""
    out: dict[str, str] = {}
    scores = rows.scores[rows.scored]
    if not scores.size:
        return {"all": "no row has both a score and a human score"}
    if np.ptp(scores) == 0:
        out["all"] = f"all scores are {scores[0]:g}: equal scores have no order"
    if not _is_unit_scale(rows):
        out["cat_offset"] = "scores are not in [0, 1]: they cannot be compared with human scores"
    if resamples.clusters < 2:
        out["intervals"] = "all rows belong to one item: intervals need at least two"
    out |= _task_reasons(rows, statistics)
    if len(statistics.tasks) < 2:
        out["cat"] = "there is only one task with scores"
    elif "all" not in out and np.isnan(statistics.overall["cat_transfer"][0]):
        out["cat_transfer"] = "the human means of all tasks are equal: there is nothing to predict"
    if statistics.tfa is None:
        out["tfa"] = "`formats` is missing or has only one format"
    else:
        out |= _format_reasons(statistics.tfa, statistics.overall)
    return out


def _task_reasons(rows: AuditRows, statistics: _Statistics) -> dict[str, str]:
    out = {}
    for name, task in statistics.tasks.items():
        in_task = (rows.tasks.values == rows.tasks.names.index(name)) & rows.scored
        if in_task.sum() > MAX_ROWS:
            out[f"rows:{name}"] = f"{MAX_ROWS:,} of its {in_task.sum():,} rows were sampled for CIT and CAT"
        if np.ptp(rows.human[in_task]) == 0:
            out[f"cit:{name}"] = "all human scores of the task are equal: the task is excluded"
        elif np.ptp(rows.scores[in_task]) == 0:
            out[f"cit:{name}"] = "all scores of the task are equal: its correlations count as 0"
        elif rows.systems is not None and np.isnan(task["system_kendall"][0]):
            out[f"cit_system:{name}"] = "the task needs at least three systems with different means"
    if rows.systems is None:
        out["cit_system"] = "`systems` is missing"
    return out


def _format_reasons(formats: TFA, overall: Mapping[str, Replicates]) -> dict[str, str]:
    out = {}
    if not formats.tasks:
        return {"tfa": "no task has more than one format"}
    if np.isnan(overall["tfa_auc"][0]):
        out["tfa_auc"] = "it needs tasks with the human scores 0 and 1, and wrong answers in the reference format"
    dropped = sum(task.dropped for task in formats.tasks.values())
    if dropped:
        out["tfa_answers"] = (
            f"{dropped} answers lack a score in some format and are excluded from ICC, proportions and flips"
        )
    if np.isnan(overall["tfa_icc"][0]):
        out["tfa_icc"] = "it needs two answers with different scores, each with a score in every format"
    if formats.merged:
        out["tfa_cells"] = (
            f"{formats.merged} answers have several scores in one format, which were averaged: "
            "give `items` and `systems` to identify each answer"
        )
    return out
