"""A search of hyperparameters looks at the best evaluation of a trial; plain Trainer looks at the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training import StudentConfig, StudentTrainer
from hf_synthlabels.training.evaluation.search_objective import best_of_trial, searched_by

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
    # If this fails, transformers looks at the best evaluation, and searched_by may go.
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


def test_a_metric_that_no_evaluation_gives_is_told(tmp_path: Path) -> None:
    config = StudentConfig(**options(tmp_path, metric_for_best_model="f1"))
    with pytest.raises(ConfigError, match=r"`metric_for_best_model` is 'f1', which no evaluation gives"):
        searched(lambda **given: StudentTrainer(args=config, **given))


@pytest.mark.parametrize(
    ("given", "direction"),
    [
        ({}, "minimize"),
        ({"metric_for_best_model": "eval_loss"}, "minimize"),
        ({"metric_for_best_model": "f1"}, "maximize"),
    ],
)
def test_direction_follows_the_metric(tmp_path: Path, given: dict[str, Any], direction: str) -> None:
    config = StudentConfig(**options(tmp_path, **given))
    assert searched_by(config, {})["direction"] == direction
    assert searched_by(config, {"direction": "maximize"})["direction"] == "maximize"


def test_several_objectives_are_left_as_they_are() -> None:
    assert best_of_trial([1, 2], [0, 5], ["maximize", "minimize"]) == [0, 5]
    assert best_of_trial(None, 0.3, "maximize") == 0.3
    assert best_of_trial(0.5, 0.3, "minimize") == 0.3
