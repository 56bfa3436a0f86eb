"""Sample sizes: human labels needed for a threshold or for a target interval width.

All take the estimate from the labels so far as the true value: they are plans, not guarantees. A sample of the
planned size settles the question with the stated power.
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
from hf_synthlabels.statistics.arrays import Numbers, number_column
from hf_synthlabels.statistics.intervals import Interval, normal_quantile

POWER = 0.8
"""The probability with which a sample of the planned size settles the question."""


def rows_to_pass(share: float, threshold: float, level: float = 0.95, power: float = POWER) -> int | None:
    """The fewest rows with which the lower Wilson end of a share reaches the threshold, with some power.

    The Wilson interval holds the thresholds t that a score test at its level does not reject. So the rows are those of
    the one-sample test of a proportion: n = ((z_level sqrt(t (1 - t)) + z_power sqrt(p (1 - p))) / (p - t))^2
    (Fleiss, Levin & Paik 2003, section 2.2).

    Args:
        share: the share found, p, from 0 to 1.
        threshold: what the lower end must reach, t, from 0 to 1.
        level: confidence level of the interval.
        power: the probability that a sample of that size settles it; 0.5 where its interval does so on average.

    Returns:
        The number of rows, at least 1; None when the share is at or below the threshold, so that no number will do.

    Raises:
        ConfigError: `share`, `threshold` or `level` is no share, or `power` is not between 0 and 1.
    """
    needed = _wilson_rows(share, threshold, level, power)
    return max(1, math.ceil(needed - 1e-9)) if share > threshold else None


def rows_to_fail(share: float, threshold: float, level: float = 0.95, power: float = POWER) -> int | None:
    """The fewest rows with which the upper Wilson end of a share falls below the threshold; see `rows_to_pass`.

    Returns:
        The number of rows, at least 1; None when the share is at or above the threshold.

    Raises:
        ConfigError: `share`, `threshold` or `level` is no share, or `power` is not between 0 and 1.
    """
    needed = _wilson_rows(share, threshold, level, power)
    # Strictly below: exactly `needed` rows would still touch the threshold.
    return math.floor(needed + 1e-9) + 1 if share < threshold else None


def scaled_rows_to_pass(
    interval: Interval, threshold: float, rows: int | None = None, power: float = POWER
) -> int | None:
    """About how many rows it takes until the lower end of a bootstrapped score reaches the threshold.

    The distance from the estimate to the lower end is z standard errors, and shrinks with 1 / sqrt(rows); the class
    shares and the score are taken to stay what they are.

    Args:
        interval: of the score, from the rows that there are.
        threshold: what the lower end must reach.
        rows: how many rows that interval stands for; by default `interval.n`. Give the human-labelled rows for a
            score that is of the answered ones only, and the answer is in human-labelled rows, too.
        power: as in `rows_to_pass`.

    Returns:
        The number of rows, at least 1; None when the estimate is at or below the threshold, or undefined.
    """
    return _scaled_rows(interval, interval.estimate - interval.low, interval.estimate - threshold, rows, power)


def scaled_rows_to_fail(
    interval: Interval, threshold: float, rows: int | None = None, power: float = POWER
) -> int | None:
    """About how many rows it takes until the upper end falls to the threshold; see `scaled_rows_to_pass`.

    Returns:
        The number of rows, at least 1; None when the estimate is at or above the threshold, or undefined.
    """
    return _scaled_rows(interval, interval.high - interval.estimate, threshold - interval.estimate, rows, power)


def _wilson_rows(share: float, threshold: float, level: float, power: float) -> float:
    """The rows of the test of a proportion; infinite when share and threshold are equal."""
    for name, value in (("share", share), ("threshold", threshold)):
        if not 0 <= value <= 1:
            raise ConfigError(f"`{name}` is {value!r}: give a share from 0 to 1.")
    if share == threshold:
        return math.inf
    z, more = normal_quantile(level), _power_quantile(power)
    reach = z * math.sqrt(threshold * (1 - threshold)) + more * math.sqrt(share * (1 - share))
    return (reach / (share - threshold)) ** 2


def _power_quantile(power: float) -> float:
    if not 0 < power < 1:
        raise ConfigError(f"`power` is {power!r}: give a probability between 0 and 1, such as 0.8.")
    return NormalDist().inv_cdf(power)


def _scaled_rows(interval: Interval, half_width: float, gap: float, rows: int | None, power: float) -> int | None:
    if math.isnan(half_width) or math.isnan(gap) or gap <= 0:
        return None
    errors = 1 + _power_quantile(power) / normal_quantile(interval.level)
    # The tiny factor keeps rounding errors from asking for one row more.
    return max(1, math.ceil((rows or interval.n) * (errors * half_width / gap) ** 2 * (1 - 1e-9)))


MIN_PAIRS = 3
"""Pilot rows with label and score below which nothing can be said of how the judge follows the labels."""


MOST = 2**53
"""Beyond this a number of labels is no plan."""


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """How many human labels a wished width takes."""

    human_only: int | None
    """With the human labels alone; None when all rows would not do."""
    with_judge: int | None
    """With PPI++ on the other rows' scores; None when all rows would not do."""
    width: float
    rows: int
    correlation: float
    """Of label and score in the pilot: squared, it is the share of the labels that a judge of very many rows saves."""
    pilot: int
    """Pilot rows with label and score."""

    @property
    def saved(self) -> float:
        """The share of the labels that the judge saves; nan where either number is missing."""
        if self.human_only is None or self.with_judge is None:
            return math.nan
        return 1 - self.with_judge / self.human_only


def labels_for_mean(sd: float, width: float, level: float = 0.95) -> int:
    """The fewest labels with which Student's interval of a mean is no wider than wished.

    Args:
        sd: the labels' standard deviation, in the units of `width`.
        width: from end to end.
        level: confidence level.

    Returns:
        At least 2.

    Raises:
        ConfigError: `sd` is negative, `width` is not above 0, or `level` is not between 0 and 1.
    """
    _check_width(width)
    normal_quantile(level)
    if not (sd >= 0 and math.isfinite(sd)):
        raise ConfigError(f"`sd` is {sd!r}: give a standard deviation, such as 1.")
    found = fewest_labels(lambda n: 2 * student_quantile(n - 1, level) * sd / math.sqrt(n), width, 2, MOST)
    if found is None:
        raise ConfigError(f"`width` is {width!r} and `sd` {sd!r}: no number of labels gives that; wish for more.")
    return found


def labels_for_share(share: float, width: float, level: float = 0.95) -> int:
    """The fewest labels with which the Wilson interval of a share is no wider than wished.

    Args:
        share: what the share is supposed to be, from 0 to 1; 0.5 is the worst.
        width: from end to end, between 0 and 1.
        level: confidence level.

    Returns:
        At least 1. The share is taken to stay what it is, although with n rows it can only be a multiple of 1/n.

    Raises:
        ConfigError: `share` is no share, `width` is not above 0, or `level` is not between 0 and 1.
    """
    _check_width(width)
    if not 0 <= share <= 1:
        raise ConfigError(f"`share` is {share!r}: give a share from 0 to 1; 0.5 takes the most labels.")
    z = normal_quantile(level)

    def reach(n: int) -> float:
        return 2 * z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)

    found = fewest_labels(reach, width, 1, MOST)
    if found is None:
        raise ConfigError(f"`width` is {width!r}: no number of labels gives that; wish for more.")
    return found


def plan_labels(
    human: Numbers,
    judge: Numbers,
    width: float,
    *,
    rows: int | None = None,
    clip: bool = True,
    level: float = 0.95,
) -> LabelPlan:
    """How many labels the mean takes until its interval is no wider than wished, from a pilot.

    With n labels of M rows and the tuned lam of `ppi_mean`, the variance is (var(human) - 2 lam cov + lam^2 var(judge))
    / n + lam^2 var(judge) / (M - n); unclipped var(human) ((1 - r^2) / n + r^2 / M) with the correlation r.

    Args:
        human: labels of the pilot, shape (pilot rows,); None or nan where there is none.
        judge: scores, None or nan for unscored.
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
    if len(labels) != len(scores):
        raise DataError(f"`human` has {len(labels):,} rows and `judge` {len(scores):,}: give one each per row.")
    both = ~np.isnan(labels) & ~np.isnan(scores)
    if both.sum() < MIN_PAIRS:
        raise DataError(
            f"`human` and `judge` have {int(both.sum())} rows in common: a pilot needs {MIN_PAIRS} at least."
        )
    total = len(labels) if rows is None else rows
    if total < 2:
        raise ConfigError(f"`rows` is {rows!r}: give how many rows there are in all, with and without a label.")
    pilot = np.cov(labels[both], scores[both])
    spread, across, score_spread = float(pilot[0, 0]), float(pilot[0, 1]), float(np.nanvar(scores, ddof=1))
    variance = functools.partial(_ppi_variance, total, spread, across, score_spread, clip=clip)
    alone = fewest_labels(lambda n: 2 * student_quantile(n - 1, level) * math.sqrt(spread / n), width, 2, total)
    judged = fewest_labels(lambda n: 2 * student_quantile(n - 2, level) * math.sqrt(variance(n)), width, 3, total)
    # A judge that follows nothing costs a degree of freedom: it can be left out.
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


def student_quantile(free: int, level: float) -> float:
    """How many standard errors Student's two-sided interval reaches to either side."""
    return float(stats.t.ppf((1 + level) / 2, free))


def fewest_labels(reach: Callable[[int], float], width: float, least: int, most: int) -> int | None:
    """The least n with which the width, which falls as n rises, is at most the wished one; None beyond `most`."""
    if most < least:
        return None
    # The tiny factor keeps rounding errors from asking for one label more.
    wished = width * (1 + 1e-12)
    low, high = least - 1, least
    while high < most and reach(high) > wished:
        low, high = high, min(2 * high, most)
    if reach(high) > wished:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reach(middle) > wished else (low, middle)
    return high


def _check_width(width: float) -> None:
    if not (width > 0 and math.isfinite(width)):
        raise ConfigError(f"`width` is {width!r}: give the width from end to end, above 0.")
