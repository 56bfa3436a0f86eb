"""Pages of the audit of a metric, and of a judge's scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hf_synthlabels.judging import Audit, JudgeSummary
from hf_synthlabels.judging.audit.report import PROPERTIES, Comparison, FormatAudit, MetricAudit, TaskAudit
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.exhibits import Bars, Exhibit, Intervals, Section, Table, Value

QUESTIONS = {
    "cit": "Comparability within tasks (CIT)",
    "cat": "Comparability across tasks (CAT)",
    "tfa": "Format invariance (TFA)",
}
VERDICTS = {
    "pass": "significantly better than every baseline in every statistic",
    "fail": "significantly worse than a baseline in some statistic",
    "open": "not significantly different from a baseline in some statistic",
    "no_baseline": "there is no baseline to compare with",
    "not_computed": "it could not be computed",
}


def audit_page(audit: Audit) -> Page:
    """Audit of a metric with baselines; one section per property."""
    verdicts = [
        f"{name.upper()}: {verdict.replace('_', ' ')} ({VERDICTS[verdict]})."
        for name, verdict in audit.verdicts.items()
    ]
    coverage = audit.metric.coverage
    scored = f"Coverage is {coverage}: the proportion of {coverage.n:,} human-scored rows that the metric scored."
    sections = [_property(audit, name, verdict) for name, verdict in zip(PROPERTIES, verdicts, strict=True)]
    return Page("Audit of a metric", (*sections, _tasks(audit.metric)), (" ".join(verdicts), scored), _facts(audit))


def judge_page(summary: JudgeSummary) -> Page:
    """Page of a judge's scores, with bounds for unscored items."""
    mean = summary.mean
    answer = f"The mean score is {mean} over {summary.n_scored:,} of {summary.n:,} items."
    if summary.n_unscored:
        answer += f" Unscored items bound it between {summary.lowest_mean:.3f} and {summary.highest_mean:.3f}."
    rows: list[tuple[Value, ...]] = [
        ("mean score", mean),
        ("mean, from 0 worst to 1 best", summary.unit_mean),
        ("coverage", summary.coverage),
        ("mean, if each unscored item were worst", summary.lowest_mean),
        ("mean, if each unscored item were best", summary.highest_mean),
    ]
    counts = [("scored", summary.n_scored), *summary.n_unscored.items()]
    stats = summary.stats
    cost = (
        ("requests", stats.requests),
        ("cache hits", stats.stored),
        ("tokens in", stats.prompt_tokens),
        ("tokens out", stats.completion_tokens),
        ("US dollars", summary.cost_usd),
    )
    exhibits: list[Exhibit] = [
        Table("mean", "Scores", ("what", "value"), tuple(rows)),
        Table("items", "Item status", ("status", "items"), tuple(counts)),
    ]
    if summary.parse_methods:
        panel = tuple((name, float(count)) for name, count in summary.parse_methods.items())
        exhibits.append(Bars("parse_methods", "Parse methods", {"scores": panel}))
    if summary.criteria:
        exhibits.append(_criteria(summary))
    sections = (
        Section("scores", "Scores", answer, tuple(exhibits)),
        Section("cost", "Cost", "", (Table("cost", "Requests and cost", ("what", "amount"), cost),)),
    )
    return Page("Judge scores", sections, (answer,))


def _criteria(summary: JudgeSummary) -> Table:
    """One row for each criterion; the other tables describe the overall score."""
    rows = []
    for name, each in summary.criteria.items():
        unscored = ", ".join(f"{count:,} {status}" for status, count in each.n_unscored.items()) or "none"
        rows.append((name, each.mean, each.unit_mean, each.n_scored, unscored, each.lowest_mean, each.highest_mean))
    heads = ("criterion", "mean score", "mean, from 0 to 1", "scored", "unscored", "lowest mean", "highest mean")
    return Table("criteria", "Scores by criterion", heads, tuple(rows))


def audit_from_dict(values: Mapping[str, Any]) -> Audit:
    """Read an audit from `Audit.to_dict`."""
    return Audit(
        _metric(values["metric"]),
        {name: _metric(each) for name, each in values["baselines"].items()},
        tuple(
            Comparison(each["statistic"], each["baseline"], Interval.from_dict(each["difference"]))
            for each in values["comparisons"]
        ),
        dict(values["verdicts"]),
        values["n_unreferenced"],
    )


def _property(audit: Audit, name: str, verdict: str) -> Section:
    parts: dict[str, MetricAudit] = {"the metric": audit.metric, **audit.baselines}
    statistics = [each for each in audit.metric.scores if each.startswith(f"{name}_")]
    rows = [(each, *(part.scores.get(each) for part in parts.values())) for each in statistics]
    table = Table(f"{name}_scores", "Metric and baselines", ("statistic", *parts), tuple(rows))
    exhibits: list[Exhibit] = [table]
    panels: dict[str, tuple[tuple[str, Interval], ...]] = {}
    for each in PROPERTIES[name]:
        gaps = tuple((other.baseline, other.difference) for other in audit.comparisons if other.statistic == each)
        if gaps:
            panels[each] = gaps
    if panels:
        note = "Paired differences on the rows that both scored; positive values favor the metric."
        exhibits.insert(
            0, Intervals(f"{name}_gaps", "Difference from each baseline", panels, "difference", (("none", 0.0),), note)
        )
    if name == "tfa" and audit.metric.formats:
        exhibits.append(_formats(audit.metric))
    return Section(name, QUESTIONS[name], verdict, tuple(exhibits), tuple(_reasons(audit, name)))


def _formats(metric: MetricAudit) -> Table:
    fields = ("mean", "mean_right", "mean_wrong", "auc", "spearman", "system_kendall")
    rows = [(name, *(getattr(each, field) for field in fields)) for name, each in metric.formats.items()]
    heads = ("format", *(field.replace("_", " ") for field in fields))
    note = (
        "Means over tasks. auc: probability that a correct answer in this format scores above a wrong one in the "
        "reference format."
    )
    return Table("tfa_formats", "Scores by format", heads, tuple(rows), note)


def _tasks(metric: MetricAudit) -> Section:
    statistics = list(dict.fromkeys(name for task in metric.tasks for name in task.scores))
    rows = [(task.name, task.coverage, *(task.scores.get(name) for name in statistics)) for task in metric.tasks]
    known = {
        name: tuple((task.name, task.scores[name]) for task in metric.tasks if name in task.scores)
        for name in statistics
        if name in ("spearman", "kendall")
        and any(not math.isnan(task.scores[name].estimate) for task in metric.tasks if name in task.scores)
    }
    exhibits: list[Exhibit] = (
        [Intervals("by_task", "Rank correlation with human scores", known, "correlation")] if known else []
    )
    exhibits.append(Table("tasks", "Scores by task", ("task", "coverage", *statistics), tuple(rows)))
    share = "unknown" if math.isnan(metric.task_share) else f"{metric.task_share:.0%}"
    answer = f"{share} of {len(metric.tasks):,} tasks have a score for nearly all rows."
    return Section("tasks", "Results by task", answer, tuple(exhibits))


def _reasons(audit: Audit, name: str) -> list[str]:
    general = ("all", "intervals", "coverage", "rows")
    wanted = (*general, name) if name == "cit" else (name,)
    return [
        f"{key}: {reason}."
        for key, reason in audit.reasons.items()
        if key.partition(":")[0] in wanted or key.startswith(f"{name}_")
    ]


def _facts(audit: Audit) -> dict[str, str]:
    return {
        "rows": f"{audit.metric.coverage.n:,} with a human score; {audit.n_unreferenced:,} without one were left out",
        "tasks": f"{len(audit.metric.tasks):,}",
        "formats": ", ".join(audit.metric.formats) or "one",
        "baselines": ", ".join(audit.baselines) or "none",
    }


def _metric(values: Mapping[str, Any]) -> MetricAudit:
    return MetricAudit(
        _intervals(values["scores"]),
        Interval.from_dict(values["coverage"]),
        math.nan if values["task_share"] is None else values["task_share"],
        tuple(
            TaskAudit(each["name"], Interval.from_dict(each["coverage"]), _intervals(each["scores"]))
            for each in values["tasks"]
        ),
        {name: FormatAudit(**_intervals(each)) for name, each in values["formats"].items()},
        dict(values["reasons"]),
    )


def _intervals(values: Mapping[str, Any]) -> dict[str, Interval]:
    return {name: Interval.from_dict(each) for name, each in values.items()}
