"""Reliability of human labels, and the LLM against the same raters.

Each rater of a row is left out in turn, and the rater and the LLM are compared with the votes of the others. So both
have the same yardstick: the LLM's accuracy against a majority is not comparable with the agreement of two raters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, subset_design
from hf_synthlabels.statistics.intervals import Interval, fields_as_json
from hf_synthlabels.statistics.raters.row_means import (
    bounded_row_mean,
    effective_interval,
    row_difference,
    row_mean,
    row_ratio,
    row_weights,
)

ALPHA_METHOD = "wilson, linearized"

ONE_OTHER = "agrees with one other rater"
MAJORITY = "agrees with the majority of the others"


@dataclass(frozen=True, slots=True)
class RaterComparison:
    """One measure of the human raters and of the LLM, on the same votes."""

    measure: str
    raters: Interval
    """A rater against the other raters of the row."""
    llm: Interval
    """The LLM against the same raters."""
    difference: Interval
    """LLM less raters, paired by row."""
    ratio: Interval | None = None
    """LLM over raters, of distances."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RaterComparison:
        """Read what `to_dict` returned."""
        parts = {name: Interval.from_dict(values[name]) for name in ("raters", "llm", "difference")}
        ratio = None if values["ratio"] is None else Interval.from_dict(values["ratio"])
        return cls(values["measure"], **parts, ratio=ratio)


def nominal_alpha(counts: Ints, design: SamplingDesign | None = None, level: float = 0.95) -> Interval:
    """Krippendorff's alpha of class labels with an interval.

    Alpha is 1 - observed / expected disagreement. The observed disagreement has Wilson's interval for the effective
    number of rows by the linearized variance of alpha, so that perfect agreement does not give an interval of width 0.

    Args:
        counts: votes for each label, shape (rows, labels); rows with fewer than two votes are left out.
        design: of the rows.
        level: confidence level.
    """
    several = counts.sum(axis=1) > 1
    table, design = counts[several].astype(np.float64), subset_design(design, several)
    given, n = table.sum(axis=1), int(several.sum())
    if not n:
        return Interval.undefined(level, ALPHA_METHOD)
    mass = row_weights(design, n) * given
    mass /= mass.sum()
    shares = table / given[:, None]
    apart = given / (given - 1) * (1 - (shares**2).sum(axis=1))
    observed, means = float(mass @ apart), mass @ shares
    correction = float(given.sum() / (given.sum() - 1))
    expected = correction * (1 - float(means @ means))
    if expected <= 0:
        return Interval.undefined(level, ALPHA_METHOD, n)
    change = (apart - observed) / expected + 2 * correction * observed / expected**2 * ((shares - means) @ means)
    variance = (design or SamplingDesign()).variance_of_total(mass * change)
    most = _units(design, n)
    # Rows with several votes know more than one comparison each.
    pairs = float((given * (given - 1) / 2).sum()) * most / n
    rows = pairs if 0 < observed < 1 else most
    part = effective_interval(min(1.0, observed), variance * expected**2, rows, n, level, ALPHA_METHOD)
    ends = sorted(1 - value / expected for value in (part.low, part.high))
    alpha = 1 - observed / expected
    return Interval(alpha, min(ends[0], alpha), min(1.0, max(ends[1], alpha)), level, ALPHA_METHOD, n)


def interval_alpha(ratings: Floats, design: SamplingDesign | None = None, level: float = 0.95) -> Interval:
    """Krippendorff's alpha of numbers on an interval scale, with Student's interval of its linearized variance.

    Args:
        ratings: numbers, nan where missing, shape (rows, raters).
        design: of the rows.
        level: confidence level.
    """
    several = (~np.isnan(ratings)).sum(axis=1) > 1
    table, design = ratings[several], subset_design(design, several)
    given, n = (~np.isnan(table)).sum(axis=1).astype(np.float64), int(several.sum())
    if not n:
        return Interval.undefined(level, "t, linearized")
    mass = row_weights(design, n) * given
    mass /= mass.sum()
    means, squares = np.nanmean(table, axis=1), np.nanmean(table**2, axis=1)
    apart = 2 * given / (given - 1) * (squares - means**2)
    mean, square = float(mass @ means), float(mass @ squares)
    correction = float(given.sum() / (given.sum() - 1))
    observed, expected = float(mass @ apart), 2 * correction * (square - mean**2)
    if expected <= 1e-12 * (1 + square):
        return Interval.undefined(level, "t, linearized", n)
    of_expected = 2 * correction * (squares - square - 2 * mean * (means - mean))
    change = (apart - observed) / expected - observed / expected**2 * of_expected
    units = mass * change * n
    alpha = row_mean(units, None if design is None else SamplingDesign(None, design.clusters, design.strata), level)
    half = (alpha.high - alpha.low) / 2
    value = 1 - observed / expected
    return Interval(value, value - half, min(1.0, value + half), level, "t, linearized", n)


def class_agreement(
    counts: Ints, llm: Ints, design: SamplingDesign | None = None, level: float = 0.95
) -> tuple[RaterComparison, ...]:
    """Agreement with one other rater, and with the majority of the others.

    A missing LLM label does not agree. A vote is compared with the most frequent label of the others; where two labels
    are equally frequent, there is no majority and no comparison.

    Args:
        counts: votes for each label, shape (rows, labels); rows with fewer than two votes are left out.
        llm: labels of the LLM, `MISSING` where it gave none, shape (rows,); a code beyond the labels agrees with none.
        design: of the rows.
        level: confidence level.
    """
    several = counts.sum(axis=1) > 1
    table, design = counts[several].astype(np.float64), subset_design(design, several)
    own = _one_hot(llm[several], table.shape[1])
    given = table.sum(axis=1)
    pairs = ((table**2).sum(axis=1) - given) / (given * (given - 1)), (table * own).sum(axis=1) / given
    compared, hits = np.zeros(len(table)), np.zeros((2, len(table)))
    for left in range(table.shape[1]):
        others = table.copy()
        others[:, left] = np.maximum(0, others[:, left] - 1)
        top = others == others.max(axis=1, keepdims=True)
        share = table[:, left] / given * (top.sum(axis=1) == 1)
        compared += share
        hits += share * np.stack([top[:, left], (top * own).sum(axis=1)])
    known = compared > 0
    weights = compared if design is None or design.weights is None else compared * design.weights
    clusters, strata = (None, None) if design is None else (design.clusters, design.strata)
    # Each comparison counts once, not each row: otherwise rows on which the others disagree would count more.
    comparisons = SamplingDesign(weights, clusters, strata).take(known).scaled()
    of_raters, of_llm = (each[known] / compared[known] for each in hits)
    return (
        _bounded(ONE_OTHER, pairs[0], pairs[1], design, level),
        # Of two raters the other one is the majority.
        *([_bounded(MAJORITY, of_raters, of_llm, comparisons, level)] if given.max(initial=0) > 2 else []),
    )


def number_distance(
    ratings: Floats, llm: Floats, design: SamplingDesign | None = None, level: float = 0.95
) -> tuple[RaterComparison, ...]:
    """The mean distance of numbers to the mean of the other raters, in rows with an LLM label.

    Args:
        ratings: numbers, nan where missing, shape (rows, raters); rows with fewer than two are left out.
        llm: numbers, nan where missing, shape (rows,).
        design: of the rows.
        level: confidence level.
    """
    used = ((~np.isnan(ratings)).sum(axis=1) > 1) & ~np.isnan(llm)
    table, design, own = ratings[used], subset_design(design, used), llm[used]
    given, totals = (~np.isnan(table)).sum(axis=1), np.nansum(table, axis=1)
    others = (totals[:, None] - table) / (given - 1)[:, None]
    if not len(table):
        return ()
    raters, model = np.nanmean(np.abs(table - others), axis=1), np.nanmean(np.abs(own[:, None] - others), axis=1)
    return (_distance("distance to the mean of the others", raters, model, design, level),)


def _bounded(measure: str, raters: Floats, llm: Floats, design: SamplingDesign | None, level: float) -> RaterComparison:
    first, second = (bounded_row_mean(values, design, level) for values in (raters, llm))
    return RaterComparison(measure, first, second, row_difference(llm - raters, design, level))


def _distance(
    measure: str, raters: Floats, llm: Floats, design: SamplingDesign | None, level: float
) -> RaterComparison:
    first, second, difference = (row_mean(values, design, level) for values in (raters, llm, llm - raters))
    return RaterComparison(measure, first, second, difference, row_ratio(llm, raters, design, level))


def _one_hot(codes: Ints, size: int) -> Floats:
    table: Floats = (codes[:, None] == np.arange(size)).astype(np.float64)
    table[codes == MISSING] = 0.0
    return table


def _units(design: SamplingDesign | None, n: int) -> float:
    """The effective number of rows by their weights and clusters (Kish 1965)."""
    if design is None:
        return float(n)
    unit, stratum = design.units(n)
    sizes = np.bincount(unit, weights=row_weights(design, n), minlength=len(stratum))
    return float(1 / (sizes @ sizes))
