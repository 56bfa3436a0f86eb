"""Estimates with confidence intervals: Wilson, Agresti-Coull and percentile intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.arrays import Floats, check_level

ANY_TIME = "any time"
"""Part of the method of intervals that hold at all looks."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval; nan where it is undefined."""

    estimate: float
    low: float
    high: float
    level: float
    """Confidence level of the two-sided interval."""
    method: str
    n: int
    """Rows behind the estimate: the denominator of a share."""

    @classmethod
    def undefined(cls, level: float, method: str, n: int = 0) -> Self:
        """The interval of an estimate that does not exist."""
        return cls(math.nan, math.nan, math.nan, level, method, n)

    def __str__(self) -> str:
        if math.isnan(self.estimate):
            return "undefined"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def limits(self) -> str:
        """The limits as text."""
        return "[-, -]" if math.isnan(self.low) else f"[{self.low:.3f}, {self.high:.3f}]"

    @property
    def holds_at_any_time(self) -> bool:
        """Whether it holds at all looks at once, not only at a number of rows that was fixed in advance."""
        return ANY_TIME in self.method

    def to_dict(self) -> dict[str, Any]:
        """The fields; nan becomes None, because JSON has no nan."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        low, estimate, high = (math.nan if values[k] is None else values[k] for k in ("low", "estimate", "high"))
        return cls(estimate, low, high, values["level"], values["method"], values["n"])


def fields_as_json(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON types; nan becomes None."""
    return {field.name: _as_json(getattr(instance, field.name)) for field in fields(instance)}


def _as_json(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value):
        return fields_as_json(value)
    if isinstance(value, Mapping):
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_as_json(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def normal_quantile(level: float) -> float:
    """Half the width of a two-sided normal interval, in standard errors.

    Raises:
        ConfigError: `level` is not between 0 and 1.
    """
    check_level(level)
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """The score interval of a share (Wilson 1927), undefined if `n` is 0.

    Raises:
        ConfigError: `successes` is not from 0 to `n`, or `level` not between 0 and 1.
    """
    if not 0 <= successes <= n:
        raise ConfigError(f"`successes` is {successes!r} and `n` {n!r}: give 0 <= successes <= n.")
    quantile = normal_quantile(level)
    if n == 0:
        return Interval.undefined(level, "wilson")
    return Interval(successes / n, *score_interval(successes / n, n, quantile), level, "wilson", n)


def score_interval(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's limits of a share with an effective number of rows, which may be fractional or infinite."""
    share = min(1.0, max(0.0, share))
    if not n > 0:
        return 0.0, 1.0
    if math.isinf(n):
        return share, share
    extra = quantile**2 / n
    center = (share + extra / 2) / (1 + extra)
    half = quantile / (1 + extra) * math.sqrt(share * (1 - share) / n + (quantile / (2 * n)) ** 2)
    # At 0 and 1 the formula gives these ends except for rounding.
    low = 0.0 if share == 0 else max(0.0, center - half)
    return low, 1.0 if share == 1 else min(1.0, center + half)


def percentile_interval(values: Floats, estimate: float, level: float, method: str, n: int) -> Interval:
    """The percentile interval of bootstrap replicates, widened to enclose the estimate; nan replicates are omitted."""
    check_level(level)
    kept = values[~np.isnan(values)]
    if kept.size == 0 or math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan, level, method, n)
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), level, method, n)


def bounded_mean(values: ArrayLike, low: float, high: float, level: float = 0.95) -> Interval:
    """The mean of bounded numbers with the interval of Agresti & Coull (1998), extended from shares to means.

    z^2 pseudo-values are added, half of them at each end of the scale. So equal values do not give an interval of
    width 0.

    Args:
        values: from `low` to `high`, shape (n,).
        low: the least possible value.
        high: the greatest possible value.
        level: confidence level.
    """
    units = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    n, method = len(units), "Agresti-Coull, of a mean"
    if n == 0:
        return Interval.undefined(level, method)
    z = normal_quantile(level)
    total, squares, pseudo = math.fsum(units), math.fsum(units**2), z * z
    center = (total + pseudo / 2) / (n + pseudo)
    variance = max(0.0, (squares + pseudo / 2) / (n + pseudo) - center * center)
    half = z * math.sqrt(variance / (n + pseudo))
    mean = total / n
    limits = (mean, min(mean, max(0.0, center - half)), max(mean, min(1.0, center + half)))
    estimate, lower, upper = (low + (high - low) * value for value in limits)
    return Interval(estimate, lower, upper, level, method, n)
