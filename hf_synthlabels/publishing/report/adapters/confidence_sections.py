"""Sections of a page on the confidence: calibration, and the accuracy of confident rows."""

from __future__ import annotations

from collections.abc import Mapping

from hf_synthlabels.statistics import ValidationReport
from hf_synthlabels.statistics.confidence.brier import BrierParts
from hf_synthlabels.statistics.confidence.confidence_report import ConfidenceReport
from hf_synthlabels.statistics.exhibits import Calibration, Curve, Curves, Exhibit, Point, Section, Table, Value

BINS_NOTE = "Bins of equal mass; rows with equal confidence stay together."
FIXED = "The intervals hold for thresholds that are fixed in advance."


def confidence_section(report: ConfidenceReport, place: int = 0, variable: str = "") -> Section:
    """Calibration figure, measures, reliability table and accuracy by coverage.

    Args:
        report: on the confidence of one label column.
        place: number of the variable on the page, 0 for the only one.
        variable: its name, where there are several.
    """
    suffix, lead = (f"_{place}", f"{variable}: ") if variable else ("", "")
    answer = f"{report.heading[0].upper()}{report.heading[1:].replace('`', '')}. AUROC of being right {report.auroc}."
    bins = tuple((each.confidence, each.accuracy) for each in report.bins)
    points = tuple(Point(round(each.kept.estimate, 3), each.accuracy) for each in reversed(report.curve))
    exhibits: tuple[Exhibit, ...] = (
        Calibration(f"reliability{suffix}", _title(lead, "accuracy by confidence"), bins, BINS_NOTE),
        _measures(report, suffix, lead),
        _reliability(report, suffix, lead),
        Curves(
            f"kept_rows{suffix}",
            _title(lead, "accuracy of the most confident rows"),
            (Curve("accuracy", points),),
            "share of rows kept",
            "accuracy",
            note=FIXED,
        ),
        _kept(report, suffix, lead),
        *_recalibrated(report, suffix, lead),
    )
    notes = (f"{report.ece_text[0].upper()}{report.ece_text[1:]}.", *report.notes)
    return Section(f"confidence{suffix}", _title(lead, "confidence"), answer, exhibits, notes)


def variable_sections(reports: Mapping[str, ValidationReport]) -> list[Section]:
    """The section of each variable with a confidence."""
    return [
        confidence_section(report.confidence, place, name)
        for place, (name, report) in enumerate(reports.items(), 1)
        if report.confidence is not None
    ]


def confidence_table(reports: Mapping[str, ValidationReport]) -> list[Table]:
    """One line for each variable with a confidence; no table without any."""
    known = {name: report.confidence for name, report in reports.items() if report.confidence is not None}
    if not known:
        return []
    rows: list[tuple[Value, ...]] = [
        (name, each.n, each.brier.score, each.error.debiased, each.auroc) for name, each in known.items()
    ]
    head = ("variable", "n", "Brier score", "calibration error", "AUROC of being right")
    return [Table("confidences", "Confidence by variable", head, tuple(rows))]


def _title(lead: str, title: str) -> str:
    return f"{lead}{title}" if lead else f"{title[0].upper()}{title[1:]}"


def _measures(report: ConfidenceReport, suffix: str, lead: str) -> Table:
    rows: list[tuple[Value, ...]] = [(name, score, score.method) for name, score in report.measures.items()]
    decomposed = _parts("Brier score", report.brier.parts)
    if report.classes is not None:
        decomposed += f" {_parts('Brier score, classes', report.classes.parts)}"
    return Table(
        f"measures{suffix}", _title(lead, "measures"), ("measure", "value", "interval by"), tuple(rows), decomposed
    )


def _parts(name: str, parts: BrierParts) -> str:
    return (
        f"{name} {parts.total:.3f} = reliability {parts.reliability:.3f} - resolution {parts.resolution:.3f} + "
        f"uncertainty {parts.uncertainty:.3f} + within bins {parts.within_bins:.3f}."
    )


def _reliability(report: ConfidenceReport, suffix: str, lead: str) -> Table:
    rows: list[tuple[Value, ...]] = [
        (each.range_text, each.n, each.share, each.confidence, each.accuracy) for each in report.bins
    ]
    head = ("confidence", "rows", "share of rows", "mean confidence", "accuracy")
    return Table(f"reliability_table{suffix}", _title(lead, "reliability table"), head, tuple(rows), BINS_NOTE)


def _recalibrated(report: ConfidenceReport, suffix: str, lead: str) -> list[Table]:
    """The scores before and after recalibration, where that was requested."""
    result = report.recalibrated
    if result is None:
        return []
    rows: list[tuple[Value, ...]] = [(name, score, result.after[name]) for name, score in result.before.items()]
    note = f"{result.heading[0].upper()}{result.heading[1:]}. {result.difference_text}."
    head = ("score", "before", "after")
    return [Table(f"recalibration{suffix}", _title(lead, "recalibration"), head, tuple(rows), note)]


def _kept(report: ConfidenceReport, suffix: str, lead: str) -> Table:
    rows: list[tuple[Value, ...]] = [
        (f"{each.threshold:.3g}", each.accuracy.n, each.kept, each.accuracy) for each in report.curve
    ]
    head = ("confidence at least", "rows", "share kept", "accuracy")
    return Table(f"kept_rows_table{suffix}", _title(lead, "accuracy by threshold"), head, tuple(rows), FIXED)
