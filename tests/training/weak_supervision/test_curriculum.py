from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.weak_supervision.learning_rows import reject_sharded_second_stage, second_stage_config

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


@pytest.fixture
def taught(toy: Toy) -> Dataset:
    """An LLM that calls everything sport but a few films, and humans who labelled 80 rows."""
    data = toy(240)
    said = ["film" if label == 0 and row % 8 == 0 else "sport" for row, label in enumerate(data["label"])]
    human = [NAMES[label] if row < 80 else None for row, label in enumerate(data["label"])]
    return data.remove_columns("label").add_column("llm", said).add_column("human", human)


@pytest.fixture
def after(config: Config) -> Config:
    return lambda **options: config(label_column="llm", human_column="human", human_strategy="finetune", **options)


def test_second_part_is_slower_and_shorter(after: Config, tmp_path: Path) -> None:
    first = after(max_steps=50)
    second = second_stage_config(first)
    assert second.learning_rate == pytest.approx(first.learning_rate / 5)
    assert (second.num_train_epochs, second.max_steps) == (2, -1)
    assert second.output_dir == str(tmp_path / "student" / "human")
    # The first part keeps what it was told.
    assert (first.max_steps, first.learning_rate, first.num_train_epochs) == (50, 1e-3, 6)
    told = second_stage_config(after(human_epochs=4.0, human_learning_rate=3e-4))
    assert (told.num_train_epochs, told.learning_rate) == (4, 3e-4)


def test_human_rows_correct_what_the_llm_taught(after: Config, config: Config, taught: Dataset, toy: Toy) -> None:
    test = toy(60, seed=1)

    def right(chosen: StudentConfig) -> tuple[float, dict[str, float]]:
        student = train_student(chosen, taught, names=NAMES)
        return float(np.mean(student.predict(test).codes == np.array(test["label"]))), dict(student.metrics)

    before, alone = right(config(label_column="llm"))
    later, metrics = right(after(human_epochs=16.0, human_learning_rate=1e-3))
    assert before <= 0.75
    assert later >= 0.95
    # 240 rows in batches of 16 for 6 epochs, then 80 rows for 16.
    assert (metrics["train_steps"], metrics["human_train_steps"]) == (90, 80)
    assert "human_train_steps" not in alone
    assert metrics["train_loss"] == pytest.approx(alone["train_loss"])


def test_second_part_starts_from_the_first(after: Config, config: Config, taught: Dataset) -> None:
    first = train_student(config(label_column="llm", max_steps=5), taught, names=NAMES)
    # A second part that moves nothing leaves the model where the first part did.
    both = train_student(after(max_steps=5, human_learning_rate=1e-12, human_epochs=1.0), taught, names=NAMES)
    for one, other in zip(first.trainer.model.parameters(), both.trainer.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_same_seed_gives_the_same_student(after: Config, taught: Dataset, toy: Toy) -> None:
    outcomes = [train_student(after(max_steps=4), taught, names=NAMES).predict(toy(8)).probabilities for _ in range(2)]
    np.testing.assert_array_equal(outcomes[0], outcomes[1])


def test_checkpoints_of_both_parts_lie_apart(after: Config, taught: Dataset, tmp_path: Path) -> None:
    train_student(after(max_steps=3, save_strategy="steps", save_steps=3, human_epochs=1.0), taught, names=NAMES)
    assert (tmp_path / "student" / "checkpoint-3").is_dir()
    assert (tmp_path / "student" / "human" / "checkpoint-3").is_dir()


def test_correction_is_of_the_first_part_only(after: Config, taught: Dataset) -> None:
    student = train_student(after(max_steps=2, correction="forward"), taught, names=NAMES)
    assert "label_source" not in student.trainer.train_dataset.column_names
    assert len(student.trainer.train_dataset) == 80


@pytest.mark.parametrize("which", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_models_in_pieces_are_refused(which: str) -> None:
    flags: dict[str, Any] = {"is_fsdp_enabled": False, "is_deepspeed_enabled": False, which: True}
    with pytest.raises(ConfigError, match="`human_strategy`"):
        reject_sharded_second_stage(cast("Any", SimpleNamespace(**flags)))


def test_an_interrupted_curriculum_goes_on_from_either_part(after: Config, taught: Dataset, tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "human_epochs": 1.0}
    whole = train_student(after(**options), taught, names=NAMES)
    expected = whole.predict(taught).probabilities
    folder = tmp_path / "student"
    # Interrupted in the second part, then in the first.
    shutil.rmtree(folder / "human" / "checkpoint-5")
    again = train_student(after(**options, resume_from_checkpoint=True), taught, names=NAMES)
    np.testing.assert_allclose(again.predict(taught).probabilities, expected, atol=1e-6)
    shutil.rmtree(folder / "human")
    shutil.rmtree(folder / "checkpoint-4")
    again = train_student(after(**options, resume_from_checkpoint=True), taught, names=NAMES)
    np.testing.assert_allclose(again.predict(taught).probabilities, expected, atol=1e-6)


def test_human_rows_of_one_label_are_refused(after: Config, taught: Dataset) -> None:
    human = ["film" if label == "film" else None for label in taught["human"]]
    data = taught.remove_columns("human").add_column("human", human)
    with pytest.raises(DataError, match="`human`"):
        train_student(after(), data, names=NAMES)
