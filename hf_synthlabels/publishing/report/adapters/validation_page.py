"""Page of a validation: agreement with human labels, per-class performance, and disagreements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from hf_synthlabels.publishing.report.adapters.confidence_sections import confidence_section
from hf_synthlabels.publishing.report.adapters.rater_sections import rater_section
from hf_synthlabels.publishing.report.confusion_figure import MAX_DRAWN, MAX_UPRIGHT, frequent_errors, is_large
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics import MEASURES, Interval, ValidationReport
from hf_synthlabels.statistics.exhibits import Counts, Exhibit, Intervals, Section, Table, Value
from hf_synthlabels.statistics.missing_labels.bounds import bounds_text
from hf_synthlabels.statistics.validation.measures import SIGNED, UNBOUNDED, UNGATED
from hf_synthlabels.studies.wording import counted

MISSING = "no label"


def validation_page(report: ValidationReport) -> Page:
    """Build the page of a validation."""
    facts = {
        "task type": report.kind,
        "human labels": report.human,
        "predicted labels": report.llm,
        "rows": f"{report.n_rows:,}, of which {report.n_human:,} have a human label",
        "intervals": f"{100 * report.level:g}%; bootstrap with {report.resamples:,} resamples, seed {report.seed}",
    }
    raters = None if report.raters is None else rater_section(report.raters)
    confidence = None if report.confidence is None else confidence_section(report.confidence)
    sections = [_agreement(report), raters, _by_label(report), _differences(report), confidence, _rows(report)]
    return Page(
        f"{report.llm} against human labels",
        tuple(section for section in sections if section is not None),
        tuple(_summary(report)),
        facts,
    )


def class_table(name: str, report: ValidationReport, title: str) -> Table:
    """Precision, recall and F1 of each label."""
    rows = [(each.name, each.support, each.predicted, each.precision, each.recall, each.f1) for each in report.classes]
    return Table(
        name,
        title,
        ("label", "human n", "predicted n", "precision", "recall", "F1"),
        tuple(rows),
        "A missing prediction counts as an error. The n of precision counts predicted labels, that of recall human "
        "labels.",
    )


def confusion(name: str, report: ValidationReport, title: str, across: str) -> list[Exhibit]:
    """Confusion matrix, and for many classes the most frequent errors; none for kinds without one class per row."""
    if report.matrix is None:
        return []
    names = report.matrix.names
    note = f"{report.matrix.n:,} human-labeled rows; shading by proportion of the row."
    counts = Counts(name, title, names, (*names, MISSING), report.matrix.counts, across, note)
    return confusion_exhibits(counts)


def confusion_exhibits(counts: Counts) -> list[Exhibit]:
    """A matrix; of more than a few classes the most frequent errors first."""
    if len(counts.rows) <= MAX_UPRIGHT:
        return [counts]
    errors = frequent_errors(f"{counts.name}_errors", f"{counts.title}: most frequent errors", counts)
    if is_large(counts):
        note = (
            f"{counts.note} The figure shows the {MAX_DRAWN} of {len(counts.rows):,} classes with the most errors; the "
            "CSV has all classes."
        )
        counts = replace(counts, note=note)
    return [errors, counts] if errors.rows else [counts]


def status_table(name: str, parts: Mapping[str, ValidationReport]) -> Table:
    """Row status of each part."""
    counts = {
        part: dict(report.statuses or {"labelled": report.n_labelled, MISSING: report.n_rows - report.n_labelled})
        for part, report in parts.items()
    }
    kinds = sorted({kind for each in counts.values() for kind in each}, key=lambda kind: (kind != "labelled", kind))
    rows: list[tuple[Value, ...]] = [
        (part, report.n_rows, *(counts[part].get(kind, 0) for kind in kinds), report.n_human)
        for part, report in parts.items()
    ]
    return Table(name, "Row status", ("rows", "all", *kinds, "with a human label"), tuple(rows))


def _summary(report: ValidationReport) -> list[str]:
    names = MEASURES[report.kind]
    best = next(
        (
            name
            for name in ("macro_f1", "entity_f1", "token_f1", "micro_f1", "mae", "accuracy")
            if name in report.scores
        ),
        "",
    )
    lines = [] if report.gate is None else [f"Gate {report.gate}."]
    lines.append(
        f"{report.n_answered:,} of {report.n_human:,} human-labeled rows have a predicted label "
        f"(coverage {report.coverage})."
    )
    if best:
        lines.append(f"On the {report.n_human:,} human-labeled rows {names[best]} is {report.scores[best]}.")
    return lines


def _agreement(report: ValidationReport) -> Section:
    names = MEASURES[report.kind]
    known = {name: score for name, score in report.scores.items() if not math.isnan(score.estimate)}
    shares = {name: score for name, score in known.items() if name not in UNBOUNDED | SIGNED | UNGATED}
    panels: dict[str, tuple[tuple[str, Interval], ...]] = {}
    if shares:
        panels["scores"] = tuple((names[name], score) for name, score in shares.items())
    rows: list[tuple[Value, ...]] = [(names[name], score, score.method) for name, score in report.scores.items()]
    exhibits: list[Exhibit] = []
    if panels:
        marks = (("gate", report.gate.gate.threshold),) if report.gate and report.gate.gate.metric in shares else ()
        exhibits.append(Intervals("scores", "Proportions", panels, f"{100 * report.level:g}% intervals", marks))
    exhibits.append(Table("score_table", "All scores", ("score", "value", "interval by"), tuple(rows)))
    answer = f"{report.n_human:,} rows have a human label; {report.n_answered:,} of them also have a predicted label."
    notes = (*report.notes, *(() if report.bounds is None else (bounds_text(report.bounds),)))
    return Section("agreement", "Agreement with human labels", answer, tuple(exhibits), notes)


def _by_label(report: ValidationReport) -> Section | None:
    if not report.classes:
        return None
    met = [each for each in report.classes if each.support and not math.isnan(each.f1.estimate)]
    answer = "No class occurs among the human labels."
    exhibits: list[Exhibit] = []
    if met:
        low, high = min(met, key=lambda each: each.f1.estimate), max(met, key=lambda each: each.f1.estimate)
        answer = (
            f"F1 ranges from {low.f1} for {low.name} (n = {low.support:,}) to {high.f1} for {high.name} "
            f"(n = {high.support:,})."
        )
        shown, title = met, "F1 by class"
        if len(met) > MAX_DRAWN:
            shown = sorted(met, key=lambda each: each.f1.estimate)[:MAX_DRAWN]
            title = f"F1 by class, the {MAX_DRAWN} lowest of {len(met):,}"
        exhibits.append(Intervals("by_label", title, {"F1": tuple((each.name, each.f1) for each in shown)}, "F1"))
    exhibits.append(class_table("class_table", report, "Scores by class"))
    notes = tuple(f"No human-labeled row has {name}; macro F1 excludes it." for name in report.absent)
    return Section("by_label", "Per-class performance", answer, tuple(exhibits), notes)


def _differences(report: ValidationReport) -> Section | None:
    exhibits: list[Exhibit] = []
    answer = ""
    if report.matrix is not None:
        exhibits += confusion("confusion", report, "Confusion matrix", report.llm)
        mistakes = report.matrix.mistakes()
        wrong = sum(count for *_, count in mistakes)
        answer = f"{wrong:,} of {report.matrix.n:,} human-labeled rows differ."
        if mistakes:
            human, predicted, count = mistakes[0]
            answer += f" The most frequent error is {human} labeled as {predicted or MISSING}: {counted(count, 'row')}."
    for place, table in enumerate(report.tables, 1):
        exhibits.append(Table(f"difference_{place}", f"Disagreements by {table.head[0]}", table.head, table.rows))
    if not exhibits:
        return None
    return Section("differences", "Disagreements", answer, tuple(exhibits))


def _rows(report: ValidationReport) -> Section:
    answer = (
        f"Of {report.n_rows:,} rows, {report.n_labelled:,} have a predicted label and {report.n_human:,} a human label."
    )
    return Section("rows", "Row status", answer, (status_table("statuses", {"all rows": report}),))
