"""Disagreements: rows to adjudicate, most informative first, and their adjudication."""

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
"""All open rows; disagreement of annotators; disagreement with the LLM; unlabeled rows on which the LLM was uncertain;
adjudicated rows; few-shot examples."""

PER_PAGE = 50
MAX_PATTERNS = 40
MAX_EXCERPT = 160


class Disagreements:
    """The adjudicate page."""

    def __init__(self, state: ReviewState) -> None:
        self.state = state
        self._uncertain: tuple[NDArray[np.int64], NDArray[np.int64], list[str]] | None = None

    def page(self, view: str = "open", offset: int = 0, pattern: str = "") -> dict[str, Any]:
        """Return rows of a view in the order of their informativeness, with counts by pattern.

        Raises:
            DataError: the view does not exist.
        """
        if view not in VIEWS:
            raise DataError(f"`show` is {view!r}: give one of {', '.join(VIEWS)}.")
        with self.state.lock:
            rows, codes, names = self._rows(view)
            scores = self._scores(view, rows, codes)
            counts = Counter(codes.tolist())
            if pattern:
                code = names.index(pattern) if pattern in names else -2
                rows, scores = rows[codes == code], scores[codes == code]
            order = np.lexsort((rows, -scores))[offset : offset + PER_PAGE]
            return {
                "total": len(rows),
                "offset": offset,
                "counts": self.counts(),
                "patterns": [
                    {"name": names[code], "rows": count}
                    for code, count in counts.most_common(MAX_PATTERNS)
                    if code >= 0
                ],
                "rows": [{**excerpt(self.state, int(rows[at])), "worth": float(scores[at])} for at in order],
            }

    def counts(self) -> dict[str, int]:
        """Number of rows of each view."""
        return {view: len(self._rows(view)[0]) for view in VIEWS}

    def decide(
        self, annotator: str, number: int, value: Any, note: Any = "", key: str = "", *, llm_shown: bool = True
    ) -> dict[str, Any]:
        """Store the adjudicated label of a row.

        Raises:
            DataError: the row does not exist, or the label is not in the schema.
        """
        state = self.state
        row = state.rows.row(number)
        event = Event(
            key=key or uuid.uuid4().hex,
            annotator=annotator,
            row=number,
            digest=row.digest,
            action="adjudicate",
            human_label=read_value(state.rows.schema, value, row.context),
            llm_label=state.rows.llm_labels[number],
            llm_shown=llm_shown,
            note=note.strip() if isinstance(note, str) else "",
        )
        return self._store(event)

    def reopen(self, annotator: str, number: int) -> dict[str, Any]:
        """Undo the adjudication of a row.

        Raises:
            DataError: the row is not adjudicated.
        """
        decision = self.state.adjudications.get(number)
        if decision is None:
            raise DataError(f"`row` {number:,} is not adjudicated: there is nothing to undo.")
        return self._store(Event(uuid.uuid4().hex, annotator, number, decision.digest, "undo", note=decision.key))

    def mark_example(self, annotator: str, number: int, *, chosen: bool) -> dict[str, Any]:
        """Add a row to the few-shot examples, or remove it.

        Raises:
            DataError: the row does not exist, or has no human label.
        """
        resolution = self.state.resolutions.get(number)
        if chosen and (resolution is None or resolution.value is None):
            raise DataError(f"`row` {number:,} has no human label: label or adjudicate it first.")
        digest = self.state.rows.row(number).digest
        action: Action = "example" if chosen else "no-example"
        return self._store(Event(uuid.uuid4().hex, annotator, number, digest, action))

    def _store(self, event: Event) -> dict[str, Any]:
        self.state.add(event)
        return {"case": case(self.state, event.row), "counts": self.counts()}

    def _rows(self, view: str) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        """Rows of a view, the code of each row's pattern, and the patterns by code."""
        state = self.state
        adjudicated = np.array(sorted(state.adjudications), dtype=np.int64)
        if view == "draws":
            rows, codes, names = self._uncertain_rows()
            is_open = np.isin(rows, np.fromiter(state.resolutions, np.int64, len(state.resolutions)), invert=True)
            is_open &= state.applies[rows] > 0
            return rows[is_open], codes[is_open], names
        if view == "settled":
            rows = adjudicated
        elif view == "examples":
            rows = np.array(sorted(state.examples), dtype=np.int64)
        else:
            differs = state.patterns >= 0
            differs[adjudicated] = False
            is_disputed = np.zeros_like(differs)
            is_disputed[list(state.disputes)] = True
            if view == "people":
                differs &= is_disputed
            elif view == "llm":
                differs &= ~is_disputed
            rows = np.flatnonzero(differs)
        return rows, state.patterns[rows], state.pattern_names

    def _scores(self, view: str, rows: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
        state = self.state
        if view in ("settled", "examples"):
            # Latest first.
            events = state.adjudications if view == "settled" else state.examples
            return np.array([events[int(row)].id for row in rows], dtype=np.float64)
        bits = -np.log2(np.clip(state.rows.confidence[rows], 0.01, 1)) if view == "draws" else state.bits[rows]
        return informativeness(bits, codes, state.rows.inclusion_probabilities[rows])

    def _uncertain_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
        if self._uncertain is None:
            reviewed = self.state.rows
            rows = reviewed.uncertain_rows()
            labels = [f": {shown(reviewed.llm_labels[row])[:40]}" if reviewed.schema.names else "" for row in rows]
            texts = [f"LLM uncertain{label}" for label in labels]
            codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
            self._uncertain = rows, np.array([codes[text] for text in texts], dtype=np.int64), list(codes)
        return self._uncertain


def excerpt(state: ReviewState, number: int) -> dict[str, Any]:
    """A row in a list: the beginning of its text, its labels, and how they differ."""
    row, resolution = state.rows.row(number), state.resolutions.get(number)
    code = int(state.patterns[number])
    text = " · ".join(part.text for part in row.parts if part.text)
    has_label = resolution is not None and resolution.value is not None
    return {
        "row": number,
        "digest": row.digest,
        "text": text if len(text) <= MAX_EXCERPT else f"{text[:MAX_EXCERPT]}…",
        "pattern": state.pattern_names[code] if code >= 0 else "",
        "human": shown(resolution.value) if resolution is not None and has_label else None,
        "how": None if resolution is None else resolution.how,
        "llm": shown(state.rows.llm_labels[number]),
        "example": number in state.examples,
    }


def case(state: ReviewState, number: int) -> dict[str, Any]:
    """All that is known of one row.

    Raises:
        DataError: the row does not exist.
    """
    rows, resolution = state.rows, state.resolutions.get(number)
    events = {each.name: each.labels[number] for each in state.annotators.values() if number in each.labels}
    adjudication = state.adjudications.get(number)
    return {
        **excerpt(state, number),
        "parts": rows.row(number).to_json(),
        "votes": [
            {
                "annotator": name,
                "value": value,
                "note": events[name].note if name in events else "",
                "llm_shown": name in events and events[name].llm_shown,
            }
            for name, value in (resolution.votes if resolution is not None else ())
        ],
        "value": None if resolution is None else resolution.value,
        "decided": None if adjudication is None else {"by": adjudication.annotator, "note": adjudication.note},
        "llm_label": rows.llm_labels[number],
        "llm_status": rows.statuses[number],
        "llm_confidence": rows.llm_confidence(number),
        "llm_reason": rows.reasons[number] if rows.reasons is not None else None,
        "bits": float(state.bits[number]),
        "chance": rows.probability(number),
    }
