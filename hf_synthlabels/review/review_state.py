"""ReviewState: where the work stands: the log of events folded into labels by annotator and by row."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hf_synthlabels.errors import StoreError
from hf_synthlabels.review.decision_store import DecisionStore, Event
from hf_synthlabels.review.informativeness import surprise_bits
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_values import credit, difference, identity, shown

NAMED_KINDS = ("text-classification", "text-pair")
"""Kinds whose label is one name, so that there is a matrix of who was taken for what."""

TABLE = "(table)"
"""Annotator name of labels that were already in the table."""

CHECKED = 200
"""Rows of a store whose texts are compared with the table when it is opened; the others when they are shown."""

How = Literal["one", "unanimous", "majority", "adjudicated", "disputed"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the labels that people gave to a row come to."""

    value: Any
    """Plain JSON; None if annotators disagree and the row is not adjudicated."""
    how: How
    """Source of the label: one annotator, agreement, majority, or adjudication."""
    votes: tuple[tuple[str, Any], ...]
    """Of each annotator, the table's own label among them."""


@dataclass(slots=True)
class Annotator:
    """What one person has done."""

    name: str
    labels: dict[int, Event] = field(default_factory=dict)
    skips: dict[int, Event] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    """Rows of which they were shown the LLM's label."""
    history: list[Event] = field(default_factory=list)
    """Labels and skips in their order, without what was taken back."""
    codes: dict[int, int] = field(default_factory=dict)
    """Of the labels by row; equal labels have equal ones."""
    place: int = 0
    """In the queue: what is before it, they have decided."""


class ReviewState:
    """All that is known of the work now. `sync` reads what is new in the store; methods of it are for one thread.

    Raises:
        StoreError: the store is of other rows.
    """

    def __init__(self, rows: ReviewRows, store: DecisionStore) -> None:
        self.rows = rows
        self.store = store
        self.lock = threading.RLock()
        self.last = 0
        self.annotators: dict[str, Annotator] = {}
        self.resolutions: dict[int, Resolution] = {}
        self.adjudications: dict[int, Event] = {}
        self.examples: dict[int, Event] = {}
        self.credits = np.full(len(rows), np.nan)
        """How right the LLM is in each row, nan where there is no human label."""
        self.bits = np.zeros(len(rows))
        """How much human labels of a row would surprise the LLM."""
        self.patterns = np.full(len(rows), -1, dtype=np.int64)
        """What differs in a row, as a place in `pattern_names`; -1 where nothing does."""
        self.pattern_names: list[str] = []
        self.disputes: set[int] = set()
        """Rows of which people gave different labels."""
        self.cells: dict[tuple[str, str | None], set[int]] = {}
        """Of kinds with one name: the rows by what people and the LLM said."""
        self._pattern_codes: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._stacks: dict[tuple[str, int], list[Event]] = {}
        self._decided: dict[int, list[Event]] = {}
        for row in rows.human_labels:
            self._resolve(row)
        self.sync()
        self._check_rows()

    def sync(self) -> None:
        """Read events of all annotators stored since the last call.

        Raises:
            StoreError: the decision store cannot be read.
        """
        with self.lock:
            for event in self.store.since(self.last):
                self._apply(event)

    def add(self, event: Event) -> Event:
        """Store an event, and take it in.

        Raises:
            StoreError: it cannot be written.
        """
        return self.add_all([event])[0]

    def add_all(self, events: Iterable[Event]) -> list[Event]:
        """Store several events, all or none, and take them in."""
        with self.lock:
            kept = self.store.add_all(events)
            self.sync()
            return kept

    def annotator(self, name: str) -> Annotator:
        """What a person has done; nothing, if they are new."""
        return self.annotators.setdefault(name, Annotator(name))

    def upcoming(
        self, name: str, count: int = 1, *, per_row: int | None = None, taken: Collection[int] = ()
    ) -> list[int]:
        """The next rows for an annotator, in the order of the queue.

        Args:
            name: of the annotator.
            count: how many at most.
            per_row: how many people label each row; None for all.
            taken: rows that others have before them.
        """
        who, queue = self.annotator(name), self.rows.queue
        found: list[int] = []
        while who.place < len(queue) and self._is_done(who, int(queue[who.place]), per_row):
            who.place += 1
        for row in map(int, queue[who.place :]):
            if len(found) == count:
                break
            if row not in taken and not self._is_done(who, row, per_row):
                found.append(row)
        return found

    def standing(self, name: str, row: int) -> Event | None:
        """What an annotator's last word on a row is."""
        who = self.annotator(name)
        return who.labels.get(row) or who.skips.get(row)

    def _is_done(self, who: Annotator, row: int, per_row: int | None) -> bool:
        """Whether a row is not for an annotator any more: they have decided it, or enough others have."""
        if row in who.labels or row in who.skips:
            return True
        return per_row is not None and len(self._votes(row)) >= per_row

    def _apply(self, event: Event) -> None:
        self.last = max(self.last, event.id)
        if not 0 <= event.row < len(self.rows):
            raise StoreError(
                f"`store` {str(self.store.path)!r} has a decision on row {event.row:,}, and the data have "
                f"{len(self.rows):,} rows: it is of other data. Give another file with `--store`."
            )
        who = self.annotator(event.annotator)
        match event.action:
            case "label" | "skip":
                self._stacks.setdefault((event.annotator, event.row), []).append(event)
                who.history.append(event)
                self._stand(who, event.row)
            case "undo":
                self._take_back(who, event)
            case "seen":
                who.seen.add(event.row)
            case "adjudicate":
                self._decided.setdefault(event.row, []).append(event)
                self.adjudications[event.row] = event
            case "example":
                self.examples[event.row] = event
            case "no-example":
                self.examples.pop(event.row, None)
        if event.action in ("label", "skip", "undo", "adjudicate"):
            self._resolve(event.row)

    def _take_back(self, who: Annotator, event: Event) -> None:
        """An undo names, as its note, the key of the event that it takes back."""
        stack = self._stacks.get((who.name, event.row), [])
        stack[:] = [other for other in stack if other.key != event.note]
        who.history = [other for other in who.history if other.key != event.note]
        decided = self._decided.get(event.row, [])
        decided[:] = [other for other in decided if other.key != event.note]
        if decided:
            self.adjudications[event.row] = decided[-1]
        else:
            self.adjudications.pop(event.row, None)
        self._stand(who, event.row)
        for other in self.annotators.values():
            # The row may be open again for all.
            other.place = 0

    def _stand(self, who: Annotator, row: int) -> None:
        stack = self._stacks.get((who.name, row), [])
        who.labels.pop(row, None)
        who.skips.pop(row, None)
        who.codes.pop(row, None)
        if not stack:
            return
        if stack[-1].action == "skip":
            who.skips[row] = stack[-1]
            return
        who.labels[row] = stack[-1]
        same = identity(self.rows.schema, stack[-1].human_label)
        who.codes[row] = self._codes.setdefault(same, len(self._codes))

    def _votes(self, row: int) -> list[tuple[str, Any]]:
        votes = [(TABLE, self.rows.human_labels[row])] if row in self.rows.human_labels else []
        votes += [(who.name, who.labels[row].human_label) for who in self.annotators.values() if row in who.labels]
        return votes

    def _resolve(self, row: int) -> None:
        found = self._resolution(row)
        self._move(row, found)
        schema, llm = self.rows.schema, self.rows.llm_labels[row]
        self.disputes.discard(row)
        self.credits[row], self.bits[row], self.patterns[row] = np.nan, 0.0, -1
        if found is None:
            self.resolutions.pop(row, None)
            return
        self.resolutions[row] = found
        groups = {identity(schema, value): value for _, value in found.votes}
        if len(groups) > 1:
            self.disputes.add(row)
        if found.value is not None:
            self.credits[row] = credit(schema, found.value, llm)
        if len(groups) > 1 and found.how != "adjudicated":
            differs = "people: " + " | ".join(sorted(shown(value)[:40] for value in groups.values()))
        else:
            differs = difference(schema, found.value, llm)
        if differs:
            self.patterns[row] = self._pattern(differs)
        self.bits[row] = surprise_bits(self.rows, row, [value for _, value in found.votes])

    def _move(self, row: int, found: Resolution | None) -> None:
        """Keep the rows behind each number of the matrix."""
        if self.rows.schema.kind not in NAMED_KINDS:
            return
        before, llm = self.resolutions.get(row), self.rows.llm_labels[row]
        if before is not None and before.value is not None:
            self.cells[before.value, llm].discard(row)
        if found is not None and found.value is not None:
            self.cells.setdefault((found.value, llm), set()).add(row)

    def _pattern(self, name: str) -> int:
        if name not in self._pattern_codes:
            self._pattern_codes[name] = len(self.pattern_names)
            self.pattern_names.append(name)
        return self._pattern_codes[name]

    def _resolution(self, row: int) -> Resolution | None:
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
        return (
            Resolution(most[0], "majority", votes)
            if 2 * len(most) > len(votes)
            else Resolution(None, "disputed", votes)
        )

    def _check_rows(self) -> None:
        """Some rows that were decided must have the texts that they had."""
        known = {event.row: event for who in self.annotators.values() for event in who.history}
        for row in list(known)[:: max(1, len(known) // CHECKED)]:
            if self.rows.row(row).digest != known[row].digest:
                raise StoreError(
                    f"`store` {str(self.store.path)!r} is of other data: row {row:,} has another text there. Give the "
                    "data that it was made with, or another file with `--store`."
                )
