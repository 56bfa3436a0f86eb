"""The counts of a run, and when they end it before all of it is paid for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hf_synthlabels.clients import Completion
from hf_synthlabels.errors import AllFailedError, NothingLabeledError
from hf_synthlabels.labels import Annotation

VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|-?\d[\d.,]*|(?<=several labels: ).*")
"""What differs from row to row within one reason."""

BREAKER_ROWS = 20
"""A run whose first so many rows all fail is stopped: the cause is not the rows."""

EARLY_ROWS = 50
"""A run that leaves most of its first so many asked rows without a label is stopped."""

COMPLETE = ("labelled", "abstained", "skipped")
"""Statuses of variables that need nothing more."""

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
class RunStats:
    """What a run has come to so far."""

    rows: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    stored: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    models: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    truncated_prompts: Counter[str] = field(default_factory=Counter)
    """Prompts that the server probably truncated; see `checked_prompts`."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Of rows without a label: their status and reason, where quoted words and numbers count as the same."""
    variables: Counter[str] = field(default_factory=Counter)
    """Of a codebook: rows by variable and status, as `name status`."""
    second: Counter[str] = field(default_factory=Counter)
    """Of a second annotator: its rows, and its part of the requests, tokens and cost."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        content = {
            name: dict(sorted(value.items())) if isinstance(value := getattr(self, name), Counter) else value
            for name in RunStats.__dataclass_fields__
        }
        return {key: value for key, value in content.items() if value or key not in ("variables", "second")}

    def add(self, other: Mapping[str, Any]) -> None:
        """Add the numbers of another run, given by its `to_dict`."""
        for name in RunStats.__dataclass_fields__:
            mine = getattr(self, name)
            if isinstance(mine, Counter):
                mine.update(other.get(name, {}))
            else:
                setattr(self, name, mine + other[name])

    def is_all_failed(self, unasked: str) -> bool:
        """Whether all rows failed, or all that were asked while nothing was ever answered.

        Args:
            unasked: the status of rows that are never asked, for example because they have no text.
        """
        failed = self.statuses["failed"]
        answered = self.stored or self.models or self.completion_tokens
        return failed > 0 and (failed == self.rows or (not answered and failed == self.rows - self.statuses[unasked]))

    def count_row(self, annotation: Annotation) -> None:
        """A row is finished."""
        self.rows += 1
        self.statuses[annotation.status] += 1
        if annotation.status == "failed":
            self.failures[annotation.reason] += 1
        elif annotation.status != "labelled":
            self.count_reason(annotation.status, annotation.reason)

    def count_variables(self, annotations: Mapping[str, Annotation]) -> None:
        """A row of a codebook is finished."""
        statuses = [annotation.status for annotation in annotations.values()]
        self.rows += 1
        shown = statuses[0]
        if len(set(statuses)) > 1:
            shown = next((status for status in statuses if status not in COMPLETE), "labelled")
        self.statuses[shown] += 1
        for name, annotation in annotations.items():
            self.count_variable(name, annotation)

    def count_variable(self, name: str, annotation: Annotation) -> None:
        """A variable of a finished row is finished."""
        self.variables[f"{name} {annotation.status}"] += 1
        if annotation.status == "failed":
            self.failures[f"{name}: {annotation.reason}"] += 1
        elif annotation.status not in ("labelled", "skipped"):
            self.reasons[f"{name}: {annotation.status}: {VARIABLE.sub('…', annotation.reason)}"] += 1

    def of_variable(self, name: str) -> RunStats:
        """The rows, statuses and reasons of one variable of a codebook, with the requests of the run."""
        prefix = f"{name} "
        statuses = {key.removeprefix(prefix): n for key, n in self.variables.items() if key.startswith(prefix)}
        cause = f"{name}: "
        failures, reasons = (
            Counter({key.removeprefix(cause): n for key, n in causes.items() if key.startswith(cause)})
            for causes in (self.failures, self.reasons)
        )
        return replace(self, statuses=Counter(statuses), variables=Counter(), failures=failures, reasons=reasons)

    def count_reason(self, status: str, reason: str) -> None:
        """A row has no label, and why."""
        self.reasons[f"{status}: {VARIABLE.sub('…', reason)}"] += 1

    def count_call(self, completion: Completion) -> None:
        """A request was answered, or given up."""
        if completion.stored:
            self.stored += 1
            return
        if completion.failure is not None and completion.failure.kind in ("over_budget", "skipped"):
            return
        self.requests += 1
        self.prompt_tokens += completion.usage.prompt_tokens
        self.completion_tokens += completion.usage.completion_tokens
        self.cached_tokens += completion.usage.cached_tokens
        if completion.model:
            self.models[completion.model] += 1


@dataclass(slots=True)
class EarlyStop:
    """Counts the first rows of a run, and ends it when they show that the rest is not worth asking."""

    tally: RunStats
    keep_going: bool = False
    """Whether a run with few labels goes on all the same; one whose rows all fail never does."""
    alone: bool = True
    """Whether no other process labels for the same budget; else rows over the budget say nothing about the run."""
    _asked: int = 0
    _unsent: Counter[str] = field(default_factory=Counter)
    """Reasons of failed rows for which nothing was sent, which say nothing about the others."""
    _missing: Counter[str] = field(default_factory=Counter)
    _reasons: Counter[str] = field(default_factory=Counter)
    _answers: list[str] = field(default_factory=list)

    def count_row(self, annotation: Annotation) -> None:
        """Count a finished row.

        Raises:
            AllFailedError: the first 20 rows failed.
            NothingLabeledError: most of the first 50 asked rows are unparsed, refused, truncated or over the budget.
        """
        self.tally.count_row(annotation)
        if annotation.status == "failed" and not annotation.votes:
            self._unsent[annotation.reason] += 1
            return
        check_all_failed(self._sent, at_end=False)
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

    @property
    def is_settled(self) -> bool:
        """Whether no later row can end the run: enough rows were asked, and some of them did not fail."""
        return self._asked >= EARLY_ROWS and self.tally.statuses.keys() - {"failed", "skipped"} != set()

    @property
    def has_sent(self) -> bool:
        """Whether anything was sent."""
        return self._sent.rows > 0

    @property
    def _sent(self) -> RunStats:
        """The counts without failed rows for which nothing was sent."""
        if not self._unsent:
            return self.tally
        unsent = self._unsent.total()
        statuses = self.tally.statuses - Counter({"failed": unsent})
        return replace(
            self.tally, rows=self.tally.rows - unsent, statuses=statuses, failures=self.tally.failures - self._unsent
        )

    def end(self, unsent: str = "skipped") -> None:
        """End the run.

        Args:
            unsent: see `check_all_failed`.

        Raises:
            AllFailedError: all rows failed.
        """
        check_all_failed(self.tally, at_end=True, unsent=unsent)

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
