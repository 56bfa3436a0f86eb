from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.training import FormatCurve, StudentConfig, train_student
from tests.oracles import oracle
from tests.tiny_models import tiny_model

Make = Callable[..., StudentConfig]


def test_money_of_a_run_is_logged_and_among_the_metrics(config: Make, toy: Callable[..., Dataset]) -> None:
    student = train_student(config(usd_per_hour=3600.0, logging_steps=2), toy(64), names=["film", "sport"])
    # A dollar a second.
    assert student.metrics["train_usd"] == pytest.approx(student.metrics["train_seconds"], rel=0.5)
    logged = [entry for entry in student.trainer.state.log_history if "loss" in entry]
    money = [entry["usd"] for entry in logged]
    assert len(money) > 2
    assert money == sorted(money)
    student = train_student(config(max_steps=1), toy(32), names=["film", "sport"])
    assert "train_usd" not in student.metrics


def test_tensorboard_gets_loss_and_money(config: Make, toy: Callable[..., Dataset], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="reads TensorBoard's files")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "board"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENSORBOARD_LOGGING_DIR", str(folder))
        train_student(
            config(report_to="tensorboard", logging_steps=1, max_steps=3, usd_per_hour=1.0),
            toy(48),
            names=["film", "sport"],
        )
    files = list(folder.rglob("events.out.tfevents.*"))
    assert files
    board = EventAccumulator(str(files[0].parent))
    board.Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [1, 2, 3]
    # The last one stands with the training's mean loss.
    assert [event.step for event in board.Scalars("train/usd")] == [1, 2, 3, 3]


def test_wandb_gets_loss_and_money_without_a_network(
    config: Make, toy: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    wandb = oracle("wandb")

    options: dict[str, Any] = {"report_to": "wandb", "logging_steps": 1, "max_steps": 3, "usd_per_hour": 1.0}
    train_student(config(**options), toy(48), names=["film", "sport"])
    logged = dict(wandb.run.summary)
    wandb.finish()
    assert logged["train/global_step"] == 3
    assert logged["train/loss"] > 0
    assert logged["train/usd"] > 0
    assert list(tmp_path.rglob("*.wandb"))


def test_trackio_gets_loss_and_money(
    config: Make, toy: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Read when it is first imported.
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    oracle("trackio")
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"report_to": "trackio", "logging_steps": 1, "max_steps": 3, "usd_per_hour": 1.0}
    train_student(config(**options), toy(48), names=["film", "sport"])
    with closing(sqlite3.connect(next(tmp_path.glob("*.db")))) as store:
        logged = [json.loads(line) for (line,) in store.execute("select metrics from metrics order by step")]
    losses = [entry for entry in logged if "train/loss" in entry]
    assert len(losses) == 3
    assert all(entry["train/usd"] > 0 for entry in losses)


SCHEMA = LabelSchema(names=("film", "sport"))


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("curve"), initializer_range=0.05)


@pytest.fixture
def rows() -> Dataset:
    texts = ["the actor in the film", "a team won the match"] * 8
    return Dataset.from_dict({"text": texts, "answer": ["film", "sport"] * 8})


def settings(writer: str) -> dict[str, object]:
    return {
        "model": writer,
        "task": "text-generation",
        "label_column": "answer",
        "max_length": 64,
        "max_new_tokens": 6,
        "learning_rate": 1e-2,
        "max_steps": 24,
        "per_device_train_batch_size": 8,
    }


def test_form_is_learnt_before_the_task_and_both_are_counted(config: Make, rows: Dataset, writer: str) -> None:
    curve = FormatCurve(rows.select(range(6)), SCHEMA, label_column="answer", every=8)
    student = train_student(config(**settings(writer)), rows, callbacks=[curve])
    assert [point.step for point in curve.points] == [0, 8, 16, 24]
    first, last = curve.points[0], curve.points[-1]
    assert first.in_schema.estimate == 0.0
    assert last.in_schema.estimate == 1.0
    for point in curve.points:
        assert point.right.n == point.in_schema.n == 6
        assert point.right.estimate <= point.in_schema.estimate
        assert point.right_in_schema.n == round(6 * point.in_schema.estimate)
    logged = [entry["format_share"] for entry in student.trainer.state.log_history if "format_share" in entry]
    assert logged == [point.in_schema.estimate for point in curve.points]


def test_looking_does_not_change_what_is_learnt(config: Make, rows: Dataset, writer: str) -> None:
    chosen = settings(writer) | {"max_steps": 4}
    curve = FormatCurve(rows.select(range(2)), SCHEMA, label_column="answer", every=1)
    seen = train_student(config(**chosen), rows, callbacks=[curve]).trainer.model.state_dict()
    alone = train_student(config(**chosen), rows).trainer.model.state_dict()
    assert all(torch.equal(value, alone[name]) for name, value in seen.items())


def test_wrong_input_is_told(rows: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`every`"):
        FormatCurve(rows, SCHEMA, label_column="answer", every=0)
    with pytest.raises(ConfigError, match="'text-generation'"):
        FormatCurve(rows, LabelSchema(kind="text-generation"), label_column="answer", every=1)
    with pytest.raises(DataError, match="has no label in any of 1 rows"):
        FormatCurve(Dataset.from_dict({"text": ["a"], "answer": [None]}), SCHEMA, label_column="answer", every=1)
