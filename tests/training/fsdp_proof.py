"""Trains under FSDP2 on processes of the CPU, or plainly on one, and says what came of it.

PyTorch shards on the CPU over gloo; accelerate 1.15 leaves FSDP out there and trains with DDP without a word, so its
state is told here that it shards.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import torch
import torch.distributed.fsdp as fsdp
from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from datasets import Dataset
from torch.distributed.device_mesh import init_device_mesh

from hf_synthlabels.training import StudentConfig, train_student


def shard_on_the_cpu() -> None:
    shard = fsdp.fully_shard

    def shard_here(*arguments: Any, **options: Any) -> Any:
        # Without a mesh it looks for accelerators.
        mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
        return shard(*arguments, **{**options, "mesh": mesh})

    fsdp.fully_shard = shard_here
    begin = AcceleratorState.__init__

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        fresh = "_mixed_precision" not in AcceleratorState._shared_state
        begin(self, *arguments, **options)
        if fresh and self.num_processes > 1:
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            self.fsdp_plugin = FullyShardedDataParallelPlugin(
                fsdp_version=2, auto_wrap_policy="transformer_based_wrap", state_dict_type="FULL_STATE_DICT"
            )

    AcceleratorState.__init__ = init


def main() -> None:
    model, rows, folder = sys.argv[1:]
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        shard_on_the_cpu()
    config = StudentConfig(
        model=model,
        max_length=32,
        output_dir=folder,
        use_cpu=True,
        # Plain gradient descent over all 80 rows in two halves: a gradient that is wrongly shared out shows.
        optim="sgd",
        learning_rate=1.0,
        num_train_epochs=6,
        per_device_train_batch_size=40 // world,
        gradient_accumulation_steps=2,
    )
    student = train_student(config, Dataset.from_json(rows), names=["film", "sport"])
    weights = list(student.trainer.model.parameters())
    kinds = {type(weight).__name__ for weight in weights}
    # What this process holds of all weights.
    held = sum((weight.to_local() if hasattr(weight, "to_local") else weight).numel() for weight in weights)
    sharded = held / sum(weight.numel() for weight in weights)
    student.save(folder)
    if student.trainer.is_world_process_zero():
        with open(f"{folder}/report.json", "w", encoding="utf-8") as file:
            json.dump({"loss": student.metrics["train_loss"], "kinds": sorted(kinds), "sharded": sharded}, file)
    student.trainer.end()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
