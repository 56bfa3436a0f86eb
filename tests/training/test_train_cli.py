"""`train`, `predict` and `export` as a user types them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import Dataset
from typer.testing import CliRunner, Result

from hf_synthlabels.cli.main import app, main
from hf_synthlabels.cli.train import Stopped
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training import Student, StudentConfig, train_student
from hf_synthlabels.training.callbacks import StopOnInterrupt
from tests.training.tasks.test_tasks import entity_rows


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def folder(tmp_path: Path, encoder: str, toy: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student file, and rows as `annotate` writes them, with human labels for every third row."""
    monkeypatch.chdir(tmp_path)
    rows = toy(60)
    with (tmp_path / "labelled.jsonl").open("w") as lines:
        for number, (text, code) in enumerate(zip(rows["text"], rows["label"], strict=True)):
            llm = None if number % 10 == 9 else ("film", "sport")[code]
            human = ("film", "sport")[1 - code] if number % 3 == 0 else None
            columns = {"llm_label": llm, "llm_label_status": "labelled" if llm else "unparsed"}
            columns |= {"llm_label_confidence": None, "llm_label_raw": "?", "llm_label_note": None}
            lines.write(json.dumps({"text": text, "label": human, **columns}) + "\n")
    record = {"column": "llm_label", "kind": "text-classification", "human": "label"}
    (tmp_path / "labelled.jsonl.provenance.json").write_text(json.dumps(record))
    student = {"model": encoder, "max_length": 32, "learning_rate": 3e-3, "max_steps": 8, "output_dir": "student"}
    (tmp_path / "student.yaml").write_text(yaml.safe_dump({"student": student}))
    return tmp_path


def facts(folder: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((folder / "student" / "student.json").read_text())
    return known


def test_the_column_that_annotation_wrote_is_learned(folder: Path) -> None:
    done = call("train", "student.yaml", "--data", "labelled.jsonl")
    assert done.exit_code == 0, done.output
    # 48 of 60 rows are trained on, 12 held out; of all, 6 have no LLM label.
    trained = sum(row["llm_label"] is not None for row in _halves(folder)[0])
    assert f"LLM labels in `llm_label`: {trained} training rows" in done.output
    assert "12 rows held out" in done.output
    assert "agreement with the LLM labels in `llm_label`" in done.output
    # Human labels are not learned, and the student is compared with those of the held-out rows.
    assert "--label label" in done.output
    assert "against the labels in `label`" in done.output
    known = facts(folder)
    assert known["label_column"] == known["label_source"] == "llm_label"
    assert "eval_accuracy" not in known["metrics"]
    assert 0 <= known["metrics"]["eval_llm_agreement"] <= 1
    llm, human = known["evaluation"]
    assert (llm["column"], llm["llm"], human["column"], human["llm"]) == ("llm_label", True, "label", False)
    score = llm["scores"]["accuracy"]
    assert score["low"] <= score["estimate"] == known["metrics"]["eval_llm_agreement"] <= score["high"]
    assert score["n"] == llm["rows"] == known["metrics"]["eval_rows"]


def _halves(folder: Path) -> tuple[Any, Any]:
    rows = Dataset.from_list([json.loads(line) for line in (folder / "labelled.jsonl").read_text().splitlines()])
    halves = rows.train_test_split(test_size=0.2, seed=42)
    return halves["train"], halves["test"]


@pytest.mark.parametrize("by", ["option", "file"])
def test_another_column_is_learned_when_it_is_named(folder: Path, by: str) -> None:
    options: list[str] = ["--label", "label"] if by == "option" else []
    if by == "file":
        content = yaml.safe_load((folder / "student.yaml").read_text())
        content["student"]["label_column"] = "label"
        (folder / "student.yaml").write_text(yaml.safe_dump(content))
    done = call("train", "student.yaml", "--data", "labelled.jsonl", "-o", "student", *options)
    assert done.exit_code == 0, done.output
    assert facts(folder)["label_column"] == "label"
    assert "against the labels in `label`" in done.output
    assert "eval_accuracy" in facts(folder)["metrics"]


def test_kinds_that_differ_and_several_columns_are_refused_in_one_line(folder: Path) -> None:
    record = {"column": "llm_label", "kind": "multi-label"}
    (folder / "labelled.jsonl.provenance.json").write_text(json.dumps(record))
    done = call("train", "student.yaml", "--data", "labelled.jsonl")
    assert isinstance(done.exception, ConfigError)
    assert "`task: multi-label`" in str(done.exception)
    rows = [json.loads(line) for line in (folder / "labelled.jsonl").read_text().splitlines()]
    second = [{**row, **{name.replace("llm", "other"): value for name, value in row.items()}} for row in rows]
    (folder / "two.jsonl").write_text("\n".join(map(json.dumps, second)))
    done = call("train", "student.yaml", "--data", "two.jsonl")
    assert isinstance(done.exception, ConfigError)
    assert "--label" in str(done.exception)
    done = call("train", "nosuch", "--data", "labelled.jsonl")
    assert "`student` 'nosuch'" in str(done.exception)


def test_a_table_is_labelled_at_once_and_as_a_stream(folder: Path) -> None:
    assert call("train", "student.yaml", "--data", "labelled.jsonl").exit_code == 0
    rows = [{"text": json.loads(line)["text"]} for line in (folder / "labelled.jsonl").read_text().splitlines()]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    student = Student.from_pretrained(folder / "student")
    found = student.predict(Dataset.from_list(rows))
    limit = float(np.median(found.confidence))
    options = ["--min-confidence", str(limit), "--probabilities"]
    done = call("predict", "student", "texts.jsonl", "-o", "whole.jsonl", *options)
    assert done.exit_code == 0, done.output
    assert "60 rows: labelled" in done.output
    assert call("predict", "student", "texts.jsonl", "-o", "stream.jsonl", "--stream", *options).exit_code == 0
    whole, stream = ((folder / name).read_text() for name in ("whole.jsonl", "stream.jsonl"))
    assert whole == stream
    for row, label, confidence in zip(map(json.loads, whole.splitlines()), found.labels, found.confidence, strict=True):
        sure = confidence >= limit
        assert row["student_label"] == (label if sure else None)
        assert row["student_label_status"] == ("labelled" if sure else "abstained")
        assert row["student_label_confidence"] == pytest.approx(confidence, abs=1e-6)
        assert max(row["student_label_probs"]) == pytest.approx(confidence, abs=1e-6)
    # A file that is there is replaced only on request, and then its records do not stay beside the new one.
    records = folder / "own.jsonl.provenance.json"
    (folder / "own.jsonl").write_text('{"text": "a", "label": "by hand"}\n')
    records.write_text("[]")
    refused = call("predict", "student", "texts.jsonl", "-o", "own.jsonl", *options)
    assert isinstance(refused.exception, DataError)
    assert "by hand" in (folder / "own.jsonl").read_text()
    assert call("predict", "student", "texts.jsonl", "-o", "own.jsonl", "--overwrite", *options).exit_code == 0
    assert (folder / "own.jsonl").read_text() == whole
    assert not records.exists()


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "question-answering"])
def test_an_exported_student_computes_the_same(
    task: str, encoder: str, toy: Callable[..., Dataset], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    rows = toy(16)
    options: dict[str, Any] = {"model": encoder, "max_length": 32, "max_steps": 1, "task": task}
    if task == "token-classification":
        labels: list[Any] = [[{"start": 0, "end": len(text.split()[0]), "label": "x"}] for text in rows["text"]]
        rows = rows.remove_columns("label").add_column("label", labels)
    if task == "question-answering":
        options["text_columns"] = ["question", "text"]
        answers: list[Any] = [{"text": text.split()[0], "start": 0} for text in rows["text"]]
        rows = rows.remove_columns("label").add_column("label", answers).add_column("question", ["film"] * 16)
    train_student(StudentConfig(output_dir=str(tmp_path / "out"), **options), rows).save(tmp_path / "saved")
    done = call("export", str(tmp_path / "saved"), "-o", str(tmp_path / "onnx"))
    assert done.exit_code == 0, done.output
    student = Student.from_pretrained(tmp_path / "saved")
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    # A batch of another size and length than the exported ones.
    texts = [*rows["text"][:3]]
    given = (["film"] * 3, texts) if task == "question-answering" else (texts,)
    batch = student.trainer.processing_class(*given, padding=True, return_tensors="np")
    outputs = session.run(None, {node.name: batch[node.name] for node in session.get_inputs()})
    model = student.trainer.model.eval()
    expected = model(**student.trainer.processing_class(*given, padding=True, return_tensors="pt"))
    names = ("start_logits", "end_logits") if task == "question-answering" else ("logits",)
    for output, name in zip(outputs, names, strict=True):
        np.testing.assert_allclose(output, expected[name].detach().numpy(), atol=1e-4)
    assert json.loads((tmp_path / "onnx" / "student.json").read_text())["task"] == task


def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_resumes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["hf-synthlabels", "train", "student.yaml", "--data", "labelled.jsonl"]
    monkeypatch.setattr(sys, "argv", command)
    whole = folder / "whole"
    monkeypatch.setattr(sys, "argv", [*command, "-o", "whole"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    plain = StopOnInterrupt.on_train_begin

    def pressed(self: StopOnInterrupt, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        plain(self, args, state, control, **kwargs)
        if state.global_step == 0:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(StopOnInterrupt, "on_train_begin", pressed)
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(Stopped) as stopped:
        main()
    assert stopped.value.code == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert "stopped. student has checkpoint-1" in capsys.readouterr().err
    assert not (folder / "student" / "model.safetensors").exists()
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "resuming from checkpoint-1" in out
    assert "trained: 8 steps" in out
    # Nothing of the interruption stays, and the student is that of a run without it.
    assert [path.name for path in (folder / "student").glob("*") if path.is_dir()] == []
    assert not (folder / "student" / "interrupted.json").exists()
    assert (folder / "student" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_the_bar_shows_steps_and_loss_on_a_terminal_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hf-synthlabels", "train", "student.yaml", "--data", "labelled.jsonl"])
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        error = capsys.readouterr().err
        assert ("8/8" in error and "loss" in error and "rows" in error) == terminal


def test_the_encoding_of_the_rows_is_an_option(folder: Path) -> None:
    # As few bytes as these could be Western European, too.
    names = ("кино", "спорт")
    lines = [
        "text;topic",
        *(f"{'film actor' if row % 2 else 'goal match'} {row};{names[row % 2]}" for row in range(40)),
    ]
    (folder / "rows.csv").write_bytes("\n".join(lines).encode("cp1251"))
    words = ("train", "student.yaml", "--data", "rows.csv", "--variable", "topic")
    done = call(*words, "--encoding", "cp1251", "--separator", ";")
    assert done.exit_code == 0, done.output
    assert "кино 16" in done.output
    told = call("predict", "student", "rows.csv", "-o", "out.csv", "--encoding", "cp1251")
    assert told.exit_code == 0, told.output
    assert "кино" in (folder / "out.csv").read_text(encoding="utf-8")
    assert isinstance(call("train", "--grid", "grid.yaml", "--encoding", "cp1251").exception, ConfigError)


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
    done = call("train", str(file), "--data", str(tmp_path / "rows.jsonl"))
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "student" / "student.json").read_text())["metrics"]
    assert metrics["eval_rows"] == 8
    assert 0 <= metrics["eval_entity_f1"] <= 1
    assert "labels in `label`: 32 training rows; 8 rows held out" in done.output
    assert "entity F1" in done.output
    saved = json.loads((tmp_path / "student" / "config.json").read_text())
    assert saved["id2label"]["1"] == "B-film"
