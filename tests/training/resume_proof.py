"""Whether a run on several processes that is interrupted and resumed ends with the same weights, bit for bit.

Run by test_resume_processes.py through `torch.distributed.run` as `resume_proof.py MODEL ROWS OUT.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import load_from_disk
from transformers import TrainerCallback

from hf_synthlabels.training import StudentConfig, StudentTrainer, train_student


class PowerCutError(Exception):
    """Ends a run."""


class Cut(TrainerCallback):  # type: ignore[misc]
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step == 5:
            raise PowerCutError


def main(model: str, rows: str, out: str) -> None:
    folder = Path(out).parent

    def run(name: str, *, cut: bool = False, resume: bool = False) -> dict[str, torch.Tensor]:
        config = StudentConfig(
            model=model,
            max_length=32,
            output_dir=str(folder / name),
            per_device_train_batch_size=8,
            gradient_accumulation_steps=2,
            learning_rate=1e-3,
            num_train_epochs=3,
            save_strategy="steps",
            save_steps=4,
            save_total_limit=1,
            use_cpu=True,
            resume_from_checkpoint=True if resume else None,  # type: ignore[arg-type, unused-ignore]
        )
        make = StudentTrainer.__init__

        def with_cut(self: StudentTrainer, *args: Any, **kwargs: Any) -> None:
            make(self, *args, **kwargs)
            self.add_callback(Cut())

        StudentTrainer.__init__ = with_cut if cut else make  # type: ignore[method-assign]
        try:
            student = train_student(config, load_from_disk(rows), names=["film", "sport"])
            return dict(student.trainer.model.state_dict())
        finally:
            StudentTrainer.__init__ = make  # type: ignore[method-assign]

    whole = run("whole")
    try:
        run("cut", cut=True)
        interrupted = False
    except PowerCutError:
        interrupted = True
    left = sorted(path.name for path in (folder / "cut").iterdir())
    resumed = run("cut", resume=True)
    same = all(torch.equal(whole[name], resumed[name]) for name in whole)
    # Each process tells of itself.
    reports = gather_object([{"interrupted": interrupted, "left": left, "same": same}])
    state = PartialState()
    if state.is_main_process:
        Path(out).write_text(json.dumps(reports))
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
