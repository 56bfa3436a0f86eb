"""A training on the terminal: a progress line, and Ctrl-C that keeps a checkpoint."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback


class TrainingProgress(TrainerCallback):
    """Steps, loss and time left on standard error, on a terminal only."""

    def __init__(self, rows: int) -> None:
        """Prepare.

        Args:
            rows: training rows, for the label of the bar.
        """
        self._rows = rows
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Begin a bar, at the step that a resumed run begins at."""
        # TQDM_DISABLE turns it off, too.
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
        """Move on to the step."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Show the newest loss."""
        loss = (kwargs.get("logs") or {}).get("loss")
        if self._bar is not None and loss is not None:
            self._bar.set_postfix_str(f"loss {float(loss):.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class StopOnInterrupt(TrainerCallback):
    """The first Ctrl-C ends the training after its step, with a checkpoint; the second ends it at once.

    Raises:
        KeyboardInterrupt: when the checkpoint is written.
    """

    def __init__(self) -> None:
        """Prepare."""
        self.checkpoint: str | None = None
        """The name of the checkpoint that was kept."""
        self._asked = False
        self._before: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Take the signal; several processes, which could stop at different steps, leave it as it is."""
        if args.world_size == 1 and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupt)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Stop, if Ctrl-C was pressed during the step."""
        if self._asked:
            self.checkpoint = f"checkpoint-{state.global_step}"
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Give the signal back."""
        self.restore()
        if self._asked and state.global_step < state.max_steps:
            raise KeyboardInterrupt

    def restore(self) -> None:
        """Give the signal back, also after an error."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _interrupt(self, number: int, frame: Any) -> None:  # noqa: ARG002
        if self._asked:
            self.restore()
            raise KeyboardInterrupt
        self._asked = True
