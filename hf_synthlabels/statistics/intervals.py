"""Interval: an estimate and the range that it leaves open, for shares and for scores of confusion counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.agreement.scores import Metric, occurring, score
from hf_synthlabels.statistics.label_ids import Floats, Ints, check_level, check_resamples

BOOTSTRAP = "bootstrap: rows, smoothed"
CHUNK = 500
"""Resampled tables that are scored at once."""


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
        human: human-labelled rows of the class.
        level: confidence level.

    Returns:
        An interval whose `n` is the number of rows to which either side gives the class; nan when that is 0.
    """
    share = wilson(right, predicted + human - right, level)
    low, estimate, high = (2 * j / (1 + j) for j in (share.low, share.estimate, share.high))
    return Interval(estimate, low, high, level, "wilson of the Jaccard share", share.n)


def bootstrap(counts: Ints, metric: Metric, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """The interval of a score: percentiles of a smoothed bootstrap of rows.

    Rows are drawn with replacement, so the class counts vary between resamples as they do between samples. A bootstrap
    within classes would be too narrow wherever recalls differ.

    The plain bootstrap cannot imagine a mistake that the sample does not show: with 30 rows all right its interval
    is [1, 1], and a gate would pass on it. So z^2 pseudo-rows, half right and half wrong and shared equally by the
    classes, are added to the distribution that is drawn from, which is what the Wilson interval does to a share
    (Agresti & Coull 1998). Their weight fades as 1/n. The ends always enclose the estimate.

    Args:
        counts: shape (K, K + 1), from `confusion_counts`.
        metric: the score.
        level: confidence level.
        resamples: how many resamples to draw.
        seed: of the random numbers; the same seed gives the same interval.

    Returns:
        An interval whose `n` is the number of human-labelled rows, of answered rows for kappa; nan where the score is
        undefined.

    Raises:
        ConfigError: `level` is not between 0 and 1, or `resamples` is less than 1.
    """
    check_resamples(resamples)
    check_level(level)
    n = int((counts[:, :-1] if metric == "kappa" else counts).sum())
    estimate = float(score(metric, counts))
    if math.isnan(estimate):
        return Interval(math.nan, math.nan, math.nan, level, BOOTSTRAP, n)
    masses = (counts + pseudo_counts(counts, level)).ravel()
    # Only the cells that can be drawn: many classes leave most of them empty.
    cells = np.flatnonzero(masses)
    rng, present = np.random.default_rng(seed), occurring(counts)
    values = []
    for start in range(0, resamples, CHUNK):
        tables = np.zeros((min(CHUNK, resamples - start), counts.size), dtype=np.int64)
        tables[:, cells] = rng.multinomial(int(counts.sum()), masses[cells] / masses.sum(), size=len(tables))
        values.append(score(metric, tables.reshape(-1, *counts.shape), present))
    return percentile_interval(np.concatenate(values), estimate, level, BOOTSTRAP, n)


def pseudo_counts(counts: Ints, level: float) -> Floats:
    """The z^2 pseudo-rows of a smoothed bootstrap, in equal parts for the classes that have human-labelled rows.

    Within a class half of them are right; the wrong ones go where predictions of other classes (or none) went.

    Args:
        counts: shape (K, K + 1), from `confusion_counts`.
        level: confidence level; it gives z.
    """
    out = np.zeros(counts.shape)
    present = np.flatnonzero(counts.sum(axis=1))
    each = normal_quantile(level) ** 2 / max(len(present), 1)
    for k in present:
        elsewhere = counts.sum(axis=0).astype(np.float64)
        elsewhere[k] = 0
        if not elsewhere.any():
            elsewhere[-1] = 1
        out[k] += each / 2 * elsewhere / elsewhere.sum()
        out[k, k] += each / 2
    return out


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
