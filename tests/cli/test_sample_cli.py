"""`hf-synthlabels sample`, `import-labels`, `estimate` and `sample-size`, as a user types them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.tables import read_table
from tests.command_line import Run, error_line

ROWS = 400


def truth(row: int) -> str:
    return "good" if row % 3 == 0 else "bad"


def write(path: Path, **more: Any) -> None:
    with path.open("w", encoding="utf-8") as lines:
        for row in range(ROWS):
            said = truth(row) if row % 7 else "good"
            content = {"text": f"text {row}", "words": row % 11, "llm_label": said, "llm_label_confidence": 0.6}
            lines.write(json.dumps({**content, **{key: value(row) for key, value in more.items()}}) + "\n")


def fill(sheet: Path, label: Callable[[int], str] = truth, most: int = ROWS) -> None:
    # With the byte order mark by which Excel knows UTF-8.
    with sheet.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows[:most]:
        row["label"] = label(int(row["row"]))
    with sheet.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("design", ["random", "stratified", "confidence"])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_from_llm_labels_to_a_conclusion(run: Run, tmp_path: Path, design: str, suffix: str) -> None:
    write(tmp_path / "labelled.jsonl")
    sampled = f"sampled.{suffix}"
    code, out, err = run("sample", "labelled.jsonl", "-n", "100", "--design", design, "-o", sampled)
    assert (code, err) == (0, "")
    assert "100 of 400 rows sampled" in out
    sheet = (tmp_path / "to_label.csv").read_text(encoding="utf-8-sig").splitlines()
    # People see the text and an empty cell, and nothing of what the LLM said.
    assert sheet[0] == "row_digest,row,text,words,label"
    assert len(sheet) == 101
    fill(tmp_path / "to_label.csv")
    code, out, err = run("import-labels", sampled, "to_label.csv", "-o", sampled)
    assert (code, err) == (0, "")
    assert "100 human labels added, 0 changed; 0 sampled rows without a label" in out
    code, out, err = run("estimate", sampled, "-o", "out/found.json")
    assert (code, err) == (0, "")
    report = json.loads((tmp_path / "out" / "found.json").read_text(encoding="utf-8"))
    assert report["n_human"] == 100
    good = next(each for each in report["estimates"] if each["name"] == "good")
    assert good["naive"]["estimate"] > 0.4
    assert good["ppi"]["low"] < 134 / 400 < good["ppi"]["high"]
    assert good["dsl"]["low"] < 134 / 400 < good["dsl"]["high"]
    assert run("validate", sampled)[0] == 0
    record = json.loads((tmp_path / f"{sampled}.provenance.json").read_text(encoding="utf-8"))[-1]
    assert (record["design"], record["seed"], record["drawn"], record["rows"]) == (design, 0, 100, 400)


def test_a_sample_grows_and_keeps_its_labels(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "labelled.jsonl")
    run("sample", "labelled.jsonl", "-n", "60", "--design", "stratified", "-o", "s.parquet")
    fill(tmp_path / "to_label.csv", most=50)
    assert "10 sampled rows without a label" in run("import-labels", "s.parquet", "to_label.csv", "-o", "s.parquet")[1]
    code, out, _ = run("sample", "s.parquet", "-n", "40", "--design", "stratified", "-o", "s2.parquet", "--seed", "1")
    assert code == 0
    assert "40 of 400 rows sampled" in out
    fill(tmp_path / "to_label.csv")
    assert "40 human labels added" in run("import-labels", "s2.parquet", "to_label.csv", "-o", "s2.parquet")[1]
    rows = read_table(tmp_path / "s2.parquet")["train"]
    assert sum(label is not None for label in rows["label"]) == 90
    assert sum(chance is not None for chance in rows["inclusion_probability"]) == 100
    records = json.loads((tmp_path / "s2.parquet.provenance.json").read_text(encoding="utf-8"))
    assert [(each["new"], each["drawn"]) for each in records] == [(60, 60), (40, 100)]
    assert "10 of 100 sampled rows have no human label" in " ".join(run("estimate", "s2.parquet")[1].split())


def test_human_labels_of_unknown_origin_must_be_explained(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "labelled.jsonl", label=lambda row: truth(row) if row % 10 == 0 else None)
    code, _, err = run("sample", "labelled.jsonl", "-n", "50")
    assert code == 2
    assert "`label` has labels in 40 rows outside any sample: give `--existing-labels random`" in err
    run("sample", "labelled.jsonl", "-n", "50", "--existing-labels", "random", "-o", "with.parquet")
    chances = [each for each in read_table(tmp_path / "with.parquet")["train"]["inclusion_probability"] if each]
    assert chances == [pytest.approx(90 / 400)] * 90
    run(
        "sample",
        "labelled.jsonl",
        "-n",
        "50",
        "--existing-labels",
        "stratified",
        "--design",
        "stratified",
        "-o",
        "by.parquet",
    )
    rows = read_table(tmp_path / "by.parquet")["train"]
    for name in set(rows["llm_label"]):
        mine = [p for p, label in zip(rows["inclusion_probability"], rows["llm_label"], strict=True) if label == name]
        assert [p for p in mine if p] == [pytest.approx(sum(p is not None for p in mine) / len(mine))] * sum(
            map(bool, mine)
        )
    run("sample", "labelled.jsonl", "-n", "50", "--existing-labels", "ignore", "-o", "without.parquet")
    without = [each for each in read_table(tmp_path / "without.parquet")["train"]["inclusion_probability"] if each]
    assert without == [pytest.approx(50 / 400)] * 50


def test_plans(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "labelled.jsonl")
    code, out, _ = run("sample-size", "labelled.jsonl", "--width", "0.15")
    assert code == 0
    assert "LLM accuracy 80.0% (assumed, without human labels)" in out
    assert "accuracy >= 0.7 decided" in run("sample-size", "labelled.jsonl", "--gate", "accuracy>=0.7")[1]
    supposed = run("sample-size", "labelled.jsonl", "--width", "0.15", "--accuracy", "0.95")[1]
    assert "LLM accuracy 95.0%" in supposed
    assert "`sample-size` needs one goal" in run("sample-size", "labelled.jsonl")[2]


def test_conclusions_of_groups_and_regressions(run: Run, tmp_path: Path) -> None:
    label = {"label": lambda row: truth(row) if row % 4 == 0 else None, "side": lambda row: "l" if row % 2 else "r"}
    write(tmp_path / "labelled.jsonl", **label, length=lambda row: row % 13 + 3 * (truth(row) == "good"))
    code, out, _ = run("estimate", "labelled.jsonl", "--formula", "llm_label ~ words", "--positive", "good")
    assert code == 0
    assert "logistic regression: llm_label ~ words" in out
    command = ["estimate", "labelled.jsonl", "--formula", "length ~ tone + words", "--variable", "tone=llm_label:label"]
    code, out, _ = run(*command, "--estimator", "dsl", "-o", "table.tex")
    assert code == 0
    assert "tone = good" in (tmp_path / "table.tex").read_text(encoding="utf-8")
    assert "Naive  " not in out
    for more in (["--variable", "tone"], ["--groups", "side"], ["-o", "table.xlsx"], ["--estimator", "best"]):
        code, _, err = run(*command, *more)
        assert code == 2, more
        assert len(err.strip().splitlines()) == 1, err
    write(tmp_path / "labelled.jsonl", **{**label, "label": lambda row: truth(row) if row % 3 < 2 else None})
    assert "r - l" in run("estimate", "labelled.jsonl", "--groups", "side", "--positive", "good")[1]


def test_wrong_input_is_told_in_one_line(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "labelled.jsonl")
    write(tmp_path / "s.jsonl", inclusion_probability=lambda row: 0.5 if row < 200 else None)
    (tmp_path / "sheet.csv").write_text("row,text,label\n0,text 0,good\n399,text 399,bad\n", encoding="utf-8")
    (tmp_path / "twice.csv").write_text("row,text,label\n0,text 0,good\n0,text 0,bad\n", encoding="utf-8")
    for command, said in [
        ("sample labelled.jsonl -n 500", "`n` is 500"),
        ("sample labelled.jsonl -n 50 --llm nothing", "`llm` 'nothing' is not a column"),
        ("sample labelled.jsonl -n 50 --existing-labels some", "`--existing-labels` is 'some'"),
        ("sample labelled.jsonl -n 50 --design best", "`design` is 'best'"),
        ("sample labelled.jsonl -n 50 --design confidence --confidence no", "`confidence` 'no' is not a column"),
        ("import-labels labelled.jsonl sheet.csv -o x.jsonl", "`inclusion_probability` is not a column"),
        ("import-labels s.jsonl labelled.jsonl -o x.jsonl", "`row` is not a column of the sheet"),
        ("import-labels s.jsonl sheet.csv -o x.jsonl", "`row` is 399 in line 3 of the sheet, a row outside the sample"),
        ("import-labels s.jsonl twice.csv -o x.jsonl", "in two lines of the sheet"),
        ("estimate labelled.jsonl", "`label` is not a column"),
        ("estimate s.jsonl", "is not a column"),
        ("estimate gone.jsonl", "`data` 'gone.jsonl' does not exist"),
    ]:
        assert said in error_line(run(*command.split()))


def test_names_that_the_llm_never_gave_are_told(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "labelled.jsonl")
    run("sample", "labelled.jsonl", "-n", "50", "-o", "s.jsonl")
    fill(tmp_path / "to_label.csv", lambda row: "godo" if row % 3 == 0 else "bad")
    code, _, err = run("import-labels", "s.jsonl", "to_label.csv", "-o", "s.jsonl")
    assert code == 2
    assert "'godo'" in err
    assert "did you mean 'good'?" in err
    assert read_table(tmp_path / "s.jsonl")["train"].column_names[-1] == "inclusion_probability"
    # A class that the LLM never gave may be meant.
    code, out, _ = run("import-labels", "s.jsonl", "to_label.csv", "-o", "s.jsonl", "--new-labels")
    assert code == 0
    assert "'godo' is no LLM label" in out
