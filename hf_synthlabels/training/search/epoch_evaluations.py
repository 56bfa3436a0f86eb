"""Epoch readings: what a student says after each epoch of a longer run, exactly as if the run had ended there.

That is so under two schedules. With a constant rate after a warm-up the first epochs of a run know nothing of those
that follow. With warm-up, stable rate and decay, the run forks before each reading: the copy goes on with a falling
rate and is read, the run itself goes on as if nothing had been. Random states are put back after a reading, so that
dropout draws what it would have drawn.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from hf_synthlabels.training.distributed.rng_state import preserve_rng_state

Read = Callable[[int, int], bool]
"""Told the epochs and optimiser steps of a student that is ready to be read; False ends the run."""


def decay_steps(decay: float, steps_per_epoch: int) -> int:
    """Optimiser steps over which the rate falls before a reading: a share of an epoch, at least 1, never all of it."""
    return max(1, min(steps_per_epoch - 1, math.ceil(decay * steps_per_epoch)))


class EpochReadings(TrainerCallback):
    """Reads a student after the epochs that are asked for."""

    def __init__(self, epochs: tuple[int, ...], read: Read, *, decay: float | None = None) -> None:
        """Prepare.

        Args:
            epochs: when to read.
            read: called with the model as it is then.
            decay: the share of an epoch over which the rate falls before a reading; None reads it as it is.
        """
        self.trainer: Trainer | None = None
        """Set before training."""
        self.extra_steps = 0
        """Steps of forks."""
        self._epochs = epochs
        self._read = read
        self._decay = decay

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Read the model itself, where its rate does not decay."""
        epoch = round(state.epoch)
        if self._decay is None and epoch in self._epochs:
            with preserve_rng_state():
                control.should_training_stop |= not self._read(epoch, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Fork where a decay that ends with an epoch begins."""
        if self._decay is None or self.trainer is None:
            return
        per_epoch = state.max_steps // math.ceil(args.num_train_epochs)
        steps = decay_steps(self._decay, per_epoch)
        epoch, rest = divmod(state.global_step + steps, per_epoch)
        if rest or epoch not in self._epochs or state.global_step >= state.max_steps:
            return
        with preserve_rng_state(), _unchanged(kwargs["model"], kwargs["optimizer"]):
            self._finish(self.trainer, kwargs["model"], kwargs["optimizer"], per_epoch, steps)
            self.extra_steps += steps
            control.should_training_stop |= not self._read(epoch, epoch * per_epoch)

    def _finish(self, trainer: Trainer, model: Any, optimizer: Any, per_epoch: int, steps: int) -> None:
        """Train the last steps of an epoch with a rate that falls linearly to 0, as Trainer would."""
        rates = [group["lr"] for group in optimizer.param_groups]
        model.train()
        model.zero_grad()
        for step, batches in enumerate(_last_updates(trainer, per_epoch, steps)):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1.0 - step / steps)
            items = trainer._get_num_items_in_batch(batches, trainer.args.device)
            trainer.current_gradient_accumulation_steps = len(batches)
            for number, batch in enumerate(batches, start=1):
                trainer.accelerator.gradient_state._set_sync_gradients(number == len(batches))
                trainer.training_step(model, batch, items)
            if trainer.args.max_grad_norm > 0:
                trainer._clip_grad_norm(model)
            optimizer.step()
            model.zero_grad()


def _last_updates(trainer: Trainer, per_epoch: int, steps: int) -> Iterator[list[dict[str, torch.Tensor]]]:
    """The batches of the last updates of the epoch that is being trained."""
    loader: Any = trainer.callback_handler.train_dataloader
    batches = list(loader.batch_sampler)
    accumulated = trainer.args.gradient_accumulation_steps
    for update in range(per_epoch - steps, per_epoch):
        part = batches[update * accumulated : (update + 1) * accumulated]
        yield [loader.collate_fn([loader.dataset[row] for row in rows]) for rows in part]


@contextmanager
def _unchanged(model: torch.nn.Module, optimizer: Any) -> Iterator[None]:
    """Weights and optimiser as they were, put back afterwards; they stay on their device."""
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    moments = copy.deepcopy(optimizer.state_dict())
    try:
        yield
    finally:
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        model.train()
