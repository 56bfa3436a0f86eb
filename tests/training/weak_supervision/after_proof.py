"""A curriculum on one or several processes: what the student says, and how many steps each part took.

Run by test_curriculum_processes.py as `python after_proof.py ENCODER OUT.json` and through `torch.distributed.run`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset

from hf_synthlabels.training import StudentConfig, train_student

TEXTS = ("the film of an actor", "a goal of the team", "the plot and the scene", "a match and a score")


def rows() -> Dataset:
    """Texts that an LLM mostly calls sport, and human labels of half of them, mostly film."""
    texts = [TEXTS[row % 4] + " the" * (row % 5) for row in range(64)]
    human = [("film", "sport")[row % 4 == 1] if row < 32 else None for row in range(64)]
    llm = ["film" if row % 16 == 0 else "sport" for row in range(64)]
    return Dataset.from_dict({"text": texts, "llm": llm, "human": human})


def main(encoder: str, out: str, batch: int) -> None:
    config = StudentConfig(
        model=encoder,
        output_dir=str(Path(out).parent / "student"),
        label_column="llm",
        human_column="human",
        human_strategy="finetune",
        correction="forward",
        human_epochs=10.0,
        human_learning_rate=0.1,
        learning_rate=0.1,
        # Adam would hide gradients that are counted twice.
        optim="sgd",
        max_grad_norm=0.0,
        per_device_train_batch_size=batch,
        num_train_epochs=2,
        max_length=16,
        use_cpu=True,
    )
    student = train_student(config, rows(), names=["film", "sport"])
    said = student.predict(rows()).probabilities
    if PartialState().is_main_process:
        steps = {name: student.metrics[name] for name in ("train_steps", "human_train_steps")}
        Path(out).write_text(json.dumps({**steps, "film": said[:, 0].tolist()}))
    student.trainer.end()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
