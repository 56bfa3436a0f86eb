"""`hf-synthlabels push` and `pull`, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

import hf_synthlabels
from hf_synthlabels.publishing import Page
from hf_synthlabels.publishing.report.page_values import page_to_json
from hf_synthlabels.statistics.exhibits import Section, Table
from hf_synthlabels.tables import read_table
from tests.command_line import Run
from tests.publishing.conftest import TOKEN
from tests.publishing.hub_server import HubServer

ROWS = [
    {"text": "a film", "label": "film", "answer": "Film."},
    {"text": "a match", "label": "sport", "answer": "sport"},
    {"text": "a filmed match", "label": "sport", "answer": "film"},
    {"text": "a b", "label": "film", "answer": "music"},
]
RECIPE: dict[str, Any] = {
    "name": "films",
    "source": {"path": "json", "data_files": "rows.jsonl"},
    "task": {
        "kind": "text-classification",
        "labels": ["film", "sport"],
        "human": "label",
        "guidelines_file": "guide.md",
    },
    "annotator": {"client": "recorded", "column": "answer"},
}
SAID = ("--license", "cc-by-4.0", "--llm-terms", "unknown")


@pytest.fixture
def run(run: Run, tmp_path: Path) -> Run:
    """The command line in a folder with a recipe; the token is never printed."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "films.yaml").write_text("# By hand.\n" + yaml.safe_dump(RECIPE))
    (tmp_path / "guide.md").write_text("A film is a film.")

    def call(*arguments: str) -> tuple[int, str, str]:
        code, out, err = run(*arguments)
        assert TOKEN not in out + err
        return code, out, err

    return call


def test_recipe_is_published_and_pulled(run: Run, hub: HubServer, tmp_path: Path) -> None:
    code, out, err = run("push", "dataset", "films.yaml", "user/films", *SAID, "--language", "en")
    assert (code, err) == (0, "")
    there = hub.repository("user/films")
    assert out == f"created: {hub.url}/datasets/user/films (private)\nrevision {there.head.sha}\n"
    # The recipe as it was written, with the guideline that it names.
    assert there.head.files["annotation/recipe.yaml"].startswith(b"# By hand.\n")
    assert there.head.files["annotation/guide.md"] == b"A film is a film."
    card = DatasetCard(there.head.files["README.md"].decode())
    # Two of the three answered rows, and of all four, are right.
    assert "| accuracy | 0.500" in card.text
    code, out, err = run("pull", "user/films", "-o", "got")
    assert (code, err) == (0, "")
    assert f"revision {there.head.sha}" in out
    back = read_table(tmp_path / "got")
    made = hf_synthlabels.load("films.yaml")
    assert hf_synthlabels.provenance(back) == hf_synthlabels.provenance(made)
    assert back["train"].to_dict() == made["train"].to_dict()
    code, out, _ = run("push", "dataset", "films.yaml", "user/films", *SAID, "--language", "en")
    assert out.startswith("unchanged: ")


def test_dry_run_shows_files_and_asks_nothing_of_the_hub(
    run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    code, out, err = run("push", "dataset", "films.yaml", "user/films", *SAID, "--dry-run")
    assert (code, err) == (0, "")
    assert "  data/train-00000-of-00001.parquet\n" in out
    assert out.startswith("dataset user/films, private if it is new: ")
    assert "\nREADME.md:\n\n---\n" in out
    assert out.endswith("Nothing was uploaded.\n")
    code, out, _ = run("push", "dataset", "films.yaml", "user/films", *SAID, "--dry-run", "--public", "--json")
    assert "README.md" in json.loads(out)["files"]
    assert json.loads(out)["card"].startswith("---\n")
    assert hub.requests == []


def test_streamed_file_is_published_with_the_record_beside_it(run: Run, hub: HubServer, tmp_path: Path) -> None:
    assert run("annotate", "films.yaml", "--stream", "-o", "films.parquet")[0] == 0
    assert run("push", "dataset", "films.parquet", "user/films", *SAID)[0] == 0
    record = json.loads((tmp_path / "films.parquet.provenance.json").read_text())
    files = hub.repository("user/films").head.files
    assert json.loads(files["annotation/provenance.json"]) == {"train": [record]}


def test_file_without_a_record_is_published_as_such(run: Run, hub: HubServer, tmp_path: Path) -> None:
    assert run("annotate", "films.yaml", "-o", "films.jsonl")[0] == 0
    (tmp_path / "films.jsonl.provenance.json").unlink()
    assert run("push", "dataset", "films.jsonl", "user/films", *SAID)[0] == 0
    card = hub.repository("user/films").head.files["README.md"].decode()
    assert "The provenance of the labels was not recorded" in card
    assert "labelled 3, unparsed 1" in card


def test_several_gates_of_one_label_column_are_in_the_card(run: Run, hub: HubServer) -> None:
    gates = ("--gate", "accuracy>=0.99", "--gate", "llm_label: kappa>=-0.9")
    assert run("push", "dataset", "films.yaml", "user/films", *SAID, *gates)[0] == 0
    files = hub.repository("user/films").head.files
    # Two of four labels are correct, whose 97.5% interval ends below 0.99.
    verdicts = [gate["verdict"] for gate in json.loads(files["validation/gates.json"])["gates"]]
    assert verdicts == ["fail", "pass"]
    assert "- llm_label: kappa >= -0.9: pass" in files["README.md"].decode()


def test_wrong_input_is_one_line_and_sends_nothing(run: Run, hub: HubServer) -> None:
    for arguments, words in [
        (("dataset", "films.yaml", "user/films"), "`--license` is required"),
        (("dataset", "films.yaml", "user/films", "--license", "mit"), "`--llm-terms` is required"),
        (("dataset", "films.yaml", "user/films", "--license", "MIT", "--llm-terms", "x"), "Did you mean mit"),
        (("dataset", "films.yaml", "films", *SAID), "`repo` is 'films': give `user/name`"),
        (("dataset", "films.yaml", "user/films", *SAID, "--human", "gold"), "`human` is 'gold'"),
        (("dataset", "films.yaml", "user/films", *SAID, "--gate", "x"), "`gate` is 'x'"),
        (("dataset", "films.yaml", "user/films", *SAID, "--gate", "music: accuracy>=0.5"), "`gate` is 'music"),
        (("dataset", "none.jsonl", "user/films", *SAID), "`data` 'none.jsonl'"),
        (("dataset", "rows.jsonl", "user/films", *SAID), "has no label column"),
        (("model", "none", "user/m", *SAID), "`student` 'none'"),
        (("metric", "none", "user/none"), "does not come with this package"),
        (("metric", "llm_judge", "user/other"), "end it in /llm_judge"),
        (("report", "none.json", "user/r", "--license", "mit"), "`results` 'none.json'"),
        (("report", "films.yaml", "user/r", "--license", "mit"), "`results` is not JSON"),
        (("report", "guide.md", "report", "--license", "mit"), "`results` is not JSON"),
    ]:
        code, out, err = run("push", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("hf-synthlabels: ")
        assert words in err
        assert err.count("\n") == 1
        assert hub.requests == []


def test_no_token_and_no_permission_are_one_line(run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run("push", "metric", "llm_judge", "other/llm_judge")
    assert (code, err.count("\n")) == (2, 1)
    assert "status 403" in err
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = run("push", "metric", "llm_judge", "user/llm_judge")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no token for the Hub" in err
    assert run("pull", "user/none")[2].startswith("hf-synthlabels: `user/none` cannot be downloaded: no")


def test_public_into_what_is_private_is_told(run: Run, hub: HubServer) -> None:
    hub.create("user/llm_judge", "space", sdk="gradio")
    code, out, err = run("push", "metric", "llm_judge", "user/llm_judge", "--public")
    assert code == 2
    assert "revision" in out
    assert "`user/llm_judge` already exists and is private" in err


def test_page_of_a_study_becomes_a_static_space(run: Run, hub: HubServer, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table = Table("score_table", "Scores", ("trained on", "rows"), (("all human labels", 2130),))
    page = tmp_path / "page.json"
    page.write_text(page_to_json(Page("titles", (Section("one", "One", "", (table,)),), ("Label more.",))))
    code, out, err = run("push", "report", str(page), "user/titles", "--license", "mit", "--json")
    assert (code, err) == (0, "")
    there = hub.repository("user/titles", "space")
    assert json.loads(out)["revision"] == there.head.sha
    assert there.sdk == "static"
    assert there.head.files["index.html"].startswith(b"<!doctype html>")
    assert b"\n" in there.head.files["report/score_table.csv"]
    assert b"| all human labels | 2,130 |" in there.head.files["README.md"]


def test_trained_student_says_what_it_was_made_from(
    run: Run, hub: HubServer, encoder: str, toy: Callable[..., Any], tmp_path: Path
) -> None:
    toy(24).to_parquet(str(tmp_path / "toy.parquet"))
    student = {"model": encoder, "max_length": 32, "max_steps": 2, "output_dir": "student"}
    (tmp_path / "student.yaml").write_text(yaml.safe_dump({"student": student}))
    assert run("train", "student.yaml", "--data", "toy.parquet")[0] == 0
    # After a training there are progress bars again.
    assert run("push", "model", "student", "user/student", *SAID)[0] == 0
    card = hub.repository("user/student", "model").head.files["README.md"].decode()
    assert f"| base model | `{Path(encoder).name}` |" in card
    assert "the labels in column `label`" in card
    assert "`train_loss`" in card
    assert "on 5 held-out rows, with 95% intervals" in card
    # Which rows it saw is not known of a file.
    assert str(tmp_path) not in card
