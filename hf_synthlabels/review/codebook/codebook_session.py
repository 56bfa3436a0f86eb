"""CodebookSession: the calls of the label page of a codebook."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.review.annotation_session import (
    MAX_SKIPPED,
    PREFETCHED_ROWS,
    AnnotationSession,
    Decision,
    Leases,
    checked_note,
    checked_seconds,
    seen_event,
)
from hf_synthlabels.review.codebook.codebook_review import CodebookReview
from hf_synthlabels.review.codebook.codebook_rows import labels_in_table
from hf_synthlabels.review.decision_store import Event
from hf_synthlabels.review.review_progress import seconds_per_row
from hf_synthlabels.review.review_values import read_value


class VariableSession(AnnotationSession):
    """The adjudicate and report pages of one variable."""

    def __init__(self, codebook: CodebookSession, name: str) -> None:
        super().__init__(codebook.review.variables[name], per_row=codebook.per_row, blind=codebook.blind)
        self.codebook = codebook

    def hides_llm(self, annotator: str) -> bool:
        """Whether LLM labels are hidden: in a blind review, until all rows are decided."""
        return self.codebook.hides_llm(annotator)


class CodebookSession:
    """Annotation of the rows under review with all variables of a codebook; see `AnnotationSession`."""

    def __init__(self, review: CodebookReview, *, per_row: int | None = None, blind: bool | None = None) -> None:
        self.review = review
        self.per_row = per_row
        self.blind = review.rows.sampled if blind is None else blind
        self.variables = {name: VariableSession(self, name) for name in review.variables}
        self._leases = Leases()

    def hides_llm(self, annotator: str) -> bool:
        """Whether LLM labels are hidden: in a blind review, until all rows are decided."""
        return self.blind and bool(self.review.upcoming(annotator, per_row=self.per_row))

    def progress(self, annotator: str) -> dict[str, Any]:
        """Rows in which all variables are decided; a row counts as skipped if an applicable variable does."""
        review, queue = self.review, self.review.rows.queue
        decided, skipped = len(review.decided_rows(annotator)), len(review.skipped_rows(annotator))
        return {
            "rows": len(queue),
            "labeled": decided - skipped,
            "skipped": skipped,
            "open": max(0, len(queue) - decided),
            "seconds": seconds_per_row(review.first.annotator(annotator)),
            "agreement": None,
            "mean_error": None,
        }

    def next_rows(self, annotator: str, *, skip: tuple[int, ...] = ()) -> list[dict[str, Any]]:
        """The next rows for an annotator, without those that the page has already."""
        with self.review.lock:
            excluded = {*skip, *self._leases.of_others(annotator)}
            numbers = self.review.upcoming(annotator, PREFETCHED_ROWS, per_row=self.per_row, excluded=excluded)
            if self.per_row is not None:
                self._leases.add(annotator, numbers)
        return [self.row(annotator, number) for number in numbers]

    def row(self, annotator: str, number: int) -> dict[str, Any]:
        """A row with the annotator's latest labels and note.

        Raises:
            DataError: the row does not exist.
        """
        row = self.review.rows.row(number)
        events = self.review.decisions(annotator, number)
        return {
            "row": number,
            "digest": row.digest,
            "parts": row.to_json(),
            "mine": self._given(events) if events else None,
            "note": next((event.note for event in events.values() if event.note), ""),
        }

    def skipped(self, annotator: str) -> dict[str, Any]:
        """Rows in which the annotator skipped an applicable variable."""
        with self.review.lock:
            skipped, decisions = self.review.skipped_rows(annotator), self.review.first.annotator(annotator)
            rows = [row for row in (*decisions.skips, *decisions.labels) if row in skipped]
        return {"rows": [self.row(annotator, number) for number in rows[:MAX_SKIPPED]]}

    def decide(self, decision: Decision) -> dict[str, Any]:
        """Store the labels and skips of all variables of a row, all or none.

        A variable whose condition does not hold by these labels is stored as skipped, whatever the page sent.

        Args:
            decision: its value has the label of each variable, null for a skip; a value of None skips the row.

        Raises:
            DataError: the text of the row has changed, or a label is missing or not in the schema.
            StoreError: the decision cannot be stored.
        """
        review, annotator = self.review, decision.annotator
        row = review.rows.row(decision.row)
        if row.digest != decision.digest:
            raise DataError(f"`row` {decision.row:,} has another text now: load the page again.")
        with review.lock:
            labels = self._labels(decision)
            events, key = [], decision.key or uuid.uuid4().hex
            for name, state in review.variables.items():
                value = labels.get(name)
                own = state.rows.row(row.number)
                is_seen = row.number in state.annotator(annotator).seen
                event = Event(
                    key=f"{key}-{name}",
                    annotator=annotator,
                    row=row.number,
                    digest=own.digest,
                    action="skip" if value is None else "label",
                    human_label=value,
                    llm_label=state.rows.llm_labels[row.number],
                    llm_shown=is_seen,
                    variable=name,
                )
                events.append(event)
                if value is not None and not self.blind and not is_seen:
                    seen = seen_event(annotator, row.number, own.digest, f"{event.key}-seen")
                    events.append(replace(seen, variable=name))
            # The note and the time are those of the row.
            events[0] = replace(events[0], note=checked_note(decision.note), seconds=checked_seconds(decision.seconds))
            review.add_all(events)
            self._leases.end(row.number)
            llm = None if self.blind else self._suggestions(row.number, labels)
            decided = {"row": row.number, "value": labels, "llm": llm}
            return {"decided": decided, "progress": self.progress(annotator)}

    def undo(self, annotator: str) -> dict[str, Any]:
        """Undo the annotator's last row, and return it with the undone labels.

        Raises:
            DataError: there is nothing to undo.
        """
        review = self.review
        with review.lock:
            histories = {name: state.annotator(annotator).history for name, state in review.variables.items()}
            last = {name: history[-1] for name, history in histories.items() if history}
            if not last:
                raise DataError("There is nothing to undo.")
            number = max(last.values(), key=lambda event: event.id).row
            undone = {name: event for name, event in last.items() if event.row == number}
            review.add_all(
                Event(uuid.uuid4().hex, annotator, number, event.digest, "undo", note=event.key, variable=name)
                for name, event in undone.items()
            )
            row = self.row(annotator, number)
            note = next((event.note for event in undone.values() if event.note), "")
            return {
                "row": {**row, "mine": row["mine"] or self._given(undone), "note": row["note"] or note},
                "progress": self.progress(annotator),
            }

    def labeled_before(self) -> int:
        """Sampled rows that need no more labels, because the table has them."""
        rows = self.review.rows
        labels = (labels_in_table(rows, row) for row in rows.first.human_labels)
        return sum(set(rows.applicable(given)) <= set(given) for given in labels)

    def _labels(self, decision: Decision) -> dict[str, Any]:
        """The valid labels of the applicable variables.

        Raises:
            DataError: a variable has no answer, or a label is not in the schema.
        """
        review, value = self.review, decision.value
        if value is None:
            return {}
        if not isinstance(value, dict) or (unknown := [name for name in value if name not in review.variables]):
            wrong = repr(unknown[0]) if isinstance(value, dict) else f"{value!r}"
            raise DataError(f"`value` has {wrong}: give a label for each of {', '.join(review.variables)}.")
        labels: dict[str, Any] = {}
        for name in review.variables:
            if name not in review.rows.applicable(labels):
                continue
            if name not in value:
                raise DataError(f"`{name}` has no answer. Label it, or skip it.")
            if value[name] is not None:
                rows = review.rows.variables[name]
                try:
                    labels[name] = read_value(rows.schema, value[name], rows.row(decision.row).context)
                except DataError as error:
                    raise DataError(f"`{name}`: {error}") from None
        return labels

    def _suggestions(self, number: int, labels: dict[str, Any]) -> dict[str, Any]:
        return {name: self.variables[name].suggestion(number, value) for name, value in labels.items()}

    def _given(self, events: dict[str, Event]) -> dict[str, Any]:
        labels = {name: event.human_label for name, event in events.items() if event.action == "label"}
        skips = [name for name in self.review.rows.applicable(labels) if name in events and name not in labels]
        return {"value": labels, "skipped": skips}
