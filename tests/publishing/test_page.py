"""The page: one file, nothing from elsewhere, no markup from data."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.publishing import render_page, write_report
from hf_synthlabels.statistics import Interval, compare_arms, validate
from hf_synthlabels.studies import SCORES, Study, StudyReport
from hf_synthlabels.studies.journal import Cell
from hf_synthlabels.studies.scoring import ArmRows, compared, margin, scored_arm

NAMES = ("<script>alert(1)</script>", "b & c", "a label with a very long name that goes on and on")


class Table:
    """What `validate` reads of a data set."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns
        self.column_names = list(columns)

    def __getitem__(self, column: str) -> list[Any]:
        return self.columns[column]


@pytest.fixture(scope="module")
def report() -> StudyReport:
    draw = np.random.default_rng(0)
    truth = draw.integers(3, size=60)
    answers = [
        np.where(draw.random((2, 60)) < share, truth, draw.integers(3, size=(2, 60))) for share in (0.8, 0.6, 0.5)
    ]
    human = [NAMES[code] for code in truth]
    llm = [None if row % 10 == 0 else NAMES[code] for row, code in enumerate(answers[1][0])]
    checked = validate(Table({"label": human, "llm_label": llm}), names=NAMES, gate="accuracy>=0.5", resamples=200)
    study = Study.model_validate({"name": "x", "recipe": "r", "train": {}, "test": {}, "resamples": 200})
    arms = []
    for source, codes in zip(("human", "llm", "validation"), answers, strict=True):
        rows = ArmRows(source, f"{source} labels", truth.tolist(), "label")
        cells = [Cell(tuple(seed.tolist()), 10, 1.5) for seed in codes]
        arms.append(scored_arm(rows, cells, codes, truth, NAMES, study=study, record={}))
    paired = compared(answers[1], answers[0], truth, NAMES, study=study)
    return StudyReport(
        name="<b>bold</b>",
        names=NAMES,
        seeds=(0, 1),
        n_train=60,
        n_test=60,
        n_test_unlabelled=0,
        n_shared_texts=3,
        validation=checked,
        train_agreement=checked,
        teacher=checked,
        arms=tuple(arms),
        ratio=paired.ratio,
        difference=paired.difference,
        margins={
            "teacher": margin(answers[1], answers[1][:1], truth, NAMES, study=study),
            "validation": margin(answers[1], answers[2], truth, NAMES, study=study),
        },
        paired=paired.tests,
        student={"model": "m</pre><script>"},
        provenance={},
        references=({"what": "ratio", "value": 0.96, "source": "a paper"},),
        environment={"minutes": 1, "processors": 2, "python": "3", "versions": {"torch": "2"}, "finished_at": "now"},
    )


class Elements(HTMLParser):
    """The names, attributes and identifiers of a page's elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_page_loads_nothing_and_runs_nothing(report: StudyReport) -> None:
    page = Elements(render_page(report))
    assert not {"script", "link", "img", "image", "iframe", "object", "b"} & set(page.names)
    # Namespaces are names; everything else that could be fetched must point into the page itself.
    links = [value for name, value in page.attributes if name in ("href", "src", "xlink:href", "action")]
    assert all(link.startswith("#") for link in links)
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", render_page(report))


def test_page_shows_names_from_data_as_text(report: StudyReport) -> None:
    page = render_page(report)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page


def test_figures_of_one_page_share_no_identifier(report: StudyReport) -> None:
    page = Elements(render_page(report))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert page.names.count("svg") == 7


def test_page_is_the_same_for_the_same_report(report: StudyReport) -> None:
    assert render_page(report) == render_page(StudyReport.from_json(report.to_json()))


def test_page_holds_every_number_of_the_scores(report: StudyReport) -> None:
    page = render_page(report)
    for arm in report.arms:
        for score in SCORES:
            assert f"{arm.scores[score].estimate:.3f}" in page
    assert "3 test texts occur among the training rows" in page
    assert str(report.validation.gate).replace(">", "&gt;") in page


def test_write_report_keeps_the_numbers_beside_the_page(report: StudyReport, tmp_path: Path) -> None:
    json_file, html_file = write_report(report, tmp_path / "new")
    assert json.loads(json_file.read_text())["n_test"] == 60
    assert html_file.read_text().startswith("<!doctype html>")


def test_arm_scores_agree_with_the_comparison_of_arms(report: StudyReport) -> None:
    truth = np.array([0, 1, 2, 0])
    arm = np.array([[0, 1, 2, 1]])
    # Three of four are right.
    assert compare_arms(truth, arm, arm, 3, "accuracy", resamples=100).a.estimate == pytest.approx(0.75)
    assert report.ratio["accuracy"].estimate < 1


def test_summary_says_what_the_intervals_say(report: StudyReport) -> None:
    low, high = Interval(0.1, 0.05, 0.15, 0.95, "x", 60), Interval(-0.1, -0.15, -0.05, 0.95, "x", 60)
    open_ = Interval(0.0, -0.05, 0.05, 0.95, "x", 60)
    for interval, words in ((low, "is above"), (high, "is below"), (open_, "is not told apart from")):
        changed = dataclasses.replace(report, margins={"teacher": interval, "validation": interval})
        assert sum(words in sentence for sentence in changed.summary()) == 2
    for ratio, words in (
        (1.2, "LLM labels train the better"),
        (0.8, "human labels train the better"),
        (1.0, "can not tell"),
    ):
        around = Interval(ratio, ratio - 0.1, ratio + 0.1, 0.95, "x", 60)
        changed = dataclasses.replace(report, ratio={**report.ratio, "macro_f1": around})
        assert any(words in sentence for sentence in changed.summary())
