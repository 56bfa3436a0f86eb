"""Student files that say a task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hf_synthlabels.cli.main import app
from hf_synthlabels.training import StudentFile
from tests.training.tasks.test_tasks import entity_rows, question_rows

ROOT = Path(__file__).parents[2]


def test_the_command_line_trains_on_entities(encoder: str, tmp_path: Path) -> None:
    entity_rows(40).to_json(tmp_path / "rows.jsonl")
    student = {
        "model": encoder,
        "task": "token-classification",
        "max_length": 32,
        "max_steps": 2,
        "token_budget": 256,
        "output_dir": str(tmp_path / "student"),
    }
    file = tmp_path / "student.yaml"
    file.write_text(yaml.safe_dump({"student": student}))
    done = CliRunner().invoke(app, ["train", str(file), "--data", str(tmp_path / "rows.jsonl")])
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "student" / "student.json").read_text())["metrics"]
    assert metrics["eval_rows"] == 8
    assert 0 <= metrics["eval_entity_f1"] <= 1
    assert "labels in `label`: 32 training rows; 8 rows held out" in done.output
    assert "entity F1" in done.output
    saved = json.loads((tmp_path / "student" / "config.json").read_text())
    assert saved["id2label"]["1"] == "B-film"


def test_a_file_holds_a_scale_and_names_are_only_looked_for_where_there_are_some(encoder: str, tmp_path: Path) -> None:
    question_rows(10).to_json(tmp_path / "rows.jsonl")
    student = {"model": encoder, "task": "question-answering", "text_columns": ["question", "context"]}
    file = tmp_path / "student.yaml"
    file.write_text(yaml.safe_dump({"student": student}))
    read = StudentFile.read(file, data=tmp_path / "rows.jsonl")
    assert read.data.load(read.student).names == ()
    file.write_text(yaml.safe_dump({"student": {"model": encoder, "task": "text-scale", "scale": [1, 5, 0.5]}}))
    assert StudentFile.read(file, data=tmp_path / "rows.jsonl").student.scale == [1, 5, 0.5]


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "students").glob("*.yaml")), ids=lambda file: file.stem)
def test_packaged_student_files_are_read(file: Path) -> None:
    assert StudentFile.read(file, data="rows.jsonl").student.model
