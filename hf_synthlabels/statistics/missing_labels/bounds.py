"""Bounds of a quantity whose labels are partly missing (Manski 1989, 1990), with intervals by Imbens & Manski (2004).

The lowest value has the least possible label in every row without one, and the highest value the greatest. Between them
lies the true value of these rows, whatever the reasons for missing labels. The interval covers each value between the
bounds with the confidence level: a wide region needs one-sided quantiles only, because the true value cannot be near
both ends. The highest value is never below the lowest, so that the quantile by Imbens & Manski is valid (Stoye 2009).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy import optimize

from hf_synthlabels.statistics.arrays import Mask, check_level
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval, subset_design
from hf_synthlabels.statistics.exhibits import align, shorten, wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json, score_interval

NAMES = {"naive": "naive", "classical": "classical", "ppi": "PPI++"}

NAME_WIDTH = 30

EXPLANATION = (
    "Bounds: the estimate if all missing labels had the least or the greatest possible value. The intervals (Imbens & "
    "Manski) need no assumption about missing labels. PPI++ needs none about missing LLM labels."
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and the highest value of a quantity, and an interval of the true value."""

    low: float
    """The estimate if every missing label is the least possible one."""
    high: float
    interval_low: float
    """Lower limit of the interval of the true value."""
    interval_high: float
    level: float
    n: int
    """Rows that should have a label."""
    n_missing: int
    """Rows without one."""
    at_random: Interval
    """The estimate if labels are missing at random."""

    @property
    def limits(self) -> str:
        """The interval as text."""
        return f"[{self.interval_low:.3f}, {self.interval_high:.3f}]"

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types; nan becomes None."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Bounds:
        """Read what `to_dict` returned."""
        read: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
        return cls(**{**read, "at_random": Interval.from_dict(values["at_random"])})


@dataclass(frozen=True, slots=True)
class QuantityBounds:
    """Bounds of one quantity by one estimator."""

    name: str
    estimator: str
    bounds: Bounds

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)


def bounds_quantile(width: float, error: float, level: float = 0.95) -> float:
    """The normal quantile c with P(-c <= Z <= c + width / error) = level (Imbens & Manski 2004, equation 7).

    Args:
        width: distance of the bounds.
        error: the larger of their standard errors.
        level: confidence level.

    Returns:
        From the one-sided quantile for distant bounds to the two-sided quantile for equal ones.
    """
    check_level(level)
    normal = NormalDist()
    one_sided, two_sided = normal.inv_cdf(level), normal.inv_cdf((1 + level) / 2)
    if not error > 0 or math.isnan(width):
        return one_sided if width > 0 else two_sided
    distance = width / error

    def missing(quantile: float) -> float:
        return normal.cdf(quantile + distance) - normal.cdf(-quantile) - level

    if distance > 50 or missing(one_sided) >= 0:
        return one_sided
    return float(optimize.brentq(missing, one_sided, two_sided + 1e-9))


def share_bounds(hits: Mask, known: Mask, design: SamplingDesign | None, level: float = 0.95) -> Bounds:
    """Bounds of a share: no unknown row is a hit, or all are.

    The ends of the interval are Wilson's, for the effective number of rows of the design.

    Args:
        hits: which rows are hits, read where they are known, shape (rows,).
        known: rows for which that is known, shape (rows,).
        design: of the rows, from their inclusion probabilities, not adjusted for missing labels.
        level: confidence level.
    """
    n = len(hits)
    ends = []
    for each in (hits & known, hits | ~known):
        every = np.ones(n, dtype=np.bool_)
        if design is None or design.is_random:
            share, rows = float(each.mean()), float(n)
        else:
            share, rows = design.effective_rows(each, every, level)
        ends.append((share, rows))
    (low, low_rows), (high, high_rows) = ends
    error = max(math.sqrt(share * (1 - share) / rows) for share, rows in ends)
    quantile = bounds_quantile(high - low, error, level)
    return Bounds(
        low,
        high,
        score_interval(low, low_rows, quantile)[0],
        score_interval(high, high_rows, quantile)[1],
        level,
        n,
        int((~known).sum()),
        share_interval(hits[known], None, subset_design(design, known), level),
    )


def bounds_table(lines: Sequence[QuantityBounds], level: float, width: int | None = None) -> str:
    """The bounds as a table."""
    rows = [("bounds", "estimator", "n", "missing", "at random", "lowest", "highest", f"{100 * level:g}% interval")]
    for each in lines:
        bounds = each.bounds
        counts = f"{bounds.n:,}", f"{bounds.n_missing:,}"
        values = str(bounds.at_random), f"{bounds.low:.3f}", f"{bounds.high:.3f}", bounds.limits
        rows.append((shorten(each.name, NAME_WIDTH), NAMES[each.estimator], *counts, *values))
    return f"{align(rows, {2, 3, 5, 6}, width)}\n\n{wrap(EXPLANATION, width)}"


def bounds_text(bounds: Bounds) -> str:
    """Bounds of accuracy in sentences."""
    return (
        f"{bounds.n_missing:,} of {bounds.n:,} rows have no LLM label or no human label. Accuracy is "
        f"{bounds.at_random} in the other {bounds.at_random.n:,} rows, and in all rows only if labels are missing at "
        "random. "
        f"It is {bounds.low:.3f} if all missing rows are wrong and {bounds.high:.3f} if all are right; "
        f"{100 * bounds.level:g}% interval {bounds.limits} (Imbens & Manski)."
    )
