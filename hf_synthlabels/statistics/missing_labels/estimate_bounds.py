"""Bounds of means and shares that are estimated from LLM labels, when labels are missing.

Rows without an LLM label bound the naive estimator. PPI++ and DSL need no assumption about them, since the human sample
covers these rows too. Sampled rows without a human label bound the classical and the
PPI++ estimator: each is computed with the least and with the greatest possible label in these rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from hf_synthlabels.statistics.arrays import Floats, Mask, group_codes, number_column, numeric_values, plain_column
from hf_synthlabels.statistics.estimation.analyses import group_means
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity
from hf_synthlabels.statistics.estimation.estimates import EstimateReport
from hf_synthlabels.statistics.estimation.estimators import PointEstimate, classical, naive, ppi
from hf_synthlabels.statistics.estimation.label_rows import Inference, LabelRows, label_rows
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.missing_labels.bounds import Bounds, QuantityBounds, bounds_quantile

Estimator = Callable[[Estimand, LabelRows, Inference], list[PointEstimate]]

HUMAN_ESTIMATORS: dict[str, Estimator] = {"classical": classical, "ppi": ppi}


@dataclass(frozen=True, slots=True)
class BoundedQuantity:
    """A mean of numbers, or a difference of the means of two groups."""

    name: str
    estimand: Estimand
    human: Floats
    """Shape (rows,), nan where missing."""
    llm: Floats
    lowered: Mask
    """Rows in which a lower label lowers the quantity, shape (rows,)."""
    raised: Mask
    """Rows in which a lower label raises it, such as those of the reference group."""


def estimate_bounds(
    quantities: Sequence[BoundedQuantity],
    sampled: Mask,
    scale: tuple[float, float],
    inference: Inference,
    report: EstimateReport,
) -> tuple[QuantityBounds, ...]:
    """Bounds of each quantity by the estimators whose labels are missing in some rows.

    Args:
        quantities: with the labels of all rows.
        sampled: rows that should have a human label, shape (rows,).
        scale: the least and the greatest possible label.
        inference: with the inclusion probabilities of all sampled rows, not adjusted for missing labels.
        report: the estimates of these quantities, which assume that labels are missing at random.
    """
    lines = []
    for quantity in quantities:
        own, at_random = quantity.lowered | quantity.raised, report[quantity.name]
        if (np.isnan(quantity.llm) & own).any():
            bounds = quantity_bounds(quantity, naive, own, scale, inference, at_random.naive)
            lines.append(QuantityBounds(quantity.name, "naive", bounds))
        if (sampled & np.isnan(quantity.human) & own).any():
            for name, estimator in HUMAN_ESTIMATORS.items():
                bounds = quantity_bounds(quantity, estimator, sampled & own, scale, inference, getattr(at_random, name))
                lines.append(QuantityBounds(quantity.name, name, bounds))
    return tuple(lines)


def quantity_bounds(
    quantity: BoundedQuantity,
    estimator: Estimator,
    asked: Mask,
    scale: tuple[float, float],
    inference: Inference,
    at_random: Interval,
) -> Bounds:
    """The bounds of a quantity by one estimator.

    Args:
        quantity: with the labels of all rows.
        estimator: whose labels are partly missing: LLM labels of `naive`, human labels of the others.
        asked: rows that should have such a label, shape (rows,).
        scale: the least and the greatest possible label.
        inference: with the inclusion probabilities of all sampled rows.
        at_random: the estimate that assumes labels missing at random.
    """
    labels = quantity.llm if estimator is naive else quantity.human
    missing = asked & np.isnan(labels)

    def estimate(least: float, greatest: float, level: float) -> PointEstimate:
        filled = np.where(missing, np.where(quantity.lowered, least, greatest), labels)
        human, llm = (quantity.human, filled) if estimator is naive else (filled, quantity.llm)
        settings = replace(inference, level=level)
        return estimator(quantity.estimand, label_rows(human[:, None], llm[:, None], settings), settings)[0]

    low, high = estimate(*scale, inference.level), estimate(*scale[::-1], inference.level)
    error = math.sqrt(max(low.variance, high.variance, 0.0))
    # Each end has the interval of its estimator, at the level that has the quantile of both bounds.
    width = high.interval.estimate - low.interval.estimate
    level = 2 * NormalDist().cdf(bounds_quantile(width, error, inference.level)) - 1
    ends = estimate(*scale, level).interval.low, estimate(*scale[::-1], level).interval.high
    points = low.interval.estimate, high.interval.estimate
    counts = int(asked.sum()), int(missing.sum())
    return Bounds(*points, *ends, inference.level, *counts, at_random)


@dataclass(frozen=True, slots=True)
class ReportedLabels:
    """The labels behind a report on means, shares or groups."""

    human: Sequence[Any]
    llm: Sequence[Any]
    numeric: bool
    groups: Sequence[Any] | None = None
    positive: str | None = None

    @property
    def is_share(self) -> bool:
        """Whether labels are classes."""
        return not self.numeric

    def columns(self, name: str) -> tuple[Floats, Floats]:
        """Human and LLM labels as numbers, or whether they are a class."""
        if self.numeric:
            return number_column(self.human, "human"), number_column(self.llm, "llm")
        if self.groups is not None:
            return numeric_values(self.human, self.positive, "human"), numeric_values(self.llm, self.positive, "llm")
        return _is_name(self.human, name), _is_name(self.llm, name)

    def quantities(self, report: EstimateReport) -> list[BoundedQuantity]:
        """The quantities of the report, each with its labels."""
        low, high = (0.0, 1.0) if self.is_share else (-math.inf, math.inf)
        if self.groups is None:
            every = np.ones(len(self.llm), dtype=np.bool_)
            return [
                BoundedQuantity(
                    each.name,
                    group_means(Quantity(each.name, (1.0,), low, high, share=self.is_share)),
                    *self.columns(each.name),
                    every,
                    ~every,
                )
                for each in report
            ]
        codes, names = group_codes(self.groups)
        human, llm = self.columns("")
        parts = [codes == place for place in range(len(names))]
        quantities = []
        for name, part in zip(names, parts, strict=True):
            mean = group_means(Quantity(name, (1.0,), low, high, (part,), self.is_share), [part])
            quantities.append(BoundedQuantity(name, mean, human, llm, part, np.zeros_like(part)))
        for name, part in zip(names[1:], parts[1:], strict=True):
            title, pair = f"{name} - {names[0]}", (parts[0], part)
            difference = group_means(Quantity(title, (-1.0, 1.0), low - high, high - low, pair), pair)
            quantities.append(BoundedQuantity(title, difference, human, llm, part, parts[0]))
        return quantities

    def scale(self) -> tuple[float, float]:
        """The least and the greatest label: 0 and 1 of classes, otherwise those that occur."""
        if self.is_share:
            return 0.0, 1.0
        values = np.concatenate(self.columns(""))
        return float(np.nanmin(values)), float(np.nanmax(values))


def _is_name(values: Sequence[Any], name: str) -> Floats:
    """Whether each label is a name; of a soft label its share."""
    return np.array([_share(value, name) for value in plain_column(values, "labels")])


def _share(value: Any, name: str) -> float:
    if value is None:
        return math.nan
    return float(value.get(name, 0.0) if isinstance(value, Mapping) else str(value) == name)
