"""ReviewState: the event log folded into labels by annotator and by row."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import StoreError
from hf_synthlabels.review.annotator_decisions import Annotator
from hf_synthlabels.review.decision_store import DecisionStore, Event
from hf_synthlabels.review.informativeness import surprise_bits
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_values import credit, difference, identity, shown

NAMED_KINDS = ("text-classification", "text-pair")
"""Kinds with one class per row, and therefore a confusion matrix."""

DISPUTE = "annotators: "
"""Prefix of patterns of rows on which annotators disagree."""

TABLE = "(table)"
"""Annotator name of labels that were already in the table."""

MAX_CHECKED = 200
"""Number of rows whose texts are compared with the table when a store is opened."""

Lock = AbstractContextManager[Any]
How = Literal["one", "unanimous", "majority", "adjudicated", "disputed"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The label that results from all labels of a row."""

    value: Any
    """Plain JSON; None if annotators disagree and the row is not adjudicated."""
    how: How
    """Source of the label: one annotator, agreement, majority, or adjudication."""
    votes: tuple[tuple[str, Any], ...]
    """Label by annotator, including the label in the table."""


class ReviewState:
    """State of a review. `sync` reads new events from the store; hold `lock` to use it from several threads.

    `variable` selects the decisions on one variable of a codebook, whose states share a lock.

    Raises:
        StoreError: the store belongs to other data.
    """

    def __init__(self, rows: ReviewRows, store: DecisionStore, variable: str = "", lock: Lock | None = None) -> None:
        self.rows, self.store, self.variable = rows, store, variable
        self.lock = lock or threading.RLock()
        self.applies = self.find_applicable()
        """1 where the labels of a row count, -1 where the variable does not apply, 0 where that is unknown."""
        self.last = 0
        self.annotators: dict[str, Annotator] = {}
        self.resolutions: dict[int, Resolution] = {}
        self.adjudications: dict[int, Event] = {}
        self.examples: dict[int, Event] = {}
        self.credits = np.full(len(rows), np.nan)
        """Credit of the LLM in each row, from 0 (wrong) to 1 (correct); NaN without a human label."""
        self.bits = np.zeros(len(rows))
        """Surprise of each row's human labels under the LLM."""
        self.patterns = np.full(len(rows), -1, dtype=np.int64)
        """How the labels of a row differ, as an index into `pattern_names`; -1 if they agree."""
        self.pattern_names: list[str] = []
        self.disputes: set[int] = set()
        """Rows on which annotators disagree."""
        self.cells: dict[tuple[str, str | None], set[int]] = {}
        """Rows by human and LLM label, for kinds with one class per row."""
        self._pattern_codes: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._stacks: dict[tuple[str, int], list[Event]] = {}
        self._adjudications: dict[int, list[Event]] = {}
        for row in rows.human_labels:
            self.resolve(row)
        self.sync()
        self._check_rows()

    def sync(self) -> None:
        """Read events of all annotators stored since the last call.

        Raises:
            StoreError: the decision store cannot be read.
        """
        with self.lock:
            for event in self.store.since(self.last, self.variable):
                self.apply(event)

    def add(self, event: Event) -> Event:
        """Store an event and apply it.

        Raises:
            StoreError: it cannot be written.
        """
        return self.add_all([event])[0]

    def add_all(self, events: Iterable[Event]) -> list[Event]:
        """Store several events, all or none, and apply them."""
        with self.lock:
            stored = self.store.add_all(replace(event, variable=self.variable) for event in events)
            self.sync()
            return stored

    def annotator(self, name: str) -> Annotator:
        """Decisions of an annotator, who may be new."""
        return self.annotators.setdefault(name, Annotator(name))

    def upcoming(
        self, name: str, count: int = 1, *, per_row: int | None = None, excluded: Collection[int] = ()
    ) -> list[int]:
        """The next rows for an annotator, in the order of the queue.

        Args:
            name: name of the annotator.
            count: maximum number of rows.
            per_row: number of annotators per row; None for all.
            excluded: rows to leave out.
        """
        annotator = self.annotator(name)
        is_done = partial(self._is_done, annotator, per_row=per_row)
        return annotator.upcoming(self.rows.queue, count, is_done, excluded)

    def latest_event(self, name: str, row: int) -> Event | None:
        """The annotator's current label or skip of a row."""
        annotator = self.annotator(name)
        return annotator.labels.get(row) or annotator.skips.get(row)

    def exported_rows(self) -> list[int]:
        """Rows for other tools: those to label, and those with a label."""
        return sorted({*map(int, self.rows.queue), *self.resolutions})

    def _is_done(self, annotator: Annotator, row: int, *, per_row: int | None) -> bool:
        """Whether an annotator has decided a row, or enough others have."""
        if row in annotator.labels or row in annotator.skips:
            return True
        return per_row is not None and len(self._votes(row)) >= per_row

    def find_applicable(self) -> NDArray[np.int8]:
        """Whether the variable applies in each row; see `applies`."""
        return np.ones(len(self.rows), dtype=np.int8)

    def apply(self, event: Event) -> None:
        """Apply a stored event; an event that was applied before changes nothing."""
        if event.id <= self.last:
            return
        self.last = event.id
        if not 0 <= event.row < len(self.rows):
            raise StoreError(
                f"`store` {str(self.store.path)!r} has a decision on row {event.row:,}, but the data have "
                f"{len(self.rows):,} rows. Give the store of these data with `--store`."
            )
        annotator = self.annotator(event.annotator)
        match event.action:
            case "label" | "skip":
                self._stacks.setdefault((event.annotator, event.row), []).append(event)
                annotator.history.append(event)
                self._update(annotator, event.row)
            case "undo":
                self._undo(annotator, event)
            case "seen":
                annotator.seen.add(event.row)
            case "adjudicate":
                self._adjudications.setdefault(event.row, []).append(event)
                self.adjudications[event.row] = event
            case "example":
                self.examples[event.row] = event
            case "no-example":
                self.examples.pop(event.row, None)
        if event.action in ("label", "skip", "undo", "adjudicate"):
            self.resolve(event.row)

    def _undo(self, annotator: Annotator, event: Event) -> None:
        """Undo the event whose key is the note of this one."""
        key = event.note
        stack = self._stacks.get((annotator.name, event.row), [])
        stack[:] = [other for other in stack if other.key != key]
        annotator.history = [other for other in annotator.history if other.key != key]
        adjudications = self._adjudications.get(event.row, [])
        adjudications[:] = [other for other in adjudications if other.key != key]
        if adjudications:
            self.adjudications[event.row] = adjudications[-1]
        else:
            self.adjudications.pop(event.row, None)
        self._update(annotator, event.row)
        for other in self.annotators.values():
            # The row may be open again for all.
            other.place = 0

    def _update(self, annotator: Annotator, row: int) -> None:
        """Update an annotator's current label of a row."""
        for decisions in (annotator.labels, annotator.skips, annotator.codes):
            decisions.pop(row, None)
        stack = self._stacks.get((annotator.name, row), [])
        if not stack:
            return
        if stack[-1].action == "skip":
            annotator.skips[row] = stack[-1]
            return
        annotator.labels[row] = stack[-1]
        key = identity(self.rows.schema, stack[-1].human_label)
        annotator.codes[row] = self._codes.setdefault(key, len(self._codes))

    def _votes(self, row: int) -> list[tuple[str, Any]]:
        votes = [(TABLE, self.rows.human_labels[row])] if row in self.rows.human_labels else []
        votes += [(each.name, each.labels[row].human_label) for each in self.annotators.values() if row in each.labels]
        return votes

    def resolve(self, row: int) -> None:
        """Update what results from all labels of a row."""
        resolution = self._resolution(row)
        self._move(row, resolution)
        schema, llm = self.rows.schema, self.rows.llm_labels[row]
        self.disputes.discard(row)
        self.credits[row], self.bits[row], self.patterns[row] = np.nan, 0.0, -1
        if resolution is None:
            self.resolutions.pop(row, None)
            return
        self.resolutions[row] = resolution
        groups = {identity(schema, value): value for _, value in resolution.votes}
        if len(groups) > 1:
            self.disputes.add(row)
        if resolution.value is not None:
            self.credits[row] = credit(schema, resolution.value, llm)
        if len(groups) > 1 and resolution.how != "adjudicated":
            pattern = DISPUTE + " | ".join(sorted(shown(value)[:40] for value in groups.values()))
        else:
            pattern = difference(schema, resolution.value, llm)
        if pattern:
            self.patterns[row] = self._pattern(pattern)
        self.bits[row] = surprise_bits(self.rows, row, [value for _, value in resolution.votes])

    def _move(self, row: int, resolution: Resolution | None) -> None:
        """Move a row to its cell of the confusion matrix."""
        if self.rows.schema.kind not in NAMED_KINDS:
            return
        earlier, llm = self.resolutions.get(row), self.rows.llm_labels[row]
        if earlier is not None and earlier.value is not None:
            self.cells[earlier.value, llm].discard(row)
        if resolution is not None and resolution.value is not None:
            self.cells.setdefault((resolution.value, llm), set()).add(row)

    def _pattern(self, name: str) -> int:
        if name not in self._pattern_codes:
            self._pattern_codes[name] = len(self.pattern_names)
            self.pattern_names.append(name)
        return self._pattern_codes[name]

    def _resolution(self, row: int) -> Resolution | None:
        if self.applies[row] < 1:
            return None
        votes = tuple(self._votes(row))
        if row in self.adjudications:
            return Resolution(self.adjudications[row].human_label, "adjudicated", votes)
        if not votes:
            return None
        counts: dict[str, list[Any]] = {}
        for _, value in votes:
            counts.setdefault(identity(self.rows.schema, value), []).append(value)
        most = max(counts.values(), key=len)
        if len(counts) == 1:
            return Resolution(most[0], "one" if len(votes) == 1 else "unanimous", votes)
        if 2 * len(most) > len(votes):
            return Resolution(most[0], "majority", votes)
        return Resolution(None, "disputed", votes)

    def _check_rows(self) -> None:
        """Compare the texts of some decided rows with those at the time of the decision.

        Raises:
            StoreError: a text differs.
        """
        events = {event.row: event for each in self.annotators.values() for event in each.history}
        for row in list(events)[:: max(1, len(events) // MAX_CHECKED)]:
            if self.rows.row(row).digest != events[row].digest:
                raise StoreError(
                    f"`store` {str(self.store.path)!r} belongs to other data: the text of row {row:,} differs. "
                    "Give the data of this store, or another file with `--store`."
                )
