"""Shared by the tests of statistics: a table without `datasets`, and estimates by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_synthlabels.statistics import Interval


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
