"""hf-synthlabels validate on a sample that is labeled in part, or in several steps, or that wrote the prompt."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.publishing.sample_looks import look_notes
from hf_synthlabels.statistics.validation.table_variables import TableVariable
from hf_synthlabels.tables import read_table, write_table
from tests.command_line import Run, command_line, error_line

ROWS = 120


def call(run: Run, *arguments: object, code: int = 0) -> str:
    """What a command prints."""
    result = run(*map(str, arguments))
    assert result[0] == code, result
    return result[1]


def annotated(folder: Path) -> Path:
    path = folder / "labeled.jsonl"
    rows = [{"text": f"row {row}", "llm_label": "a" if row % 10 else "b"} for row in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fill_in(sheet: Path, number: int) -> list[int]:
    """Label the first rows of a sheet as `a`, and return all row numbers in its order."""
    with sheet.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    with sheet.open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.DictWriter(file, lines[0])
        table.writeheader()
        table.writerows({**line, "label": "a"} if place < number else line for place, line in enumerate(lines))
    return [int(line["row"]) for line in lines]


def sampled(run: Run, folder: Path, number: int, labeled: int) -> Path:
    data, output, sheet = annotated(folder), folder / "sampled.parquet", folder / "sheet.csv"
    call(run, "sample", data, "-n", number, "-o", output, "--to-label", sheet)
    fill_in(sheet, labeled)
    call(run, "import-labels", output, sheet, "-o", output)
    return output


def test_the_sheet_is_in_random_order(run: Run, tmp_path: Path) -> None:
    output, sheet = tmp_path / "s.parquet", tmp_path / "sheet.csv"
    call(run, "sample", annotated(tmp_path), "-n", 60, "-o", output, "--to-label", sheet)
    order = fill_in(sheet, 0)
    assert order != sorted(order)
    assert sorted(order) == [
        row for row, each in enumerate(read_table(output)["train"]) if each["inclusion_probability"]
    ]


@pytest.mark.parametrize(("labeled", "is_interim"), [(25, True), (60, False), (1, True)])
def test_an_unfinished_sample_is_an_interim_look(run: Run, tmp_path: Path, labeled: int, is_interim: bool) -> None:
    data = sampled(run, tmp_path, 60, labeled)
    for options in ([], ["--sequential"]):
        shown = " ".join(call(run, "validate", data, *options).split())
        assert (f"planned 60, labeled {labeled}: interim look" in shown) == is_interim
        assert ("use --sequential" in shown) == (is_interim and not options)
        assert ("any time" in shown) == bool(options) or is_interim


@pytest.mark.parametrize(
    ("gate", "verdict", "status"), [("accuracy>=0.5", "pass", 0), ("accuracy>=0.9", "continue", 1)]
)
def test_a_gate_at_any_time(run: Run, tmp_path: Path, gate: str, verdict: str, status: int) -> None:
    data, output = sampled(run, tmp_path, 60, 40), tmp_path / "report.json"
    result = call(run, "validate", data, "--gate", gate, "--sequential", "-o", output, code=status)
    assert f": {verdict} (" in result
    content = json.loads(output.read_text())
    assert content["gate"]["verdict"] == verdict
    assert all("any time" in score["method"] for score in content["scores"].values())


@pytest.mark.parametrize(("gate", "verb"), [("accuracy>=0.5", "estimate"), ("accuracy>=0.9", "review")])
def test_an_open_gate_goes_on_with_labeling(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Run, tmp_path: Path, gate: str, verb: str
) -> None:
    data = sampled(run, tmp_path, 60, 40)
    with_next = command_line(monkeypatch, capsys, with_next=True)
    assert f"Next: hf-synthlabels {verb} " in with_next("validate", str(data), "--gate", gate, "--sequential")[2]


def test_rows_that_are_not_coded_by_a_condition_are_not_open() -> None:
    rows = Dataset.from_dict({"inclusion_probability": [0.5, 0.5, None], "t": ["a", "b", "a"], "u": ["x", None, None]})
    rows = rows.add_column("t_human", ["a", "b", None]).add_column("u_human", ["x", None, None])
    variables = [TableVariable(name, f"{name}_human") for name in ("t", "u")]
    assert look_notes(rows, variables, sequential=False) == []
    assert len(look_notes(rows, variables[1:], sequential=False)) == 1


def test_a_sample_that_grew_is_named(run: Run, tmp_path: Path) -> None:
    data, sheet = sampled(run, tmp_path, 30, 30), tmp_path / "more.csv"
    call(run, "sample", data, "-n", 20, "-o", data, "--to-label", sheet)
    fill_in(sheet, 20)
    call(run, "import-labels", data, sheet, "-o", data)
    assert "grew from 30 to 50 rows" in " ".join(call(run, "validate", data).split())
    assert "grew" not in call(run, "validate", data, "--sequential")


def test_clusters_are_refused(run: Run, tmp_path: Path) -> None:
    data = sampled(run, tmp_path, 30, 30)
    assert "`clusters`" in error_line(run("validate", str(data), "--sequential", "--clusters", "text"))


def test_rows_that_helped_to_write_the_prompt_are_left_out(run: Run, tmp_path: Path) -> None:
    data = read_table(sampled(run, tmp_path, 30, 30))["train"]
    labeled = [row for row, label in enumerate(data["label"]) if label is not None]
    marks: list[Any] = [row in labeled[:4] for row in range(ROWS)]
    marked = tmp_path / "marked.parquet"
    write_table({"train": data.add_column("tuned_on", marks)}, marked)
    output = tmp_path / "report.json"
    result = call(run, "validate", marked, "-o", output)
    assert "4 rows helped to write the prompt" in result
    assert json.loads(output.read_text())["n_human"] == 26


def test_examples_of_the_recipe_are_left_out(run: Run, tmp_path: Path) -> None:
    rows = [{"text": f"Row {row}", "answer": "a", "label": "a" if row % 4 else "b"} for row in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(
        "name: examples\nsource:\n  path: json\n  data_files: rows.jsonl\n  split: train\n"
        "task:\n  kind: text-classification\n  labels: [a, b]\n  human: label\n"
        "annotator:\n  client: recorded\n  model: m\n  column: answer\n"
        "  examples:\n    - {text: 'row 3', label: a}\n    - {text: row  8, label: b}\n    - {text: new, label: b}\n"
    )
    call(run, "annotate", tmp_path / "recipe.yaml", "-o", tmp_path / "out.parquet")
    for data in (tmp_path / "out.parquet", tmp_path / "recipe.yaml"):
        output = tmp_path / f"{data.stem}.json"
        result = call(run, "validate", data, "-o", output)
        assert "2 rows helped to write the prompt" in result
        assert json.loads(output.read_text())["n_human"] == 38
