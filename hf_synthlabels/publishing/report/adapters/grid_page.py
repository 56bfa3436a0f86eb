"""Grids of students as pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_synthlabels.publishing.report.formatting import NOT_ASKED
from hf_synthlabels.publishing.report.page_values import Page
from hf_synthlabels.statistics.exhibits import Exhibit, Intervals, Section, Table, Value

if TYPE_CHECKING:
    from hf_synthlabels.training.search.report import CellReport, GridReport


def grid_page(report: GridReport) -> Page:
    """Students over models, label sources, sizes and settings, chosen on human labels."""
    names = [_cell_name(cell, report) for cell in report.cells]
    exhibits: list[Exhibit] = []
    tested = tuple((name, cell.test) for name, cell in zip(names, report.cells, strict=True) if cell.test is not None)
    if tested:
        title = f"{report.metric} of each choice on the test rows"
        exhibits.append(Intervals("test", title, {"test": tested}, report.metric))
    gains = tuple((name, cell.gain) for name, cell in zip(names, report.cells, strict=True) if cell.gain is not None)
    if gains:
        axis = f"difference in {report.metric}"
        exhibits.append(Intervals("gain", "What searching brought", {"gain": gains}, axis, (("none", 0.0),)))
    exhibits += _cell_tables(report, names)
    cost = report.cost
    costs = (
        ("runs", cost.runs),
        ("combinations and seeds covered", cost.cells),
        ("optimiser steps", cost.steps),
        ("steps of one run for each epoch count", cost.steps_separately),
        ("seconds of all runs", cost.wall_s),
        ("seconds of processor time", cost.cpu_s),
    )
    answer = _best_cell(report, names)
    drawn = f"Scores are {report.metric}, means over {len(report.seeds)} seeds; {report.n_test:,} test rows."
    took = f"{cost.runs:,} runs cover {cost.cells:,} combinations and seeds."
    sections = (
        Section("choice", "Which student does best?", drawn, tuple(exhibits), tuple(_left_out(report))),
        Section("cost", "What did it take?", took, (Table("cost", "Cost of the grid", ("what", "amount"), costs),)),
    )
    facts = {
        "seeds": ", ".join(map(str, report.seeds)),
        "schedule": report.schedule,
        "best student": report.student or "not kept",
    }
    return Page("A grid of students", sections, (answer,), facts)


def _cell_tables(report: GridReport, names: list[str]) -> list[Exhibit]:
    rows: list[tuple[Value, ...]] = []
    more: list[tuple[Value, ...]] = []
    for name, cell in zip(names, report.cells, strict=True):
        choice = (f"{cell.choice.learning_rate:g}", cell.choice.batch_size, cell.choice.epochs)
        tested = tuple(NOT_ASKED if value is None else value for value in (cell.test, cell.gain))
        rows.append((name, cell.rows, *choice, cell.validation, cell.corrected, *tested))
        compared = (cell.against_first_source, cell.refit, cell.refit_difference)
        against = tuple(NOT_ASKED if value is None else value for value in compared)
        more.append((name, *against, cell.n_candidates, cell.n_diverged))
    heads = (
        "cell",
        "rows",
        "rate",
        "batch",
        "epochs",
        f"{report.metric}, rows that chose",
        "corrected",
        "test",
        "gain",
    )
    note = (
        f"The score on the {report.n_validation:,} rows that chose promises too much; corrected is what choosing gives "
        "on rows that did not (BBC-CV). Gain is against the first combination of the file, on the test rows."
    )
    others = ("cell", "against the first source", "with linear decay", "minus the reading", "combinations", "diverged")
    return [
        Table("cells", "What was chosen", heads, tuple(rows), note),
        Table("more", "Sources, decay and what diverged", others, tuple(more)),
    ]


def _best_cell(report: GridReport, names: list[str]) -> str:
    if not report.cells:
        return "Nothing was trained."
    best, name = max(zip(report.cells, names, strict=True), key=lambda pair: pair[0].corrected)
    test = "" if best.test is None else f"; on {report.n_test:,} test rows {best.test}"
    return (
        f"Highest is {name} with {best.corrected:.3f} {report.metric}, corrected for choosing on "
        f"{report.n_validation:,} rows{test}."
    )


def _left_out(report: GridReport) -> list[str]:
    if not report.n_left_out:
        return []
    return [f"{report.n_left_out:,} training rows lack a label of some source and were left out for all."]


def _cell_name(cell: CellReport, report: GridReport) -> str:
    parts = [cell.model.rstrip("/").rsplit("/", 1)[-1], cell.source]
    sized = len({each.size for each in report.cells}) > 1
    return ", ".join([*parts, f"{cell.rows:,} rows"] if sized else parts)
