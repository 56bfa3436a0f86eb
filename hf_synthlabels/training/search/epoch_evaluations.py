"""Evaluation after each epoch of a longer run, with the result of a run that ends there.

This holds for two schedules. With a constant learning rate after warm-up, the first epochs of a run do not depend on
those that follow. With warm-up, constant rate and decay, the run is copied before each evaluation: the copy decays and
is evaluated, and the run continues unchanged. Random states are restored after each evaluation.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from hf_synthlabels.training.evaluation import preserve_rng_state

Evaluate = Callable[[int, int], bool]
"""Called with the number of epochs and optimizer steps when the model is ready; False ends the run."""


def decay_steps(decay: float, steps_per_epoch: int) -> int:
    """Optimizer steps of the decay before an evaluation: a share of an epoch, at least 1 and less than an epoch."""
    return max(1, min(steps_per_epoch - 1, math.ceil(decay * steps_per_epoch)))


class EpochEvaluations(TrainerCallback):
    """Evaluates a model after given epochs."""

    def __init__(self, epochs: tuple[int, ...], evaluate: Evaluate, *, decay: float | None = None) -> None:
        """Prepare the evaluations; `decay` is the share of an epoch over which the rate falls to 0 before each one."""
        self.trainer: Trainer | None = None
        """To be set before training."""
        self.extra_steps = 0
        """Optimizer steps of the copies."""
        self._epochs = epochs
        self._evaluate = evaluate
        self._decay = decay

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Without a decay, evaluate the model itself."""
        epoch = round(state.epoch)
        if self._decay is None and epoch in self._epochs:
            with preserve_rng_state():
                control.should_training_stop |= not self._evaluate(epoch, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """With a decay, copy the run where the decay that ends with an epoch begins."""
        if self._decay is None or self.trainer is None:
            return
        per_epoch = state.max_steps // math.ceil(args.num_train_epochs)
        steps = decay_steps(self._decay, per_epoch)
        epoch, rest = divmod(state.global_step + steps, per_epoch)
        if rest or epoch not in self._epochs or state.global_step >= state.max_steps:
            return
        with preserve_rng_state(), _restored(kwargs["model"], kwargs["optimizer"]):
            self._train_decay(self.trainer, kwargs["model"], kwargs["optimizer"], per_epoch, steps)
            self.extra_steps += steps
            control.should_training_stop |= not self._evaluate(epoch, epoch * per_epoch)

    def _train_decay(self, trainer: Trainer, model: Any, optimizer: Any, per_epoch: int, steps: int) -> None:
        """Train the last steps of an epoch with a rate that decays linearly to 0, as Trainer would."""
        rates = [group["lr"] for group in optimizer.param_groups]
        model.train()
        model.zero_grad()
        for step, batches in enumerate(_last_updates(trainer, per_epoch, steps)):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1.0 - step / steps)
            total = trainer._get_num_items_in_batch(batches, trainer.args.device)
            trainer.current_gradient_accumulation_steps = len(batches)
            for number, batch in enumerate(batches, start=1):
                trainer.accelerator.gradient_state._set_sync_gradients(number == len(batches))
                trainer.training_step(model, batch, total)
            if trainer.args.max_grad_norm > 0:
                trainer._clip_grad_norm(model)
            optimizer.step()
            model.zero_grad()


def _last_updates(trainer: Trainer, per_epoch: int, steps: int) -> Iterator[list[dict[str, torch.Tensor]]]:
    """The batches of the last updates of the current epoch."""
    loader: Any = trainer.callback_handler.train_dataloader
    batches = list(loader.batch_sampler)
    accumulation = trainer.args.gradient_accumulation_steps
    for update in range(per_epoch - steps, per_epoch):
        part = batches[update * accumulation : (update + 1) * accumulation]
        yield [loader.collate_fn([loader.dataset[row] for row in rows]) for rows in part]


@contextmanager
def _restored(model: torch.nn.Module, optimizer: Any) -> Iterator[None]:
    """Restore weights and optimizer state afterwards."""
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    moments = copy.deepcopy(optimizer.state_dict())
    try:
        yield
    finally:
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        model.train()
