"""Disagreements: rows to adjudicate, most informative first, and how they are settled."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.decision_store import Action, Event
from hf_synthlabels.review.informativeness import informativeness
from hf_synthlabels.review.review_state import ReviewState
from hf_synthlabels.review.review_values import read_value, shown

VIEWS = ("open", "people", "llm", "draws", "settled", "examples")
"""All that is open; where people differ; where the LLM differs from them; where its draws did and no one has looked;
what was decided; what was chosen as an example."""

PER_PAGE = 50
MAX_PATTERNS = 40
EXCERPT = 160


class Disagreements:
    """The adjudicate page, on a board."""

    def __init__(self, board: ReviewState) -> None:
        self.board = board
        self._draws: tuple[NDArray[np.int64], NDArray[np.int64], list[str]] | None = None

    def page(self, view: str = "open", offset: int = 0, pattern: str = "") -> dict[str, Any]:
        """Some rows of a view in the order of what they teach, and how many there are by what differs.

        Raises:
            DataError: there is no such view.
        """
        if view not in VIEWS:
            raise DataError(f"`show` is {view!r}: give one of {', '.join(VIEWS)}.")
        with self.board.lock:
            rows, codes, names = self._rows(view)
            worths = self._worths(view, rows, codes)
            counts = Counter(codes.tolist())
            if pattern:
                wanted = names.index(pattern) if pattern in names else -2
                rows, worths = rows[codes == wanted], worths[codes == wanted]
            order = np.lexsort((rows, -worths))[offset : offset + PER_PAGE]
            return {
                "total": len(rows),
                "offset": offset,
                "counts": self.counts(),
                "patterns": [
                    {"name": names[code] if code >= 0 else "", "rows": count}
                    for code, count in counts.most_common(MAX_PATTERNS)
                    if code >= 0
                ],
                "rows": [{**excerpt(self.board, int(rows[at])), "worth": float(worths[at])} for at in order],
            }

    def counts(self) -> dict[str, int]:
        """How many rows each view has."""
        return {view: len(self._rows(view)[0]) for view in VIEWS}

    def decide(self, annotator: str, number: int, value: Any, note: Any = "", key: str = "") -> dict[str, Any]:
        """Store the adjudicated label of a row.

        Raises:
            DataError: there is no such row, or the label is not in the schema.
        """
        board = self.board
        row = board.rows.row(number)
        checked = read_value(board.rows.schema, value, row.context)
        board.add(
            Event(
                key=key or uuid.uuid4().hex,
                annotator=annotator,
                row=number,
                digest=row.digest,
                action="adjudicate",
                human_label=checked,
                llm_label=board.rows.llm_labels[number],
                llm_shown=True,
                note=note.strip() if isinstance(note, str) else "",
            )
        )
        return {"case": case(board, number), "counts": self.counts()}

    def reopen(self, annotator: str, number: int) -> dict[str, Any]:
        """Take a decision back.

        Raises:
            DataError: there is none.
        """
        standing = self.board.adjudications.get(number)
        if standing is None:
            raise DataError(f"`row` {number:,} was not decided: there is nothing to take back.")
        event = Event(uuid.uuid4().hex, annotator, number, standing.digest, "undo", note=standing.key)
        self.board.add(event)
        return {"case": case(self.board, number), "counts": self.counts()}

    def mark_example(self, annotator: str, number: int, *, chosen: bool) -> dict[str, Any]:
        """Choose a row as a few-shot example, or choose it no longer.

        Raises:
            DataError: there is no such row, or it has no label by people.
        """
        found = self.board.resolutions.get(number)
        if chosen and (found is None or found.value is None):
            raise DataError(f"`row` {number:,} has no label by people yet: decide it before it becomes an example.")
        digest = self.board.rows.row(number).digest
        action: Action = "example" if chosen else "no-example"
        self.board.add(Event(uuid.uuid4().hex, annotator, number, digest, action))
        return {"case": case(self.board, number), "counts": self.counts()}

    def _rows(self, view: str) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        """The rows of a view, what differs in each as a code, and the names of the codes."""
        board = self.board
        settled = np.array(sorted(board.adjudications), dtype=np.int64)
        if view == "draws":
            rows, codes, names = self._undecided_draws()
            free = np.isin(rows, np.fromiter(board.resolutions, np.int64, len(board.resolutions)), invert=True)
            return rows[free], codes[free], names
        if view == "settled":
            rows = settled
        elif view == "examples":
            rows = np.array(sorted(board.examples), dtype=np.int64)
        else:
            differs = board.patterns >= 0
            differs[settled] = False
            disputed = np.zeros_like(differs)
            disputed[list(board.disputes)] = True
            if view == "people":
                differs &= disputed
            elif view == "llm":
                differs &= ~disputed
            rows = np.flatnonzero(differs)
        return rows, board.patterns[rows], board.pattern_names

    def _worths(self, view: str, rows: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        rows_of = self.board.rows
        if view in ("settled", "examples"):
            # The last one first.
            kept = self.board.adjudications if view == "settled" else self.board.examples
            return np.array([kept[int(row)].id for row in rows], dtype=np.float64)
        bits = -np.log2(np.clip(rows_of.confidence[rows], 0.01, 1)) if view == "draws" else self.board.bits[rows]
        return informativeness(bits, codes, rows_of.chances[rows])

    def _undecided_draws(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        if self._draws is None:
            rows = self.board.rows.draws_differ()
            named = bool(self.board.rows.schema.names)
            texts = [
                f"draws differ: {shown(self.board.rows.llm_labels[row])[:40]}" if named else "draws differ"
                for row in rows
            ]
            codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
            self._draws = rows, np.array([codes[text] for text in texts], dtype=np.int64), list(codes)
        return self._draws


def excerpt(board: ReviewState, number: int) -> dict[str, Any]:
    """A row in a list: the beginning of its text, who said what, and what differs."""
    row, found = board.rows.row(number), board.resolutions.get(number)
    code = int(board.patterns[number])
    text = " · ".join(part.text for part in row.parts if part.text)
    return {
        "row": number,
        "digest": row.digest,
        "text": text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…",
        "pattern": board.pattern_names[code] if code >= 0 else "",
        "human": None if found is None else shown(found.value) if found.value is not None else None,
        "how": None if found is None else found.how,
        "llm": shown(board.rows.llm_labels[number]),
        "example": number in board.examples,
    }


def case(board: ReviewState, number: int) -> dict[str, Any]:
    """All that is known of one row.

    Raises:
        DataError: there is no such row.
    """
    row, found = board.rows.row(number), board.resolutions.get(number)
    sure = float(board.rows.confidence[number])
    notes = {who.name: who.labels[number] for who in board.annotators.values() if number in who.labels}
    decided = board.adjudications.get(number)
    return {
        **excerpt(board, number),
        "parts": [{"name": part.name, "text": part.text, "marked": part.marked} for part in row.parts],
        "votes": [
            {
                "annotator": name,
                "value": value,
                "note": notes[name].note if name in notes else "",
                "llm_shown": name in notes and notes[name].llm_shown,
            }
            for name, value in (found.votes if found is not None else ())
        ],
        "value": None if found is None else found.value,
        "decided": None if decided is None else {"by": decided.annotator, "note": decided.note},
        "llm_label": board.rows.llm_labels[number],
        "llm_status": board.rows.statuses[number],
        "llm_confidence": None if sure != sure else sure,
        "llm_reason": board.rows.reasons[number] if board.rows.reasons is not None else None,
        "bits": float(board.bits[number]),
        "chance": None if np.isnan(board.rows.chances[number]) else float(board.rows.chances[number]),
    }
