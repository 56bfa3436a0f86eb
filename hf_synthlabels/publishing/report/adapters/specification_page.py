"""Page of a specification curve: estimates under each variant, and whether the conclusion survives."""

from __future__ import annotations

from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics.exhibits import Exhibit, Section, Specifications, Table, Value
from hf_synthlabels.statistics.robustness.curve_report import SpecificationReport
from hf_synthlabels.statistics.robustness.quantity_curve import ESTIMATES, QuantityCurve, verdict


def specification_page(report: SpecificationReport) -> Page:
    """Build the page of a specification curve."""
    warnings = tuple(report.warnings())
    chosen = report.selection_line()
    facts = {
        "analysis": report.what,
        "rows": f"{report.n_rows:,}, of which {report.n_human:,} have a human label",
        "corrected estimator": report.estimator_name,
        "intervals": f"{100 * report.level:g}%",
    }
    summary = (*warnings, *([] if chosen is None else [chosen]))
    return Page("Does the conclusion survive?", specification_sections(report), summary, facts)


def specification_sections(report: SpecificationReport, prefix: str = "curve") -> tuple[Section, ...]:
    """One section for each quantity, and one on the agreement among variants."""
    sections = [_quantity(f"{prefix}_{place}", curve, report) for place, curve in enumerate(report.curves, 1)]
    return (*sections, _agreement(f"{prefix}_agreement", report))


def _quantity(name: str, curve: QuantityCurve, report: SpecificationReport) -> Section:
    lines = curve.warnings(report.estimator_name)
    k = len(curve.variants)
    if curve.null is None:
        answer = f"{k:,} variants; no null value was given, so no conclusion is tested."
    elif lines:
        answer = " ".join(lines)
    else:
        answer = f"All {k:,} variants lead to the same conclusion about {curve.null:g}."
    exhibits: list[Exhibit] = [_figure(f"{name}_figure", curve, report), _table(f"{name}_table", curve, report)]
    if curve.null is not None:
        exhibits.append(_verdicts(f"{name}_verdicts", curve, report))
    return Section(
        name, f"Specification curve: {curve.name}", answer, tuple(exhibits), (report.legend(), *report.notes)
    )


def _figure(name: str, curve: QuantityCurve, report: SpecificationReport) -> Specifications:
    marks = [] if curve.null is None else [(f"null value {curve.null:g}", curve.null)]
    marks.append(("human labels only", curve.classical.estimate))
    choices = list(dict.fromkeys(name for each in curve.variants for name, _ in each.variant.choices))
    return Specifications(
        name,
        f"{curve.name} under {len(curve.variants):,} variants",
        tuple(each.variant.name for each in curve.variants),
        {
            "uncorrected": tuple(curve.intervals("naive")),
            report.estimator_name: tuple(curve.intervals("corrected")),
        },
        {choice: tuple(dict(each.variant.choices).get(choice) for each in curve.variants) for choice in choices},
        curve.name,
        tuple(marks),
        f"{100 * report.level:g}% intervals; human labels {report.n_human:,}.",
    )


def _table(name: str, curve: QuantityCurve, report: SpecificationReport) -> Table:
    corrected = report.estimator_name
    head = ("variant", "rows with a label", "uncorrected", corrected, f"{corrected}, simultaneous")
    tested = () if curve.null is None else ("verdict, uncorrected", f"verdict, {corrected}")
    rows: list[tuple[Value, ...]] = []
    for each in curve.variants:
        verdicts = () if curve.null is None else (verdict(each.naive, curve.null), verdict(each.corrected, curve.null))
        rows.append((each.variant.name, each.n_labeled, *(getattr(each, which) for which in ESTIMATES), *verdicts))
    rows.append(("human labels only", None, None, curve.classical, None, *([None] * len(tested))))
    return Table(name, f"{curve.name} under each variant", (*head, *tested), tuple(rows))


def _verdicts(name: str, curve: QuantityCurve, report: SpecificationReport) -> Table:
    words = ("uncorrected", report.estimator_name, f"{report.estimator_name}, simultaneous")
    rows: list[tuple[Value, ...]] = []
    for which, title in zip(ESTIMATES, words, strict=True):
        counts = curve.verdicts(which)
        shares = (curve.same_sign(which, report.level), curve.same_verdict(which, report.level))
        rows.append((title, *(counts[each] for each in ("above", "below", "inconclusive", "undefined")), *shares))
    head = ("estimate", "above", "below", "inconclusive", "undefined", "same sign", "same verdict")
    return Table(name, f"Verdicts about {curve.name} against {curve.null:g}", head, tuple(rows))


def _agreement(name: str, report: SpecificationReport) -> Section:
    rows: list[tuple[Value, ...]] = [("all variants", report.agreement)]
    rows += [(f"values of {choice}, other choices equal", each) for choice, each in report.agreement_by_choice.items()]
    table = Table(f"{name}_table", "Krippendorff's alpha", ("variants compared", "alpha"), tuple(rows))
    answer = f"Krippendorff's alpha among the labels of all variants is {report.agreement}."
    return Section(name, "Agreement among variants", answer, (table,))
