"""Every kind of report as a Space: page, card, numbers, and the folder of its tables and figures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Dataset
from huggingface_hub import RepoCard

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.cli.main import main
from hf_synthlabels.judging import Audit, JudgeSummary
from hf_synthlabels.judging.audit.report import Comparison, FormatAudit, MetricAudit, TaskAudit
from hf_synthlabels.publishing import Page, Report, pull, push, read_report, report_upload, write_report
from hf_synthlabels.publishing.report import report_page
from hf_synthlabels.publishing.report.page_values import page_to_json
from hf_synthlabels.statistics import Interval, ValidationReport, validate
from hf_synthlabels.statistics.exhibits import Section
from hf_synthlabels.statistics.exhibits import Table as Sheet
from hf_synthlabels.studies import StudyRuns, write_runs
from hf_synthlabels.studies.runs import CellName, CellRun, TaskRuns
from hf_synthlabels.training.search import CellReport, Choice, GridCost, GridReport
from tests.publishing.hub_server import HubServer

pytest.importorskip("matplotlib")

SCORE = Interval(0.8, 0.7, 0.9, 0.95, "bootstrap", 50)
SECRET_TEXT = "What Mrs Miller wrote to her doctor"
MARKUP = "<script>alert(1)</script> | [x](http://x)"


def validation() -> ValidationReport:
    rows = Dataset.from_dict({"label": ["a", "b", "a", "b"], "llm_label": ["a", "b", "b", None]})
    return validate(rows, names=("a", "b"), resamples=50)


def grid() -> GridReport:
    choice = Choice(5e-5, 16, 3)
    cell = CellReport("hub/mini", "human", None, 100, choice, 0.85, 0.82, 12, 0, SCORE, None, None, SCORE, None)
    return GridReport("macro_f1", "linear", 60, 50, 4, (0, 1), (cell,), GridCost(8, 24, 100, 300, 12.5, 20.0), "best")


def audit() -> Audit:
    nothing = Interval(math.nan, math.nan, math.nan, 0.95, "b", 0)
    task = TaskAudit("qa", SCORE, {"spearman": SCORE, "kendall": nothing})
    each = FormatAudit(SCORE, SCORE, SCORE, SCORE, SCORE, nothing)
    metric = MetricAudit({"cit_kendall": SCORE}, SCORE, 1.0, (task,), {"plain": each}, {"tfa_icc": "too few"})
    beaten = Comparison("cit_kendall", "length", SCORE)
    return Audit(metric, {"length": metric}, (beaten,), {"cit": "pass", "cat": "open", "tfa": "not_computed"}, 2)


def tasks() -> StudyRuns:
    truth = tuple(row % 2 for row in range(20))
    said = tuple(1 - label if row % 5 == 0 else label for row, label in enumerate(truth))
    cells = tuple(
        CellRun(CellName("t", source, None, "-", "s", "plain", 0, seed), said, rows=20)
        for source in ("human", "llm")
        for seed in (0, 1)
    )
    task = TaskRuns(
        "t", "text-classification", ("no", "yes"), truth, (SECRET_TEXT,) * 20, {"llm": said}, truth, {"llm": said}, {},
        {}, {}, cells,
    )  # fmt: skip
    return StudyRuns("study", (task,), 0.05, 0.95, 50, (0, 1))


def judged() -> JudgeSummary:
    return JudgeSummary(SCORE, 0.625, 10, {"unparsed": 2}, 3.0, 3.8, {"json": 8}, RunStats(), None)


def page() -> Page:
    table = Sheet("numbers", MARKUP, ("who", "n"), ((MARKUP, 3),))
    return Page(MARKUP, (Section("one", MARKUP, "", (table,), ()),), (MARKUP,))


MADE: dict[str, Callable[[], Report]] = {
    "validation": validation,
    "grid": grid,
    "audit": audit,
    "tasks": tasks,
    "judged": judged,
    "page": page,
}


@pytest.mark.parametrize("kind", MADE)
def test_parcel_of_every_kind_carries_what_is_written_beside_a_page(kind: str, tmp_path: Path) -> None:
    report = MADE[kind]()
    files = {file.path: file.content for file in report_upload(report, "user/r", license="mit").files}
    write_report(report, tmp_path)
    beside = {f"report/{path.name}": path.read_bytes() for path in (tmp_path / "report").iterdir()}
    assert {path: content for path, content in files.items() if path.startswith("report/")} == beside
    assert files["index.html"] == (tmp_path / "report.html").read_bytes()
    alone = {"README.md", "index.html", *(() if kind in ("tasks", "judged", "page") else ("report.json",))}
    assert files.keys() - beside.keys() == alone
    # What can be read again gives the same page.
    for name in {"report.json", "report/page.json"} & files.keys():
        content = files[name]
        assert isinstance(content, bytes)
        assert page_to_json(report_page(read_report(content.decode()))) == page_to_json(report_page(report))


def test_texts_of_single_rows_stay_at_home() -> None:
    files = report_upload(tasks(), "user/r", license="mit").files
    assert not [file.path for file in files if SECRET_TEXT.encode() in bytes(file.content)]


def test_space_of_a_report_is_pushed_and_pulled_and_not_made_twice(hub: HubServer, tmp_path: Path) -> None:
    upload = report_upload(validation(), "user/agreement", license="mit")
    assert push(upload).changed
    there = hub.repository("user/agreement", "space")
    assert there.sdk == "static"
    assert there.head.files["report/scores.png"].startswith(b"\x89PNG")
    assert there.head.files["report/scores.svg"].lstrip().startswith(b"<")
    assert not push(report_upload(validation(), "user/agreement", license="mit")).changed
    pull("user/agreement", tmp_path / "got")
    assert (tmp_path / "got" / "report" / "scores.png").read_bytes() == there.head.files["report/scores.png"]
    # A report of other exhibits leaves none of the earlier ones there.
    push(report_upload(page(), "user/agreement", license="mit"))
    names = {path for path in hub.repository("user/agreement", "space").head.files if path.startswith("report/")}
    assert names == {"report/README.md", "report/page.json", "report/numbers.csv", "report/numbers.json"}


def test_card_of_a_report_has_its_numbers_and_no_markup(hub: HubServer) -> None:
    push(report_upload(page(), "user/r", license="mit"))
    card = RepoCard(hub.repository("user/r", "space").head.files["README.md"].decode(), ignore_metadata_errors=False)
    assert (card.data.to_dict()["license"], card.data.to_dict()["sdk"]) == ("mit", "static")
    assert card.data.to_dict()["title"] == MARKUP[:60]
    assert "<script>" not in card.text
    assert "](http" not in card.text
    titled = {file.path: file.content for file in report_upload(Page(" ", ()), "user/r", license="mit").files}
    readme = titled["README.md"]
    assert isinstance(readme, bytes)
    assert RepoCard(readme.decode()).data.to_dict()["title"] == "r"


def test_runs_of_a_study_are_published_by_the_command_line(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs(tasks(), tmp_path / "runs.json")

    def call(*more: str) -> str:
        given = ["push", "report", str(tmp_path / "runs.json"), "user/study", "--license", "mit", *more]
        monkeypatch.setattr(sys, "argv", ["hf-synthlabels", *given])
        with pytest.raises(SystemExit) as caught:
            main()
        assert not caught.value.code
        return capsys.readouterr().out

    listed = call("--dry-run")
    assert listed.startswith("space user/study, private if it is new: ")
    for name in ("README.md", "index.html", "report/README.md", "report/page.json"):
        assert f"  {name}\n" in listed
    for ending in (".csv", ".json", ".svg", "-dark.svg", ".png"):
        assert f"{ending}\n" in listed
    assert hub.requests == []
    files = json.loads(call("--dry-run", "--json"))["files"]
    call()
    assert hub.repository("user/study", "space").head.files.keys() - {".gitattributes"} == set(files)
