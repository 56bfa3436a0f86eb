"""Intraclass correlation and variance components of numeric ratings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.arrays import Floats, Ratings, check_level, cluster_codes, rating_table
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, cluster_bootstrap
from hf_synthlabels.statistics.intervals import Interval

ICCKind = Literal["A,1", "C,1"]
"""Absolute agreement, or consistency, which ignores that a rater is always one point higher."""

ROUNDING = 1e-12
"""Mean square, as a share of the squared numbers, up to which it is only rounding."""


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Components of the variance of single ratings, in squared units of the scale (a G-study of items x raters).

    A component that is too small to be seen may be below 0; `shares` then has 0.
    """

    item: float
    """True differences between items."""
    rater: float
    """Differences between raters on all items alike."""
    residual: float
    """Interaction of raters and items, and noise."""
    n: int
    """Items with a rating by every rater."""

    @property
    def shares(self) -> dict[str, float]:
        """Each component as a share of their sum; nan when nothing varies."""
        parts = {name: max(0.0, getattr(self, name)) for name in ("item", "rater", "residual")}
        total = sum(parts.values())
        if math.isnan(self.item) or total == 0:
            return dict.fromkeys(parts, math.nan)
        return {name: part / total for name, part in parts.items()}


class _MeanSquares(NamedTuple):
    """The two-way analysis of variance without replication."""

    n: int
    k: int
    items: float
    raters: float
    residual: float


def icc(ratings: Ratings, kind: ICCKind = "A,1") -> float:
    """The intraclass correlation of single ratings, two-way, case 2A or 2C (McGraw & Wong 1996, table 4).

    ICC(A,1) = (MSR - MSE) / (MSR + (k - 1) MSE + k (MSC - MSE) / n), ICC(C,1) = (MSR - MSE) / (MSR + (k - 1) MSE)
    with the mean squares of items (R), raters (C) and residual (E).

    Args:
        ratings: shape (items, raters); an item with a nan or None is left out.
        kind: "A,1" for absolute agreement, "C,1" for consistency.

    Returns:
        At most 1; nan for fewer than two complete items or two raters, or when all ratings are equal.

    Raises:
        DataError: `ratings` does not have two dimensions, or has values that are not finite numbers.
        ConfigError: `kind` is unknown.
    """
    _check_kind(kind)
    return _icc(_mean_squares(_complete_items(ratings)), kind)


def icc_interval(ratings: Ratings, kind: ICCKind = "A,1", level: float = 0.95) -> Interval:
    """`icc` with the interval from the F distribution (McGraw & Wong 1996, table 7).

    It assumes independent items and normal ratings; otherwise use `icc_bootstrap`. For raters who agree exactly both
    limits are 1. They are nan if all items are rated alike and only the raters differ.
    """
    _check_kind(kind)
    check_level(level)
    squares = _mean_squares(_complete_items(ratings))
    estimate = _icc(squares, kind)
    low, high = (math.nan, math.nan) if math.isnan(estimate) else _limits(squares, estimate, kind, (1 + level) / 2)
    return Interval(estimate, low, high, level, "F", squares.n)


def icc_bootstrap(
    ratings: Ratings,
    kind: ICCKind = "A,1",
    *,
    clusters: ArrayLike | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> Interval:
    """`icc` with the interval of a bootstrap of items, or of whole clusters of items.

    Args:
        ratings: as in `icc`.
        kind: as in `icc`.
        clusters: cluster of each item, shape (items,).
        bootstrap: level, resamples and seed.
    """
    _check_kind(kind)
    table = rating_table(ratings)
    complete = ~np.isnan(table).any(axis=1)
    groups = np.arange(len(table)) if clusters is None else cluster_codes(clusters, len(table))
    kept = table[complete]
    return cluster_bootstrap(lambda rows: _icc(_mean_squares(kept[rows]), kind), groups[complete], bootstrap)


def variance_components(ratings: Ratings) -> VarianceComponents:
    """The variance components of items, raters and residual from the mean squares (Shavelson & Webb 1991).

    ICC(A,1) is item / (item + rater + residual), ICC(C,1) is item / (item + residual).
    """
    n, k, items, raters, residual = _mean_squares(_complete_items(ratings))
    if math.isnan(items):
        return VarianceComponents(math.nan, math.nan, math.nan, n)
    return VarianceComponents((items - residual) / k, (raters - residual) / n, residual, n)


def _complete_items(ratings: Ratings) -> Floats:
    table = rating_table(ratings)
    kept: Floats = table[~np.isnan(table).any(axis=1)]
    return kept


def _mean_squares(table: Floats) -> _MeanSquares:
    """Mean squares of a table without gaps; nan for fewer than two items or raters, 0 for what is only rounding."""
    n, k = table.shape
    if n < 2 or k < 2:
        return _MeanSquares(n, k, math.nan, math.nan, math.nan)
    centered = table - table.mean()
    item, rater = centered.mean(axis=1), centered.mean(axis=0)
    rest = centered - item[:, None] - rater
    squares = np.array(
        [
            k * (item**2).sum() / (n - 1),
            n * (rater**2).sum() / (k - 1),
            (rest**2).sum() / ((n - 1) * (k - 1)),
        ]
    )
    squares[squares <= ROUNDING * (1 + np.abs(table).max() ** 2)] = 0
    return _MeanSquares(n, k, *squares.tolist())


def _icc(squares: _MeanSquares, kind: ICCKind) -> float:
    n, k, items, raters, residual = squares
    if math.isnan(items):
        return math.nan
    under = items + (k - 1) * residual + (k / n * (raters - residual) if kind == "A,1" else 0)
    return (items - residual) / under if under > 0 else math.nan


def _limits(squares: _MeanSquares, estimate: float, kind: ICCKind, upper: float) -> tuple[float, float]:
    n, k, items, raters, residual = squares
    free = (n - 1) * (k - 1)
    if estimate == 1:
        return 1.0, 1.0
    if kind == "C,1":
        if residual == 0:
            return 1.0, 1.0
        ratio = items / residual
        low, high = ratio / stats.f.ppf(upper, n - 1, free), ratio * stats.f.ppf(upper, free, n - 1)
        return float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1))
    # Satterthwaite's degrees of freedom of the denominator of F.
    a = k * estimate / (n * (1 - estimate))
    b = 1 + k * estimate * (n - 1) / (n * (1 - estimate))
    under = (a * raters) ** 2 / (k - 1) + (b * residual) ** 2 / free
    rest = k * raters + (k * n - k - n) * residual
    if under == 0 or items == residual == 0 or rest + items == 0:
        # Nothing but the raters' offsets varies.
        return math.nan, math.nan
    v = (a * raters + b * residual) ** 2 / under
    below, above = stats.f.ppf(upper, n - 1, v), stats.f.ppf(upper, v, n - 1)
    # With hardly a degree of freedom the quantiles are 0 or infinite: an end is then what they leave, or nan.
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            float(n * (items / below - residual) / (rest + n * items / below)),
            float(n * (items - residual / above) / (rest / above + n * items)),
        )


def _check_kind(kind: str) -> None:
    if kind not in ("A,1", "C,1"):
        raise ConfigError(f"`kind` is {kind!r}: give 'A,1' (absolute agreement) or 'C,1' (consistency).")
