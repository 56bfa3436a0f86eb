from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.saving.atomic_replace import exchanged

NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


def test_files_are_exchanged_together(tmp_path: Path) -> None:
    for name in ("config.json", "model-00001-of-00002.safetensors", "adapter_config.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    (tmp_path / "checkpoint-3").mkdir()
    with exchanged(tmp_path) as new:
        (new / "config.json").write_text("new")
        (new / "model.safetensors").write_text("new")
        (new / "templates").mkdir()
        (new / "templates" / "one.jinja").write_text("new")
        # Until now nothing has changed.
        assert (tmp_path / "config.json").read_text() == "old"
    # Of the earlier weights nothing is left, and all else is.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-3",
        "config.json",
        "model.safetensors",
        "notes.txt",
        "templates",
    ]
    assert (tmp_path / "config.json").read_text() == "new"


def test_interrupted_save_leaves_the_student_before(
    config: Config, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (train_student(config(max_steps=steps), toy(40), names=NAMES) for steps in (1, 4))
    first.save(tmp_path / "saved")

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedTokenizerBase, "save_pretrained", full)
        with pytest.raises(TrainingError, match=r"could not be written to .*No space left.* before is still there"):
            second.save(tmp_path / "saved")
    still = config(model=str(tmp_path / "saved"), max_steps=1, learning_rate=0.0)
    found = train_student(still, toy(20), names=NAMES).predict(toy(20)).probabilities
    np.testing.assert_allclose(found, first.predict(toy(20)).probabilities, atol=1e-6)
    second.save(tmp_path / "saved")
    found = train_student(still, toy(20), names=NAMES).predict(toy(20)).probabilities
    np.testing.assert_allclose(found, second.predict(toy(20)).probabilities, atol=1e-6)


def test_all_weights_over_adapters_leave_no_adapters(config: Config, toy: Toy, tmp_path: Path) -> None:
    train_student(config(max_steps=1, lora_r=2), toy(20), names=NAMES).save(tmp_path / "saved")
    student = train_student(config(max_steps=2), toy(20), names=NAMES)
    student.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("adapter*"))
    still = config(model=str(tmp_path / "saved"), max_steps=1, learning_rate=0.0)
    found = train_student(still, toy(20), names=NAMES).predict(toy(20)).probabilities
    np.testing.assert_allclose(found, student.predict(toy(20)).probabilities, atol=1e-6)


def test_adapters_are_not_saved_over_their_own_model(config: Config, toy: Toy, tmp_path: Path) -> None:
    train_student(config(max_steps=1), toy(20), names=NAMES).save(tmp_path / "saved")
    student = train_student(config(model=str(tmp_path / "saved"), max_steps=1, lora_r=2), toy(20), names=NAMES)
    with pytest.raises(TrainingError, match=r"which holds the model that it adapts. Give another folder"):
        student.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").exists()
