from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig, StudentTrainer, train_student
from hf_synthlabels.training.evaluation import best_of_trial, search_options

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


def test_the_best_epoch_needs_a_known_metric_and_rows(config: Config, toy: Toy) -> None:
    student = train_student(config(eval_strategy="epoch", num_train_epochs=2), toy(32), names=NAMES, eval=toy(20))
    assert not any(name.startswith("best_") for name in student.metrics)
    with pytest.raises(ConfigError, match="`eval_strategy`"):
        train_student(config(load_best_model_at_end=True), toy(32), names=NAMES)
    chosen = config(load_best_model_at_end=True, metric_for_best_model="f1")
    with pytest.raises(ConfigError, match=r"'f1'.*\['accuracy', 'f1_macro'"):
        train_student(chosen, toy(32), names=NAMES, eval=toy(20))


pytest.importorskip("optuna", reason="needs the extra `search`")
SHAPE = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
# Three evaluations in each of two trials: the first trial is the best, in its middle.
SCORES = (0.2, 0.9, 0.1, 0.3, 0.4, 0.5)


def model() -> BertForSequenceClassification:
    return BertForSequenceClassification(BertConfig(**SHAPE))


def searched(make: Callable[..., Trainer], **changes: Any) -> Any:
    scores: Iterator[float] = iter(SCORES)
    rows = Dataset.from_dict({"input_ids": [[2, 3, 4]] * 4, "labels": [0, 1, 0, 1]})
    trainer = make(
        model_init=model,
        train_dataset=rows,
        eval_dataset=rows,
        compute_metrics=lambda _: {"score": next(scores), "cost": 7.0},
    )
    space = {"hp_space": lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-3)}}
    return trainer.hyperparameter_search(**space, n_trials=2, backend="optuna", **changes)


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    given = {"output_dir": str(folder), "use_cpu": True, "report_to": "none", "disable_tqdm": True}
    return {**given, "num_train_epochs": 3, "eval_strategy": "epoch", "save_strategy": "no", **changes}


def test_plain_trainer_takes_the_last_evaluation_and_the_smallest_sum(tmp_path: Path) -> None:
    # If this fails, transformers looks at the best evaluation, and search_options may go.
    best = searched(lambda **given: Trainer(args=TrainingArguments(**options(tmp_path)), **given))
    # 0.1 + 7 after the last epoch of the first trial.
    assert (best.run_id, best.objective) == ("0", pytest.approx(7.1))


def test_the_best_evaluation_of_the_metric_is_looked_for(tmp_path: Path) -> None:
    config = StudentConfig(**options(tmp_path, metric_for_best_model="score"))
    best = searched(lambda **given: StudentTrainer(args=config, **given))
    assert (best.run_id, best.objective) == ("0", 0.9)
    # By an objective of one's own it is the best evaluation as well.
    own = {"compute_objective": lambda metrics: metrics["eval_score"] + 1, "direction": "minimize"}
    best = searched(lambda **given: StudentTrainer(args=config, **given), **own)
    assert (best.run_id, best.objective) == ("0", 1.1)


def test_search_follows_the_metric(tmp_path: Path) -> None:
    for metric, direction in ((None, "minimize"), ("eval_loss", "minimize"), ("f1", "maximize")):
        config = StudentConfig(**options(tmp_path, metric_for_best_model=metric))
        assert search_options(config, {})["direction"] == direction
        assert search_options(config, {"direction": "maximize"})["direction"] == "maximize"
    # No evaluation reports F1.
    with pytest.raises(ConfigError, match="`metric_for_best_model`"):
        searched(lambda **given: StudentTrainer(args=config, **given))
    # Several objectives are left as they are.
    assert best_of_trial([1, 2], [0, 5], ["maximize", "minimize"]) == [0, 5]
    assert best_of_trial(None, 0.3, "maximize") == 0.3
    assert best_of_trial(0.5, 0.3, "minimize") == 0.3
