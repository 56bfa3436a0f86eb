"""The command line: files that read back, exit codes, and every error in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, DatasetDict, load_dataset

from hf_synthlabels.statistics import ValidationReport
from hf_synthlabels.tables import read_table
from tests.command_line import Run

VERBS = ["plan", "cache", "annotate", "validate", "train", "study", "report", "demo", "version"]

ROWS = [
    {"text": "a film", "label": "film", "answer": "Film."},
    {"text": "a match", "label": "sport", "answer": "sport"},
    {"text": "a filmed match", "label": "sport", "answer": "film"},
    {"text": "Größe, \"quoted\"", "label": "film", "answer": "music"},
]  # fmt: skip

RECIPE: dict[str, Any] = {
    "name": "films",
    "source": {"path": "json", "data_files": "rows.jsonl"},
    "task": {"kind": "text-classification", "labels": ["film", "sport"], "human": "label"},
    "annotator": {"client": "recorded", "column": "answer"},
}


def write(path: Path, content: Any) -> str:
    """A file of JSON Lines from a list, of JSON (which is YAML) from a mapping, or of text."""
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    write(tmp_path / "rows.jsonl", ROWS)
    return write(tmp_path / "recipe.yaml", RECIPE)


def labelled(path: Path, human: list[str | None], llm: list[str | None]) -> str:
    rows = [{"text": "x", "label": one, "llm_label": other} for one, other in zip(human, llm, strict=True)]
    return write(path, rows)


def test_annotate_sums_up(run: Run, recipe: str) -> None:
    code, out, err = run("annotate", recipe)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "train: 4 rows, labelled 3, unparsed 1",
        "answers: 4 recorded; no request was sent, and nothing was paid",
        "1 of 4 rows have no label; the most frequent reasons:",
        "  1 unparsed: the answer names no label of the schema",
    ]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_annotate_writes_names_in_text_formats(run: Run, recipe: str, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "new" / f"labelled.{kind}"
    code, out, _ = run("annotate", recipe, "-o", str(file))
    assert code == 0
    assert out.splitlines()[-1] == f"written: {file}"
    rows = read_table(file)["train"]
    assert rows.column_names == [
        *("text", "label", "answer"),
        *("llm_label", "llm_label_status", "llm_label_confidence", "llm_label_raw", "llm_label_note"),
    ]
    assert rows["text"] == [row["text"] for row in ROWS]
    assert rows["llm_label"] == ["film", "sport", "film", None]
    assert rows["llm_label_status"] == ["labelled", "labelled", "labelled", "unparsed"]
    assert rows["llm_label_raw"] == ["Film.", "sport", "film", "music"]
    assert rows["llm_label_note"] == [None, None, None, "the answer names no label of the schema"]


def test_annotate_writes_jsonl_that_people_can_read(run: Run, recipe: str, tmp_path: Path) -> None:
    run("annotate", recipe, "-o", "labelled.jsonl")
    assert "Größe" in (tmp_path / "labelled.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("output", ["labelled.parquet", "folder"])
def test_annotate_writes_types_in_parquet(run: Run, recipe: str, tmp_path: Path, output: str) -> None:
    code, out, _ = run("annotate", recipe, "-o", output)
    assert code == 0
    written = "folder/train.parquet" if output == "folder" else output
    assert out.splitlines()[-1] == f"written: {written}"
    rows = read_table(tmp_path / output)["train"]
    assert rows.features["llm_label"] == ClassLabel(names=["film", "sport"])
    assert rows["llm_label"] == [0, 1, 0, None]
    # It is a data set for anybody.
    assert load_dataset("parquet", data_files=str(tmp_path / written), split="train")["llm_label"] == [0, 1, 0, None]


def test_annotate_writes_a_file_for_each_split(run: Run, recipe: str, tmp_path: Path) -> None:
    files = {"train": "rows.jsonl", "test": "rows.jsonl"}
    both = write(tmp_path / "both.yaml", RECIPE | {"source": {"path": "json", "data_files": files}})
    code, out, _ = run("annotate", both, "-o", "folder")
    assert code == 0
    assert sorted(out.splitlines()[-2:]) == ["written: folder/test.parquet", "written: folder/train.parquet"]
    splits = read_table(tmp_path / "folder")
    assert isinstance(splits, DatasetDict)
    assert {name: rows["llm_label"] for name, rows in splits.items()} == {name: [0, 1, 0, None] for name in files}


@pytest.mark.parametrize("stream", [False, True])
def test_annotate_that_labels_nothing_exits_with_two_and_says_why(run: Run, tmp_path: Path, stream: bool) -> None:
    write(tmp_path / "rows.jsonl", [{**row, "answer": f"music {place}"} for place, row in enumerate(ROWS)])
    path = write(tmp_path / "recipe.yaml", RECIPE)
    code, out, err = run("annotate", path, "-o", "out.jsonl", *(["--stream"] if stream else []))
    assert code == 2
    assert "4 of 4 rows have no label" in out
    assert "4 unparsed: the answer names no label of the schema" in out
    assert err.count("\n") == 1
    # The answers are kept.
    assert read_table(tmp_path / "out.jsonl")["train"]["llm_label_raw"][:] == [f"music {place}" for place in range(4)]


def test_annotate_that_labels_some_rows_says_how_many_are_missing(run: Run, recipe: str) -> None:
    code, out, _ = run("annotate", recipe)
    assert code == 0
    assert "1 of 4 rows have no label" in out
    code, out, _ = run("annotate", recipe)
    assert code == 0


def test_annotate_goes_on_when_told_to(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", [{"text": str(n), "label": "film", "answer": "?"} for n in range(60)] + ROWS)
    path = write(tmp_path / "recipe.yaml", RECIPE)
    code, _, err = run("annotate", path)
    assert (code, "`annotator.keep_going: true`" in err, err.count("\n")) == (2, True, 1)
    code, out, _ = run("annotate", path, "--keep-going")
    assert (code, "61 of 64 rows have no label" in out) == (0, True)


def test_annotate_with_two_processes(run: Run, recipe: str) -> None:
    code, out, _ = run("annotate", recipe, "--num-proc", "2")
    assert code == 0
    assert "train: 4 rows, labelled 3, unparsed 1" in out


def test_validate_reads_what_annotate_wrote(run: Run, recipe: str, tmp_path: Path) -> None:
    for output in ("labelled.jsonl", "labelled.csv", "labelled.parquet", "folder"):
        assert run("annotate", recipe, "-o", output)[0] == 0
        code, out, _ = run("validate", output, "-o", f"{output}.report.json")
        assert code == 0
        report = ValidationReport.from_json((tmp_path / f"{output}.report.json").read_text(encoding="utf-8"))
        # Right in 2 of 4 rows, of which 3 are answered.
        assert report.accuracy.estimate == 0.5
        assert report.accuracy_answered.estimate == pytest.approx(2 / 3)
        assert report.coverage.estimate == 0.75
        assert "accuracy" in out


def test_validate_reads_a_recipe(run: Run, recipe: str) -> None:
    code, out, _ = run("validate", recipe)
    assert code == 0
    assert "accuracy" in out


def test_validate_passed_gate(run: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "d.jsonl", ["film", "sport"] * 50, ["film", "sport"] * 50)
    code, out, err = run("validate", data, "--gate", "accuracy>=0.9")
    assert (code, err) == (0, "")
    assert "accuracy >= 0.9: pass" in out
    assert "macro F1" in out


def test_validate_failed_gate(run: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "d.jsonl", ["film", "sport"] * 50, ["film", "film"] * 50)
    code, out, err = run("validate", data, "--gate", "accuracy>=0.9")
    assert (code, err) == (1, "")
    assert "accuracy >= 0.9: fail" in out


def test_validate_gate_that_few_labels_leave_open(run: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "d.jsonl", ["film", "sport"], ["film", "sport"])
    code, out, _ = run("validate", data, "--gate", "accuracy>=0.9")
    assert code == 1
    assert "too few human labels" in out


def test_validate_report_round_trips(run: Run, tmp_path: Path) -> None:
    data = labelled(tmp_path / "d.jsonl", ["film", "sport", "sport"], ["film", None, "film"])
    code, out, _ = run("validate", data, "--gate", "accuracy>=0.1", "-o", "out/report.json")
    assert code in (0, 1)
    text = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    report = ValidationReport.from_json(text)
    assert report.to_json() == text
    assert str(report) in out
    assert report.accuracy.estimate == pytest.approx(1 / 3)


def test_validate_takes_other_columns(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", [{"gold": "film", "model": "film"}, {"gold": "sport", "model": "film"}])
    assert run("validate", data, "--human", "gold", "--llm", "model")[0] == 0


def complaint(answer: tuple[int, str, str]) -> str:
    """The one line that a wrong input is told in."""
    code, _, err = answer
    assert code == 2, answer
    assert err.count("\n") == 1, err
    assert err.startswith("hf-synthlabels: ")
    assert "Traceback" not in err
    return err.removeprefix("hf-synthlabels: ").rstrip("\n")


STUDENT: dict[str, Any] = {"student": {"model": "no/such-model", "max_steps": 1}}
STUDY: dict[str, Any] = {
    "name": "s",
    "tasks": {"t": {"recipe": "recipe.yaml", "test": 20}},
    "students": {"words": "tfidf"},
}


def test_wrong_input_is_told_in_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({}, "validate none.jsonl", "`data` 'none.jsonl' does not exist"),
        ({}, "validate none.yaml", "`data` 'none.yaml'"),
        ({}, "annotate none.yaml", "`recipe` 'none.yaml'"),
        ({}, "annotate no_such_recipe", "`recipe` 'no_such_recipe'"),
        ({}, "validate no_such_recipe", "`recipe` 'no_such_recipe'"),
        ({}, "annotate conference_titles", "needs the environment variable HF_SYNTHLABELS_DATA"),
        ({"r.yaml": RECIPE | {"tsk": 1}}, "annotate r.yaml", "`tsk` is not a key. Did you mean `task`?"),
        ({"r.yaml": RECIPE}, "annotate r.yaml", "`source` 'json' with data_files 'rows.jsonl' cannot be loaded"),
        ({"r.yaml": RECIPE, "rows.jsonl": []}, "annotate r.yaml", "has no rows."),
        (
            {"r.yaml": RECIPE | {"source": {"path": "csv", "data_files": "d.csv"}}, "d.csv": "text,label,answer\n"},
            "annotate r.yaml",
            "`source` 'csv': split 'train' has no rows. Give data with rows.",
        ),
        (
            {"r.yaml": RECIPE, "rows.jsonl": [{"txt": "a", "label": "film", "answer": "film"}]},
            "annotate r.yaml",
            "`task.text` names the column 'text', which is not in split 'train'. Did you mean 'txt'?",
        ),
        (
            {"r.yaml": RECIPE | {"annotator": {"client": "openai", "model": "m"}}, "rows.jsonl": ROWS},
            "annotate r.yaml",
            "`api_key_env` names 'OPENAI_API_KEY', which is not set.",
        ),
        (
            {"r.yaml": RECIPE, "rows.jsonl": ROWS},
            "annotate r.yaml -o out.ods",
            "`output` 'out.ods' ",
        ),
        ({"d.ods": "x"}, "validate d.ods", "`data` 'd.ods' "),
        ({"d.jsonl": []}, "validate d.jsonl", "`data` 'd.jsonl' has no rows."),
        ({"d.csv": ""}, "validate d.csv", "`data` 'd.csv' has no rows."),
        ({"d.jsonl": "{"}, "validate d.jsonl", "`data` 'd.jsonl' has an invalid JSON line"),
        ({"d.parquet": "no parquet"}, "validate d.parquet", "`data` 'd.parquet' cannot be read"),
        ({"d.jsonl": [{"a": 1}]}, "validate d.jsonl", "`label`"),
        ({"d.jsonl": [{"label": "film"}]}, "validate d.jsonl", "`llm_label`"),
        ({"d.jsonl": ROWS}, "validate d.jsonl --human lable", "`lable`"),
        (
            {"d.jsonl": [{"label": None, "llm_label": "film"}]},
            "validate d.jsonl",
            "`label` has no label in any of 1 rows",
        ),
        (
            {"r.yaml": RECIPE, "rows.jsonl": [*ROWS, {"text": "x", "label": "music", "answer": "film"}]},
            "validate r.yaml",
            "`label`",
        ),
        ({"d.jsonl": ROWS}, "validate d.jsonl --gate accuracy=0.9", "`gate` is 'accuracy=0.9'"),
        ({"d.jsonl": ROWS}, "validate d.jsonl --gate acuracy>=0.9", "`metric` is 'acuracy'"),
        ({"d.jsonl": ROWS}, "validate d.jsonl --gate accuracy>=90", "`threshold` is 90.0"),
        ({"d.jsonl": ROWS}, "validate d.jsonl --split test", "`split` is 'test'. Choose one of: train."),
        ({}, "train none.yaml", "`student` 'none.yaml'"),
        ({"s.yaml": STUDENT}, "train s.yaml", "`data` is missing in 's.yaml'."),
        ({"s.yaml": STUDENT}, "train s.yaml --data none.jsonl", "`data`"),
        ({"s.yaml": STUDENT | {"studnt": 1}, "d.jsonl": ROWS}, "train s.yaml --data d.jsonl", "`studnt` is not a key."),
        ({"s.yaml": STUDENT, "d.jsonl": ROWS}, "train s.yaml --data d.jsonl", "no/such-model"),
        ({}, "study none.yaml -o out", "`study` 'none.yaml'"),
        ({"s.yaml": STUDY | {"sedes": [1]}}, "study s.yaml -o out", "`sedes` is not a key. Did you mean `seeds`?"),
        ({"s.yaml": STUDY}, "study s.yaml -o out", "`recipe` 'recipe.yaml'"),
        ({}, "report none.json", "`results` 'none.json'"),
        ({"r.json": "no json"}, "report r.json", "report"),
        ({"r.json": {"a": 1}}, "report r.json", "report"),
        ({"r.json": "[1]"}, "report r.json", "report"),
    ]
    for content, arguments, said in cases:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        for file in tmp_path.iterdir():
            file.unlink()
        for name, part in content.items():
            write(tmp_path / name, part)
        assert said in complaint(run(*arguments.split()))


def test_readers_do_not_log_what_is_told(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ["d.parquet", "d.jsonl"]:
        write(tmp_path / name, "{ no such thing")
        assert f"`data` '{name}'" in complaint(run("validate", name))
        assert caplog.messages == []


def test_several_splits_do_not_fit_one_file(run: Run, recipe: str, tmp_path: Path) -> None:
    files = {"train": "rows.jsonl", "test": "rows.jsonl"}
    both = write(tmp_path / "both.yaml", RECIPE | {"source": {"path": "json", "data_files": files}})
    assert "`output` 'one.jsonl'" in complaint(run("annotate", both, "-o", "one.jsonl"))
    assert "`--split`" in complaint(run("validate", both))


def test_help_shows_an_example(run: Run) -> None:
    for verb in VERBS:
        code, out, _ = run(verb, "--help")
        assert code == 0
        assert f"Example: hf-synthlabels {verb}" in out


def test_help_lists_the_verbs(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(verb in out for verb in VERBS)


def test_version_says_the_installed_packages(run: Run) -> None:
    code, out, _ = run("version")
    assert code == 0
    found = json.loads(out)
    assert found["hf-synthlabels"]
    assert found["datasets"]
