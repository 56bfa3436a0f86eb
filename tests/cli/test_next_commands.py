"""The command that each verb names for the next step, executed as printed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from hf_synthlabels.cli.help import NEXT
from tests.command_line import Run, command_line
from tests.test_wheel import VERBS

LABELS = ("film", "sport")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(monkeypatch, capsys, with_next=True)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [
        {"text": f"{LABELS[row % 2]} number {row}", "answer": LABELS[(row % 2 + (row % 9 == 0)) % 2]}
        for row in range(120)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "labels": list(LABELS), "instructions": "Which section?"},
        "annotator": {"client": "recorded", "column": "answer"},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(content))
    return Path("recipe.yaml")


def next_command(result: tuple[int, str, str]) -> list[str]:
    """The arguments in the last line on standard error."""
    code, _, err = result
    assert code == 0, result
    lines = [line for line in err.splitlines() if line.startswith("Next: ")]
    assert len(lines) == 1, result
    program, *words = shlex.split(lines[0].removeprefix("Next: "))
    assert program == "hf-synthlabels"
    return words


def fill_in(sheet: Path) -> None:
    head, *lines = sheet.read_text(encoding="utf-8-sig").splitlines()
    label, text = head.split(",").index("label"), head.split(",").index("text")
    for place, line in enumerate(lines):
        cells = line.split(",")
        cells[label] = cells[text].split()[0]
        lines[place] = ",".join(cells)
    sheet.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


def test_each_next_command_runs(run: Run, recipe: Path) -> None:
    command = next_command(run("plan", str(recipe)))
    assert command == ["annotate", "recipe.yaml", "-o", "labeled.jsonl"]
    command = next_command(run(*command))
    assert command == ["sample", "labeled.jsonl", "-n", "120", "-o", "sampled.parquet"]
    sampled = run(*command)
    assert next_command(sampled) == ["review", "sampled.parquet"]
    fill_in(Path("to_label.csv"))
    command = next_command(run(*shlex.split(sampled[1].splitlines()[-1].partition("and run: hf-synthlabels ")[2])))
    assert command == ["validate", "sampled.parquet"]
    command = next_command(run(*command))
    assert command == ["estimate", "sampled.parquet"]
    command = next_command(run(*command))
    assert command == ["train", "minilm", "--data", "sampled.parquet", "--label", "llm_label"]
    command = next_command(run("sample-size", "sampled.parquet", "--width", "0.3"))
    assert command[:2] == ["sample", "sampled.parquet"]


def test_column_names_and_splits_are_carried_along(run: Run, recipe: Path) -> None:
    content = json.loads(recipe.read_text())
    content["task"]["human"] = "human label"
    content["output"] = {"column": "gpt"}
    rows = [{"text": f"{LABELS[n % 2]} {n}", "answer": LABELS[n % 2], "human label": LABELS[n % 2]} for n in range(40)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe.write_text(json.dumps(content))
    command = next_command(run("annotate", str(recipe), "-o", "my labels.csv"))
    columns = ["--human", "human label", "--llm", "gpt"]
    assert command == ["validate", "my labels.csv", *columns]
    assert next_command(run(*command)) == ["estimate", "my labels.csv", *columns]


def test_a_report_and_its_preview_name_the_push(run: Run, recipe: Path) -> None:
    run("annotate", str(recipe), "-o", "labeled.jsonl")
    rows = [json.loads(line) for line in Path("labeled.jsonl").read_text().splitlines()]
    Path("labeled.jsonl").write_text(
        "".join(json.dumps({**row, "label": row["text"].split()[0]}) + "\n" for row in rows)
    )
    run("validate", "labeled.jsonl", "-o", "validation.json")
    command = next_command(run("report", "validation.json", "-o", "page"))
    assert command[:3] == ["push", "report", "validation.json"]
    assert next_command(run(*command)) == command[:-1]


def test_next_commands_are_verbs_of_the_program() -> None:
    for before, after in NEXT.items():
        assert before.split()[0] in VERBS
        assert not after or after.split()[0] in VERBS
