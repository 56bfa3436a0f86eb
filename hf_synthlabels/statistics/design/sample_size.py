"""Sample sizes: human labels needed for a threshold or for a target interval width.

All take the estimate from the labels so far as the true value: they are plans, not guarantees.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Numbers, check_lengths, number_column
from hf_synthlabels.statistics.intervals import Interval, normal_quantile

POWER = 0.8
"""Probability that a sample of the planned size settles the question."""

POWER_QUANTILE = NormalDist().inv_cdf(POWER)

MIN_PAIRS = 3
"""Pilot rows with label and score that a plan needs."""

MAX_LABELS = 2**53

ROUNDING = 1 - 1e-9
"""Factor that keeps rounding errors from adding a row."""


def rows_to_pass(share: float, threshold: float, level: float = 0.95) -> int | None:
    """The fewest rows with which the lower Wilson limit of a proportion reaches the threshold with 80% power.

    These are the rows of the one-sample test of a proportion: n = ((z_level sqrt(t (1 - t)) + z_power sqrt(p (1 - p)))
    / (p - t))^2 (Fleiss, Levin & Paik 2003, section 2.2).

    Args:
        share: the observed proportion p.
        threshold: the threshold t of the lower limit.
        level: confidence level of the interval.

    Returns:
        The number of rows, at least 1; None if the proportion is at or below the threshold.

    Raises:
        ConfigError: `share`, `threshold` or `level` is out of range.
    """
    rows = _test_rows(share, threshold, level)
    return max(1, math.ceil(rows - 1e-9)) if share > threshold else None


def rows_to_fail(share: float, threshold: float, level: float = 0.95) -> int | None:
    """The fewest rows with which the upper Wilson limit falls below the threshold; see `rows_to_pass`."""
    rows = _test_rows(share, threshold, level)
    # Strictly below: exactly `rows` would still touch the threshold.
    return math.floor(rows + 1e-9) + 1 if share < threshold else None


def scaled_rows_to_pass(interval: Interval, threshold: float, rows: int) -> int | None:
    """The approximate number of rows with which the lower limit of a score reaches the threshold with 80% power.

    The distance from the estimate to the limit is taken to shrink with 1 / sqrt(rows).

    Args:
        interval: of the score, from the present rows.
        threshold: of the lower limit.
        rows: human-labeled rows behind the interval.

    Returns:
        The number of rows, at least 1; None if the estimate is at or below the threshold, or undefined.
    """
    return _scaled_rows(interval, interval.estimate - interval.low, interval.estimate - threshold, rows)


def scaled_rows_to_fail(interval: Interval, threshold: float, rows: int) -> int | None:
    """The approximate number of rows with which the upper limit falls to the threshold; see `scaled_rows_to_pass`."""
    return _scaled_rows(interval, interval.high - interval.estimate, threshold - interval.estimate, rows)


def _test_rows(share: float, threshold: float, level: float) -> float:
    """The rows of the test of a proportion; infinite if proportion and threshold are equal."""
    for name, value in (("share", share), ("threshold", threshold)):
        if not 0 <= value <= 1:
            raise ConfigError(f"`{name}` is {value!r}: give a proportion from 0 to 1.")
    if share == threshold:
        return math.inf
    errors = normal_quantile(level) * math.sqrt(threshold * (1 - threshold))
    errors += POWER_QUANTILE * math.sqrt(share * (1 - share))
    return (errors / (share - threshold)) ** 2


def _scaled_rows(interval: Interval, half_width: float, gap: float, rows: int) -> int | None:
    if math.isnan(half_width) or math.isnan(gap) or gap <= 0:
        return None
    errors = 1 + POWER_QUANTILE / normal_quantile(interval.level)
    return max(1, math.ceil(rows * (errors * half_width / gap) ** 2 * ROUNDING))


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """Human labels needed for a target interval width."""

    human_only: int | None
    """With the human labels only; None if all rows do not suffice."""
    with_judge: int | None
    """With PPI++ and the scores of the other rows; None if all rows do not suffice."""
    width: float
    rows: int
    correlation: float
    """Of label and score in the pilot; its square is the largest proportion of labels that a judge saves."""
    pilot: int
    """Pilot rows with label and score."""

    @property
    def saved(self) -> float:
        """Proportion of the labels that the judge saves; nan if either number is missing."""
        if self.human_only is None or self.with_judge is None:
            return math.nan
        return 1 - self.with_judge / self.human_only


def labels_for_mean(sd: float, width: float, level: float = 0.95) -> int:
    """Smallest number of labels (at least 2) for which the t interval of a mean has the target width.

    Args:
        sd: standard deviation of the labels, in the units of `width`.
        width: full width of the interval.
        level: confidence level.

    Raises:
        ConfigError: `sd` is negative, `width` is not above 0, or `level` is not between 0 and 1.
    """
    _check_width(width)
    normal_quantile(level)
    if not (sd >= 0 and math.isfinite(sd)):
        raise ConfigError(f"`sd` is {sd!r}: give a standard deviation, such as 1.")
    return _some_labels(lambda n: 2 * student_quantile(n - 1, level) * sd / math.sqrt(n), width, 2)


def labels_for_share(share: float, width: float, level: float = 0.95) -> int:
    """The fewest labels, at least 1, with which the Wilson interval of a proportion has the target width.

    Args:
        share: the expected proportion; 0.5 is the worst case.
        width: full width of the interval, between 0 and 1.
        level: confidence level.

    Raises:
        ConfigError: `share` is not from 0 to 1, `width` is not above 0, or `level` is not between 0 and 1.
    """
    _check_width(width)
    if not 0 <= share <= 1:
        raise ConfigError(f"`share` is {share!r}: give a proportion from 0 to 1; 0.5 needs the most labels.")
    z = normal_quantile(level)

    def interval_width(n: int) -> float:
        return 2 * z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)

    return _some_labels(interval_width, width, 1)


def plan_labels(
    human: Numbers,
    judge: Numbers,
    width: float,
    *,
    rows: int | None = None,
    clip: bool = True,
    level: float = 0.95,
) -> LabelPlan:
    """Labels needed for the target width of a mean's interval, from a pilot.

    With n labels of M rows and the tuned lam of `ppi_mean`, the variance is (var(human) - 2 lam cov + lam^2 var(judge))
    / n + lam^2 var(judge) / (M - n); unclipped var(human) ((1 - r^2) / n + r^2 / M) with the correlation r.

    Args:
        human: labels of the pilot, shape (pilot rows,); None or nan where missing.
        judge: scores, None or nan where missing.
        width: full width of the interval, in units of the labels.
        rows: rows of the planned sample, with and without a label; by default those of the pilot.
        clip: as in `ppi_mean`.
        level: confidence level.

    Raises:
        DataError: the lengths differ, or fewer than 3 rows have label and score.
        ConfigError: `width` is not above 0, `rows` is less than 2, or `level` is not between 0 and 1.
    """
    _check_width(width)
    normal_quantile(level)
    labels, scores = number_column(human, "human"), number_column(judge, "judge")
    check_lengths(human=labels, judge=scores)
    both = ~np.isnan(labels) & ~np.isnan(scores)
    if both.sum() < MIN_PAIRS:
        raise DataError(f"`human` and `judge` have {int(both.sum())} rows in common: give at least {MIN_PAIRS}.")
    total = len(labels) if rows is None else rows
    if total < 2:
        raise ConfigError(f"`rows` is {rows!r}: give the number of rows with and without a label, at least 2.")
    pilot = np.cov(labels[both], scores[both])
    spread, across, score_spread = float(pilot[0, 0]), float(pilot[0, 1]), float(np.nanvar(scores, ddof=1))
    variance = functools.partial(_ppi_variance, total, spread, across, score_spread, clip=clip)
    alone = fewest_labels(lambda n: 2 * student_quantile(n - 1, level) * math.sqrt(spread / n), width, 2, total)
    judged = fewest_labels(lambda n: 2 * student_quantile(n - 2, level) * math.sqrt(variance(n)), width, 3, total)
    # A useless judge costs a degree of freedom, so it can be omitted.
    with_judge = alone if judged is None or (alone is not None and alone < judged) else judged
    under = math.sqrt(spread * float(pilot[1, 1]))
    return LabelPlan(alone, with_judge, width, total, across / under if under > 0 else math.nan, int(both.sum()))


def _ppi_variance(total: int, spread: float, across: float, score_spread: float, n: int, *, clip: bool) -> float:
    """Variance of the PPI++ mean with n labels of `total` rows, from variances and covariance of labels and scores."""
    others = total - n
    if others == 0 or score_spread == 0:
        return spread / n
    lam = across / ((1 + n / others) * score_spread)
    lam = min(1.0, max(0.0, lam)) if clip else lam
    residual = max(0.0, spread - 2 * lam * across + lam**2 * score_spread)
    return residual / n + lam**2 * score_spread / others


def student_quantile(dof: int, level: float) -> float:
    """Half the width of Student's two-sided interval, in standard errors."""
    return float(stats.t.ppf((1 + level) / 2, dof))


def fewest_labels(interval_width: Callable[[int], float], width: float, least: int, most: int) -> int | None:
    """The least n whose interval width, which falls as n rises, is at most the target; None beyond `most`."""
    if most < least:
        return None
    # The factor keeps rounding errors from adding a label.
    target = width * (1 + 1e-12)
    low, high = least - 1, least
    while high < most and interval_width(high) > target:
        low, high = high, min(2 * high, most)
    if interval_width(high) > target:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if interval_width(middle) > target else (low, middle)
    return high


def _some_labels(interval_width: Callable[[int], float], width: float, least: int) -> int:
    labels = fewest_labels(interval_width, width, least, MAX_LABELS)
    if labels is None:
        raise ConfigError(f"`width` is {width!r}, which is out of reach: give a larger width.")
    return labels


def _check_width(width: float) -> None:
    if not (width > 0 and math.isfinite(width)):
        raise ConfigError(f"`width` is {width!r}: give the full width of the interval, above 0.")
