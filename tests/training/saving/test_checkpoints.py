"""Runs that are interrupted: what goes on from a checkpoint is bit for bit what would have been without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import Trainer, TrainerCallback

from hf_synthlabels.errors import ConfigError, TrainingError
from hf_synthlabels.training import Student, StudentConfig, StudentTrainer, train_student
from hf_synthlabels.training.saving.checkpoints import rows_digest

ROOT = Path(__file__).parents[3]
NAMES = ["film", "sport"]
Config = Callable[..., StudentConfig]
Toy = Callable[..., Dataset]


class PowerCutError(Exception):
    """Ends a run."""


class Cut(TrainerCallback):  # type: ignore[misc]
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step == self.step:
            raise PowerCutError


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Train until a step and no further."""

    def until(step: int, *args: Any, **kwargs: Any) -> None:
        make = StudentTrainer.__init__

        def cut(self: StudentTrainer, *arguments: Any, **options: Any) -> None:
            make(self, *arguments, **options)
            self.add_callback(Cut(step))

        with monkeypatch.context() as patch:
            patch.setattr(StudentTrainer, "__init__", cut)
            with pytest.raises(PowerCutError):
                train_student(*args, **kwargs)

    return until


def weights(student: Student) -> dict[str, torch.Tensor]:
    return dict(student.trainer.model.state_dict())


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("step", "options"),
    [
        # In the middle of an epoch of 5 updates, with dropout.
        pytest.param(8, {"save_steps": 7}, id="middle", marks=pytest.mark.slow),
        pytest.param(6, {"save_steps": 5}, id="end of an epoch", marks=pytest.mark.slow),
        pytest.param(5, {"save_steps": 4, "gradient_accumulation_steps": 2, "lora_r": 2}, id="accumulation, adapters"),
        pytest.param(8, {"save_steps": 7, "bf16": True}, id="bfloat16", marks=pytest.mark.slow),
        pytest.param(
            8, {"save_steps": 7, "eval_strategy": "steps", "eval_steps": 7}, id="evaluation", marks=pytest.mark.slow
        ),
    ],
)
def test_resumed_run_is_the_uninterrupted_one(
    config: Config, toy: Toy, interrupted: Callable[..., None], tmp_path: Path, step: int, options: dict[str, Any]
) -> None:
    options = {"num_train_epochs": 3, "save_strategy": "steps", **options}
    rows, test = toy(80), toy(20, seed=1) if "eval_strategy" in options else None
    whole = train_student(config(**options, output_dir=str(tmp_path / "whole")), rows, names=NAMES, eval=test)
    interrupted(step, config(**options), rows, names=NAMES, eval=test)
    resumed = train_student(config(**options, resume_from_checkpoint=True), rows, names=NAMES, eval=test)
    assert same(weights(resumed), weights(whole))
    assert resumed.metrics["train_steps"] == whole.metrics["train_steps"]
    # It is the checkpoint that it went on from: beginning anew takes all steps.
    assert resumed.trainer._initial_global_step == options["save_steps"]


def test_runs_resume_from_complete_checkpoints_of_the_same_rows_only(config: Config, toy: Toy, tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    # Without a checkpoint a run begins.
    first = train_student(config(max_steps=4, resume_from_checkpoint=True), toy(40), names=NAMES)
    again = train_student(config(**options), toy(40), names=NAMES)
    assert same(weights(first), weights(again))
    folder = tmp_path / "student" / "checkpoint-2"
    (folder / "unfinished").touch()
    for rows, resume in ((toy(40), str(folder)), (toy(40), str(tmp_path / "nowhere")), (toy(40, seed=5), True)):
        with pytest.raises(ConfigError, match="`resume_from_checkpoint`"):
            train_student(config(**options, resume_from_checkpoint=resume), rows, names=NAMES)


def test_digest_tells_tokens_labels_and_order_apart() -> None:
    def digest(tokens: list[list[int]], labels: list[int]) -> str | None:
        return rows_digest(Dataset.from_dict({"input_ids": tokens, "labels": labels}))

    found = digest([[1, 2], [3]], [0, 1])
    assert found == digest([[1, 2], [3]], [0, 1])
    others = [digest([[1, 2], [4]], [0, 1]), digest([[1, 2], [3]], [1, 0]), digest([[3], [1, 2]], [0, 1])]
    assert len({found, *others}) == 4
    assert digest([[1], [2, 3]], [0, 1]) != found
    assert rows_digest([{"input_ids": [1]}]) is None


def test_newest_and_best_checkpoints_are_kept(config: Config, toy: Toy) -> None:
    options: dict[str, Any] = {"max_steps": 5, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 2}
    chosen = config(**options)
    # Of an earlier, longer run: older, although its step is higher.
    train_student(config(max_steps=8, save_strategy="steps", save_steps=8), toy(40), names=NAMES)
    train_student(chosen, toy(40), names=NAMES)
    assert {folder.name for folder in Path(str(chosen.output_dir)).iterdir()} == {"checkpoint-4", "checkpoint-5"}


def test_full_disk_is_told(config: Config, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Trainer, folder: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(TrainingError, match="`output_dir`"):
        train_student(config(max_steps=4, save_strategy="steps", save_steps=2), toy(40), names=NAMES)


KILLED = """
import os, sys, torch
from datasets import load_from_disk
from transformers import Trainer
from hf_synthlabels.training import StudentConfig, train_student

model, rows, out, kill, resume = sys.argv[1:]
config = StudentConfig(
    model=model, max_length=32, output_dir=out, learning_rate=1e-3, max_steps=9, save_strategy="steps", save_steps=3,
    save_total_limit=1, use_cpu=True, resume_from_checkpoint=resume == "resume",
)
save = torch.save

def dies(what, path, *args, **kwargs):
    if kill == "kill" and "checkpoint-6" in str(path) and str(path).endswith("optimizer.pt"):
        # Half of the file is on the disk.
        open(path, "wb").write(b"half")
        os._exit(9)
    save(what, path, *args, **kwargs)

torch.save = dies
student = train_student(config, load_from_disk(rows), names=["film", "sport"])
torch.save(student.trainer.model.state_dict(), out + ".pt")
print(student.trainer._initial_global_step)
"""


@pytest.mark.slow
def test_a_kill_while_saving_leaves_the_checkpoint_before(encoder: str, toy: Toy, tmp_path: Path) -> None:
    toy(64).save_to_disk(tmp_path / "rows")

    def run(out: str, kill: str, resume: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", KILLED, encoder, str(tmp_path / "rows"), str(tmp_path / out), kill, resume],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert run("killed", "kill", "anew").returncode == 9
    left = {folder.name: (folder / "unfinished").exists() for folder in (tmp_path / "killed").iterdir()}
    assert left == {"checkpoint-3": False, "checkpoint-6": True}
    resumed = run("killed", "no", "resume")
    assert (resumed.returncode, resumed.stdout.strip()) == (0, "3"), resumed.stderr[-2000:]
    assert "deleting checkpoint-6, which is incomplete" in resumed.stderr
    assert [folder.name for folder in (tmp_path / "killed").iterdir()] == ["checkpoint-9"]
    assert run("whole", "no", "anew").returncode == 0
    assert same(torch.load(tmp_path / "killed.pt"), torch.load(tmp_path / "whole.pt"))
