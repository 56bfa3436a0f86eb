"""Students of the variables of a codebook on the command line: one variable, several heads, prediction, card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset

from hf_synthlabels.tables import read_table
from tests.command_line import Run, error_line

VARIABLES: dict[str, dict[str, Any]] = {
    "kind": {"kind": "text-classification", "labels": ["sport", "film"]},
    "place": {
        "kind": "text-classification",
        "labels": ["home", "away"],
        "human": "place_gold",
        "ask_if": {"variable": "kind", "is": ["sport"]},
    },
    "topics": {"kind": "multi-label", "labels": ["x", "y"]},
    "mood": {"kind": "text-scale", "scale": {"low": 1, "high": 3}},
}


@pytest.fixture
def coded(run: Run, tmp_path: Path, encoder: str, toy: Callable[..., Dataset]) -> str:
    """A table of a codebook; only rows about sport have a place, and every fifth row has a human kind."""
    lines = []
    for row, (text, code) in enumerate(zip(toy(80)["text"], toy(80)["label"], strict=True)):
        answers = {"kind": ["film", "sport"][code], "place": ["home", "away"][row % 4 == 1]}
        answers |= {"topics": json.dumps(["x", "y"][: 1 + code]), "mood": str(1 + row % 3)}
        human = {"kind_human": answers["kind"] if row % 5 == 0 else None, "place_gold": None}
        lines.append({"body": text, **human, **{f"{name}_answer": value for name, value in answers.items()}})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    recipe = {
        "name": "news",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"variables": VARIABLES, "text": "body"},
        "annotator": {"client": "recorded", "column": "{variable}_answer"},
    }
    (tmp_path / "news.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    assert run("annotate", "news.yaml", "-o", "coded.parquet")[0::2] == (0, "")
    student: dict[str, Any] = {"model": encoder, "max_length": 32, "max_steps": 6, "learning_rate": 3e-3}
    (tmp_path / "student.yaml").write_text(yaml.safe_dump({"student": student}))
    return "coded.parquet"


def facts(folder: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((folder / "student" / "student.json").read_text())
    return known


def test_several_variables_are_the_heads_of_one_student(run: Run, tmp_path: Path, coded: str) -> None:
    names = ("kind", "place", "topics")
    options = [word for name in names for word in ("--variable", name)]
    code, out, err = run("train", "student.yaml", "--data", coded, *options)
    assert code == 0, err
    assert "3 variables, one head each: 64 rows; 16 rows held out" in out
    assert "of them human from `kind_human`" in out
    # Places of films are skipped.
    assert "without a label left out" in out
    known = facts(tmp_path)
    # Names in the order of the codebook.
    assert {name: head["names"] for name, head in known["heads"].items()} == {
        "kind": ["sport", "film"],
        "place": ["home", "away"],
        "topics": ["x", "y"],
    }
    assert known["heads"]["kind"]["human"] == "kind_human"
    # No row has a human place.
    assert known["heads"]["place"]["human"] is None
    assert [record["column"] for record in known["records"]] == list(names)
    by_column = {entry["column"]: entry for entry in known["evaluation"]}
    assert set(by_column) == {"kind", "kind_human", "place", "topics"}
    assert (by_column["kind"]["llm"], by_column["kind_human"]["llm"]) == (True, False)
    assert by_column["topics"]["rows"] == 16
    score = by_column["topics"]["scores"]["micro_f1"]
    assert score["low"] <= score["estimate"] <= score["high"]
    code, out, err = run(
        "push", "model", "student", "me/news", "--license", "mit", "--llm-terms", "unknown", "--dry-run"
    )
    assert code == 0, err


def test_a_student_of_several_variables_writes_their_columns(run: Run, tmp_path: Path, coded: str) -> None:
    assert run("train", "student.yaml", "--data", coded, "--variable", "kind", "--variable", "topics")[0] == 0
    (tmp_path / "texts.jsonl").write_text('{"body": "goal match"}\n{"body": "actor scene"}\n', encoding="utf-8")
    code, out, err = run("predict", "student", "texts.jsonl", "-o", "all.parquet", "--probabilities")
    assert code == 0, err
    assert "kind: 2 rows: labelled 2" in out
    rows = read_table(tmp_path / "all.parquet")["train"]
    assert rows.column_names == [
        "body",
        *(f"{name}{end}" for name in ("kind", "topics") for end in ("", "_status", "_confidence", "_probs")),
    ]
    assert rows.features["kind"].names == ["sport", "film"]
    code, out, err = run("predict", "student", "texts.jsonl", "-o", "one.jsonl", "--variable", "topics")
    assert code == 0, err
    assert list(json.loads((tmp_path / "one.jsonl").read_text().splitlines()[0])) == [
        *("body", "topics", "topics_status", "topics_confidence")
    ]
    # The table already has these columns.
    assert "'kind'" in error_line(run("predict", "student", coded, "-o", "twice.parquet"))
    assert run("predict", "student", coded, "-o", "twice.parquet", "--column", "student")[0] == 0
    assert "student_kind_status" in read_table(tmp_path / "twice.parquet")["train"].column_names
    refused = run("predict", "student", "texts.jsonl", "-o", "no.jsonl", "--variable", "place")
    assert "`variable` is 'place'" in error_line(refused)


def test_a_conditional_variable_is_skipped_where_its_condition_does_not_hold(
    run: Run, tmp_path: Path, coded: str
) -> None:
    content = yaml.safe_load((tmp_path / "student.yaml").read_text())
    content["student"]["max_steps"] = 60
    (tmp_path / "student.yaml").write_text(yaml.safe_dump(content))
    assert run("train", "student.yaml", "--data", coded, "--variable", "place", "--variable", "kind")[0] == 0
    assert facts(tmp_path)["heads"]["place"]["ask_if"] == {"variable": "kind", "is": ["sport"]}
    options = ("--column", "s", "--probabilities")
    assert run("predict", "student", coded, "-o", "out.parquet", *options)[0] == 0
    rows = read_table(tmp_path / "out.parquet")["train"].with_format(None)
    names = {name: rows.features[name].names for name in ("s_kind", "s_place_status")}
    seen = set()
    for row in rows:
        is_sport = names["s_kind"][row["s_kind"]] == "sport"
        seen.add(is_sport)
        status = names["s_place_status"][row["s_place_status"]]
        assert status == ("labelled" if is_sport else "skipped")
        for end in ("", "_confidence", "_probs"):
            assert (row[f"s_place{end}"] is None) == (not is_sport)
    assert seen == {True, False}
    # The condition also holds when its variable is not written, and a row without a sure kind has no place.
    sure = ("--variable", "place", "--min-confidence", "1")
    code, out, err = run("predict", "student", "rows.jsonl", "-o", "sure.jsonl", *sure)
    assert code == 0, err
    assert "80 rows: skipped 80" in out


@pytest.mark.parametrize(
    ("variable", "task", "human"),
    [
        ("kind", "text-classification", "kind_human"),
        ("place", "text-classification", None),
        ("topics", "multi-label", None),
        ("mood", "text-scale", None),
    ],
)
def test_one_variable_is_learned_with_its_recorded_task(
    run: Run, tmp_path: Path, coded: str, variable: str, task: str, human: str | None
) -> None:
    code, out, err = run("train", "student.yaml", "--data", coded, "--variable", variable)
    assert code == 0, err
    known = facts(tmp_path)
    assert (known["task"], known["label_column"], known["text_columns"]) == (task, variable, ["body"])
    assert known["names"] == VARIABLES[variable].get("labels", [])
    assert known["scale"] == ([1, 3, 1] if task == "text-scale" else None)
    assert ("human from `kind_human`" in out) == (human is not None)
    assert {entry["column"] for entry in known["evaluation"]} == {human or variable}
    (tmp_path / "texts.jsonl").write_text('{"body": "goal match"}\n', encoding="utf-8")
    assert run("predict", "student", "texts.jsonl", "-o", "out.parquet", "--variable", "named")[0] == 0
    assert "named_status" in read_table(tmp_path / "out.parquet")["train"].column_names


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--variable", "kind", "--variable", "mood"], "`variable` 'mood'"),
        (["--variable", "kind", "--variable", "nosuch"], "`variable` is 'nosuch'"),
        (["--variable", "nosuch"], "`variable` is 'nosuch'"),
        (["--variable", "kind", "--variable", "kind"], "`heads`"),
        (["--variable", "kind", "--label", "kind"], "`--label`"),
        ([], "--variable"),
    ],
)
def test_variables_that_no_student_can_learn_are_refused(run: Run, coded: str, options: list[str], words: str) -> None:
    assert words in error_line(run("train", "student.yaml", "--data", coded, *options))
