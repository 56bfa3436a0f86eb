"""CodebookReview: the decisions on several variables of each row, folded by variable."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection, Iterable
from typing import Any

from hf_synthlabels.review.codebook.codebook_rows import CodebookRows, condition_holds
from hf_synthlabels.review.decision_store import DecisionStore, Event
from hf_synthlabels.review.review_state import ReviewState


class CodebookReview:
    """State of a review with several variables: one `ReviewState` for each, on one store.

    A row is decided when every variable has a label or a skip. Hold `lock` to use it from several threads.

    Raises:
        StoreError: the store belongs to other data.
    """

    def __init__(self, rows: CodebookRows, store: DecisionStore) -> None:
        self.rows = rows
        self.store = store
        self.lock = threading.RLock()
        self.variables = {name: ReviewState(each, store, name, self.lock) for name, each in rows.variables.items()}

    @property
    def first(self) -> ReviewState:
        """The state of the first variable, which applies in every row."""
        return next(iter(self.variables.values()))

    def sync(self) -> None:
        """Read events of all annotators stored since the last call.

        Raises:
            StoreError: the decision store cannot be read.
        """
        with self.lock:
            for state in self.variables.values():
                state.sync()

    def add_all(self, events: Iterable[Event]) -> None:
        """Store events of several variables, all or none, and apply them.

        Raises:
            StoreError: they cannot be written.
        """
        with self.lock:
            self.store.add_all(events)
            self.sync()

    def decisions(self, annotator: str, row: int) -> dict[str, Event]:
        """The annotator's current label or skip of each variable in a row."""
        events = {name: state.latest_event(annotator, row) for name, state in self.variables.items()}
        return {name: event for name, event in events.items() if event is not None}

    def upcoming(
        self, name: str, count: int = 1, *, per_row: int | None = None, excluded: Collection[int] = ()
    ) -> list[int]:
        """The next rows for an annotator; see `ReviewState.upcoming`."""
        annotator, queue = self.first.annotator(name), self.rows.queue
        while annotator.place < len(queue) and self._is_done(name, int(queue[annotator.place]), per_row):
            annotator.place += 1
        open_rows = (
            row
            for row in map(int, queue[annotator.place :])
            if row not in excluded and not self._is_done(name, row, per_row)
        )
        return list(itertools.islice(open_rows, count))

    def is_decided(self, annotator: str, row: int) -> bool:
        """Whether an annotator has decided every variable of a row."""
        return len(self.decisions(annotator, row)) == len(self.variables)

    def decided_rows(self, annotator: str) -> set[int]:
        """The rows in which an annotator has decided every variable."""
        decisions = [state.annotator(annotator) for state in self.variables.values()]
        return set.intersection(*({*each.labels, *each.skips} for each in decisions))

    def skipped_rows(self, annotator: str) -> set[int]:
        """The decided rows in which an annotator skipped an applicable variable."""
        rows: set[int] = set()
        for name, condition in self.rows.conditions.items():
            skips = self.variables[name].annotator(annotator).skips
            if condition is None:
                rows.update(skips)
                continue
            # A variable with a label applies: others are stored as skipped.
            labels = self.variables[condition.variable].annotator(annotator).labels
            rows.update(row for row in skips if row in labels and condition_holds(condition, labels[row].human_label))
        return rows & self.decided_rows(annotator)

    def labels(self, row: int) -> dict[str, Any]:
        """The labels that result from all decisions; without those of variables whose conditions do not hold."""
        values = {
            name: state.resolutions[row].value for name, state in self.variables.items() if row in state.resolutions
        }
        return {name: values[name] for name in self.rows.applicable(values) if values.get(name) is not None}

    def reviewed_rows(self) -> list[int]:
        """The rows that anybody labeled or adjudicated in this review."""
        rows: set[int] = set()
        for state in self.variables.values():
            rows.update(state.adjudications)
            for annotator in state.annotators.values():
                rows.update(annotator.labels)
        return sorted(rows)

    def _is_done(self, name: str, row: int, per_row: int | None) -> bool:
        """Whether an annotator has decided a row, or enough others have labeled it."""
        if self.is_decided(name, row):
            return True
        return per_row is not None and sum(row in each.labels for each in self.first.annotators.values()) >= per_row
