"""Stop at the first loss that is no number, and say which rows or which update made it so."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hf_synthlabels.errors import DivergedError
from hf_synthlabels.training.distributed.micro_batches import ROW, rows_of, split, without_rows

# More row numbers than this help nobody.
MAX_ROWS = 20


class NonFiniteLossCheck:
    """The losses of a run, looked at one after the other.

    On an accelerator a loss is looked at when the next batch is under way, so that nobody waits for it.
    """

    def __init__(
        self,
        loss_of: Callable[[nn.Module, Mapping[str, Any]], Tensor],
        learning_rate: float,
        *,
        sharded: bool = False,
    ) -> None:
        """Begin a run.

        Args:
            loss_of: the loss of a batch without gradient, to find the rows.
            learning_rate: the likeliest cause, for what is said.
            sharded: whether other processes hold a part of the weights. They would not come to look, so the cause is
                not searched for.
        """
        self._sharded = sharded
        self._loss_of = loss_of
        self._learning_rate = learning_rate
        self._seen: deque[tuple[Tensor, Mapping[str, Any], int]] = deque()

    def see(self, loss: Tensor, model: nn.Module, batch: Mapping[str, Any], step: int) -> None:
        """Remember a loss and look at those whose time has come.

        Args:
            loss: of one batch.
            model: that gave it.
            batch: its rows, with their numbers where they are known.
            step: the update that it is part of, from 1.

        Raises:
            DivergedError: a loss is not finite.
        """
        self._seen.append((loss, batch, step))
        while len(self._seen) > (0 if loss.device.type == "cpu" else 1):
            self._look(model)

    def finish(self, model: nn.Module) -> None:
        """Look at what is left: before weights are saved or used.

        Raises:
            DivergedError: a loss is not finite.
        """
        while self._seen:
            self._look(model)

    def _look(self, model: nn.Module) -> None:
        loss, batch, step = self._seen.popleft()
        value = float(loss)
        if math.isfinite(value):
            return
        self._seen.clear()
        rate = f"`learning_rate` is {self._learning_rate:g}"
        numbers = _numbers(batch)
        if self._sharded:
            raise DivergedError(f"{rate}, with which the loss became {value} in step {step}, at {numbers}. Lower it.")
        # The wrapper of several processes would wait for the others.
        model = getattr(model, "module", model)
        if any(not bool(torch.isfinite(weight).all()) for weight in model.parameters()):
            raise DivergedError(
                f"{rate}, with which the weights became {value} in step {step - 1} (seen in step {step}, {numbers}). "
                "Lower it, or train without `fp16`."
            )
        guilty = self._guilty(model, batch)
        # Weights that are finite but huge give no finite loss of any row.
        if guilty is not None and (step == 1 or len(guilty[ROW]) < rows_of(batch)):
            raise DivergedError(
                f"the loss became {value} in step {step}, at {_numbers(guilty)}: alone they give no finite loss, while "
                "all weights are finite. Look at their labels, weights and probabilities, or leave them out."
            )
        raise DivergedError(f"{rate}, with which the loss became {value} in step {step}, at {numbers}. Lower it.")

    def _guilty(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any] | None:
        """The rows of a batch that by themselves give a loss that is not finite."""
        training = model.training
        model.eval()
        bad = []
        with torch.no_grad():
            for place, row in enumerate(split(batch, rows_of(batch))):
                if not math.isfinite(float(self._loss_of(model, without_rows(row)))):
                    bad.append(place)
        model.train(training)
        return {ROW: batch[ROW][bad] if ROW in batch else torch.tensor(bad), "known": ROW in batch} if bad else None


def _numbers(batch: Mapping[str, Any]) -> str:
    rows = batch.get(ROW)
    if rows is None:
        return "rows that the data set does not number"
    where = "of the training data" if batch.get("known", True) else "of the batch"
    numbers = [int(row) for row in rows]
    named = ", ".join(str(row) for row in sorted(numbers)[:MAX_ROWS])
    more = f" and {len(numbers) - MAX_ROWS} more" if len(numbers) > MAX_ROWS else ""
    return f"row{'s' if len(numbers) > 1 else ''} {named}{more} {where}"
