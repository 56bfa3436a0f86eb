"""Rows needed: how many human-labelled rows settle, most of the time, whether a score reaches a threshold.

The answers suppose that the score found so far is the true one. It is not, quite: they are plans, not promises. A
sample of that size settles it with the stated power; where the interval just reaches the threshold on average, half of
all samples would not.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from hf_synthlabels.errors import ConfigError
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
