"""Trains on several processes until one of them dies: by an error or by a signal."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import torch
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, TrainerCallback

from hf_synthlabels.training import StudentConfig, StudentTrainer


class Dies(TrainerCallback):  # type: ignore[misc]
    """Ends the second process after two updates."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step == 2 and args.process_index == 1:
            if sys.argv[1] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("the disk of this machine is on fire")


def main() -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(vocab_size=50, **shape))
    rows = Dataset.from_list([{"input_ids": [2, 5 + row % 40, 3], "labels": row % 2} for row in range(4000)])
    config = StudentConfig(output_dir=sys.argv[2], use_cpu=True, num_train_epochs=50)
    StudentTrainer(model, config, train_dataset=rows, callbacks=[Dies()], data_collator=collate).train()


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels")}


if __name__ == "__main__":
    main()
