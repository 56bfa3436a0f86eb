"""Estimates with confidence intervals: Wilson, Agresti-Coull and percentile intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.arrays import Floats, check_level


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval; all three numbers are nan when there is nothing to estimate from."""

    estimate: float
    low: float
    high: float
    level: float
    """Confidence level of the two-sided interval, as a share."""
    method: str
    n: int
    """The rows that the estimate rests on: the denominator of a share."""

    def __str__(self) -> str:
        if math.isnan(self.estimate):
            return "undefined"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, Any]:
        """The fields; nan becomes None, because JSON has no nan."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Interval:
        """The interval that `to_dict` wrote."""
        low, estimate, high = (math.nan if values[k] is None else values[k] for k in ("low", "estimate", "high"))
        return cls(estimate, low, high, values["level"], values["method"], values["n"])


def normal_quantile(level: float) -> float:
    """How many standard errors a two-sided normal interval of that level reaches to either side.

    Raises:
        ConfigError: `level` is not between 0 and 1.
    """
    check_level(level)
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The score interval of a share (Wilson 1927); sound at 0, at n and for few rows. All nan when `n` is 0.

    Raises:
        ConfigError: `successes` is not from 0 to `n`, or `level` not between 0 and 1.
    """
    if not 0 <= successes <= n:
        raise ConfigError(f"`successes` is {successes!r} and `n` {n!r}: give 0 <= successes <= n.")
    z = normal_quantile(level)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level, "wilson", 0)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    # At the two extremes the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(share, low, high, level, "wilson", n)


def wilson_f1(right: int, predicted: int, human: int, level: float = 0.95) -> Interval:
    """The interval of one class's F1, from the Wilson interval of its Jaccard share.

    Of the rows to which either side gives the class, the share J on which both do is binomial given their number,
    and F1 = 2 J / (1 + J) rises with J, so the ends of J's interval carry over. No resampling is needed, and a class
    that is right on 3 rows out of 3 gets an honest lower end.

    Args:
        right: rows that both sides give the class.
        predicted: rows that are predicted to be of the class.
        human: human-labeled rows of the class.
        level: confidence level.

    Returns:
        An interval whose `n` is the number of rows to which either side gives the class; nan when that is 0.
    """
    share = wilson(right, predicted + human - right, level)
    low, estimate, high = (2 * j / (1 + j) for j in (share.low, share.estimate, share.high))
    return Interval(estimate, low, high, level, "wilson of the Jaccard share", share.n)


def percentile_interval(values: Floats, estimate: float, level: float, method: str, n: int) -> Interval:
    """The percentile interval of bootstrap values, widened where it must be to enclose the estimate.

    Values that are nan are left out; when all are, the ends are nan.
    """
    check_level(level)
    kept = values[~np.isnan(values)]
    if kept.size == 0 or math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan, level, method, n)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), level, method, n)


def score_interval(share: float, n: float, quantile: float) -> tuple[float, float]:
    """The score interval of a share with an effective number of rows, which need not be whole."""
    share = min(1.0, max(0.0, share))
    if not n > 0:
        return 0.0, 1.0
    if math.isinf(n):
        return share, share
    extra = quantile**2 / n
    centre = (share + extra / 2) / (1 + extra)
    half = quantile / (1 + extra) * math.sqrt(share * (1 - share) / n + (quantile / (2 * n)) ** 2)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)


def bounded_mean(values: ArrayLike, low: float, high: float, level: float = 0.95) -> Interval:
    """The mean of bounded numbers and its interval, for items that are drawn independently of each other.

    It is the interval of Agresti & Coull (1998), carried over from a share to a mean: z^2 pseudo-values are added, half
    of them at each end of the scale, and the interval is z standard errors of the mean of all around it. So equal
    values do not make an interval of no width. The ends always enclose the mean; all three are nan without values.

    Args:
        values: shape (n,), from `low` to `high`.
        low: the least possible value.
        high: the greatest.
        level: confidence level.
    """
    units = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    n, method = len(units), "Agresti-Coull, of a mean"
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level, method, 0)
    z = normal_quantile(level)
    total, squares, pseudo = math.fsum(units), math.fsum(units**2), z * z
    centre = (total + pseudo / 2) / (n + pseudo)
    variance = max(0.0, (squares + pseudo / 2) / (n + pseudo) - centre * centre)
    half = z * math.sqrt(variance / (n + pseudo))
    estimate = total / n
    ends = (estimate, min(estimate, max(0.0, centre - half)), max(estimate, min(1.0, centre + half)))
    at, first, last = (low + (high - low) * end for end in ends)
    return Interval(at, first, last, level, method, n)
