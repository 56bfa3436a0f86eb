"""Parts of a validation that tables have in some cases: bounds for missing labels, and several human labels per row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.statistics.arrays import Mask
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.design.human_rows import ScoredRows
from hf_synthlabels.statistics.missing_labels.accuracy_bounds import accuracy_bounds
from hf_synthlabels.statistics.raters.table_raters import table_raters
from hf_synthlabels.statistics.raters.votes import votes_columns
from hf_synthlabels.statistics.validation.dataset_columns import Table
from hf_synthlabels.statistics.validation.report import ValidationReport
from hf_synthlabels.statistics.validation.table_variables import TableVariable
from hf_synthlabels.statistics.validation.task_agreement import NAMED


@dataclass(frozen=True, slots=True)
class ReportRows:
    """The table of a validation, and how its rows were sampled."""

    table: Table
    tokens: str | None
    clusters: str | None
    strata: str | None
    normalize: bool
    scored: Callable[[Mask], ScoredRows]
    """Gives the rows to score, of those with a label."""


def with_parts(
    report: ValidationReport,
    rows: ReportRows,
    votes: str | Sequence[str] | None,
    names: Sequence[str] | None,
    schema: LabelSchema | None,
) -> ValidationReport:
    """The report with bounds and raters, where the table has missing labels or several human labels per row.

    Their intervals are those of a finished sample.

    Args:
        report: scores.
        rows: table and design.
        votes: columns of human labels; by default `<human>_votes` if there is one.
        names: class names.
        schema: task type, names and scale.
    """
    return _with_raters(_with_bounds(report, rows, names, schema), rows, votes, names, schema)


def _with_bounds(
    report: ValidationReport, rows: ReportRows, names: Sequence[str] | None, schema: LabelSchema | None
) -> ValidationReport:
    """The report with bounds of the accuracy, if the task type has one and labels are missing."""
    if "accuracy" not in report.scores:
        return report
    if schema is None and names and report.kind in NAMED:
        schema = LabelSchema(kind=report.kind, names=tuple(names))  # type: ignore[arg-type]
    variable = TableVariable(report.llm, report.human, None if schema else report.kind, schema, rows.tokens)
    options = {"clusters": rows.clusters, "strata": rows.strata}
    bounds = accuracy_bounds(rows.table, variable, **options, normalize=rows.normalize, level=report.level)
    return replace(report, bounds=bounds)


def _with_raters(
    report: ValidationReport,
    rows: ReportRows,
    votes: str | Sequence[str] | None,
    names: Sequence[str] | None,
    schema: LabelSchema | None,
) -> ValidationReport:
    """The report with that on the raters, if the table has several human labels per row."""
    if not (columns := votes_columns(rows.table, report.human, votes)):
        return report
    raters = table_raters(
        rows.table,
        columns,
        report.kind,
        report.llm,
        rows.scored,
        BootstrapConfig(report.level, report.resamples, report.seed),
        names=names or (schema.names if schema is not None and schema.names else None),
        scale=None if schema is None else schema.scale,
        tokens=rows.tokens,
        normalize=rows.normalize,
    )
    return replace(report, raters=raters)
