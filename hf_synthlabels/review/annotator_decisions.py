"""Annotator: the decisions of one annotator, and the rows that are next."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.review.decision_store import Event


@dataclass(slots=True)
class Annotator:
    """Decisions of one annotator."""

    name: str
    labels: dict[int, Event] = field(default_factory=dict)
    skips: dict[int, Event] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    """Rows whose LLM label was shown."""
    history: list[Event] = field(default_factory=list)
    """Labels and skips in order, without undone ones."""
    codes: dict[int, int] = field(default_factory=dict)
    """Label codes by row; equal labels have equal codes."""
    place: int = 0
    """Position in the queue; all rows before it are decided."""

    def upcoming(
        self, queue: NDArray[np.int64], count: int, is_done: Callable[[int], bool], excluded: Collection[int]
    ) -> list[int]:
        """The next rows of a queue.

        Args:
            queue: rows in the order in which they are decided.
            count: maximum number of rows.
            is_done: whether the annotator need not decide a row.
            excluded: rows to leave out.
        """
        while self.place < len(queue) and is_done(int(queue[self.place])):
            self.place += 1
        open_rows = (row for row in map(int, queue[self.place :]) if row not in excluded and not is_done(row))
        return list(islice(open_rows, count))
