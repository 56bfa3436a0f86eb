"""FormatCurve: whether a student that writes its labels has learnt their form yet, beside how often it is right.

Faysse, Viaud, Hudelot and Colombo (2023, arXiv 2310.14103) saw two phases: first the form of the answers, then the
task. A score alone mixes them. A student with a classification head has the form from the start: each of its outputs is
a label, so there is nothing to draw for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from transformers import Trainer, TrainerCallback

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema, parse
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.training.evaluation.metrics import preserve_rng_state
from hf_synthlabels.training.tasks import student_task


@dataclass(frozen=True, slots=True)
class FormatPoint:
    """What the student wrote after so many steps."""

    step: int
    in_schema: Interval
    """The share of all rows whose answer is a label of the schema: the coverage."""
    right: Interval
    """The share of all rows whose answer is the right label."""
    right_in_schema: Interval
    """The share of right labels among the answers that are labels."""


class FormatCurve(TrainerCallback):
    """Lets a student write answers for some rows every few steps, and logs `format_share` and `task_score`.

    Random states are put back, so the training is the one that it would be without.
    """

    def __init__(self, rows: Dataset, schema: LabelSchema, *, label_column: str, every: int) -> None:
        """Prepare.

        Args:
            rows: with the student's text columns and a label of each, some dozens: each is written for.
            schema: what may be answered; single names or numbers.
            label_column: the right label, as a ClassLabel code, a name or a number; None is a row without one.
            every: optimiser steps between two looks; there is one before the first step too.

        Raises:
            ConfigError: `every` is no step, or the schema's labels are of another kind.
            DataError: no row has a label.
        """
        if every < 1:
            raise ConfigError(f"`every` is {every}. Give the steps between two looks, 1 or more.")
        if schema.kind not in ("text-classification", "text-pair", "text-scale"):
            raise ConfigError(f"`schema` has the kind {schema.kind!r}. Give one with single names or a scale.")
        raw = rows.with_format(None)[label_column][:]
        kept = [row for row, label in enumerate(raw) if label is not None]
        if not kept:
            raise DataError(f"`{label_column}` has no label in any of {len(raw)} rows. Give rows with labels.")
        names = getattr(rows.features[label_column], "names", None)
        self._truth = [names[raw[row]] if names and isinstance(raw[row], int) else raw[row] for row in kept]
        self._rows, self._schema, self._every = rows.select(kept), schema, every
        self.trainer: Trainer | None = None
        """Set before training; `train_student` does it."""
        self.points: list[FormatPoint] = []
        """What was seen, in the order of the steps."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Look before the first step."""
        self._look(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Look every few steps, and after the last one."""
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._look(state.global_step)

    def _look(self, step: int) -> None:
        if self.trainer is None or (self.points and self.points[-1].step == step):
            return
        model = self.trainer.model
        training = model.training
        with preserve_rng_state():
            said = student_task(self.trainer.args).predict(self.trainer, self._rows).labels
        model.train(training)
        read = [parse(self._schema, str(text or "")) for text in said]
        formed = [answer.status == "labelled" for answer in read]
        right = [answer.label == label for answer, label in zip(read, self._truth, strict=True)]
        n = len(read)
        point = FormatPoint(step, wilson(sum(formed), n), wilson(sum(right), n), wilson(sum(right), sum(formed)))
        self.points.append(point)
        self.trainer.log({"format_share": point.in_schema.estimate, "task_score": point.right.estimate})
