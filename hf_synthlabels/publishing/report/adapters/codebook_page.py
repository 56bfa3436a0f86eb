"""Page of a codebook's validation: agreement by variable, joint accuracy, gates, and classes of each variable."""

from __future__ import annotations

from dataclasses import replace

from hf_synthlabels.publishing.report.adapters.confidence_sections import confidence_table, variable_sections
from hf_synthlabels.publishing.report.adapters.rater_sections import rater_section
from hf_synthlabels.publishing.report.adapters.validation_page import class_table, confusion
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics import MEASURES, ValidationReport
from hf_synthlabels.statistics.exhibits import Exhibit, Section, Table, Value
from hf_synthlabels.statistics.validation.codebook_report import HEADLINES, CodebookReport


def codebook_page(report: CodebookReport) -> Page:
    """Build the page of a codebook's validation."""
    first = next(iter(report.variables.values()))
    facts = {
        "variables": ", ".join(report.variables),
        "not validated": ", ".join(report.not_validated) or "none",
        "rows": f"{report.n_rows:,}",
        "intervals": f"{100 * report.level:g}%; bootstrap with {first.resamples:,} resamples, seed {first.seed}",
    }
    gates = [_gates(report)] if report.gates else []
    details = [_variable(name, place, each) for place, (name, each) in enumerate(report.variables.items(), 1)]
    details += [
        replace(section, title=f"{name}: {section.title.lower()}")
        for place, (name, each) in enumerate(report.variables.items(), 1)
        if each.raters is not None and (section := rater_section(each.raters, place))
    ]
    details += variable_sections(report.variables)
    summary = [f"{report.joint_text[0].upper()}{report.joint_text[1:]}."]
    if report.gates:
        summary.insert(0, f"All gates: {str(report.verdict).replace('_', ' ')}.")
    return Page(
        f"{len(report.variables)} variables against human labels",
        (_overview(report), *gates, *details),
        tuple(summary),
        facts,
    )


def _overview(report: CodebookReport) -> Section:
    rows: list[tuple[Value, ...]] = []
    for name, each in report.variables.items():
        cells: list[Value] = []
        for measure in HEADLINES[each.kind]:
            cells += [MEASURES[each.kind][measure], each.scores.get(measure)]
        rows.append((name, each.kind, each.n_human, each.coverage, *cells))
    head = ("variable", "task type", "human n", "coverage", "score", "value", "agreement", "value of agreement")
    table = Table("variables", "Agreement by variable", head, tuple(rows))
    exhibits = (table, *confidence_table(report.variables))
    return Section("variables", "Agreement by variable", report.joint_text, exhibits, tuple(report.notes()))


def _gates(report: CodebookReport) -> Section:
    rows: list[tuple[Value, ...]] = [
        (name, str(each.gate), each.verdict.replace("_", " "), each.interval, f"{100 * each.interval.level:.4g}%")
        for name, each in report.gates
    ]
    table = Table("gates", "Gates", ("variable", "gate", "verdict", "score", "level"), tuple(rows), report.gate_rule)
    return Section("gates", "Gates", f"Verdict: {str(report.verdict).replace('_', ' ')}.", (table,))


def _variable(name: str, place: int, report: ValidationReport) -> Section:
    scores: list[tuple[Value, ...]] = [
        (MEASURES[report.kind][measure], score, score.method) for measure, score in report.scores.items()
    ]
    exhibits: list[Exhibit] = [
        Table(f"scores_{place}", f"{name}: all scores", ("score", "value", "interval by"), tuple(scores))
    ]
    if report.classes:
        exhibits.append(class_table(f"classes_{place}", report, f"{name}: scores by class"))
    exhibits += confusion(f"confusion_{place}", report, f"{name}: confusion matrix", report.llm)
    exhibits += [
        Table(f"difference_{place}_{number}", f"{name}: disagreements by {each.head[0]}", each.head, each.rows)
        for number, each in enumerate(report.tables, 1)
    ]
    answer = f"{report.n_human:,} rows have a human label; {report.n_answered:,} of them also have a predicted label."
    return Section(f"variable_{place}", name, answer, tuple(exhibits), report.notes)
