"""Rows needed: how many human-labelled rows would settle whether a score reaches a threshold.

The answers suppose that the score found so far is the true one. It is not, quite: they are plans, not promises.
"""

from __future__ import annotations

import math

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.intervals import Interval, normal_quantile

__all__ = ["rows_to_fail", "rows_to_pass", "scaled_rows_to_fail", "scaled_rows_to_pass"]


def rows_to_pass(share: float, threshold: float, level: float = 0.95) -> int | None:
    """The fewest rows with which the lower Wilson end of a share reaches the threshold.

    The Wilson interval holds the thresholds t that a score test at its level does not reject, so its lower end
    reaches t exactly when n >= z^2 t (1 - t) / (share - t)^2. The share is taken to stay what it is, although with n
    rows it can only be a multiple of 1/n.

    Args:
        share: the share found, from 0 to 1.
        threshold: what the lower end must reach, from 0 to 1.
        level: confidence level of the interval.

    Returns:
        The number of rows, at least 1; None when the share is at or below the threshold, so that no number will do.

    Raises:
        ConfigError: `share`, `threshold` or `level` is no share.
    """
    needed = _wilson_rows(share, threshold, level)
    return max(1, math.ceil(needed - 1e-9)) if share > threshold else None


def rows_to_fail(share: float, threshold: float, level: float = 0.95) -> int | None:
    """The fewest rows with which the upper Wilson end of a share falls below the threshold; see `rows_to_pass`.

    Returns:
        The number of rows, at least 1; None when the share is at or above the threshold.

    Raises:
        ConfigError: `share`, `threshold` or `level` is no share.
    """
    needed = _wilson_rows(share, threshold, level)
    # Strictly below: exactly `needed` rows would still touch the threshold.
    return math.floor(needed + 1e-9) + 1 if share < threshold else None


def scaled_rows_to_pass(interval: Interval, threshold: float, rows: int | None = None) -> int | None:
    """About how many rows it takes until the lower end of a bootstrapped score reaches the threshold.

    The distance from the estimate to the lower end is taken to shrink with 1 / sqrt(rows), the class shares and the
    score staying as they are.

    Args:
        interval: of the score, from the rows that there are.
        threshold: what the lower end must reach.
        rows: how many rows that interval stands for; by default `interval.n`. Give the human-labelled rows for a
            score that is of the answered ones only, and the answer is in human-labelled rows, too.

    Returns:
        The number of rows, at least 1; None when the estimate is at or below the threshold, or undefined.
    """
    return _scaled_rows(interval.estimate - interval.low, interval.estimate - threshold, rows or interval.n)


def scaled_rows_to_fail(interval: Interval, threshold: float, rows: int | None = None) -> int | None:
    """About how many rows it takes until the upper end falls to the threshold; see `scaled_rows_to_pass`.

    Returns:
        The number of rows, at least 1; None when the estimate is at or above the threshold, or undefined.
    """
    return _scaled_rows(interval.high - interval.estimate, threshold - interval.estimate, rows or interval.n)


def _wilson_rows(share: float, threshold: float, level: float) -> float:
    """z^2 t (1 - t) / (share - t)^2; infinite when share and threshold are equal."""
    for name, value in (("share", share), ("threshold", threshold)):
        if not 0 <= value <= 1:
            raise ConfigError(f"`{name}` is {value!r}: give a share from 0 to 1.")
    z = normal_quantile(level)
    if share == threshold:
        return math.inf
    return z * z * threshold * (1 - threshold) / (share - threshold) ** 2


def _scaled_rows(half_width: float, gap: float, rows: int) -> int | None:
    if math.isnan(half_width) or math.isnan(gap) or gap <= 0:
        return None
    # The tiny factor keeps rounding errors from asking for one row more.
    return max(1, math.ceil(rows * (half_width / gap) ** 2 * (1 - 1e-9)))
