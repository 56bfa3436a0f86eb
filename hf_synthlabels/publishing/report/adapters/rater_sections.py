"""Section of a validation's page on several human labels per row."""

from __future__ import annotations

from hf_synthlabels.statistics.exhibits import Exhibit, Section, Table, Value
from hf_synthlabels.statistics.raters.rater_model import ASSUMPTION, MODELS
from hf_synthlabels.statistics.raters.rater_report import RaterReport


def rater_section(report: RaterReport, place: int | str = "") -> Section:
    """Reliability of the human labels, the LLM on the same votes, and the rater model.

    Args:
        report: on the raters.
        place: of the variable in a codebook, for names of exhibits.
    """
    alpha = Table(
        f"reliability{place}",
        "Reliability of the human labels",
        ("measure", "value", "rows"),
        ((f"Krippendorff's alpha, {report.scale}", report.alpha, report.alpha.n),),
        f"{report.n_several:,} of {report.n_rows:,} rows have two votes or more.",
    )
    exhibits: list[Exhibit] = [alpha]
    if report.comparisons:
        rows: list[tuple[Value, ...]] = [
            (each.measure, each.raters, each.llm, each.difference, each.ratio or "-", each.llm.n)
            for each in report.comparisons
        ]
        head = ("measure", "a rater", "LLM", "LLM - rater", "LLM / rater", "rows")
        note = "Each vote is left out in turn; the rater and the LLM are compared with the other votes of the row."
        exhibits.append(Table(f"raters{place}", "A rater and the LLM on the same votes", head, tuple(rows), note))
    if report.model is not None:
        lines: list[tuple[Value, ...]] = [(name, each, each.n) for name, each in report.model.lines()]
        lines += [(f"share of {name}", each, each.n) for name, each in report.model.shares.items()]
        title = "Accuracies by a rater model (Dawid & Skene)"
        note = " ".join([f"Model: {MODELS[report.model.model]}.", ASSUMPTION, *report.model.notes])
        exhibits.append(Table(f"rater_model{place}", title, ("quantity", "value", "rows"), tuple(lines), note))
    notes = tuple(report.all_notes())
    return Section(f"human_labels{place}", "Several human labels", f"{report.headline}.", tuple(exhibits), notes)
