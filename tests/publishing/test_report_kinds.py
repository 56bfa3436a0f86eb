"""Every kind of report as a page: the same numbers, from the value and from its JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.cli.main import app
from hf_synthlabels.errors import ConfigError, DataError, SynthLabelsError
from hf_synthlabels.judging import Audit, JudgeSummary
from hf_synthlabels.judging.audit.report import Comparison, FormatAudit, MetricAudit, TaskAudit
from hf_synthlabels.publishing import Page, read_report, write_report
from hf_synthlabels.publishing.report import report_page
from hf_synthlabels.publishing.report.figures import draw
from hf_synthlabels.publishing.report.page_values import page_to_json
from hf_synthlabels.statistics import Interval, ValidationReport, validate
from hf_synthlabels.statistics.exhibits import Calibration, Exhibit, Intervals
from hf_synthlabels.statistics.exhibits import Table as SheetTable
from hf_synthlabels.studies import StudyRuns, recommend, write_runs
from hf_synthlabels.studies.runs import CellName, CellRun, TaskRuns
from hf_synthlabels.training.search import CellReport, Choice, GridCost, GridReport

NAMES = ("<script>alert(1)</script>", "b & c", "a label with a very long name that goes on and on")


class Table:
    """What `validate` reads of a data set."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns
        self.column_names = list(columns)

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns[column]


@pytest.fixture(scope="module")
def report() -> ValidationReport:
    draw = np.random.default_rng(0)
    truth = draw.integers(3, size=60)
    answers = np.where(draw.random(60) < 0.6, truth, draw.integers(3, size=60))
    llm = [None if row % 10 == 0 else NAMES[code] for row, code in enumerate(answers)]
    human = [NAMES[code] for code in truth]
    return validate(Table({"label": human, "llm_label": llm}), names=NAMES, gate="accuracy>=0.5", resamples=200)


def exhibits(page: Page) -> dict[str, Exhibit]:
    return {exhibit.name: exhibit for section in page.sections for exhibit in section.exhibits}


def table(page: Page, name: str) -> SheetTable:
    found = exhibits(page)[name]
    assert isinstance(found, SheetTable)
    return found


def test_write_report_keeps_the_numbers_beside_the_page(report: ValidationReport, tmp_path: Path) -> None:
    written = write_report(report, tmp_path / "new")
    assert written[0].name == "report.html"
    page = written[0].read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert json.loads((tmp_path / "new" / "report.json").read_text())["n_human"] == 60
    # The page is made anew from its values, where it was.
    before = {path: path.read_bytes() for path in written}
    told = CliRunner().invoke(app, ["report", str(tmp_path / "new" / "report" / "page.json")])
    assert told.exit_code == 0, told.output
    assert f"written: {tmp_path / 'new' / 'report.html'}" in told.output
    assert {path: path.read_bytes() for path in written} == before


def test_validation_page_tells_scores_labels_and_mistakes(report: ValidationReport) -> None:
    checked = report
    page = report_page(read_report(checked.to_json()))
    assert page.summary[0] == f"Gate {checked.gate}."
    assert [row[1] for row in table(page, "score_table").rows] == list(checked.scores.values())
    assert [row[0] for row in table(page, "class_table").rows] == list(NAMES)
    scores = exhibits(page)["scores"]
    assert isinstance(scores, Intervals)
    # Kappa may be below 0: it is no share, and stands in the table alone.
    assert [name for name, _ in scores.panels["scores"]] == [
        "coverage", "accuracy", "accuracy, answered rows", "macro F1", "weighted F1",
    ]  # fmt: skip
    assert scores.marks == (("gate", 0.5),)
    human, said, count = checked.confusion.mistakes()[0]
    assert f"{human} labeled as {said or 'no label'}: {count} rows." in page.sections[2].answer


def test_validation_of_other_kinds_has_a_page() -> None:
    cases: list[tuple[str, list[Any], list[Any]]] = [
        ("text-scale", [1.0, 2.0, 3.0, 4.0], [1.0, 2.5, None, 4.0]),
        ("text-generation", ["a b", "c", "d"], ["a b", "x", None]),
    ]
    for kind, human, llm in cases:
        checked = validate(Table({"label": human, "llm_label": llm}), kind=kind, resamples=50)
        page = report_page(checked)
        assert len(table(page, "score_table").rows) == len(checked.scores)
        assert page_to_json(report_page(read_report(checked.to_json()))) == page_to_json(page)


def test_validation_of_one_unanswered_row_has_a_page() -> None:
    checked = validate(Table({"label": ["a", None], "llm_label": [None, "b"]}), names=("a", "b"), resamples=50)
    page = report_page(checked)
    assert page.sections[1].notes == ("No human-labeled row has b; macro F1 excludes it.",)
    assert (
        page.sections[2].answer
        == "1 of 1 human-labeled rows differ. The most frequent error is a labeled as no label: 1 row."
    )


def test_grid_page_tells_what_was_chosen_and_what_it_took() -> None:
    score = Interval(0.8, 0.7, 0.9, 0.95, "bootstrap", 50)
    cells = (
        CellReport(
            "hub/mini", "human", None, 100, Choice(5e-5, 16, 3), 0.85, 0.82, 12, 0, score, None, None, score, None
        ),
        CellReport(
            "hub/mini", "llm", None, 100, Choice(1e-4, 32, 1), 0.75, math.nan, 12, 2, score, score, score, None, None
        ),
    )
    grid = GridReport("macro_f1", "linear", 60, 50, 4, (0, 1), cells, GridCost(8, 24, 100, 300, 12.5, 20.0), "best")
    again = read_report(grid.to_json())
    page = report_page(again)
    assert page_to_json(page) == page_to_json(report_page(grid))
    assert page.summary[0].startswith("Highest is mini, human with 0.820 macro_f1, corrected for choosing on 60 rows")
    assert table(page, "cells").rows[0] == ("mini, human", 100, "5e-05", 16, 3, 0.85, 0.82, score, "–")
    assert table(page, "cost").rows[0] == ("runs", 8)
    assert "4 training rows lack a label of some source" in page.sections[0].notes[0]


def test_audit_page_has_a_section_for_each_property() -> None:
    value, nothing = Interval(0.5, 0.4, 0.6, 0.95, "b", 30), Interval(math.nan, math.nan, math.nan, 0.95, "b", 0)
    task = TaskAudit("qa", value, {"spearman": value, "kendall": nothing})
    each = FormatAudit(value, value, value, value, value, nothing)
    scores = {"cit_kendall": value, "cat_offset": value, "tfa_icc": nothing}
    metric = MetricAudit(scores, value, 1.0, (task,), {"plain": each}, {"tfa_icc": "too few", "cit:qa": "all equal"})
    audit = Audit(
        metric, {"length": metric}, (Comparison("cit_kendall", "length", value),),
        {"cit": "pass", "cat": "open", "tfa": "not_computed"}, 2,
    )  # fmt: skip
    page = report_page(audit)
    again = read_report(json.dumps(audit.to_dict()))
    assert page_to_json(report_page(again)) == page_to_json(page)
    assert [section.name for section in page.sections] == ["cit", "cat", "tfa", "tasks"]
    assert page.sections[0].notes == ("cit:qa: all equal.",)
    assert page.sections[2].notes == ("tfa_icc: too few.",)
    assert table(page, "cit_scores").rows == (("cit_kendall", value, value),)
    assert isinstance(exhibits(page)["cit_gaps"], Intervals)


def test_judge_page_says_what_the_unscored_could_change() -> None:
    mean = Interval(3.5, 3.1, 3.9, 0.95, "b", 8)
    summary = JudgeSummary(mean, 0.625, 10, {"unparsed": 2}, 3.0, 3.8, {"json": 8}, RunStats(), None)
    page = report_page(summary)
    assert "8 of 10 items" in page.summary[0]
    assert "between 3.000 and 3.800" in page.summary[0]
    assert table(page, "items").rows == (("scored", 8), ("unparsed", 2))
    assert table(page, "cost").rows[-1] == ("US dollars", None)


def test_judge_page_has_a_row_for_each_criterion() -> None:
    mean = Interval(3.5, 3.1, 3.9, 0.95, "b", 8)
    tone = JudgeSummary(mean, 0.625, 10, {"missing": 2}, 3.0, 3.8, {"line": 8}, RunStats(), None)
    summary = JudgeSummary(mean, 0.625, 10, {}, 3.0, 3.8, {}, RunStats(), None, criteria={"tone": tone})
    assert table(report_page(summary), "criteria").rows == (("tone", mean, 0.625, 8, "2 missing", 3.0, 3.8),)


def wrong_each(truth: tuple[int, ...], every: int) -> tuple[int, ...]:
    """Labels of two classes of which one in so many is wrong."""
    return tuple(1 - label if row % every == 0 else label for row, label in enumerate(truth))


def test_page_of_a_study_of_tasks_recommends_first_and_then_answers(tmp_path: Path) -> None:
    truth = tuple(row % 2 for row in range(60))
    cells = [
        CellRun(CellName("t", source, None, "-", "s", "plain", 0, seed), wrong_each(truth, every + seed), rows=60)
        for source, every in (("human", 10), ("llm", 5))
        for seed in (0, 1)
    ]
    task = TaskRuns(
        "t", "text-classification", ("no", "yes"), truth, ("",) * 60, {"llm": wrong_each(truth, 5)}, truth,
        {"llm": wrong_each(truth, 6)}, {}, {}, {}, tuple(cells),
    )  # fmt: skip
    facts = {"machine": "x86_64", "minutes": 2.5, "cells_before": 0, "cell_minutes": 2.0, "versions": {"torch": "2"}}
    runs = StudyRuns("study", (task,), 0.05, 0.95, 200, (0, 1), ({"what": "F1", "value": 0.9, "source": "x"},), facts)
    page = report_page(runs)
    assert page.summary == recommend(runs).summary
    assert [section.name for section in page.sections[:2]] == ["recommendation", "human_or_llm"]
    assert page.sections[-1].name == "arms"
    assert page.facts["tasks"] == "t (60 test rows)"
    assert page.facts["elsewhere: F1"] == "0.9, x"
    write_runs(runs, tmp_path / "runs.json")
    again = read_report((tmp_path / "runs.json").read_text(encoding="utf-8"))
    assert page_to_json(report_page(again)) == page_to_json(page)


def test_validate_writes_a_page_by_the_command_line(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("text,label,llm_label\na,x,x\nb,y,x\nc,x,\n", encoding="utf-8")
    told = CliRunner().invoke(
        app, ["validate", str(data), "--report", str(tmp_path / "out"), "--gate", "accuracy>=0.9"]
    )
    # The gate is open, and the page is there all the same.
    assert told.exit_code == 1, told.output
    assert f"written: {tmp_path / 'out' / 'report.html'}" in told.output
    assert "Gate accuracy &gt;= 0.9" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "report.json").is_file()


def test_what_is_no_report_is_refused_in_one_line(tmp_path: Path) -> None:
    for text, said in [
        ("not json", "is not JSON"),
        ("[1]", "is a JSON list"),
        ('{"a": 1}', "has the fields a, which no report has"),
        ('{"comparisons": [], "verdicts": {}}', "missing or changed part"),
        ('{"name": "x", "comparisons": []}', "has the fields name, comparisons"),
    ]:
        with pytest.raises(SynthLabelsError, match=said):
            read_report(text)


def test_folder_that_is_a_file_is_refused_in_one_line(report: ValidationReport, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    for each in (report, Page("x", ())):
        with pytest.raises(DataError, match=r"`output` .*taken' cannot be written"):
            write_report(each, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_report_of_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`results`"):
        CliRunner().invoke(app, ["report", str(tmp_path / "none.json")], catch_exceptions=False)


def test_validation_page_shows_the_confidence() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.choice([0.6, 0.8, 0.9], 60)
    human = np.where(rng.random(60) < confidence, "a", "b").tolist()
    report = validate(
        Table({"label": human, "llm_label": ["a"] * 60, "llm_label_confidence": confidence.tolist()}), resamples=100
    )
    section = next(each for each in report_page(report).sections if each.name == "confidence")
    assert report.confidence is not None
    assert str(report.confidence.auroc) in section.answer
    by_name = {each.name: each for each in section.exhibits}
    figure = by_name["reliability"]
    assert isinstance(figure, Calibration)
    assert [share.n for _, share in figure.bins] == [int((confidence == value).sum()) for value in (0.6, 0.8, 0.9)]
    draw(figure)
