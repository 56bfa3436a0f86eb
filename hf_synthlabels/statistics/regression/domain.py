"""Regressions on the rows in which conditional variables are coded.

Humans and the LLM may disagree on which rows these are, so the membership of a row is a label like any other: 1, 0, or
unknown. It multiplies the moments of the row. The moments of a row outside the domain are 0 and known, by whichever
labels, so the correction of the moments corrects errors of membership too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_synthlabels.statistics.arrays import Floats, Mask
from hf_synthlabels.statistics.estimation.estimands import Regression

Pairs = Mapping[str, tuple[Any, Any]]
"""LLM labels and human labels by variable."""


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """The rows in which variables are coded: 1, 0, or nan where that is unknown; shape (N,) each."""

    names: tuple[str, ...]
    """The variables."""
    llm: Floats
    human: Floats

    def labeled(self, has_labels: Mask) -> Mask:
        """Rows whose human labels are known: outside the domain no label is needed.

        Args:
            has_labels: rows with human labels of all variables of the formula.
        """
        return np.asarray((self.human == 0) | ((self.human == 1) & has_labels))

    def without(self, rows: Mask) -> Domain:
        """The domain without the human labels of some rows."""
        return replace(self, human=np.where(rows, np.nan, self.human))

    def take(self, rows: Mask) -> Domain:
        """The domain of some rows."""
        return replace(self, llm=self.llm[rows], human=self.human[rows])

    def inside(self, pairs: Pairs) -> Pairs:
        """The labels of rows in the domain; missing elsewhere."""
        return {
            name: (_kept(llm, self.llm == 1), _kept(human, self.human == 1)) for name, (llm, human) in pairs.items()
        }

    def with_membership(self, llm: Floats, human: Floats) -> tuple[Floats, Floats]:
        """The labels with the membership as the last number, shape (N, q + 1) each.

        Labels outside the domain become those of the mean row. Their moments are 0 for any labels; DSL predicts better
        with these.
        """
        known = llm[(self.llm == 1) & ~np.isnan(llm).any(axis=1)]
        usual = known.mean(axis=0) if len(known) else np.zeros(llm.shape[1])
        sides = []
        for labels, members in ((llm, self.llm), (human, self.human)):
            filled = np.where((members == 0)[:, None], usual, labels)
            sides.append(np.column_stack([filled, members]))
        return sides[0], sides[1]

    def note(self) -> str:
        """A note on the size of the domain."""
        names = ", ".join(f"`{name}`" for name in self.names)
        human, llm = ((int((side == 1).sum()), int((~np.isnan(side)).sum())) for side in (self.human, self.llm))
        return (
            f"The regression is of the rows in which {names} is coded: {human[0]:,} of {human[1]:,} rows by human "
            f"labels, {llm[0]:,} of {llm[1]:,} by LLM labels. Errors of the condition are corrected too."
        )


def members(labels: Floats) -> Mask:
    """The rows in the domain by labels with the membership as the last number."""
    return np.asarray(labels[:, -1] == 1)


def on_domain(regression: Regression, inside: Mask) -> Regression:
    """The regression of the rows in a domain; its labels have the membership as the last number.

    Args:
        regression: of all rows.
        inside: rows in the domain, by human labels where there are some.
    """
    quantities = tuple(
        replace(each, parts=tuple(part & inside for part in each.parts) or (inside,)) for each in regression.quantities
    )
    return replace(regression, quantities=quantities, predictors=_Members(regression.predictors), label_free=False)


@dataclass(frozen=True, slots=True)
class _Members:
    """Predictors that are 0 outside the domain, so that moments and slope are 0 as well."""

    predictors: Callable[[Floats], Floats]

    def __call__(self, labels: Floats) -> Floats:
        """The design matrix of some labels."""
        columns: Floats = self.predictors(labels) * labels[:, -1:]
        return columns


def _kept(values: Any, rows: Mask) -> Any:
    """The values of some rows; missing elsewhere."""
    if isinstance(values, list):
        return [value if keep else None for value, keep in zip(values, rows, strict=True)]
    return np.where(rows, values, np.nan)
