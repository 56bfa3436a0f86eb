"""Rank correlations of weighted pairs: Spearman's rho and Kendall's tau-b of many resamples at once.

Both are given how often each distinct pair was drawn, shape (R, C), and the pairs' two columns, shape (C,). Ties share
their mean rank, and leave tau-b's denominator, as in scipy.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from hf_synthlabels.statistics.label_ids import Floats, Ints
from hf_synthlabels.statistics.row_bootstrap import divided

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
        return np.array([_kendall_of_one(row, x, y) for row in counts])
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
    """The mean rank of each distinct pair in each resample, shape (R, C)."""
    _, level = np.unique(values, return_inverse=True)
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.diff(level[order], prepend=-1))
    per_level = np.add.reduceat(counts[:, order].astype(np.float64), starts, axis=1)
    ranks: Floats = (np.cumsum(per_level, axis=1) - (per_level - 1) / 2)[:, level]
    return ranks


def _kendall_of_one(counts: Ints | Floats, x: Floats, y: Floats) -> float:
    times = counts.astype(np.int64)
    return float(stats.kendalltau(np.repeat(x, times), np.repeat(y, times)).statistic)
