"""Options of how a student is trained: adapters, the best epoch, and what saves time and memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hf_synthlabels.errors import ConfigError

SAVES = ("adapter", "merged")


@dataclass(repr=False)
class RunOptions:
    """The part of StudentConfig that says how a student is trained; the help texts are the documentation."""

    lora_r: int = field(
        default=0, metadata={"help": "Rank of LoRA adapters around the pretrained layers; 0 trains all weights."}
    )
    lora_alpha: float | None = field(
        default=None, metadata={"help": "LoRA's scale, divided by the rank; twice the rank where none is given."}
    )
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout in front of the adapters, 0 to below 1."})
    lora_targets: list[str] | str = field(
        default_factory=lambda: ["all-linear"],
        metadata={"help": "Layers to adapt: 'all-linear' of the encoder, or the ends of their names, such as query."},
    )
    lora_head: list[str] | None = field(
        default=None,
        metadata={"help": "Modules that are trained whole and saved. Without it the head that the architecture has."},
    )
    load_in_4bit: bool = field(
        default=False, metadata={"help": "Hold the pretrained weights in 4 bits (QLoRA): a CUDA GPU and bitsandbytes."}
    )
    save: str = field(
        default="adapter",
        metadata={"help": "What of a student with LoRA is saved: its 'adapter' and head, or plain 'merged' weights."},
    )
    early_stopping: int | None = field(
        default=None,
        metadata={"help": "Stop after this many evaluations in a row without a better `metric_for_best_model`."},
    )
    pad_lengths: list[int] | None = field(
        default=None,
        metadata={
            "help": "Pad every batch to the next of these lengths, so that `torch_compile` sees few shapes. With "
            "`torch_compile` and without this, up to six lengths are taken from the rows."
        },
    )
    padding_free: bool = field(
        default=False,
        metadata={
            "help": "Run the layers of an encoder on the tokens alone, without padding. Attention dropout becomes 0."
        },
    )
    checkpointing_is_automatic: bool = field(
        init=False, default=True, metadata={"help": "Whether the size of the model decides on checkpointing."}
    )


def check_run_options(config: Any) -> None:
    """Fill in what follows from the options, and refuse those that contradict each other. Called before checks of
    TrainingArguments.

    Raises:
        ConfigError: an option is out of its range or needs another one.
    """
    _check_lora(config)
    # TrainingArguments makes "nothing said" a no.
    config.checkpointing_is_automatic = (
        config.activation_checkpointing is None and config.gradient_checkpointing is None
    )
    if config.padding_free and (config.torch_compile or config.pad_lengths is not None):
        raise ConfigError(
            "`padding_free` is true, which leaves no padding for `torch_compile` and `pad_lengths`. Leave either out."
        )
    if config.pad_lengths is not None:
        lengths = config.pad_lengths
        if not isinstance(lengths, list | tuple) or not lengths or any(not _count(length) for length in lengths):
            raise ConfigError(f"`pad_lengths` is {lengths!r}. Give lengths in tokens, for example [32, 64, 128].")
        # Nothing is longer than max_length, so the last length always fits.
        config.pad_lengths = sorted({min(length, config.max_length) for length in lengths} | {config.max_length})
    if config.early_stopping is not None:
        if not _count(config.early_stopping):
            raise ConfigError(f"`early_stopping` is {config.early_stopping!r}. Give how many evaluations to wait.")
        config.load_best_model_at_end = True
        # Otherwise a resumed run waits from the beginning again.
        config.restore_callback_states_from_checkpoint = True
    if config.load_best_model_at_end:
        _prepare_best(config)


def _check_lora(config: Any) -> None:
    if config.lora_r != 0 and not _count(config.lora_r):
        raise ConfigError(f"`lora_r` is {config.lora_r!r}. Give a rank such as 8, or 0 to train all weights.")
    if not 0 <= config.lora_dropout < 1:
        raise ConfigError(f"`lora_dropout` is {config.lora_dropout}. Give a share from 0 to below 1.")
    if config.lora_alpha is not None and config.lora_alpha <= 0:
        raise ConfigError(f"`lora_alpha` is {config.lora_alpha}. Give a number above 0, for example twice `lora_r`.")
    if config.save not in SAVES:
        raise ConfigError(f"`save` is {config.save!r}. Give {' or '.join(repr(way) for way in SAVES)}.")
    if isinstance(config.lora_targets, str):
        config.lora_targets = [config.lora_targets]
    if not config.lora_targets:
        raise ConfigError("`lora_targets` is empty. Give 'all-linear', or the ends of layer names.")
    if isinstance(config.lora_head, str):
        config.lora_head = [config.lora_head]
    if config.lora_r == 0:
        _check_whole(config)
    if config.load_in_4bit and config.save == "merged":
        raise ConfigError(
            "`save` is 'merged', but weights of 4 bits can not be merged without loss. Save the adapter, and merge it "
            "into the base model in full precision."
        )


def _check_whole(config: Any) -> None:
    for option, default in (("lora_head", None), ("lora_alpha", None), ("load_in_4bit", False)):
        if getattr(config, option) != default:
            raise ConfigError(
                f"`{option}` is {getattr(config, option)!r}, but `lora_r` is 0, which trains all weights. Give "
                "`lora_r: 8`, say, or leave it out."
            )


def _prepare_best(config: Any) -> None:
    """An evaluation and a checkpoint at every epoch, where nothing else is said; the best and the last are kept."""
    if str(getattr(config.eval_strategy, "value", config.eval_strategy)) == "no":
        config.eval_strategy = "epoch"
    if str(getattr(config.save_strategy, "value", config.save_strategy)) == "no":
        config.save_strategy = config.eval_strategy
        config.save_steps = config.eval_steps or config.save_steps
    if config.save_total_limit is None:
        config.save_total_limit = 1


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
