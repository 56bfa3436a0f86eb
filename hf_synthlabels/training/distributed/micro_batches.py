"""What to do when a batch does not fit into memory: take it in halves, which gives the same update."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor, nn
from transformers.trainer_pt_utils import nested_concat

from hf_synthlabels.errors import TrainingError
from hf_synthlabels.training.distributed.gradient_sync import unsynced

logger = logging.getLogger(__name__)

ROW = "training_row"
"""Feature of `train_student`: the number of a row in the data set, which errors name. No model sees it."""

Batch = Mapping[str, Any]
Step = Callable[[nn.Module, Batch, Any], Tensor]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        should_reduce_batch_size(error) or "not enough memory" in str(error) or "can't allocate memory" in str(error)
    )


def without_rows(batch: Batch) -> dict[str, Any]:
    """The batch without the row numbers."""
    return {name: value for name, value in batch.items() if name != ROW}


def rows_of(batch: Batch) -> int:
    """How many rows a batch has: the length of its tokens."""
    tokens = batch.get("input_ids")
    first = (
        tokens if isinstance(tokens, Tensor) else next(v for v in batch.values() if isinstance(v, Tensor) and v.ndim)
    )
    return len(first)


def split(batch: Batch, pieces: int) -> Iterator[dict[str, Any]]:
    """A batch in pieces of as equal a number of rows as can be; fewer where it has fewer rows."""
    rows = rows_of(batch)
    pieces = min(pieces, rows)
    ends = [rows * piece // pieces for piece in range(pieces + 1)]
    for start, end in pairwise(ends):
        yield {
            name: value[start:end] if isinstance(value, Tensor) and value.ndim and len(value) == rows else value
            for name, value in batch.items()
        }


class MicroBatches:
    """The batches of an update, each taken whole or, since memory ran out, in pieces for the rest of the run.

    The loss is a sum over rows, divided by what counts in the update, so that pieces give the gradient of the whole:
    the effective batch stays what it is, and only accumulation grows.
    """

    def __init__(self, batch_size: int, *, additive: bool = True) -> None:
        """Begin with whole batches.

        Args:
            batch_size: rows of a batch on one device, for error messages.
            additive: whether the losses of the pieces add up to that of the batch. A model's own mean does not.
        """
        self.pieces = 1
        self.batch_size = batch_size
        self.additive = additive
        self._update: list[Batch] = []
        self._next = 0

    def begin(self, update: list[Batch]) -> None:
        """Name the batches that come next, all of one update: they are taken again when memory runs out."""
        self._update, self._next = list(update), 0

    @property
    def ended(self) -> bool:
        """Whether all batches of the update have been taken."""
        return self._next >= len(self._update)

    def take(self, step: Step, model: nn.Module, batch: Batch, items: Any, *, alone: bool) -> Tensor:
        """Forward and backward of one batch; gradients are added to those of the update's earlier batches.

        Args:
            step: forward and backward of a batch, divided by `items`; gives the loss.
            model: whose gradients are kept.
            batch: the rows.
            items: what counts in the update.
            alone: whether no other process waits for this one during the passes; else no batch is halved.

        Raises:
            TrainingError: one row alone does not fit, or other processes wait.
        """
        here, self._next = self._next, self._next + 1
        failed: str | None = None
        while True:
            try:
                if failed is not None:
                    # A backward pass that broke off left part of its gradient behind.
                    model.zero_grad()
                    for earlier in self._update[:here]:
                        self._pieces(step, model, without_rows(earlier), items)
                return self._pieces(step, model, batch, items)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                failed = _first_line(error)
            # Only here, behind the except clause, does nothing hold the tensors of the failed pass any more.
            self._halve(batch, items, failed, alone=alone)

    def _pieces(self, step: Step, model: nn.Module, batch: Batch, items: Any) -> Tensor:
        if self.pieces == 1:
            return step(model, batch, items)
        *others, last = split(batch, self.pieces)
        # Other processes, which may have taken theirs whole, wait for one exchange of gradients.
        with unsynced(model):
            losses = [step(model, piece, items) for piece in others]
        return torch.stack([*losses, step(model, last, items)]).sum()

    def _halve(self, batch: Batch, items: Any, reason: str, *, alone: bool) -> None:
        gc.collect()
        clear_device_cache()
        rows = max(rows_of(each) for each in (batch, *self._update))
        if not self.additive:
            raise TrainingError(
                f"`per_device_train_batch_size` is {self.batch_size}, which does not fit into memory ({reason}). Give "
                f"{max(1, self.batch_size // 2)} and twice the `gradient_accumulation_steps`."
            )
        if not alone:
            # One process that takes its batch again would leave the others waiting for its gradient.
            raise TrainingError(
                f"`per_device_train_batch_size` is {self.batch_size}, which does not fit into memory ({reason}), and "
                f"the other processes are waiting. Give {max(1, self.batch_size // 2)} and twice the "
                "`gradient_accumulation_steps`, which is the same update, and go on with "
                "`resume_from_checkpoint: true`."
            )
        if self.pieces >= rows or items is None:
            raise TrainingError(
                f"`max_length`: one row of {_length(batch)} tokens does not fit into memory ({reason}). Lower it, take "
                "a smaller model, or give `lora_r` or `activation_checkpointing: true`."
            )
        self.pieces *= 2
        size = -(-rows // self.pieces)
        logger.warning(
            "memory ran out (%s): from now on %d rows are taken at a time and %d times as often, which gives the same "
            "updates",
            reason,
            size,
            self.pieces,
        )


def predicted_in_pieces(predict: Callable[[dict[str, Any]], Any], batch: dict[str, Any]) -> Any:
    """The loss of a batch and what else a step returns; where memory runs out, of its halves, put together again.

    Raises:
        TrainingError: one row alone does not fit.
    """
    try:
        return predict(batch)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        reason = _first_line(error)
    gc.collect()
    clear_device_cache()
    rows = rows_of(batch)
    if rows == 1:
        raise TrainingError(
            f"`max_length`: one row of {_length(batch)} tokens does not fit into memory ({reason}). "
            "Lower it or take a smaller model."
        )
    logger.warning("memory ran out (%s): %d rows are evaluated in halves, with the same result", reason, rows)
    first, second = (predicted_in_pieces(predict, half) for half in split(batch, 2))
    loss = None if first[0] is None else (first[0] * (rows // 2) + second[0] * (rows - rows // 2)) / rows
    others = (None if one is None else nested_concat(one, two) for one, two in zip(first[1:], second[1:], strict=True))
    return (loss, *others)


def _length(batch: Batch) -> int | str:
    return int(batch["input_ids"].shape[-1]) if "input_ids" in batch else "many"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")[:160]
