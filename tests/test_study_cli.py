"""Studies by the command line: planned, run, taken up again, begun with a table; errors are one line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hf_synthlabels.cli import app
from hf_synthlabels.errors import ConfigError, DataError, SynthLabelsError
from tests.studies.sweep.conftest import toy_rows


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["study", *words])
    if result.exception is not None and isinstance(result.exception, SynthLabelsError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


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
    # 30 human labels train: sizes 15 and all of human, all of llm in two ways, three seeds, two students; the teacher.
    assert "25 cells, of which 1 are there and 24 are missing." in printed
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
    assert "cells were there" not in run(str(out / "study.yaml"), "-o", str(out), "--so-far")


def test_tables_that_can_not_be_used_are_told(table: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(DataError, match=r"`--text` is 'text', which is no column. Name one of: review, verdict"):
        run(str(table), "-o", out)
    with pytest.raises(DataError, match=r"`data` .* is not a table"):
        run(str(tmp_path / "none.csv"), "-o", out)
    few = tmp_path / "few.jsonl"
    few.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n')
    with pytest.raises(DataError, match=r"has a label in 1 of 2 rows. Label 40 by hand"):
        run(str(few), "-o", out)
    with pytest.raises(ConfigError, match="`-o` is missing"):
        run(str(table))


def test_options_of_cells_need_a_study_of_cells(tmp_path: Path) -> None:
    file = tmp_path / "ways.yaml"
    file.write_text("name: ways\nrecipe: x\nannotators: {a: {}, b: {}}\n")
    with pytest.raises(ConfigError, match="`--plan` is for the cells of a study with `tasks`"):
        run(str(file), "--plan")
