"""Predictions after each epoch of one training run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from transformers import Trainer, TrainerCallback

from hf_synthlabels.training.evaluation import preserve_rng_state
from hf_synthlabels.training.tasks import student_task


class EpochAnswers(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Asks for the test rows at the end of each epoch; random states are put back, so the training stays the same.

    With a schedule whose rate falls to the last step, an earlier epoch is not the student that a shorter run gives.
    """

    def __init__(self, test: Dataset, names: Sequence[str]) -> None:
        """Prepare.

        Args:
            test: rows with the text columns.
            names: of the labels, of kinds that have some.
        """
        self._test, self._names = test, tuple(names)
        self.trainer: Trainer | None = None
        """Set by `train_student`."""
        self.read: list[tuple[float, tuple[Any, ...]]] = []
        """Epochs so far, and the answers after them."""
        self.seconds = 0.0
        """That the reading took, which is no training."""

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Read."""
        if self.trainer is None:
            return
        began = time.perf_counter()
        training = self.trainer.model.training
        with preserve_rng_state():
            found = student_task(self.trainer.args, self._names).predict(self.trainer, self._test)
        self.trainer.model.train(training)
        self.read.append((round(float(state.epoch), 3), tuple(found.column())))
        self.seconds += time.perf_counter() - began
