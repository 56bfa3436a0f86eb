"""Callbacks of a training: cost, progress bar, output format, and Ctrl-C with a checkpoint to resume from."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset
from tqdm import tqdm
from transformers import Trainer, TrainerCallback

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema, parse
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.evaluation import preserve_rng_state
from hf_synthlabels.training.tasks import student_task

INTERRUPTED_FILE = "interrupted.json"
VARYING_OPTIONS = ("resume_from_checkpoint", "logging_dir", "run_name")


class RunCost(TrainerCallback):
    """Adds `usd`, the cost of the training so far at a price per hour, to the log."""

    def __init__(self, usd_per_hour: float | None) -> None:
        """Start the clock; without a price nothing is added."""
        self._usd_per_hour = usd_per_hour
        self._start = time.monotonic()
        self._end: float | None = None

    def install(self, trainer: Trainer) -> None:
        """Add the callback before the reporters, so that they receive `usd` too."""
        trainer.callback_handler.callbacks.insert(0, self)

    def metrics(self) -> dict[str, float]:
        """`usd` up to now, or up to the end of the training."""
        if self._usd_per_hour is None:
            return {}
        seconds = (time.monotonic() if self._end is None else self._end) - self._start
        return {"usd": seconds / 3600 * self._usd_per_hour}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Restart the clock."""
        self._start, self._end = time.monotonic(), None

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Stop the clock."""
        self._end = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Add the cost to the entry for the reporters and to the trainer's history."""
        logs = kwargs.get("logs")
        if isinstance(logs, dict) and ("loss" in logs or "train_loss" in logs):
            logs |= self.metrics()
            if state.log_history and "usd" in logs:
                state.log_history[-1]["usd"] = logs["usd"]


def cost_metrics(callbacks: Sequence[Any], prefix: str) -> dict[str, float]:
    """The cost of a training as metrics of the student."""
    cost = next((callback for callback in callbacks if isinstance(callback, RunCost)), None)
    return {} if cost is None else {f"{prefix}_{key}": value for key, value in cost.metrics().items()}


class TrainingProgress(TrainerCallback):
    """A progress bar with steps, loss and remaining time on standard error, on a terminal only."""

    def __init__(self, rows: int) -> None:
        """Prepare the bar; the number of training rows is its label."""
        self._rows = rows
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Start the bar, for a resumed run at its first step."""
        # `disable=False` would override TQDM_DISABLE.
        hidden = {} if sys.stderr.isatty() else {"disable": True}
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=f"training, {self._rows:,} rows",
            unit="step",
            dynamic_ncols=True,
            file=sys.stderr,
            **hidden,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Show the latest loss."""
        loss = (kwargs.get("logs") or {}).get("loss")
        if self._bar is not None and loss is not None:
            self._bar.set_postfix_str(f"loss {float(loss):.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


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

    A generative student first learns the output format, then the task (Faysse et al. 2023, arXiv 2310.14103); a score
    alone mixes the two. Random states are restored, so the training is unchanged.
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


class StopOnInterrupt(TrainerCallback):
    """The first Ctrl-C ends the training after the current step, with a checkpoint; the second ends it immediately.

    Raises:
        KeyboardInterrupt: once the checkpoint is written.
    """

    def __init__(self) -> None:
        """Prepare; the signal handler is installed when the training begins."""
        self.checkpoint: str | None = None
        """Name of the checkpoint that was written."""
        self._requested = False
        self._previous_handler: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Install the signal handler, except on several processes, which could stop at different steps."""
        if args.world_size == 1 and threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(signal.SIGINT, self._interrupt)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Save and stop if Ctrl-C was pressed during the step."""
        if self._requested:
            self.checkpoint = f"checkpoint-{state.global_step}"
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Restore the signal handler."""
        self.restore()
        if self._requested and state.global_step < state.max_steps:
            raise KeyboardInterrupt

    def restore(self) -> None:
        """Restore the previous signal handler, also after an error."""
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)
            self._previous_handler = None

    def _interrupt(self, number: int, frame: Any) -> None:  # noqa: ARG002
        if self._requested:
            self.restore()
            raise KeyboardInterrupt
        self._requested = True


@dataclass(slots=True)
class InterruptedRun:
    """The record of a training that Ctrl-C stopped, in the output folder; it is valid for the same options and rows."""

    folder: Path
    digest: str
    checkpoints: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, config: StudentConfig, rows: Dataset) -> InterruptedRun:
        """Read the record of an earlier run with these options and rows, if there is one."""
        options = {key: value for key, value in config.to_dict().items() if key not in VARYING_OPTIONS}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
        for column in (*config.label_columns, *config.text_columns):
            if column in rows.column_names:
                digest.update(json.dumps(rows[column][:], default=str).encode())
        run = cls(Path(config.output_dir or "student"), digest.hexdigest())
        try:
            record: dict[str, Any] = json.loads((run.folder / INTERRUPTED_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return run
        if record.get("digest") == run.digest:
            run.checkpoints = [name for name in record.get("checkpoints", ()) if (run.folder / name).is_dir()]
        return run

    def add(self, checkpoint: str) -> None:
        """Record a checkpoint that was written because of Ctrl-C."""
        self.checkpoints = [*self.checkpoints, checkpoint]
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"digest": self.digest, "checkpoints": self.checkpoints}
        (self.folder / INTERRUPTED_FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")

    def delete(self) -> None:
        """Delete the record and its checkpoints, once the training is finished."""
        (self.folder / INTERRUPTED_FILE).unlink(missing_ok=True)
        for name in self.checkpoints:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.checkpoints = []
