"""AnnotationSession: the calls of the label page."""

from __future__ import annotations

import math
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.decision_store import Event
from hf_synthlabels.review.review_progress import progress
from hf_synthlabels.review.review_state import ReviewState
from hf_synthlabels.review.review_values import identity, read_value

PREFETCHED_ROWS = 3
"""Rows that the page gets at once, so that the next one is there before the label is stored."""

LEASE_S = 900.0
"""How long a row is reserved for the annotator who sees it, if not all annotators label all rows."""

MAX_SKIPPED = 50
"""Skipped rows to return at once."""

MAX_NOTE = 10_000
NAME = re.compile(r"[\w][\w .@+'-]{0,59}")


@dataclass(frozen=True, slots=True)
class Decision:
    """An annotator's label of a row."""

    annotator: str
    row: int
    digest: str
    value: Any = None
    """Plain JSON; None to skip the row."""
    note: str = ""
    seconds: float | None = None
    key: str = ""
    """Unique key from the page: a decision sent twice is stored once."""


class Leases:
    """Rows that are reserved for an annotator for a while."""

    def __init__(self) -> None:
        self._leases: dict[int, tuple[str, float]] = {}

    def add(self, annotator: str, rows: Iterable[int]) -> None:
        """Reserve rows."""
        until = time.monotonic() + LEASE_S
        self._leases |= {row: (annotator, until) for row in rows}

    def end(self, row: int) -> None:
        """Release a row, reserved or not."""
        self._leases.pop(row, None)

    def of_others(self, annotator: str) -> set[int]:
        """The rows that are reserved for others."""
        now = time.monotonic()
        self._leases = {row: lease for row, lease in self._leases.items() if lease[1] > now}
        return {row for row, (name, _) in self._leases.items() if name != annotator}


class AnnotationSession:
    """Annotation of the rows under review.

    Args:
        state: state of the review.
        per_row: number of annotators per row; None for all.
        blind: whether the LLM labels are hidden: on the label page always, on the other pages until an annotator has
            decided all rows (default: if the rows were sampled, because human labels that validate an LLM must not
            depend on its answers).
    """

    def __init__(self, state: ReviewState, *, per_row: int | None = None, blind: bool | None = None) -> None:
        self.state = state
        self.per_row = per_row
        self.blind = state.rows.sampled if blind is None else blind
        self._leases = Leases()

    def hides_llm(self, annotator: str) -> bool:
        """Whether all pages hide the LLM labels from an annotator: in a blind review, until all rows are decided."""
        return self.blind and bool(self.state.upcoming(annotator, per_row=self.per_row))

    def progress(self, annotator: str) -> dict[str, Any]:
        """Progress of an annotator; in a blind review without the agreement of the LLM."""
        counts = progress(self.state, annotator)
        return {**counts, "agreement": None, "mean_error": None} if self.blind else counts

    def next_rows(self, annotator: str, *, skip: tuple[int, ...] = ()) -> list[dict[str, Any]]:
        """The next rows for an annotator, without those that the page has already."""
        with self.state.lock:
            excluded = {*skip, *self._leases.of_others(annotator)}
            numbers = self.state.upcoming(annotator, PREFETCHED_ROWS, per_row=self.per_row, excluded=excluded)
            if self.per_row is not None:
                self._leases.add(annotator, numbers)
        return [self.row(annotator, number) for number in numbers]

    def row(self, annotator: str, number: int) -> dict[str, Any]:
        """A row with the annotator's latest label and note.

        Raises:
            DataError: the row does not exist.
        """
        row = self.state.rows.row(number)
        event = self.state.latest_event(annotator, number)
        return {
            "row": number,
            "digest": row.digest,
            "parts": row.to_json(),
            "mine": None if event is None else {"value": event.human_label, "skipped": event.action == "skip"},
            "note": "" if event is None else event.note,
        }

    def skipped(self, annotator: str) -> dict[str, Any]:
        """Rows that the annotator skipped."""
        with self.state.lock:
            numbers = list(self.state.annotator(annotator).skips)[:MAX_SKIPPED]
        return {"rows": [self.row(annotator, number) for number in numbers]}

    def decide(self, decision: Decision) -> dict[str, Any]:
        """Store a label or a skip; return it with the LLM label, if it may be shown, and the progress.

        Raises:
            DataError: the text of the row has changed, or the label is not in the schema.
            StoreError: the decision cannot be stored.
        """
        state, name = self.state, decision.annotator
        row = state.rows.row(decision.row)
        if row.digest != decision.digest:
            raise DataError(f"`row` {decision.row:,} has another text now: load the page again.")
        value = None
        if decision.value is not None:
            value = read_value(state.rows.schema, decision.value, row.context)
        with state.lock:
            event = Event(
                key=decision.key or uuid.uuid4().hex,
                annotator=name,
                row=row.number,
                digest=row.digest,
                action="skip" if value is None else "label",
                human_label=value,
                llm_label=state.rows.llm_labels[row.number],
                llm_shown=row.number in state.annotator(name).seen,
                note=checked_note(decision.note),
                seconds=checked_seconds(decision.seconds),
            )
            shows_llm = value is not None and not self.blind
            events = [event]
            if shows_llm and not event.llm_shown:
                events.append(seen_event(event.annotator, row.number, row.digest, f"{event.key}-seen"))
            state.add_all(events)
            self._leases.end(row.number)
            llm = self.suggestion(row.number, value) if shows_llm else None
            return {"decided": {"row": row.number, "value": value, "llm": llm}, "progress": self.progress(name)}

    def undo(self, annotator: str) -> dict[str, Any]:
        """Undo the annotator's last label or skip, and return its row with the undone label.

        Raises:
            DataError: there is nothing to undo.
        """
        with self.state.lock:
            history = self.state.annotator(annotator).history
            if not history:
                raise DataError("There is nothing to undo.")
            last = history[-1]
            undone = {"value": last.human_label, "skipped": last.action == "skip"}
            self.state.add(Event(uuid.uuid4().hex, annotator, last.row, last.digest, "undo", note=last.key))
            row = self.row(annotator, last.row)
            return {
                "row": {**row, "mine": row["mine"] or undone, "note": row["note"] or last.note},
                "progress": self.progress(annotator),
            }

    def show(self, annotator: str, number: int) -> dict[str, Any]:
        """Return the LLM label of a row, after recording that it was shown.

        Raises:
            DataError: the row does not exist, or LLM labels are hidden.
        """
        if self.blind:
            raise DataError("`blind` hides the LLM labels on this page. Start it with `--show-llm` to see them.")
        self.record_seen(annotator, {number: self.state.rows.row(number).digest})
        return self.suggestion(number)

    def record_seen(self, annotator: str, digests: dict[int, str]) -> None:
        """Record that an annotator sees the LLM labels of some rows, given by number and digest."""
        with self.state.lock:
            seen = self.state.annotator(annotator).seen
            new = [seen_event(annotator, number, digest) for number, digest in digests.items() if number not in seen]
            if new:
                self.state.add_all(new)

    def suggestion(self, number: int, value: Any = None) -> dict[str, Any]:
        """The LLM label of a row, and whether a human label equals it."""
        rows = self.state.rows
        llm = rows.llm_labels[number]
        same = None
        if value is not None:
            same = llm is not None and identity(rows.schema, value) == identity(rows.schema, llm)
        return {
            "label": llm,
            "status": rows.statuses[number],
            "confidence": rows.llm_confidence(number),
            "reason": rows.reasons[number] if rows.reasons is not None else None,
            "same": same,
        }


def annotator_name(text: Any) -> str:
    """Normalize the white space of an annotator's name.

    Raises:
        DataError: the name is invalid.
    """
    name = " ".join(text.split()) if isinstance(text, str) else ""
    if not NAME.fullmatch(name):
        raise DataError(
            f"`annotator` is {text!r}: give a name of letters, digits, spaces and . @ + ' - _, 60 characters at most."
        )
    return name


def seen_event(annotator: str, row: int, digest: str, key: str = "") -> Event:
    """The event that an annotator sees the LLM label of a row."""
    return Event(key or uuid.uuid4().hex, annotator, row, digest, "seen")


def checked_note(text: Any) -> str:
    """The note of a decision.

    Raises:
        DataError: it is no text, or too long.
    """
    if not isinstance(text, str) or len(text) > MAX_NOTE:
        raise DataError(f"`note` must be a text of at most {MAX_NOTE:,} characters.")
    return text.strip()


def checked_seconds(value: Any) -> float | None:
    """The time of a decision; None if the page sent no valid one."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    return round(float(value), 3) if usable else None
