"""Weights that several processes hold in parts (FSDP, DeepSpeed ZeRO-3), put together for saving."""

from __future__ import annotations

from typing import Any

from transformers import Trainer

from hf_synthlabels.errors import TrainingError


def whole_weights(trainer: Trainer) -> dict[str, Any] | None:
    """All weights of a sharded model, on the first process; None where no process holds a part only.

    Every process must call it at the same time, for each sends its part.

    Raises:
        TrainingError: the model has adapters, which are not put together here.
    """
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return None
    if hasattr(trainer.model, "peft_config"):
        raise TrainingError(
            "`lora_r` was used with sharded weights, which can not be saved. Launch it with "
            "configs/accelerate/ddp.yaml: with adapters every GPU holds the frozen weights."
        )
    if not trainer.accelerator.is_fsdp2:
        gathered: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        return gathered
    weights = {}
    first = trainer.is_world_process_zero()
    for name, part in trainer.model.state_dict().items():
        # One weight after another: only the first process has room for all.
        whole = (part.full_tensor() if hasattr(part, "full_tensor") else part).detach()
        if first:
            weights[name] = whole.cpu().clone()
    return weights


def shardable(model: Any) -> None:
    """Leave the embeddings of an encoder to be sharded once.

    BERT, RoBERTa and ModernBERT name their embeddings among the modules that belong together, and accelerate 1.15
    shards these and then, within them, the word embeddings again, which PyTorch refuses. Remove when it looks whether
    a module around the embeddings has been sharded.
    """
    together = getattr(model, "_no_split_modules", None)
    if together:
        model._no_split_modules = [name for name in together if not name.endswith("Embeddings")]
