"""FormatCurve: output format and accuracy of a generative student during training.

Faysse, Viaud, Hudelot and Colombo (2023, arXiv 2310.14103) describe two phases: the student first learns the output
format, then the task; a score alone mixes them. A classification head always predicts a valid label.
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
    """The student's answers after a number of steps."""

    step: int
    in_schema: Interval
    """Share of rows whose answer is a label of the schema."""
    right: Interval
    """Share of rows whose answer is the correct label."""
    right_in_schema: Interval
    """Share of correct labels among valid ones."""


class FormatCurve(TrainerCallback):
    """Generates answers for some rows every few steps, and logs `format_share` and `task_score`.

    Random states are restored, so the training is unchanged.
    """

    def __init__(self, rows: Dataset, schema: LabelSchema, *, label_column: str, every: int) -> None:
        """Select the labeled rows.

        Args:
            rows: a few dozen rows with the student's text columns and a label.
            schema: the valid answers, classes or numbers.
            label_column: the correct label, as a ClassLabel code, a name or a number; None marks an unlabeled row.
            every: optimizer steps between evaluations, of which the first is before training.

        Raises:
            ConfigError: `every` is below 1, or the schema has another task type.
            DataError: no row has a label.
        """
        if every < 1:
            raise ConfigError(f"`every` is {every}. Give a number of steps of at least 1.")
        if schema.kind not in ("text-classification", "text-pair", "text-scale"):
            raise ConfigError(f"`schema` has the task type {schema.kind!r}. Use a single-label or rating schema.")
        raw = rows.with_format(None)[label_column][:]
        kept = [row for row, label in enumerate(raw) if label is not None]
        if not kept:
            raise DataError(f"`{label_column}` has no label in any of {len(raw)} rows. Pass labeled rows.")
        names = getattr(rows.features[label_column], "names", None)
        self._labels = [names[raw[row]] if names and isinstance(raw[row], int) else raw[row] for row in kept]
        self._rows, self._schema, self._every = rows.select(kept), schema, every
        self.trainer: Trainer | None = None
        """Set before training; `train_student` does it."""
        self.points: list[FormatPoint] = []
        """The evaluations in the order of the steps."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Evaluate before the first step."""
        self._evaluate(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Evaluate every few steps, and after the last one."""
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._evaluate(state.global_step)

    def _evaluate(self, step: int) -> None:
        if self.trainer is None or (self.points and self.points[-1].step == step):
            return
        model = self.trainer.model
        training = model.training
        with preserve_rng_state():
            texts = student_task(self.trainer.args).predict(self.trainer, self._rows).labels
        model.train(training)
        answers = [parse(self._schema, str(text or "")) for text in texts]
        valid = [answer.status == "labelled" for answer in answers]
        right = [answer.label == label for answer, label in zip(answers, self._labels, strict=True)]
        n = len(answers)
        point = FormatPoint(step, wilson(sum(valid), n), wilson(sum(right), n), wilson(sum(right), sum(valid)))
        self.points.append(point)
        self.trainer.log({"format_share": point.in_schema.estimate, "task_score": point.right.estimate})
