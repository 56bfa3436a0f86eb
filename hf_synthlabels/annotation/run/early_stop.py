"""Stopping a run that labels nothing, before all of it is paid for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hf_synthlabels.annotation.run.run_stats import RunStats
from hf_synthlabels.errors import AllFailedError, NothingLabeledError
from hf_synthlabels.labels import Annotation

BREAKER_ROWS = 20
"""A run whose first so many rows all fail is stopped: the cause is not the rows."""

EARLY_ROWS = 50
"""A run that leaves most of its first so many asked rows without a label is stopped."""

REPAIRS = {
    "unparsed": "Compare the answers with the labels of `task`, or ask for JSON with `annotator.response_format`",
    "refused": "Name another model in `annotator.model`, or change `task.instructions`",
    "truncated": "Raise `annotator.max_tokens`",
    "over_budget": "Raise `annotator.budget_usd` or `annotator.budget_tokens`",
}
"""What to change, by the most frequent reason for a missing label."""

SHOWN_ANSWERS = 2
SHOWN = 80


@dataclass(slots=True)
class EarlyStop:
    """Counts the first rows of a run, and ends it when they show that the rest is not worth asking."""

    tally: RunStats
    keep_going: bool = False
    """Whether a run with few labels goes on all the same; one whose rows all fail never does."""
    alone: bool = True
    """Whether no other process labels for the same budget; else rows over the budget say nothing about the run."""
    _asked: int = 0
    _missing: Counter[str] = field(default_factory=Counter)
    _reasons: Counter[str] = field(default_factory=Counter)
    _answers: list[str] = field(default_factory=list)

    def add(self, annotation: Annotation) -> None:
        """Count a row, after the tally has counted it.

        Raises:
            AllFailedError: the first 20 rows failed.
            NothingLabeledError: most of the first 50 asked rows are unparsed, refused, truncated or over the budget.
        """
        check_all_failed(self.tally, at_end=False)
        # Rejected prompts cost nothing and say nothing about the other rows: the data may be sorted by class.
        is_rejected = annotation.status == "refused" and not annotation.raw
        is_others = annotation.status == "over_budget" and not self.alone
        if annotation.status == "skipped" or is_rejected or is_others or self._asked >= EARLY_ROWS:
            return
        self._asked += 1
        if annotation.status in REPAIRS:
            self._missing[annotation.status] += 1
            self._reasons[annotation.reason] += 1
            if annotation.raw and len(self._answers) < SHOWN_ANSWERS:
                self._answers.append(annotation.raw)
        if self._asked == EARLY_ROWS and not self.keep_going and self._missing.total() > EARLY_ROWS / 2:
            raise NothingLabeledError(self._words())

    def _words(self) -> str:
        counts = ", ".join(f"{status} {count}" for status, count in self._missing.most_common())
        (status, _), ((reason, _), *_) = self._missing.most_common(1)[0], self._reasons.most_common(1)
        shown = " and ".join(repr(answer if len(answer) <= SHOWN else f"{answer[:SHOWN]}…") for answer in self._answers)
        answers = f" Raw answers: {shown}." if shown else ""
        return (
            f"{self._missing.total()} of the first {EARLY_ROWS} rows got no label: {counts}. Most frequent reason: "
            f"{reason}.{answers} {REPAIRS[status]}; `annotator.keep_going: true` (`--keep-going`) labels the other "
            "rows anyway. The answers so far are stored."
        )


def check_all_failed(stats: RunStats, *, at_end: bool, unsent: str = "skipped") -> None:
    """End a run when its first 20 rows failed, or all rows when there are fewer.

    Args:
        stats: of the run so far.
        at_end: whether all rows are finished.
        unsent: the status of rows that are never sent, for example because they have no text.

    Raises:
        AllFailedError: they did.
    """
    failed = stats.statuses["failed"]
    if stats.is_all_failed(unsent) and (at_end or failed >= BREAKER_ROWS):
        cause, times = stats.failures.most_common(1)[0]
        raise AllFailedError(f"All of the first {failed} rows failed, {times} with: {cause}.")
