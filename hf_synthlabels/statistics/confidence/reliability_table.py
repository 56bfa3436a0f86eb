"""Reliability table: the mean confidence and the accuracy of rows with similar confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, Mask, check_lengths
from hf_synthlabels.statistics.bootstrap import RowContributions
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval
from hf_synthlabels.statistics.intervals import Interval, fields_as_json

Binning = Literal["mass", "width"]

MAX_BINS = 10

ROWS_PER_BIN = 15
"""Rows that an automatic bin has on average, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class ConfidentRows:
    """Labels with a confidence, and whether they are right.

    Raises:
        DataError: there is no row, or a confidence is not from 0 to 1.
    """

    confidence: Floats
    """From 0 to 1, shape (rows,)."""
    correct: Mask
    """Shape (rows,)."""
    design: SamplingDesign | None = None
    """Weights, clusters and strata of the rows; None for a simple random sample."""

    def __post_init__(self) -> None:
        check_lengths(confidence=self.confidence, correct=self.correct)
        if not len(self.confidence):
            raise DataError("`confidence` has no rows: give at least one row with a confidence and a human label.")
        outside = ~((self.confidence >= 0) & (self.confidence <= 1))
        if outside.any():
            raise DataError(
                f"`confidence` is {self.confidence[outside][0]:g} in one of {int(outside.sum()):,} rows outside 0 to "
                "1: give shares, for example percentages divided by 100."
            )

    def __len__(self) -> int:
        return len(self.confidence)

    @property
    def weights(self) -> Floats:
        """Weights of the rows, with the mean 1."""
        known = None if self.design is None else self.design.scaled().weights
        return np.ones(len(self)) if known is None else known

    def take(self, rows: Mask | Ints) -> ConfidentRows:
        """Some of the rows."""
        design = None if self.design is None else self.design.take(rows)
        return ConfidentRows(self.confidence[rows], self.correct[rows], design)

    def share(self, hits: Mask, counted: Mask | None = None, level: float = 0.95) -> Interval:
        """The weighted share of hits among the counted rows."""
        return share_interval(hits, counted, self.design, level)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows with similar confidence."""

    low: float
    """The lowest confidence of its rows."""
    high: float
    n: int
    share: float
    """Weighted share of all rows."""
    confidence: float
    """Weighted mean."""
    accuracy: Interval

    @property
    def range_text(self) -> str:
        """The lowest and the highest confidence, or the only one."""
        low, high = f"{self.low:.3g}", f"{self.high:.3g}"
        return low if low == high else f"{low} to {high}"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(**{**values, "accuracy": Interval.from_dict(values["accuracy"])})


def automatic_bins(rows: int) -> int:
    """The number of bins for a number of rows: 10, fewer for less than 150 rows."""
    return max(1, min(MAX_BINS, rows // ROWS_PER_BIN))


def bin_codes(confidence: Floats, weights: Floats, bins: int, by: Binning = "mass") -> Ints:
    """The bin of each row, numbered from 0 without gaps in the order of confidence.

    Rows with the same confidence are never split, so there may be fewer bins, and of unequal mass.

    Args:
        confidence: from 0 to 1, shape (rows,).
        weights: shape (rows,).
        bins: at most.
        by: `mass` for bins of equal weight, or `width` for equal parts of the scale from 0 to 1.

    Raises:
        ConfigError: `bins` is less than 1, or `by` is unknown.
    """
    if bins < 1:
        raise ConfigError(f"`bins` is {bins!r}: give at least 1; 10 is usual.")
    if by not in ("mass", "width"):
        raise ConfigError(f"`by` is {by!r}: give mass or width.")
    values, place = np.unique(confidence, return_inverse=True)
    if by == "width":
        positions = values
    else:
        masses = np.bincount(place, weights=weights)
        positions = (np.cumsum(masses) - masses / 2) / masses.sum()
    codes = np.minimum(np.floor(positions * bins), bins - 1)
    return np.unique(codes, return_inverse=True)[1][place].astype(np.int64)


def reliability_table(
    rows: ConfidentRows, bins: int | None = None, by: Binning = "mass", level: float = 0.95
) -> tuple[ReliabilityBin, ...]:
    """The mean confidence, and the accuracy with its interval, of rows in bins of confidence.

    Args:
        rows: labels with a confidence.
        bins: at most; by default 10, and fewer for less than 150 rows.
        by: `mass` for bins of equal weight, or `width` for equal parts of the scale from 0 to 1.
        level: confidence level.
    """
    weights = rows.weights
    codes = bin_codes(rows.confidence, weights, automatic_bins(len(rows)) if bins is None else bins, by)
    table = []
    for code in range(int(codes.max()) + 1):
        within = codes == code
        values, mass = rows.confidence[within], weights[within]
        table.append(
            ReliabilityBin(
                low=float(values.min()),
                high=float(values.max()),
                n=len(values),
                share=float(mass.sum() / weights.sum()),
                confidence=float(mass @ values / mass.sum()),
                accuracy=rows.share(rows.correct, within, level),
            )
        )
    return tuple(table)


def contributions(rows: ConfidentRows) -> RowContributions:
    """The confidence of each row, and whether its label is right, for a smoothed bootstrap."""
    n = len(rows)
    outcomes = (rows.correct.astype(np.float64), np.ones(n), np.zeros(n))
    observed, right, wrong = (np.column_stack([rows.confidence, each]) for each in outcomes)
    return RowContributions(
        observed, right, wrong, np.full(n, 1 / n), None if rows.design is None else rows.design.scaled()
    )
