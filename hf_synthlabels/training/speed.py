"""What saves time and memory in a run: few lengths for a compiler, layers without padding, activations made twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers.trainer_utils import has_length

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.data.features import LABELS, WEIGHT, row_lengths
from hf_synthlabels.training.data.padding_free import run_without_padding
from hf_synthlabels.training.tasks.losses import IGNORED
from hf_synthlabels.training.tasks.token_objectives import Completion, TokenTags

logger = logging.getLogger(__name__)

LARGE = 1_000_000_000
"""Weights from which on activations are made twice, where nothing else is said: a third more computation, and memory
for one layer's activations in place of all. Smaller models gain nothing that a smaller batch would not give."""

MAX_LENGTHS = 6
TOKENS_PER_STEP = 8

Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]


def prepare_run(trainer: Any) -> None:
    """Make the model and the collator of a trainer ready for what its options ask.

    Raises:
        ConfigError: the options do not fit the model or its tokenizer.
    """
    args = trainer.args
    if args.padding_free:
        run_without_padding(trainer.model, half=bool(args.bf16 or args.fp16))
    if args.checkpointing_is_automatic and sum(weight.numel() for weight in trainer.model.parameters()) >= LARGE:
        logger.warning("activation_checkpointing: on, for the model has %d weights or more", LARGE)
        args.activation_checkpointing = args.gradient_checkpointing = True
    if args.activation_checkpointing and hasattr(trainer.model, "enable_input_require_grads"):
        # Frozen layers under adapters would pass no gradient through what is made twice.
        trainer.model.enable_input_require_grads()
    lengths = args.pad_lengths
    if (
        lengths is None
        and args.torch_compile
        and trainer.train_dataset is not None
        and has_length(trainer.train_dataset)
    ):
        tokens = row_lengths(trainer.train_dataset)
        lengths = None if tokens is None else padding_buckets(tokens, args.max_length)
    if lengths is not None:
        trainer.data_collator = _static(trainer, lengths)
        if args.torch_compile:
            _compile_each(len(lengths))


def check_some_batch(trainer: Any) -> None:
    """Refuse a training without a single whole batch.

    Raises:
        ConfigError: `dataloader_drop_last` would drop all rows.
    """
    args, dataset = trainer.args, trainer.train_dataset
    if not args.dataloader_drop_last or args.token_budget is not None or dataset is None or not has_length(dataset):
        return
    size = args.train_batch_size * args.world_size
    if len(dataset) < size:
        raise ConfigError(
            f"`dataloader_drop_last` is true, and {len(dataset)} training rows do not fill one batch of {size}: "
            "nothing would be trained. Leave it out, or lower `per_device_train_batch_size`."
        )


def padding_buckets(lengths: NDArray[np.int64], longest: int, most: int = MAX_LENGTHS) -> list[int]:
    """Up to `most` lengths that pad these rows little: even shares of the rows, rounded up to eights.

    Args:
        lengths: tokens of each row.
        longest: of any row that may come, which is always the last length.
        most: how many.
    """
    shares = np.quantile(lengths, np.arange(1, most) / (most - 1), method="inverted_cdf")
    rounded = {min(longest, int(-(-share // TOKENS_PER_STEP) * TOKENS_PER_STEP)) for share in shares}
    return sorted(rounded | {longest})


@dataclass(frozen=True, slots=True)
class BucketedPadding:
    """A collator whose batches are padded on, to the next of a few lengths."""

    collate: Collate
    lengths: tuple[int, ...]
    """Ascending; what is longer than the last stays as it is."""
    pad_token: int
    labels_per_token: bool

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch that the collator makes, longer."""
        batch = self.collate(rows)
        shape = batch["input_ids"].shape
        missing = next((length for length in self.lengths if length >= shape[1]), shape[1]) - shape[1]
        if not missing:
            return batch
        return {name: self._longer(name, value, shape, missing) for name, value in batch.items()}

    def _longer(self, name: str, value: Any, shape: Sequence[int], missing: int) -> Any:
        per_token = isinstance(value, Tensor) and value.shape[:2] == shape
        if not per_token or (name.startswith("label") and not self.labels_per_token) or name == "label_probs":
            return value
        fill = {"input_ids": self.pad_token, LABELS: IGNORED, WEIGHT: 0}.get(name, 0)
        behind = (0, 0) * (value.ndim - 2)
        return functional.pad(value, (*behind, 0, missing), value=fill)


def _static(trainer: Any, lengths: Sequence[int]) -> Collate:
    tokenizer = trainer.processing_class
    if tokenizer is None or tokenizer.pad_token_id is None:
        raise ConfigError("`pad_lengths` needs a tokenizer with a padding token. Pass it as `processing_class`.")
    if tokenizer.padding_side != "right":
        raise ConfigError(
            "`pad_lengths` needs a tokenizer that pads on the right, and this one pads on the left. Leave "
            "`pad_lengths` and `torch_compile` out."
        )
    per_token = isinstance(trainer.learns, TokenTags | Completion)
    return BucketedPadding(trainer.data_collator, tuple(lengths), tokenizer.pad_token_id, per_token)


def _compile_each(lengths: int) -> None:
    """One program for each length and number of rows; PyTorch would make one for all shapes after the second."""
    settings: Any = torch._dynamo.config
    settings.automatic_dynamic_shapes = False
    # Training and evaluation, full and last batches.
    settings.recompile_limit = max(settings.recompile_limit, 4 * lengths)
