"""`hf-synthlabels estimate --variants`, as a user types it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from hf_synthlabels.publishing import read_report
from hf_synthlabels.statistics.robustness.curve_report import SpecificationReport
from hf_synthlabels.tables import read_table
from tests.command_line import Run, command_line, error_line, output


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


def write(path: Path, rows: int = 200, labeled: int = 60) -> None:
    """Two models with two prompts each; the first prompt says yes far too often."""
    rng = random.Random(0)
    lines = []
    for row in range(rows):
        truth = "1" if rng.random() < 0.5 else "0"
        cells = [truth if row < labeled else "", "ab"[row % 2]]
        for share in (0.9, 0.2, 0.8, 0.3):
            cells.append(truth if rng.random() < 0.5 else "1" if rng.random() < share else "0")
        lines.append(",".join(cells))
    path.write_text("\n".join(["label,outlet,p1|big,p2|big,p1|small,p2|small", *lines]) + "\n")


def test_a_curve_from_recorded_labels(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "table.csv")
    command = ("estimate", "table.csv", "--variants", "{prompt}|{model}", "--against", "0.5")
    out = output(run(*command, "-o", "curve.json", "--report", "page"))
    assert "direction flips: 2 above, 2 below" in " ".join(out.split())
    report = read_report((tmp_path / "curve.json").read_text())
    assert isinstance(report, SpecificationReport)
    # Numbers in a CSV file are class names.
    assert report.curves[0].name == "1"
    assert set(report.agreement_by_choice) == {"prompt", "model"}
    page = (tmp_path / "page" / "report.html").read_text()
    assert all(name in page for name in ("prompt: p1", "model: small", "Does the conclusion survive?"))
    out = output(
        run(*command[:2], "--variants", "p1|big,p2|big", "--groups", "outlet", "--positive", "1", "-o", "c.csv")
    )
    assert "b - a (against 0)" in out
    assert (tmp_path / "c.csv").read_text().splitlines()[1].startswith("b - a,0.0,")
    output(run("report", "curve.json", "-o", "again"))
    assert json.loads((tmp_path / "again" / "report" / "page.json").read_text())["title"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--variants", "p1|big"), "variants"),
        (("--variants", "p3|*"), "variants"),
        (("--variants", "label,p1|big"), "variants"),
        (("--variants", "p1|*", "--estimator", "naive"), "estimator"),
        (("--variants", "p1|*", "--estimator", "ppi", "--estimator", "dsl"), "--estimator"),
        (("--variants", "p1|*", "--quantity", "2"), "2"),
        (("--variants", "p1|*", "-o", "curve.tex"), "output"),
        (("--against", "0.5",), "--against"),
        (("--report", "page",), "--report"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(run: Run, tmp_path: Path, options: tuple[str, ...], field: str) -> None:
    write(tmp_path / "table.csv")
    assert f"`{field}`" in error_line(run("estimate", "table.csv", *options))


@pytest.mark.parametrize(("rows", "labeled"), [(0, 0), (40, 0)])
def test_tables_without_human_labels_are_refused(run: Run, tmp_path: Path, rows: int, labeled: int) -> None:
    write(tmp_path / "table.csv", rows, labeled)
    code, _, err = run("estimate", "table.csv", "--variants", "p1|*", "--against", "0.5")
    assert code == 2
    assert err.startswith("hf-synthlabels: `")


def test_one_row_has_no_interval_and_no_verdict(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("label,a,b\n1,1,0\n")
    out = output(run("estimate", "one.csv", "--variants", "a,b", "--against", "0.5"))
    assert "(undefined 2)" in out
    assert "Warning" not in out


def test_tuned_rows_choose_and_do_not_estimate(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "table.csv", labeled=100)
    out = output(
        run("sample", "table.csv", "-n", "40", "--tune", "40", "--existing-labels", "random", "--llm", "p1|big")
    )
    assert "40 of these rows choose a prompt or model" in out
    rows = read_table(tmp_path / "sampled.parquet")["train"]
    sampled = [value is not None for value in rows["inclusion_probability"]]
    assert sum(rows["tuned_on"]) == 40
    assert not any(tuned and not drawn for tuned, drawn in zip(rows["tuned_on"], sampled, strict=True))
    record = json.loads((tmp_path / "sampled.parquet.provenance.json").read_text())[-1]
    assert record["tuned_on"] == {"rows": 40, "seed": 0}
    assert "tuned_on" not in (tmp_path / "to_label.csv").read_text()
    left = sum(bool(label) and not tuned for label, tuned in zip(rows["label"], rows["tuned_on"], strict=True))
    chosen = 100 - left
    for options in (("--llm", "p1|big"), ("--variants", "p1|*,p2|*", "--against", "0.5")):
        out = " ".join(output(run("estimate", "sampled.parquet", *options)).split())
        assert f"{left}" in out.split("human label")[1]
        assert "40 rows are marked in `tuned_on`" in out
    out = " ".join(output(run("validate", "sampled.parquet", "--llm", "p1|big")).split())
    assert "40 rows helped to write the prompt" in out
    assert f"{left} human" in out or f"with a human label {left}" in out
    out = " ".join(output(run("estimate", "sampled.parquet", "--variants", "p1|*,p2|*", "--against", "0.5")).split())
    assert f"Chosen on {chosen} tune rows by accuracy: p" in out
    assert "`tune`" in error_line(
        run(
            "sample",
            "table.csv",
            "-n",
            "10",
            "--tune",
            "10",
            "--existing-labels",
            "ignore",
            "--llm",
            "p1|big",
            "-o",
            "other.parquet",
            "--to-label",
            "other.csv",
        )
    )
