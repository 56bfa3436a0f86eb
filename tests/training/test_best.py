from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig, train_student

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


def history(student: Any, metric: str) -> dict[int, float]:
    logs = student.trainer.state.log_history
    # The last one is of the weights that were kept, after training.
    return {log["step"]: log[metric] for log in logs[: -1 if metric in logs[-1] else None] if metric in log}


@pytest.mark.parametrize("rank", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_best_epoch_is_kept_and_reported(config: Config, toy: Toy, rank: int) -> None:
    chosen = config(load_best_model_at_end=True, num_train_epochs=6, lora_r=rank, learning_rate=1e-2 if rank else 1e-3)
    # Here people say the opposite of what is learnt: the longer, the worse.
    test = toy(40, seed=1)
    test = test.remove_columns("label").add_column("label", [1 - label for label in test["label"]])
    student = train_student(chosen, toy(64), names=NAMES, eval=test)
    losses = history(student, "eval_loss")
    assert len(losses) == 6
    step = min(losses, key=lambda place: losses[place])
    metrics = student.metrics
    assert (metrics["best_step"], metrics["best_epoch"], metrics["evaluations"]) == (step, step / 4, 6)
    assert metrics["best_loss"] == min(losses.values()) == pytest.approx(metrics["eval_loss"], rel=1e-5)
    assert metrics["last_loss"] == losses[24]
    assert metrics["mean_loss"] == pytest.approx(sum(losses.values()) / 6)
    # The test tells the weights that are kept from the last ones.
    assert step != 24
    assert metrics["eval_loss"] < metrics["last_loss"]
    # The best and the last checkpoint at most are left.
    assert len(list(Path(str(chosen.output_dir)).glob("checkpoint-*"))) <= 2


def test_early_stopping_ends_the_run_and_implies_the_rest(config: Config, toy: Toy) -> None:
    chosen = config(early_stopping=2, metric_for_best_model="accuracy", learning_rate=0.0, num_train_epochs=9)
    assert (chosen.load_best_model_at_end, chosen.eval_strategy, chosen.save_strategy) == (True, "epoch", "epoch")
    student = train_student(chosen, toy(32), names=NAMES, eval=toy(20))
    # Nothing is learnt: the first evaluation is the best, and two more are waited for.
    assert (student.metrics["best_epoch"], student.metrics["evaluations"], student.metrics["train_steps"]) == (1, 3, 6)


def test_resumed_run_remembers_how_long_it_waited(config: Config, toy: Toy) -> None:
    options: dict[str, Any] = {"early_stopping": 3, "learning_rate": 0.0, "num_train_epochs": 9, "save_total_limit": 9}
    rows, test = toy(32), toy(20)
    whole = train_student(config(**options), rows, names=NAMES, eval=test)
    assert whole.metrics["evaluations"] == 4
    resumed = config(**options, resume_from_checkpoint=f"{config().output_dir}/checkpoint-6")
    assert train_student(resumed, rows, names=NAMES, eval=test).metrics["train_steps"] == 8


def test_unknown_metric_is_told_with_those_there_are(config: Config, toy: Toy) -> None:
    chosen = config(load_best_model_at_end=True, metric_for_best_model="f1")
    with pytest.raises(ConfigError, match=r"is 'f1', which no evaluation gives. Give one of \['accuracy', 'f1_macro'"):
        train_student(chosen, toy(32), names=NAMES, eval=toy(20))


def test_best_epoch_needs_rows_to_choose_on(config: Config, toy: Toy) -> None:
    with pytest.raises(ConfigError, match=r"`eval_strategy` is 'epoch', but there are no rows"):
        train_student(config(load_best_model_at_end=True), toy(32), names=NAMES)


def test_without_it_nothing_is_reported(config: Config, toy: Toy) -> None:
    student = train_student(config(eval_strategy="epoch", num_train_epochs=2), toy(32), names=NAMES, eval=toy(20))
    assert not any(name.startswith("best_") for name in student.metrics)


def test_wrong_patience_is_refused(config: Config) -> None:
    for wrong in (0, -1, True, "two"):
        with pytest.raises(ConfigError, match=r"`early_stopping` is .* Give how many evaluations to wait"):
            config(early_stopping=wrong)
