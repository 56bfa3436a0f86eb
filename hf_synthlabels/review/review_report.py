"""Reading: the report of the labels so far, who was taken for what, and the rows behind each number."""

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
from hf_synthlabels.review.review_progress import annotator_agreement, given_labels
from hf_synthlabels.review.review_state import NAMED_KINDS, ReviewState
from hf_synthlabels.statistics import MEASURES, ValidationReport, validate
from hf_synthlabels.statistics.design.human_rows import PROBABILITY

MAX_PATTERNS = 100


class LabelsTable:
    """The labels of people and of the LLM, as `validate` reads them."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    def __getitem__(self, column: str) -> Iterable[Any]:
        return self._columns[column]


def labels_table(board: ReviewState) -> LabelsTable:
    """The labels so far: of people what they come to, None where they disagree."""
    rows = board.rows
    human: list[Any] = [None] * len(rows)
    for row, found in board.resolutions.items():
        human[row] = found.value
    columns: dict[str, list[Any]] = {
        rows.human: human,
        rows.llm: list(rows.llm_labels),
        PROBABILITY: [None if chance != chance else chance for chance in rows.chances.tolist()],
    }
    if any(status is not None for status in rows.statuses):
        columns[f"{rows.llm}_status"] = list(rows.statuses)
    return LabelsTable(columns)


class Reading:
    """The read page, on a board. Its report is made in a thread, because intervals of many rows take a while."""

    def __init__(self, board: ReviewState) -> None:
        self.board = board
        self._made: tuple[int, dict[str, Any]] | None = None
        self._busy = False

    def report(self) -> dict[str, Any]:
        """Scores with intervals and who was taken for what: at once what can be counted, the scores when they are made.

        `state` is `none` before the first label, `working` where `scores` and `agreement` are of an earlier
        state or missing, `done` where they are of now, `failed` with `error`.
        """
        board = self.board
        with board.lock:
            counted = self._counted()
            if not counted["labeled"]:
                return {"state": "none", **counted}
            if self._made is not None and self._made[0] == board.last:
                return {**counted, **self._made[1]}
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._make, daemon=True).start()
            earlier = self._made[1] if self._made is not None else {}
            return {**counted, **earlier, "state": "working"}

    def rows_of(self, human: Any, llm: Any, offset: int = 0) -> dict[str, Any]:
        """The rows behind a number: of a cell of the matrix, or of one difference, which is given as `human` alone.

        Args:
            human: the label by people; for kinds without a matrix the difference.
            llm: the label by the LLM, None for no label.
            offset: rows to leave out at the beginning.
        """
        board = self.board
        with board.lock:
            if board.rows.schema.kind in NAMED_KINDS:
                known = isinstance(human, str) and (llm is None or isinstance(llm, str))
                found = sorted(board.cells.get((human, llm), ())) if known else []
            else:
                code = board.pattern_names.index(human) if human in board.pattern_names else -2
                found = np.flatnonzero(board.patterns == code).tolist()
            return {
                "total": len(found),
                "offset": offset,
                "rows": [excerpt(board, row) for row in found[offset : offset + PER_PAGE]],
            }

    def _counted(self) -> dict[str, Any]:
        board = self.board
        labeled = int((~np.isnan(board.credits)).sum())
        content: dict[str, Any] = {"labeled": labeled, "kind": board.rows.schema.kind}
        if board.rows.schema.kind in NAMED_KINDS:
            names = board.rows.schema.names
            across: tuple[str | None, ...] = (*names, None)
            counts = [[len(board.cells.get((human, llm), ())) for llm in across] for human in names]
            return {**content, "matrix": {"names": names, "counts": counts}}
        used = board.patterns[(board.patterns >= 0) & ~np.isnan(board.credits)]
        common = Counter(used.tolist()).most_common(MAX_PATTERNS)
        content["differences"] = [{"name": board.pattern_names[code], "rows": count} for code, count in common]
        return {**content, "same": labeled - len(used)}

    def _make(self) -> None:
        rows, board = self.board.rows, self.board
        with board.lock:
            last, table, given = board.last, labels_table(board), given_labels(board)
        try:
            made = validate(table, human=rows.human, llm=rows.llm, schema=rows.schema)
            found = {"state": "done", **_scores(made), "agreement": asdict(annotator_agreement(given))}
        except SynthLabelsError as error:
            found = {"state": "failed", "error": str(error)}
        except Exception:
            logging.getLogger(__name__).exception("the report of a review failed")
            found = {"state": "failed", "error": "The server has a fault; its log says which."}
        with board.lock:
            self._made, self._busy = (last, found), False


def _scores(report: ValidationReport) -> dict[str, Any]:
    return {
        "scores": [
            {"name": MEASURES[report.kind][name], **interval.to_dict()} for name, interval in report.scores.items()
        ],
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
