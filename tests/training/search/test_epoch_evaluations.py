from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from datasets import Dataset

from hf_synthlabels.training import StudentConfig, StudentTrainer, train_student
from hf_synthlabels.training.base_model import load_base
from hf_synthlabels.training.search.epoch_evaluations import EpochEvaluations, decay_steps
from hf_synthlabels.training.tasks import student_task

NAMES = ("film", "sport")
Weights = dict[str, torch.Tensor]


def read_at(config: StudentConfig, rows: Dataset, epochs: tuple[int, ...], decay: float | None) -> dict[int, Weights]:
    """The weights at each reading of one run."""
    found: dict[int, Weights] = {}
    base = load_base(config, NAMES)
    task = student_task(config, NAMES)
    features = task.features(rows, task.rows(rows), base.tokenizer)

    def read(epoch: int, steps: int) -> bool:
        # A reading draws random numbers, as any evaluation may.
        torch.rand(7)
        trainer.predict(features)
        found[epoch] = {name: value.clone() for name, value in base.model.state_dict().items()}
        assert steps == epoch * (config.max_steps if config.max_steps > 0 else steps // epoch)
        return True

    callback = EpochEvaluations(epochs, read, decay=decay)
    trainer = StudentTrainer(
        base.model, config, train_dataset=features, processing_class=base.tokenizer, callbacks=[callback]
    )
    callback.trainer = trainer
    trainer.train()
    return found


def same(a: Weights, b: Weights) -> bool:
    return all(torch.equal(value, b[name]) for name, value in a.items())


@pytest.mark.parametrize(
    ("schedule", "accumulation"),
    [
        pytest.param("constant_with_warmup", 1, marks=pytest.mark.slow),
        pytest.param("constant_with_warmup", 3, marks=pytest.mark.slow),
        pytest.param("warmup_stable_decay", 1, marks=pytest.mark.slow),
        ("warmup_stable_decay", 3),
    ],
)
def test_reading_has_the_weights_of_a_run_that_ends_there(
    config: Callable[..., StudentConfig], toy: Callable[..., Dataset], schedule: str, accumulation: int
) -> None:
    rows = toy(90)
    # 12 batches of 8 at most, of which 12 or 4 updates; the rate falls over 3 or 1 of them.
    shared: dict[str, Any] = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": accumulation,
        "warmup_steps": 2,
    }
    decay = 0.25 if schedule == "warmup_stable_decay" else None
    readings = read_at(
        config(**shared, lr_scheduler_type="constant_with_warmup", num_train_epochs=3), rows, (1, 2, 3), decay
    )
    assert sorted(readings) == [1, 2, 3]
    own = {} if decay is None else {"num_decay_steps": {1: 3, 3: 1}[accumulation], "decay_type": "linear"}
    for epochs, weights in readings.items():
        alone = train_student(
            config(**shared, lr_scheduler_type=schedule, lr_scheduler_kwargs=own, num_train_epochs=epochs),
            rows,
            names=NAMES,
        )
        assert same(weights, alone.trainer.model.state_dict()), epochs


def test_usual_linear_schedule_is_no_prefix(config: Callable[..., StudentConfig], toy: Callable[..., Dataset]) -> None:
    # Why a grid does not read epochs off a run with linear decay.
    readings = read_at(config(num_train_epochs=2), toy(64), (1, 2), None)
    alone = train_student(config(num_train_epochs=1), toy(64), names=NAMES)
    assert not same(readings[1], alone.trainer.model.state_dict())


def test_reading_can_end_the_run(config: Callable[..., StudentConfig], toy: Callable[..., Dataset]) -> None:
    seen: list[int] = []
    base = load_base(config(), NAMES)
    rows = toy(32)
    task = student_task(config(), NAMES)
    features = task.features(rows, task.rows(rows), base.tokenizer)

    def read(epoch: int, steps: int) -> bool:
        seen.append(epoch)
        return epoch < 2

    callback = EpochEvaluations((1, 2, 3), read)
    trainer = StudentTrainer(
        base.model,
        config(num_train_epochs=3),
        train_dataset=features,
        processing_class=base.tokenizer,
        callbacks=[callback],
    )
    callback.trainer = trainer
    trainer.train()
    assert seen == [1, 2]


def test_decay_takes_a_share_of_an_epoch() -> None:
    for decay, per_epoch, expected in ((0.2, 10, 2), (0.2, 11, 3), (0.01, 10, 1), (0.99, 10, 9), (0.5, 2, 1)):
        assert decay_steps(decay, per_epoch) == expected
