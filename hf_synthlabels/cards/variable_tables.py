"""Table of a codebook's variables for the card of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_synthlabels.cards.card_data import DatasetFacts, VariableFacts
from hf_synthlabels.cards.markdown import Markdown, code, interval, table
from hf_synthlabels.statistics import MEASURES, ValidationReport
from hf_synthlabels.statistics.validation.codebook_report import HEADLINES

NOT_VALIDATED = "not validated"


def variable_table(facts: DatasetFacts) -> Markdown | None:
    """The variables with their conditions, agreement and shares of the cost; None without a codebook."""
    if not facts.variables:
        return None
    reports = {report.llm: report for report in facts.validations}
    records = {str(record["column"]): record for record in facts.records}
    total = sum(float(record.get("cost_usd") or 0) for record in facts.records)
    rows = [
        (
            code(each.column),
            each.kind,
            each.condition or "all rows",
            _agreement(reports.get(each.column)),
            _cost(records.get(each.column, {}), total),
        )
        for each in facts.variables
    ]
    return table(("variable", "task type", "coded in", "agreement with human labels", "cost share"), rows)


def definition_table(variable: VariableFacts) -> Markdown | None:
    """The labels of a variable with their definitions; None without label names."""
    if not variable.labels:
        return None
    rows = [(code(name), definition or "no definition") for name, definition in variable.labels.items()]
    return table(("label", "definition"), rows)


def _agreement(report: ValidationReport | None) -> Markdown:
    if report is None:
        return Markdown(NOT_VALIDATED)
    scores = [
        f"{MEASURES[report.kind][name]} {interval(report.scores[name])}"
        for name in HEADLINES[report.kind]
        if name in report.scores
    ]
    return Markdown(f"{', '.join(scores)} (n = {report.n_human:,})")


def _cost(record: Mapping[str, Any], total: float) -> str:
    """The cost of a variable: an equal share of that of a joint request."""
    cost = record.get("cost_usd")
    if cost is None:
        return "unknown"
    return f"{cost:.4f} USD" + (f" ({cost / total:.0%})" if total else "")
