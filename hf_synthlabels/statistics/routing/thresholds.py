"""The lowest confidence threshold at which a target holds with a stated probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Mask
from hf_synthlabels.statistics.intervals import Interval, fields_as_json, wilson
from hf_synthlabels.statistics.routing.threshold_tests import (
    N_STARTS,
    binomial_p_values,
    fixed_sequence,
    start_levels,
)

N_THRESHOLDS = 20
"""Thresholds at equal steps of the share of rows that they keep."""

MAX_RISK = 0.5

DECIMALS = 6
"""Of a threshold, which is rounded down."""


@dataclass(frozen=True, slots=True, eq=False)
class RoutingRows:
    """Rows of a table, as routing sees them. All arrays have the shape (rows,)."""

    confidence: Floats
    """NaN where it is unknown."""
    covered: Mask
    """Rows whose LLM label may be kept."""
    counted: Mask
    """Human-labeled rows that the metric counts, all with the same inclusion probability."""
    correct: Mask
    """Rows whose LLM label equals the human label."""
    counts_routed: bool = False
    """Whether rows that are not kept count, as correct, because humans label them."""

    @property
    def n_starts(self) -> int:
        """Starting points of the tests; a metric that falls with each lower threshold needs only one."""
        return 1 if self.counts_routed else N_STARTS

    def kept(self, threshold: float) -> Mask:
        """Covered rows with a confidence of at least the threshold."""
        return self.covered & (self.confidence >= threshold)

    def outcomes(self, threshold: float) -> tuple[int, int]:
        """Correct rows, and all rows, of those that a threshold is tested on."""
        kept = self.kept(threshold)
        used = self.counted if self.counts_routed else self.counted & kept
        return int((used & (self.correct | ~kept)).sum()), int(used.sum())


@dataclass(frozen=True, slots=True)
class ThresholdTest:
    """One threshold: the rows that it keeps, and the test of the target."""

    threshold: float
    kept: int
    share: Interval
    """Estimate of the metric, with a pointwise interval."""
    p_value: float
    level: float
    """Level of the test; 0 if the threshold is not tested."""
    guaranteed: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)


@dataclass(frozen=True, slots=True)
class ThresholdTests:
    """All thresholds, from the highest to the lowest."""

    tests: tuple[ThresholdTest, ...]
    starts: tuple[float, ...]
    """Thresholds at which testing starts; none if no threshold has enough human labels."""

    @property
    def selected(self) -> ThresholdTest | None:
        """The lowest threshold at which the target is guaranteed."""
        return next((test for test in reversed(self.tests) if test.guaranteed), None)


def check_thresholds(rows: RoutingRows, target: float, risk: float, level: float = 0.95) -> ThresholdTests:
    """Test a target at each threshold, such that a false guarantee has at most the probability `risk`.

    Thresholds and starting points depend on the confidences and on which rows are human-labeled, never on the labels.

    Args:
        rows: the rows.
        target: value that the metric must reach.
        risk: probability of selecting a threshold at which the metric is below the target.
        level: confidence level of the pointwise intervals.

    Raises:
        ConfigError: `risk` is not above 0 and at most 0.5.
        DataError: no covered row has a confidence.
    """
    if not 0 < risk <= MAX_RISK:
        raise ConfigError(f"`risk` is {risk!r}: give a probability above 0 and at most {MAX_RISK}, such as 0.05.")
    thresholds = confidence_thresholds(rows.confidence[rows.covered])
    if not thresholds:
        raise DataError("`confidence` has no value in any row that the target covers: name another column.")
    outcomes = [rows.outcomes(threshold) for threshold in thresholds]
    successes, sizes = (np.array(counts) for counts in zip(*outcomes, strict=True))
    testable = binomial_p_values(sizes, sizes, target) <= risk / rows.n_starts
    starts = start_levels(testable, risk, rows.n_starts)
    p_values = binomial_p_values(successes, sizes, target)
    rejected, levels = fixed_sequence(p_values, starts)
    tests = tuple(
        ThresholdTest(
            threshold,
            int(rows.kept(threshold).sum()),
            wilson(*outcomes[place], level),
            float(p_values[place]),
            float(levels[place]),
            bool(rejected[place]),
        )
        for place, threshold in enumerate(thresholds)
    )
    return ThresholdTests(tests, tuple(thresholds[place] for place in np.flatnonzero(starts).tolist()))


def confidence_thresholds(confidence: Floats) -> list[float]:
    """At most 20 thresholds, the highest first; rows with equal confidence are kept together.

    Args:
        confidence: of the rows that may be kept; NaN where it is unknown.
    """
    ordered = np.sort(confidence[~np.isnan(confidence)])[::-1]
    if not len(ordered):
        return []
    places = np.ceil(np.arange(1, N_THRESHOLDS + 1) / N_THRESHOLDS * len(ordered)).astype(np.int64) - 1
    values = {_rounded_down(value) for value in ordered[places].tolist()}
    return sorted(values, reverse=True)


def min_labels(target: float, risk: float, n_starts: int) -> int:
    """Human labels, all of them correct, from which a threshold can be guaranteed under equal probabilities."""
    return math.ceil(math.log(risk / n_starts) / math.log(target) - 1e-9)


def _rounded_down(value: float) -> float:
    rounded = round(value, DECIMALS)
    return rounded if rounded <= value else round(value - 10.0**-DECIMALS, DECIMALS)
