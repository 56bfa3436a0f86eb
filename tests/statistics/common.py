"""Shared by the tests of statistics: a table without `datasets`, and estimates by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.regression.coefficients import RegressionReport
from hf_synthlabels.statistics.regression.formula_regression import estimate_formula


class Columns:
    """The least that `validate` and `estimate` read: columns by name."""

    def __init__(self, **columns: Sequence[Any]) -> None:
        self.columns = columns

    @property
    def column_names(self) -> list[str]:
        return list(self.columns)

    def __getitem__(self, column: str) -> Sequence[Any]:
        return self.columns[column]


def estimates(scores: Mapping[str, Interval]) -> dict[str, float]:
    return {name: interval.estimate for name, interval in scores.items()}


def contains(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high


def regress(
    human: Any, llm: Any, predictors: Mapping[str, Any], *, outcome: Any = None, label: str = "label", **options: Any
) -> RegressionReport:
    """The regression of a label on predictors, or of an outcome on them and the label."""
    right = " + ".join([*predictors, *([] if outcome is None else [label])] or ["1"])
    columns = dict(predictors) if outcome is None else {**predictors, "outcome": outcome}
    left = label if outcome is None else "outcome"
    return estimate_formula(f"{left} ~ {right}", columns, {label: (llm, human)}, **options)
