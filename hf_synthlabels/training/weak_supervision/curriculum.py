"""Curriculum: LLM labels first, then the few human rows, more carefully."""

from __future__ import annotations

import copy
from pathlib import Path

from transformers import Trainer

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.config import StudentConfig

HUMAN_EPOCHS = 2.0
SLOWER = 5
"""The human rows are learnt at the learning rate over this: they correct what was learnt and shall not replace it."""


def second_stage_config(config: StudentConfig) -> StudentConfig:
    """The config of the second part: the human rows' epochs and learning rate, its own checkpoints, no step limit.

    All else is as before; the optimiser and the schedule start anew.
    """
    later = copy.copy(config)
    later.learning_rate = config.human_learning_rate or config.learning_rate / SLOWER
    later.num_train_epochs = config.human_epochs or HUMAN_EPOCHS
    later.max_steps = -1
    later.output_dir = str(Path(config.output_dir or "student") / "human")
    return later


def check_can_follow(trainer: Trainer) -> None:
    """Refuse a second part where the first leaves the model in pieces.

    Raises:
        ConfigError: FSDP or DeepSpeed holds the model.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        raise ConfigError(
            "`human_strategy` is 'finetune', which needs the whole model in each process, but FSDP or DeepSpeed shards "
            "it. Train twice: first with 'none', then with `model` set to the saved folder and the human labels as "
            "`label_column`."
        )
