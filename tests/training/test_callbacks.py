from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig, train_student
from tests.oracles import oracle

Make = Callable[..., StudentConfig]


def test_money_of_a_run_is_logged_and_among_the_metrics(config: Make, toy: Callable[..., Dataset]) -> None:
    student = train_student(config(usd_per_hour=3600.0, logging_steps=2), toy(64), names=["film", "sport"])
    # A dollar a second.
    assert student.metrics["train_usd"] == pytest.approx(student.metrics["train_seconds"], rel=0.5)
    logged = [entry for entry in student.trainer.state.log_history if "loss" in entry]
    money = [entry["usd"] for entry in logged]
    assert len(money) > 2
    assert money == sorted(money)


def test_without_a_price_there_is_no_money(config: Make, toy: Callable[..., Dataset]) -> None:
    student = train_student(config(max_steps=1), toy(32), names=["film", "sport"])
    assert "train_usd" not in student.metrics


def test_price_below_zero_is_told(config: Make) -> None:
    with pytest.raises(ConfigError, match="`usd_per_hour`"):
        config(usd_per_hour=-1.0)


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
