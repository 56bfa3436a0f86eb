"""Failures of a training: out-of-memory errors, and losses that are NaN or infinite."""

from __future__ import annotations

import gc
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor, nn
from transformers.trainer_pt_utils import nested_concat

from hf_synthlabels.errors import DivergedError, TrainingError, first_line
from hf_synthlabels.training.data.batches import batch_rows, split_batch, without_row_ids
from hf_synthlabels.training.data.features import ROW

logger = logging.getLogger(__name__)

MAX_ROWS_SHOWN = 20


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
            f"`per_device_train_batch_size` is {size}, which does not fit into memory ({first_line(error)}): "
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
        reason = first_line(error)
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


class NonFiniteLossCheck:
    """Checks the losses of a run one after the other.

    On an accelerator a loss is checked while the next batch runs, so that the check does not synchronize.
    """

    def __init__(
        self,
        loss_of: Callable[[nn.Module, Mapping[str, Any]], Tensor],
        learning_rate: float,
        *,
        sharded: bool = False,
    ) -> None:
        """Start a run.

        Args:
            loss_of: the loss of a batch without gradient, to find the rows.
            learning_rate: the most likely cause, for the message.
            sharded: whether other processes hold parts of the weights. They would not join a search for the cause, so
                there is none.
        """
        self._sharded = sharded
        self._loss_of = loss_of
        self._learning_rate = learning_rate
        self._pending: deque[tuple[Tensor, Mapping[str, Any], int]] = deque()

    def record(self, loss: Tensor, model: nn.Module, batch: Mapping[str, Any], step: int) -> None:
        """Record the loss of a batch in an update, counted from 1, and check the losses that are due.

        Raises:
            DivergedError: a loss is not finite.
        """
        self._pending.append((loss, batch, step))
        while len(self._pending) > (0 if loss.device.type == "cpu" else 1):
            self._check(model)

    def finish(self, model: nn.Module) -> None:
        """Check the remaining losses, before weights are saved or used.

        Raises:
            DivergedError: a loss is not finite.
        """
        while self._pending:
            self._check(model)

    def _check(self, model: nn.Module) -> None:
        loss, batch, step = self._pending.popleft()
        value = float(loss)
        if math.isfinite(value):
            return
        self._pending.clear()
        rate, rows = f"`learning_rate` is {self._learning_rate:g}", _row_list(batch)
        too_high = f"{rate}, and the loss became {value} in step {step}, at {rows}. Lower it."
        if self._sharded:
            raise DivergedError(too_high)
        # The distributed wrapper would wait for the other processes.
        model = getattr(model, "module", model)
        if any(not bool(torch.isfinite(weight).all()) for weight in model.parameters()):
            raise DivergedError(
                f"{rate}, and the weights became {value} in step {step - 1} (detected in step {step}, {rows}). Lower "
                "it, or train without `fp16`."
            )
        bad_rows = self._bad_rows(model, batch)
        # With finite but huge weights the loss of every row is infinite.
        if bad_rows is not None and (step == 1 or len(bad_rows[ROW]) < batch_rows(batch)):
            raise DivergedError(
                f"the loss became {value} in step {step}, at {_row_list(bad_rows)}: the loss of these rows alone is "
                "not finite, while all weights are. Check their labels, weights and probabilities, or remove them."
            )
        raise DivergedError(too_high)

    def _bad_rows(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any] | None:
        """The rows of a batch whose own loss is not finite."""
        training = model.training
        model.eval()
        with torch.no_grad():
            bad = [
                index
                for index, row in enumerate(split_batch(batch, batch_rows(batch)))
                if not math.isfinite(float(self._loss_of(model, without_row_ids(row))))
            ]
        model.train(training)
        return {ROW: batch[ROW][bad] if ROW in batch else torch.tensor(bad), "known": ROW in batch} if bad else None


def _row_list(batch: Mapping[str, Any]) -> str:
    rows = batch.get(ROW)
    if rows is None:
        return "unknown rows (the data set has no row index)"
    where = "of the training data" if batch.get("known", True) else "of the batch"
    numbers = sorted(int(row) for row in rows)
    shown = ", ".join(map(str, numbers[:MAX_ROWS_SHOWN]))
    more = f" and {len(numbers) - MAX_ROWS_SHOWN} more" if len(numbers) > MAX_ROWS_SHOWN else ""
    return f"row{'s' if len(numbers) > 1 else ''} {shown}{more} {where}"
