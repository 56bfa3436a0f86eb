"""VariableState: the decisions on one variable of a codebook, which count only where its condition holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.annotation.codebook.groups import Condition
from hf_synthlabels.review.codebook.codebook_rows import condition_holds
from hf_synthlabels.review.decision_store import DecisionStore
from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_state import Lock, ReviewState


class VariableState(ReviewState):
    """State of a review of one variable.

    The label that results from all labels of the other variable decides whether the condition holds. Where it does not,
    or annotators disagree on the other variable, the labels of this one do not count.

    Raises:
        StoreError: the store belongs to other data.
    """

    def __init__(
        self,
        rows: ReviewRows,
        store: DecisionStore,
        variable: str,
        lock: Lock,
        condition: Condition | None = None,
        parent: VariableState | None = None,
    ) -> None:
        self._condition, self._parent = condition, parent
        self._dependents: list[VariableState] = []
        if parent is not None:
            parent._dependents.append(self)
        super().__init__(rows, store, variable, lock)

    def find_applicable(self) -> NDArray[np.int8]:
        """Whether the variable applies in each row; see `applies`."""
        if self._parent is None:
            return super().find_applicable()
        return np.array([self._applies(row) for row in range(len(self.rows))], dtype=np.int8)

    def resolve(self, row: int) -> None:
        """Update what results from all labels of a row, also for variables that depend on this one."""
        self.applies[row] = self._applies(row)
        super().resolve(row)
        for state in self._dependents:
            state.resolve(row)

    def _applies(self, row: int) -> int:
        """1 if the variable applies in a row, -1 if it does not, 0 if that is unknown."""
        parent, condition = self._parent, self._condition
        if parent is None or condition is None:
            return 1
        if parent.applies[row] < 0:
            return -1
        value: Any = parent.resolutions[row].value if row in parent.resolutions else None
        return 0 if value is None else 1 if condition_holds(condition, value) else -1
