"""LiveReport: scores, confusion matrix and agreement of the labels so far, and the rows behind each number."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from hf_synthlabels.errors import SynthLabelsError
from hf_synthlabels.review.disagreements import PER_PAGE, excerpt
from hf_synthlabels.review.review_progress import annotator_agreement, label_matrix
from hf_synthlabels.review.review_state import NAMED_KINDS, ReviewState
from hf_synthlabels.statistics import MEASURES, ValidationReport, validate
from hf_synthlabels.statistics.design.human_rows import PROBABILITY

MAX_PATTERNS = 100


class LabelsTable:
    """Human and LLM labels in memory, in the form that `validate` reads."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""
        return list(self._columns)

    def __getitem__(self, column: str) -> Iterable[Any]:
        return self._columns[column]


def labels_table(state: ReviewState) -> LabelsTable:
    """The labels so far; None for a row without a label or with disagreement."""
    rows = state.rows
    human: list[Any] = [None] * len(rows)
    for row, resolution in state.resolutions.items():
        human[row] = resolution.value
    columns: dict[str, list[Any]] = {
        rows.human: human,
        rows.llm: list(rows.llm_labels),
        # Rows in which the variable does not apply are not missing.
        PROBABILITY: [None if state.applies[row] < 0 else rows.probability(row) for row in range(len(rows))],
    }
    if any(status is not None for status in rows.statuses):
        columns[f"{rows.llm}_status"] = list(rows.statuses)
    return LabelsTable(columns)


class LiveReport:
    """The read page. Scores are computed in a thread, because intervals of many rows take a while."""

    def __init__(self, state: ReviewState) -> None:
        self.state = state
        self._computed: tuple[int, dict[str, Any]] | None = None
        self._is_busy = False

    def report(self) -> dict[str, Any]:
        """Return counts at once, and scores and agreement when they are computed.

        `state` is `none` before the first label, `working` while scores are missing or outdated, `done`, or `failed`
        with an `error`.
        """
        state = self.state
        with state.lock:
            counts = self._counts()
            if not counts["labeled"]:
                return {"state": "none", **counts}
            if self._computed is not None and self._computed[0] == state.last:
                return {**counts, **self._computed[1]}
            if not self._is_busy:
                self._is_busy = True
                threading.Thread(target=self._compute, daemon=True).start()
            outdated = self._computed[1] if self._computed is not None else {}
            return {**counts, **outdated, "state": "working"}

    def rows_of(self, human: Any, llm: Any, offset: int = 0) -> dict[str, Any]:
        """Return the rows behind a number: a cell of the matrix, or a difference.

        Args:
            human: human label; for kinds without a matrix the difference.
            llm: LLM label; None for no label.
            offset: number of rows to skip.
        """
        state = self.state
        with state.lock:
            if state.rows.schema.kind in NAMED_KINDS:
                is_cell = isinstance(human, str) and (llm is None or isinstance(llm, str))
                numbers = sorted(state.cells.get((human, llm), ())) if is_cell else []
            else:
                code = state.pattern_names.index(human) if human in state.pattern_names else -2
                numbers = np.flatnonzero(state.patterns == code).tolist()
            page = [excerpt(state, row) for row in numbers[offset : offset + PER_PAGE]]
            return {"total": len(numbers), "offset": offset, "rows": page}

    def _counts(self) -> dict[str, Any]:
        state, kind = self.state, self.state.rows.schema.kind
        labeled = int((~np.isnan(state.credits)).sum())
        if kind in NAMED_KINDS:
            names = state.rows.schema.names
            across: tuple[str | None, ...] = (*names, None)
            counts = [[len(state.cells.get((human, llm), ())) for llm in across] for human in names]
            return {"labeled": labeled, "kind": kind, "matrix": {"names": names, "counts": counts}}
        codes = state.patterns[(state.patterns >= 0) & ~np.isnan(state.credits)]
        common = Counter(codes.tolist()).most_common(MAX_PATTERNS)
        differences = [{"name": state.pattern_names[code], "rows": count} for code, count in common]
        return {"labeled": labeled, "kind": kind, "differences": differences, "same": labeled - len(codes)}

    def _compute(self) -> None:
        rows, state = self.state.rows, self.state
        with state.lock:
            last, table, matrix = state.last, labels_table(state), label_matrix(state)
        try:
            # The page is looked at while rows are being labeled; a finished sample has the narrower intervals.
            is_open = any(
                label is None and chance is not None
                for label, chance in zip(table[rows.human], table[PROBABILITY], strict=True)
            )
            options: dict[str, Any] = {"schema": rows.schema, "confidence": False, "sequential": is_open}
            report = validate(table, human=rows.human, llm=rows.llm, **options)
            content = {"state": "done", **_scores(report), "agreement": asdict(annotator_agreement(matrix))}
        except SynthLabelsError as error:
            content = {"state": "failed", "error": str(error)}
        except Exception:
            logging.getLogger(__name__).exception("the report of a review failed")
            content = {"state": "failed", "error": "Internal server error; see the log of the server."}
        with state.lock:
            self._computed, self._is_busy = (last, content), False


def _scores(report: ValidationReport) -> dict[str, Any]:
    titles = MEASURES[report.kind]
    return {
        "scores": [{"name": titles[name], **interval.to_dict()} for name, interval in report.scores.items()],
        "classes": [
            {
                "name": each.name,
                "support": each.support,
                "predicted": each.predicted,
                **{part: getattr(each, part).to_dict() for part in ("precision", "recall", "f1")},
            }
            for each in report.classes
        ],
        "notes": list(report.notes),
        "level": report.level,
        "n_rows": report.n_rows,
        "n_human": report.n_human,
        "text": str(report),
    }
