"""AnnotationSession: get a row, label it, skip it, undo, and show the LLM's label."""

from __future__ import annotations

import math
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.decision_store import Event
from hf_synthlabels.review.review_progress import progress
from hf_synthlabels.review.review_state import ReviewState
from hf_synthlabels.review.review_values import identity, read_value

AHEAD = 3
"""Rows that the page gets at once, so that the next one is there before the label is stored."""

LEASE_S = 900.0
"""How long a row is kept for who has it before them, where not everybody labels all rows."""

MAX_SKIPPED = 50
"""Rows that are given at once."""

MAX_NOTE = 10_000
NAME = re.compile(r"[\w][\w .@+'-]{0,59}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What an annotator says of a row."""

    annotator: str
    row: int
    digest: str
    value: Any = None
    """Plain JSON; None to skip the row."""
    note: str = ""
    seconds: float | None = None
    key: str = ""
    """Given by the page: what is sent twice is stored once."""


class AnnotationSession:
    """What the label page does, on a board.

    Args:
        board: where the work stands.
        per_row: how many people label each row; None for all.
        blind: whether the LLM's labels are never shown on the label page. None for blind where a sampler drew the
            rows: labels that validate an LLM must not depend on its answers.
    """

    def __init__(self, board: ReviewState, *, per_row: int | None = None, blind: bool | None = None) -> None:
        self.board = board
        self.per_row = per_row
        self.blind = board.rows.sampled if blind is None else blind
        self._leases: dict[int, tuple[str, float]] = {}

    def next_rows(self, annotator: str, *, skip: tuple[int, ...] = ()) -> list[dict[str, Any]]:
        """The next rows for an annotator, without those that the page has already."""
        with self.board.lock:
            taken = {*skip, *self._leased(annotator)}
            numbers = self.board.upcoming(annotator, AHEAD, per_row=self.per_row, taken=taken)
            if self.per_row is not None:
                until = time.monotonic() + LEASE_S
                self._leases |= {number: (annotator, until) for number in numbers}
        return [self.row(annotator, number) for number in numbers]

    def row(self, annotator: str, number: int) -> dict[str, Any]:
        """A row as the page shows it, with what this annotator said of it before.

        Raises:
            DataError: there is no such row.
        """
        found = self.board.rows.row(number)
        mine = self.board.standing(annotator, number)
        said = None if mine is None else {"value": mine.human_label, "skipped": mine.action == "skip"}
        return {
            "row": number,
            "digest": found.digest,
            "parts": [{"name": part.name, "text": part.text, "marked": part.marked} for part in found.parts],
            "mine": said,
            "note": "" if mine is None else mine.note,
        }

    def skipped(self, annotator: str) -> dict[str, Any]:
        """The rows that an annotator skipped, to be looked at again."""
        with self.board.lock:
            numbers = list(self.board.annotator(annotator).skips)[:MAX_SKIPPED]
        return {"rows": [self.row(annotator, number) for number in numbers]}

    def decide(self, decision: Decision) -> dict[str, Any]:
        """Store a label or a skip, and say what the LLM had said, what is next, and how far the work is.

        Raises:
            DataError: the row is another one by now, or the label is not in the schema.
            StoreError: it cannot be stored; nothing was.
        """
        board, name = self.board, decision.annotator
        row = board.rows.row(decision.row)
        if row.digest != decision.digest:
            raise DataError(f"`row` {decision.row:,} has another text now: load the page again.")
        value = None
        if decision.value is not None:
            value = read_value(board.rows.schema, decision.value, row.context)
        with board.lock:
            event = Event(
                key=decision.key or uuid.uuid4().hex,
                annotator=name,
                row=row.number,
                digest=row.digest,
                action="skip" if value is None else "label",
                human_label=value,
                llm_label=board.rows.llm_labels[row.number],
                llm_shown=row.number in board.annotator(name).seen,
                note=_note(decision.note),
                seconds=_seconds(decision.seconds),
            )
            revealed = value is not None and not self.blind
            events = [event]
            if revealed and not event.llm_shown:
                events.append(_seen(event.annotator, row.number, row.digest, f"{event.key}-seen"))
            board.add_all(events)
            self._leases.pop(row.number, None)
            llm = self.suggestion(row.number, value) if revealed else None
            return {"decided": {"row": row.number, "value": value, "llm": llm}, "progress": progress(board, name)}

    def undo(self, annotator: str) -> dict[str, Any]:
        """Take back the last label or skip of an annotator, and give its row again with what was said.

        Raises:
            DataError: there is nothing to take back.
        """
        with self.board.lock:
            history = self.board.annotator(annotator).history
            if not history:
                raise DataError("There is nothing to undo.")
            last = history[-1]
            taken_back = {"value": last.human_label, "skipped": last.action == "skip"}
            self.board.add(Event(uuid.uuid4().hex, annotator, last.row, last.digest, "undo", note=last.key))
            row = self.row(annotator, last.row)
            return {
                "row": {**row, "mine": row["mine"] or taken_back, "note": row["note"] or last.note},
                "progress": progress(self.board, annotator),
            }

    def show(self, annotator: str, number: int) -> dict[str, Any]:
        """Return the LLM's label of a row, after recording that it was shown.

        Raises:
            DataError: there is no such row, or the LLM's labels are not to be shown.
        """
        if self.blind:
            raise DataError("`blind` hides the LLM's labels on this page. Start it with `--show-llm` to see them.")
        row = self.board.rows.row(number)
        self.reveal(annotator, [number], {number: row.digest})
        return self.suggestion(number)

    def reveal(self, annotator: str, numbers: list[int], digests: dict[int, str]) -> None:
        """Store that an annotator sees the LLM's labels of some rows."""
        with self.board.lock:
            seen = self.board.annotator(annotator).seen
            new = [number for number in numbers if number not in seen]
            if new:
                self.board.add_all([_seen(annotator, number, digests[number]) for number in new])

    def suggestion(self, number: int, value: Any = None) -> dict[str, Any]:
        """What the LLM said of a row, and whether a label is the same."""
        rows = self.board.rows
        llm, sure = rows.llm_labels[number], float(rows.confidence[number])
        same = None
        if value is not None:
            same = llm is not None and identity(rows.schema, value) == identity(rows.schema, llm)
        return {
            "label": llm,
            "status": rows.statuses[number],
            "confidence": None if math.isnan(sure) else sure,
            "reason": rows.reasons[number] if rows.reasons is not None else None,
            "same": same,
        }

    def _leased(self, annotator: str) -> set[int]:
        now = time.monotonic()
        self._leases = {row: lease for row, lease in self._leases.items() if lease[1] > now}
        return {row for row, (name, _) in self._leases.items() if name != annotator}


def annotator_name(text: Any) -> str:
    """A name as it is stored: single spaces, nothing around it.

    Raises:
        DataError: it is no name.
    """
    name = " ".join(text.split()) if isinstance(text, str) else ""
    if not NAME.fullmatch(name):
        raise DataError(
            f"`annotator` is {text!r}: give a name of letters, digits, spaces and . @ + ' - _, 60 characters at most."
        )
    return name


def _seen(annotator: str, row: int, digest: str, key: str = "") -> Event:
    return Event(key or uuid.uuid4().hex, annotator, row, digest, "seen")


def _note(text: Any) -> str:
    if not isinstance(text, str) or len(text) > MAX_NOTE:
        raise DataError(f"`note` is no text of {MAX_NOTE:,} characters at most.")
    return text.strip()


def _seconds(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    return round(float(value), 3) if usable else None
