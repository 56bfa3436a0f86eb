"""Audit: is a metric comparable within tasks (CIT), across tasks (CAT), and blind to format (TFA), above baselines?

Paper 2 (Faysse et al. 2023, arXiv:2310.14103) asks these three of a metric. Here they are numbers with intervals. A
metric passes not at a fixed threshold but when it is better than named baselines (length, ROUGE, ...) beyond chance:
the lower end of the paired difference, from the same draws of clusters, is above 0 for each statistic of the property.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.audit_report import (
    PROPERTIES,
    Audit,
    Comparison,
    FormatAudit,
    MetricAudit,
    TaskAudit,
    decide,
)
from hf_synthlabels.judging.audit.audit_rows import AuditRows, Bools, Floats, numbers
from hf_synthlabels.judging.audit.cat import cat
from hf_synthlabels.judging.audit.cit import MAX_ROWS, cit
from hf_synthlabels.judging.audit.resampling import Draws, Resamples, draw_clusters
from hf_synthlabels.judging.audit.tfa import NAMES, TFA, tfa
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.intervals import wilson

LENGTH = "length"
"""The name of the baseline that the column of lengths makes."""


SCALED = ("cat_offset", "tfa_flip", "tfa_flip_any", "offset", "flip")
"""Statistics of scores that are from 0 to 1 only."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """How an audit is made.

    Raises:
        ConfigError: a threshold is not from 0 to 1.
    """

    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    house: str | None = None
    """The format in which wrong answers stand in `tfa_auc`; the first that occurs by default."""
    threshold: float = 0.5
    """The score from which a verdict is "acceptable", for flips."""
    least_coverage: float = 0.95
    """The share of a task's rows that must have a score for the task to count as one that the metric can score."""

    def __post_init__(self) -> None:
        for name in ("threshold", "least_coverage"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`{name}` is {getattr(self, name)!r}: give a number from 0 to 1.")


@dataclass(frozen=True, slots=True)
class _Found:
    """The draws of one metric on some rows."""

    draws: Mapping[str, Draws]
    tasks: Mapping[str, Mapping[str, Draws]]
    tfa: TFA | None
    rows: int


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
        scores: the metric's, from 0 (worst) to 1 (best); None or nan where it gave none.
        human: on the same scale; rows without one are left out and counted.
        tasks: which task each row belongs to: a data set, a quality that was asked for.
        items: the source document or question, by whose clusters intervals are drawn; each row by itself by default.
        formats: the format of the answer, or of the judge's prompt; needed for TFA.
        systems: who wrote the answer; needed for agreement on systems.
        lengths: of the answers, in any unit: makes the baseline `length`.
        baselines: scores of other metrics by name, in any unit, higher is better.
        options: how.

    Returns:
        An audit in which what can not be computed is nan, with the reason in `reasons`.

    Raises:
        DataError: columns do not fit each other, or a score is not from 0 to 1.
        ConfigError: `options.house` is not one of the formats, or a baseline is named `length` beside lengths.
    """
    named = dict(baselines or {})
    if lengths is not None:
        if LENGTH in named:
            raise ConfigError("`baselines` has 'length' and `lengths` is given: rename the one or leave out the other.")
        named[LENGTH] = lengths
    columns = {}
    for name, column in named.items():
        if len(column) != len(scores):
            raise DataError(f"`{name}` has {len(column)} rows and `scores` {len(scores)}: give one for each.")
        columns[name] = numbers(name, column, unit=False)
    rows = AuditRows.from_columns(scores, human, tasks, items=items, formats=formats, systems=systems)
    has_human = ~np.isnan(numbers("human", human))
    kept = {name: column[has_human] for name, column in columns.items()}
    return audit_rows(rows, kept, options, n_unreferenced=len(scores) - len(rows))


def audit_rows(
    rows: AuditRows,
    baselines: Mapping[str, Floats] | None = None,
    options: AuditOptions | None = None,
    *,
    n_unreferenced: int = 0,
) -> Audit:
    """`audit_metric` of rows that are read; each of `baselines` has the shape (rows,), nan where it has no score.

    Raises:
        ConfigError: `options.house` is not one of the formats.
    """
    options = options or AuditOptions()
    baselines = baselines or {}
    resamples = draw_clusters(rows.clusters, rows.tasks, options.bootstrap)
    found = _find(rows, resamples, options)
    comparisons: list[Comparison] = []
    metrics = {}
    for name, column in baselines.items():
        other = rows.with_scores(column)
        both = rows.scored & other.scored
        # On rows that both have scored; where that is all that the metric has, it need not be computed again.
        ours = found if (both == rows.scored).all() else _find(_only(rows, both), resamples, options)
        theirs = _find(_only(other, both), resamples, options)
        comparisons += _compare(name, ours, theirs, other, both, resamples)
        whole = theirs if (both == other.scored).all() else _find(other, resamples, options)
        metrics[name] = _metric(other, whole, resamples, options)
    own = _metric(rows, found, resamples, options)
    return Audit(own, metrics, tuple(comparisons), decide(own.scores, comparisons), n_unreferenced)


def _only(rows: AuditRows, kept: Bools) -> AuditRows:
    """The same rows with scores only where they are kept: groups of clusters stay in place."""
    return rows.with_scores(np.where(kept, rows.scores, np.nan))


def _find(rows: AuditRows, resamples: Resamples, options: AuditOptions) -> _Found:
    within, across = cit(rows, resamples), cat(rows, resamples)
    formats = None
    if rows.formats is not None and len(np.unique(rows.formats.values)) > 1:
        formats = tfa(rows, resamples, house=options.house, threshold=options.threshold)
    elif options.house is not None and (rows.formats is None or options.house not in rows.formats.names):
        raise ConfigError(f"`house` is {options.house!r} and no row has that format.")
    tasks: dict[str, dict[str, Draws]] = {}
    for name, task in within.tasks.items():
        names = ("spearman", "kendall", "accuracy", "system_spearman", "system_kendall")
        tasks[name] = {each: getattr(task, each) for each in names} | {"offset": across.tasks[name]}
        if formats is not None and name in formats.tasks:
            for each in ("icc", "icc_consistency", "flip", "auc", "auc_all"):
                tasks[name][each] = getattr(formats.tasks[name], each)
    draws = dict(within.overall) | dict(across.overall)
    if rows.formats is not None:
        nothing = dict.fromkeys(NAMES, np.full(len(resamples.weights), np.nan))
        draws |= nothing if formats is None else formats.overall
    if not _unit(rows):
        # A length can not be held against a human score, or a threshold.
        for found in (draws, *tasks.values()):
            found |= {name: np.full(len(resamples.weights), np.nan) for name in SCALED if name in found}
    return _Found(draws, tasks, formats, int(rows.scored.sum()))


def _unit(rows: AuditRows) -> bool:
    scores = rows.scores[rows.scored]
    return not scores.size or bool(scores.min() >= 0 and scores.max() <= 1)


def _metric(rows: AuditRows, found: _Found, resamples: Resamples, options: AuditOptions) -> MetricAudit:
    scores = {name: resamples.interval(draws, found.rows) for name, draws in found.draws.items()}
    tasks = []
    for code, name in enumerate(rows.tasks.names):
        here = rows.tasks.values == code
        if not here.any():
            continue
        n, scored = int(here.sum()), int((here & rows.scored).sum())
        own = found.tasks.get(name, {})
        intervals = {each: resamples.interval(draws, scored) for each, draws in own.items()}
        tasks.append(TaskAudit(name, wilson(scored, n, options.bootstrap.level), intervals))
    able = sum(task.coverage.estimate >= options.least_coverage for task in tasks)
    formats = {} if found.tfa is None else _formats(found.tfa, found.rows, resamples)
    coverage = wilson(found.rows, len(rows), options.bootstrap.level)
    share = able / len(tasks) if tasks else float("nan")
    reasons = _reasons(rows, found, resamples)
    for task in tasks:
        if task.coverage.estimate < options.least_coverage:
            reasons[f"coverage:{task.name}"] = (
                f"only {task.coverage.estimate:.1%} of {task.coverage.n} rows have a score"
            )
    return MetricAudit(scores, coverage, share, tuple(tasks), formats, reasons)


def _formats(found: TFA, n: int, resamples: Resamples) -> dict[str, FormatAudit]:
    names = FormatAudit.__slots__
    return {
        name: FormatAudit(*(resamples.interval(getattr(each, field), n) for field in names))
        for name, each in found.formats.items()
    }


def _compare(
    baseline: str, ours: _Found, theirs: _Found, other: AuditRows, both: Bools, resamples: Resamples
) -> list[Comparison]:
    """The paired differences of all statistics that decide, so that more is better."""
    out = []
    for statistics in PROPERTIES.values():
        for name, sign in statistics.items():
            if name not in ours.draws or name not in theirs.draws:
                continue
            if name.startswith("tfa") and not _minds_format(other, both):
                continue
            difference: Interval = resamples.interval(sign * (ours.draws[name] - theirs.draws[name]), ours.rows)
            out.append(Comparison(name, baseline, difference))
    return out


def _minds_format(rows: AuditRows, both: Bools) -> bool:
    """Whether the scores differ between formats at all; those of a column that the format can not reach do not."""
    if rows.formats is None:
        return False
    by_format = [np.sort(rows.scores[both & (rows.formats.values == code)]) for code in np.unique(rows.formats.values)]
    return not all(np.array_equal(by_format[0], each) for each in by_format)


def _reasons(rows: AuditRows, found: _Found, resamples: Resamples) -> dict[str, str]:
    """Why what is nan is nan, and what else one should know."""
    out: dict[str, str] = {}
    scores = rows.scores[rows.scored]
    if not scores.size:
        return {"all": "no row has both a score and a human score"}
    if np.ptp(scores) == 0:
        out["all"] = f"all scores are {scores[0]:g}: equal scores order nothing"
    if not _unit(rows):
        out["cat_offset"] = "scores are not from 0 to 1: they can not be held against human ones as they are"
    if resamples.clusters < 2:
        out["intervals"] = "all rows are of one item: there is nothing to draw intervals from"
    out |= _task_reasons(rows, found)
    if len(found.tasks) < 2:
        out["cat"] = "there is only one task with scores: nothing to compare across"
    elif "all" not in out and np.isnan(found.draws["cat_transfer"][0]):
        out["cat_transfer"] = "the human means of all tasks are equal: there is nothing to predict"
    if found.tfa is None:
        out["tfa"] = "`formats` is missing or names one format only: there is nothing to compare"
    else:
        out |= _format_reasons(found.tfa, found.draws)
    return out


def _task_reasons(rows: AuditRows, found: _Found) -> dict[str, str]:
    out = {}
    for name, task in found.tasks.items():
        here = (rows.tasks.values == rows.tasks.names.index(name)) & rows.scored
        if here.sum() > MAX_ROWS:
            out[f"rows:{name}"] = f"of its {here.sum():,} rows {MAX_ROWS:,} were drawn for CIT and CAT"
        if np.ptp(rows.human[here]) == 0:
            out[f"cit:{name}"] = "all human scores of the task are equal: it is left out"
        elif np.ptp(rows.scores[here]) == 0:
            out[f"cit:{name}"] = "all scores of the task are equal: its correlations count as 0"
        elif rows.systems is not None and np.isnan(task["system_kendall"][0]):
            out[f"cit_system:{name}"] = "it needs three or more systems in the task whose means differ"
    if rows.systems is None:
        out["cit_system"] = "`systems` is missing"
    return out


def _format_reasons(found: TFA, draws: Mapping[str, Draws]) -> dict[str, str]:
    out = {}
    if not found.tasks:
        return {"tfa": "no task has more than one format"}
    if np.isnan(draws["tfa_auc"][0]):
        out["tfa_auc"] = "it needs tasks whose human scores are only 0 and 1, wrong answers also in the house format"
    dropped = sum(task.dropped for task in found.tasks.values())
    if dropped:
        out["tfa_answers"] = f"{dropped} answers lack a score in some format and are left out of ICC, shares and flips"
    if np.isnan(draws["tfa_icc"][0]):
        out["tfa_icc"] = "it needs two answers with different scores and a score in every format"
    if found.merged:
        out["tfa_cells"] = (
            f"{found.merged} answers have several scores in one format, of which the mean was taken: "
            "give `items` and `systems` so that each answer is one"
        )
    return out
