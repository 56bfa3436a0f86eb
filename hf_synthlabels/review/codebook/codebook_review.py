"""CodebookReview: the decisions on several variables of each row, folded by variable."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Set
from functools import partial
from typing import Any

from hf_synthlabels.review.codebook.codebook_rows import CodebookRows
from hf_synthlabels.review.codebook.variable_state import VariableState
from hf_synthlabels.review.decision_store import DecisionStore, Event


class CodebookReview:
    """State of a review with several variables: one `VariableState` for each, on one store.

    A row is decided when every variable has a label or a skip. Hold `lock` to use it from several threads.

    Raises:
        StoreError: the store belongs to other data.
    """

    def __init__(self, rows: CodebookRows, store: DecisionStore) -> None:
        self.rows = rows
        self.store = store
        self.lock = threading.RLock()
        self.variables: dict[str, VariableState] = {}
        for name, condition in rows.conditions.items():
            parent = None if condition is None else self.variables[condition.variable]
            self.variables[name] = VariableState(rows.variables[name], store, name, self.lock, condition, parent)
        self._last = 0
        self._decided: dict[str, set[int]] = {}
        self._skipped: dict[str, set[int]] = {}
        self.sync()

    @property
    def first(self) -> VariableState:
        """The state of the first variable, which applies in every row."""
        return next(iter(self.variables.values()))

    def sync(self) -> None:
        """Read events of all annotators stored since the last call.

        Raises:
            StoreError: the decision store cannot be read.
        """
        with self.lock:
            changed: set[tuple[str, int]] = set()
            for event in self.store.since(self._last):
                self._last = event.id
                if event.variable in self.variables:
                    self.variables[event.variable].apply(event)
                    changed.add((event.annotator, event.row))
            for annotator, row in changed:
                self._update(annotator, row)

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
        is_done = partial(self._is_done, name, per_row=per_row)
        return self.first.annotator(name).upcoming(self.rows.queue, count, is_done, excluded)

    def is_decided(self, annotator: str, row: int) -> bool:
        """Whether an annotator has decided every variable of a row."""
        return len(self.decisions(annotator, row)) == len(self.variables)

    def decided_rows(self, annotator: str) -> Set[int]:
        """The rows in which an annotator has decided every variable."""
        return self._decided.get(annotator, frozenset())

    def skipped_rows(self, annotator: str) -> Set[int]:
        """The decided rows in which an annotator skipped an applicable variable."""
        return self._skipped.get(annotator, frozenset())

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

    def _is_done(self, name: str, row: int, *, per_row: int | None) -> bool:
        """Whether an annotator has decided a row, or enough others have labeled it."""
        if self.is_decided(name, row):
            return True
        return per_row is not None and sum(row in each.labels for each in self.first.annotators.values()) >= per_row

    def _update(self, annotator: str, row: int) -> None:
        """Update whether an annotator has decided a row, so that no count reads all rows."""
        decided, skipped = self._decided.setdefault(annotator, set()), self._skipped.setdefault(annotator, set())
        decided.discard(row)
        skipped.discard(row)
        if self.is_decided(annotator, row):
            decided.add(row)
            if self._has_skip(annotator, row):
                skipped.add(row)

    def _has_skip(self, annotator: str, row: int) -> bool:
        """Whether an annotator skipped an applicable variable; one with a label applies, others are stored as skips."""
        events = self.decisions(annotator, row)
        labels = {name: event.human_label for name, event in events.items() if event.action == "label"}
        return any(name not in labels for name in self.rows.applicable(labels))
