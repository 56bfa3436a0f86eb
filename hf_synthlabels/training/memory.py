"""Speed and memory of a run: padding, activation checkpointing, and out-of-memory errors."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from transformers.trainer_pt_utils import nested_concat
from transformers.trainer_utils import has_length

from hf_synthlabels.errors import ConfigError, TrainingError
from hf_synthlabels.training.data.collators import BucketedPadding, Collate, padding_buckets
from hf_synthlabels.training.data.features import batch_rows, row_lengths, split_batch
from hf_synthlabels.training.data.padding_free import run_without_padding
from hf_synthlabels.training.tasks.objectives import Completion, TokenTags

logger = logging.getLogger(__name__)

LARGE = 1_000_000_000
"""Number of weights from which activation checkpointing is on by default: a third more computation, and memory for the
activations of one layer instead of all. Smaller models gain nothing over a smaller batch."""


def prepare_model(trainer: Any) -> None:
    """Prepare a trainer's model and collator for `padding_free`, activation checkpointing and fixed lengths.

    Raises:
        ConfigError: the options do not fit the model or its tokenizer.
    """
    args = trainer.args
    if args.padding_free:
        run_without_padding(trainer.model, half=bool(args.bf16 or args.fp16))
    if args.checkpointing_is_automatic and sum(weight.numel() for weight in trainer.model.parameters()) >= LARGE:
        logger.warning("activation_checkpointing is on: the model has at least %d weights", LARGE)
        args.activation_checkpointing = args.gradient_checkpointing = True
    if args.activation_checkpointing and hasattr(trainer.model, "enable_input_require_grads"):
        # Otherwise no gradient reaches the adapters through frozen checkpointed layers.
        trainer.model.enable_input_require_grads()
    lengths, dataset = args.pad_lengths, trainer.train_dataset
    if lengths is None and args.torch_compile and dataset is not None and has_length(dataset):
        tokens = row_lengths(dataset)
        lengths = None if tokens is None else padding_buckets(tokens, args.max_length)
    if lengths is not None:
        trainer.data_collator = _bucketed_collator(trainer, lengths)
        if args.torch_compile:
            _compile_per_shape(len(lengths))


def check_full_batch(trainer: Any) -> None:
    """Reject a training set that does not fill a single batch.

    Raises:
        ConfigError: `dataloader_drop_last` would drop all rows.
    """
    args, dataset = trainer.args, trainer.train_dataset
    if not args.dataloader_drop_last or args.token_budget is not None or dataset is None or not has_length(dataset):
        return
    size = args.train_batch_size * args.world_size
    if len(dataset) < size:
        raise ConfigError(
            f"`dataloader_drop_last` is true, but {len(dataset)} training rows do not fill one batch of {size}. Leave "
            "it out, or lower `per_device_train_batch_size`."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        should_reduce_batch_size(error) or any(text in str(error) for text in ("not enough memory", "reached zero"))
    )


@contextmanager
def explain_out_of_memory(args: Any) -> Iterator[None]:
    """Raise an out-of-memory error of a training as a TrainingError that names the options to change.

    Raises:
        TrainingError: memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        size = args.per_device_train_batch_size
        smaller = (
            "set `auto_find_batch_size: true`"
            if not args.auto_find_batch_size
            else f"set it to {max(1, size // 2)} with twice the `gradient_accumulation_steps`"
        )
        raise TrainingError(
            f"`per_device_train_batch_size` is {size}, which does not fit into memory ({_first_line(error)}): "
            f"{smaller}, lower `max_length`, or use `lora_r` or `activation_checkpointing: true`."
        ) from error


def predict_in_halves(predict: Callable[[dict[str, Any]], Any], batch: dict[str, Any]) -> Any:
    """The outputs of a prediction step; a batch that does not fit into memory is split and the outputs are joined.

    Raises:
        TrainingError: a single row does not fit.
    """
    try:
        return predict(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = _first_line(error)
    # Outside the except clause, where nothing references the tensors of the failed pass.
    gc.collect()
    clear_device_cache()
    rows = batch_rows(batch)
    if rows == 1:
        raise TrainingError(
            f"`max_length` is too large, because a single row does not fit into memory ({reason}): lower it, or use a "
            "smaller model."
        )
    logger.warning("out of memory (%s): evaluating %d rows in halves", reason, rows)
    first, second = (predict_in_halves(predict, half) for half in split_batch(batch, 2))
    loss = None if first[0] is None else (first[0] * (rows // 2) + second[0] * (rows - rows // 2)) / rows
    return (loss, *(None if a is None else nested_concat(a, b) for a, b in zip(first[1:], second[1:], strict=True)))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")[:160]


def _bucketed_collator(trainer: Any, lengths: Sequence[int]) -> Collate:
    tokenizer = trainer.processing_class
    if tokenizer is None or tokenizer.pad_token_id is None:
        raise ConfigError("`pad_lengths` requires a tokenizer with a padding token. Pass it as `processing_class`.")
    if tokenizer.padding_side != "right":
        raise ConfigError("`pad_lengths` requires a tokenizer that pads on the right. Leave the option out.")
    per_token = isinstance(trainer.training_objective, TokenTags | Completion)
    return BucketedPadding(trainer.data_collator, tuple(lengths), tokenizer.pad_token_id, per_token)


def _compile_per_shape(lengths: int) -> None:
    """Compile for each length and batch size; by default PyTorch compiles for dynamic shapes after the second."""
    settings: Any = torch._dynamo.config
    settings.automatic_dynamic_shapes = False
    # Training and evaluation, full and last batches.
    settings.recompile_limit = max(settings.recompile_limit, 4 * lengths)
