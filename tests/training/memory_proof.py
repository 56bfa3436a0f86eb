"""Trains on processes of which one has less memory than the others, and says what each did and what came of it.

Run by test_memory_processes.py through `torch.distributed.run` as `memory_proof.py ENCODER ROWS WHERE FOLDER`. WHERE is
the pass in which memory runs out: `forward` or `backward`; or `later`, in an update with nothing larger than before.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers.models.bert.modeling_bert import BertLayer

from hf_synthlabels.training import StudentConfig, StudentTrainer, train_student, trainer

ROOM = 5
NO_MEMORY = "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8."
exchanged: list[int] = []
"""The updates whose gradients were exchanged afterwards."""


def no_memory(*_: Any) -> None:
    raise RuntimeError(NO_MEMORY)


def little_room(where: str) -> None:
    """From here on this process fits five rows; `later` it fits all, for some passes."""
    forward, passes = BertLayer.forward, 0

    def tight(self: Any, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        nonlocal passes
        passes += 1
        full = passes > 40 if where == "later" else len(hidden) > ROOM
        if full and where == "backward":
            hidden.register_hook(no_memory) if hidden.requires_grad else None
        elif full:
            no_memory()
        return forward(self, hidden, *args, **kwargs)

    BertLayer.forward = tight


def watch() -> None:
    module: Any = trainer
    exchange = module.exchange_gradients

    def seen(model: Any) -> None:
        exchange(model)
        exchanged.append(1)

    module.exchange_gradients = seen


def run(encoder: str, rows: str, folder: str) -> StudentTrainer:
    config = StudentConfig(
        model=encoder,
        max_length=32,
        output_dir=folder,
        use_cpu=True,
        # Plain gradient descent shows a gradient that is counted twice or not at all.
        optim="sgd",
        learning_rate=0.5,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        num_train_epochs=4,
    )
    return train_student(config, Dataset.from_json(rows), names=["film", "sport"]).trainer


def main(encoder: str, rows: str, where: str, folder: str) -> None:
    rank = int(os.environ["RANK"])
    said: list[str] = []
    heard = logging.Handler()
    heard.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("hf_synthlabels").addHandler(heard)
    watch()
    whole = {name: value.clone() for name, value in run(encoder, rows, folder).model.state_dict().items()}
    before = len(exchanged)
    if rank == 1:
        little_room(where)
    student = run(encoder, rows, folder)
    start = f"{encoder}/model.safetensors"
    found = student.model.state_dict()
    report = {
        "pieces": student._batches.pieces,
        "said": [text for text in said if "memory" in text],
        "apart": max(float((found[name] - value).abs().max()) for name, value in whole.items()),
        "moved": max(float((found[f"bert.{name}"] - value).abs().max()) for name, value in load_file(start).items()),
        "updates": student.state.global_step,
        "exchanged": [before, len(exchanged) - before],
    }
    with open(f"{folder}/report.{rank}", "w", encoding="utf-8") as file:
        json.dump(report, file)
    student.end()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
