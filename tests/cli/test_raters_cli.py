"""`validate` with several human labels per row: every form of votes, JSON, the report page, and wrong input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.publishing.report.report_pages import read_report, report_page
from hf_synthlabels.statistics import ValidationReport
from tests.command_line import Run, error_line, output

NAMES = ("no", "yes")


def some_rows(n: int = 60, raters: int = 3) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    truth = rng.random(n) < 0.4
    votes = np.where(rng.random((n, raters)) < 0.85, truth[:, None], ~truth[:, None])
    llm = np.where(rng.random(n) < 0.9, truth, ~truth)
    return [
        {"text": f"row {row}", "llm_label": NAMES[int(llm[row])], "votes": [NAMES[int(vote)] for vote in votes[row]]}
        for row in range(n)
    ]


def write(rows: list[dict[str, Any]], path: Path) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def columns(row: dict[str, Any], form: str) -> dict[str, Any]:
    plain, votes = {"text": row["text"], "llm_label": row["llm_label"]}, row["votes"]
    names = ("ann", "bob", "cem")
    match form:
        case "list":
            return {**plain, "label_votes": votes}
        case "general":
            return {**plain, "human_votes": votes}
        case "object":
            return {**plain, "label_votes": dict(zip(names, votes, strict=True))}
        case "records":
            return {**plain, "label_votes": [{"rater": a, "label": b} for a, b in zip(names, votes, strict=True)]}
        case "cells":
            return {**plain, "label_votes": json.dumps(dict(zip(names, votes, strict=True)))}
        case _:
            return {**plain, **{f"label_{name}": vote for name, vote in zip(names, votes, strict=True)}}


@pytest.mark.parametrize("form", ["list", "general", "object", "records", "cells", "wide"])
def test_validate_reads_votes_in_every_form(form: str, tmp_path: Path, run: Run) -> None:
    rows = [columns(row, form) for row in some_rows()]
    data = write(rows, tmp_path / ("rows.csv" if form in ("cells", "wide") else "rows.jsonl"))
    more = ["--votes", "label_ann,label_bob,label_cem"] if form == "wide" else []
    out = output(run("validate", str(data), *more, "-o", str(tmp_path / "report.json")))
    report = ValidationReport.from_json((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report.n_human == 60
    assert report.raters is not None
    assert report.raters.named == (form not in ("list", "general"))
    assert (report.raters.n_raters, report.raters.n_several, report.raters.alpha.n) == (3, 60, 60)
    assert report.raters.model is not None
    assert report.raters.model.model == ("raters" if report.raters.named else "shared")
    assert "alpha" in out
    assert "corrected for human errors" in out


def test_disputed_rows_are_counted_and_not_scored(tmp_path: Path, run: Run) -> None:
    rows = some_rows(raters=2)
    disputed = sum(len(set(row["votes"])) > 1 for row in rows)
    data = write([columns(row, "list") for row in rows], tmp_path / "rows.jsonl")
    output(run("validate", str(data), "-o", str(tmp_path / "report.json"), "--report", str(tmp_path / "page")))
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    report = ValidationReport.from_json(text)
    assert report.raters is not None
    assert report.n_human == 60 - disputed
    assert report.raters.n_disputed == disputed
    assert report.raters.comparisons[0].llm.n == 60
    page = report_page(read_report(text))
    assert {"reliability", "raters", "rater_model"} <= {each.name for each in page.exhibits}
    assert "Several human labels" in (tmp_path / "page" / "report.html").read_text(encoding="utf-8")


def test_human_labels_of_the_table_are_kept(tmp_path: Path, run: Run) -> None:
    # An adjudicated label is not the majority.
    rows = [columns(row, "list") | {"label": "no" if place else "yes"} for place, row in enumerate(some_rows())]
    output(run("validate", str(write(rows, tmp_path / "rows.jsonl")), "-o", str(tmp_path / "report.json")))
    report = ValidationReport.from_json((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report.confusion.array.sum(axis=1).tolist() == [59, 1]
    assert report.raters is not None


@pytest.mark.parametrize(
    ("votes", "more", "reason"),
    [
        ("yes", (), "label_votes"),
        ([None, None], (), "label_votes"),
        ([["yes"]], (), "label_votes"),
        (["yes"], ("--votes", "missing"), "missing"),
        (["yes"], ("--votes", "label_votes,"), "votes"),
    ],
)
def test_wrong_votes_are_refused_in_a_sentence(
    votes: Any, more: tuple[str, ...], reason: str, tmp_path: Path, run: Run
) -> None:
    rows = [{"text": "x", "llm_label": "yes", "label_votes": votes}]
    data = write(rows, tmp_path / "rows.jsonl")
    assert f"`{reason}`" in error_line(run("validate", str(data), *more))


def test_one_row_and_one_class(tmp_path: Path, run: Run) -> None:
    rows = [{"text": "x", "llm_label": "yes", "label_votes": ["yes", "yes"]}]
    output(run("validate", str(write(rows, tmp_path / "rows.jsonl")), "-o", str(tmp_path / "report.json")))
    report = ValidationReport.from_json((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report.raters is not None
    assert report.raters.model is None
    assert report.raters.alpha.n == 1


def test_estimate_keeps_disputed_rows(tmp_path: Path, run: Run) -> None:
    rows = some_rows(raters=2)
    wide = [{"llm_label": row["llm_label"], "label_ann": row["votes"][0], "label_bob": row["votes"][1]} for row in rows]
    data, page = write(wide, tmp_path / "rows.csv"), tmp_path / "estimates.json"
    out = output(run("estimate", str(data), "--votes", "label_ann,label_bob", "-o", str(page)))
    report = json.loads(page.read_text(encoding="utf-8"))
    shares = np.mean([vote == "yes" for row in rows for vote in row["votes"]])
    (yes,) = [each for each in report["estimates"] if each["name"] == "yes"]
    assert yes["classical"]["estimate"] == pytest.approx(shares)
    assert "without a majority" in out
    soft = output(run("estimate", str(data), "--votes", "label_ann,label_bob", "--soft"))
    assert "60 rows" in soft
