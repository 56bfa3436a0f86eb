"""How labels were made is found again in every file that a verb wrote, by every verb that reads one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hf_synthlabels.annotation import load, provenance
from hf_synthlabels.cli.main import app
from hf_synthlabels.tables import provenance_path, read_table, write_table
from hf_synthlabels.training import DataSource, StudentConfig


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    lines = [{"text": f"{n} film", "label": "film", "answer": "film"} for n in range(8)]
    lines += [{"text": f"{n} match", "label": "sport", "answer": "sport"} for n in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    content: dict[str, Any] = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "instructions": "?", "labels": ["film", "sport"], "human": "label"},
        "annotator": {"client": "recorded", "column": "answer", "model": "gpt-x"},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "recipe.yaml"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None, (done.exception, done.output)
    return done.output


def test_annotated_files_are_published_and_trained_on_with_their_provenance(
    subtests: pytest.Subtests, recipe: Path, tmp_path: Path
) -> None:
    names: list[str] = ["out.jsonl", "out.csv", "out.parquet", "out"]
    furthers: list[list[str]] = [[], ["--stream"]]
    for further in furthers:
        for name in names:
            with subtests.test(repr((name, further))):
                if name == "out" and further:
                    pytest.skip("a stream is written to a file")
                out = tmp_path / name
                run("annotate", str(recipe), "-o", str(out), *further)
                (entry,) = provenance(read_table(out))
                assert (entry["column"], entry["annotator"]["model"]) == ("llm_label", "gpt-x")
                assert provenance_path(out / "train.parquet" if name == "out" else out).is_file()
                licenses = ["--license", "mit", "--llm-terms", "unknown", "--dry-run", "--json"]
                assert "annotation/provenance.json" in run("push", "dataset", str(out), "me/films", *licenses)
                if name != "out":
                    rows = DataSource.of_file(out).load(StudentConfig(model="none", label_column="llm_label")).train
                    assert provenance(rows) == [entry]


def test_table_that_is_read_and_written_keeps_its_provenance(recipe: Path, tmp_path: Path) -> None:
    splits = load(recipe, cache_dir=str(tmp_path / "cache"))
    write_table(splits, tmp_path / "a.parquet")
    write_table(read_table(tmp_path / "a.parquet"), tmp_path / "b.csv")
    assert provenance(read_table(tmp_path / "b.csv")) == provenance(splits)
    # Another table of the same name has nothing of it.
    write_table({"train": splits["train"].select_columns(["text"])}, tmp_path / "b.csv")
    assert not provenance_path(tmp_path / "b.csv").exists()
