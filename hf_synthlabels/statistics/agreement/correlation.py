"""Correlation and agreement coefficients of weighted pairs of numbers, for many resamples at once.

Each takes how often each distinct pair was drawn, shape (R, C), and the two columns of the pairs, shape (C,). Ties
share their mean rank and leave the denominator of tau-b, as in scipy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats, Ints, divided

PairScore = Callable[[Ints | Floats, Floats, Floats], Floats]
"""A score of resamples, shape (R,): how often each distinct pair was drawn, (R, C), and its two columns, (C,)."""

MAX_PAIRS = 2000
"""Distinct pairs up to which all pairs of pairs are held in memory: 2000 squared are 32 MB."""


def weighted_pearson(counts: Ints | Floats, x: Floats, y: Floats) -> Floats:
    """Pearson's r of each resample; `x` and `y` of shape (C,), or (R, C) where they differ from one to the next."""
    n = counts.sum(axis=-1)[:, None]
    dx = x - divided((counts * x).sum(axis=-1)[:, None], n)
    dy = y - divided((counts * y).sum(axis=-1)[:, None], n)
    across = (counts * dx * dy).sum(axis=-1)
    spread = np.sqrt((counts * dx**2).sum(axis=-1) * (counts * dy**2).sum(axis=-1))
    # Rounding leaves a spread of nearly nothing where all values are equal.
    scale = counts.sum(axis=-1) * (1 + np.abs(x).max(initial=0) * np.abs(y).max(initial=0))
    r: Floats = np.clip(divided(across, np.where(spread > 1e-12 * scale, spread, 0)), -1, 1)
    return r


def weighted_spearman(counts: Ints | Floats, x: Floats, y: Floats) -> Floats:
    """Spearman's rho of each resample: Pearson's r of the mean ranks."""
    return weighted_pearson(counts, weighted_ranks(counts, x), weighted_ranks(counts, y))


def weighted_kendall(counts: Ints | Floats, x: Floats, y: Floats) -> Floats:
    """Kendall's tau-b of each resample: (concordant - discordant) / sqrt(pairs not tied in x * not tied in y)."""
    if len(x) > MAX_PAIRS:
        return np.array([_kendall_of_repeated(row.astype(np.int64), x, y) for row in counts])
    across = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    tied_x, tied_y = (np.equal.outer(values, values).astype(np.float64) for values in (x, y))
    weights = counts.astype(np.float64)
    # Every pair is met twice, and a pair with itself is tied: both cancel in the quotient.
    concordance, ties_x, ties_y = (((weights @ each) * weights).sum(axis=-1) for each in (across, tied_x, tied_y))
    pairs = weights.sum(axis=-1) ** 2
    # Rounding leaves a few untied pairs where all are tied.
    untied_x, untied_y = (np.where(pairs - ties > 1e-12 * pairs, pairs - ties, 0.0) for ties in (ties_x, ties_y))
    return divided(concordance, np.sqrt(untied_x * untied_y))


def weighted_ranks(counts: Ints | Floats, values: Floats) -> Floats:
    """The mean rank of each value in each resample, shape (R, C)."""
    _, level = np.unique(values, return_inverse=True)
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.diff(level[order], prepend=-1))
    per_level = np.add.reduceat(counts[:, order].astype(np.float64), starts, axis=1)
    ranks: Floats = (np.cumsum(per_level, axis=1) - (per_level - 1) / 2)[:, level]
    return ranks


def _kendall_of_repeated(times: Ints, x: Floats, y: Floats) -> float:
    return float(stats.kendalltau(np.repeat(x, times), np.repeat(y, times)).statistic)


def quadratic_kappa(counts: Ints | Floats, x: Floats, y: Floats) -> Floats:
    """Cohen's kappa weighted by squared distance (Cohen 1968), of weighted pairs; the values need not be few.

    1 - mean (x - y)^2 / mean (x_i - y_j)^2 over all pairs of rows; nan when all numbers are equal. It equals Lin's
    concordance correlation coefficient (King & Chinchilli 2001).
    """
    _, mean_x, mean_y, var_x, var_y, covariance = _moments(counts, x, y)
    return divided(2 * covariance, _rounded(var_x + var_y + (mean_x - mean_y) ** 2, x, y))


def pair_icc(counts: Ints | Floats, x: Floats, y: Floats) -> Floats:
    """ICC(A,1) of two raters: two-way, single rater, absolute agreement (McGraw & Wong 1996, case 2A).

    (MSR - MSE) / (MSR + MSE + 2 (MSC - MSE) / n); nan for fewer than two rows or when all numbers are equal.
    """
    n, mean_x, mean_y, var_x, var_y, covariance = _moments(counts, x, y)
    # With two raters: rows (x + y) / 2 have variance (var_x + var_y + 2 cov) / 4, differences var_x + var_y - 2 cov.
    degrees = np.where(n > 1, n - 1, np.nan)
    between_rows = n * (var_x + var_y + 2 * covariance) / (2 * degrees)
    residual = n * (var_x + var_y - 2 * covariance) / (2 * degrees)
    between_raters = n * (mean_x - mean_y) ** 2 / 2
    return divided(
        between_rows - residual, _rounded(between_rows + residual + 2 * (between_raters - residual) / n, x, y)
    )


def _moments(counts: Ints | Floats, x: Floats, y: Floats) -> tuple[Floats, ...]:
    """Rows, means, variances and covariance (with divisor n) of weighted pairs, each of shape (R,)."""
    n = counts.sum(axis=-1).astype(np.float64)
    mean_x, mean_y = divided(counts @ x, n), divided(counts @ y, n)
    dx, dy = x - mean_x[:, None], y - mean_y[:, None]
    spreads = (divided((counts * product).sum(axis=-1), n) for product in (dx * dx, dy * dy, dx * dy))
    return n, mean_x, mean_y, *spreads


def _rounded(spread: Floats, x: Floats, y: Floats) -> Floats:
    """A spread with 0 for what is only rounding."""
    scale = 1 + max(np.abs(x).max(initial=0), np.abs(y).max(initial=0)) ** 2
    return np.where(np.abs(spread) > 1e-12 * scale, spread, 0.0)


PAIR_SCORES: dict[str, PairScore] = {
    "pearson": weighted_pearson,
    "spearman": weighted_spearman,
    "kendall": weighted_kendall,
    "weighted_kappa": quadratic_kappa,
    "icc": pair_icc,
}
