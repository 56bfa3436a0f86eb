"""Chance-corrected agreement: kappa, pi, AC1, AC2 and Krippendorff's alpha."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.confusion import confusion_counts, kappa
from hf_synthlabels.statistics.agreement.correlation import quadratic_kappa
from hf_synthlabels.statistics.arrays import Floats, Ints, Labels, divided, label_codes, rating_table

Scale = Literal["nominal", "ordinal", "interval", "ratio"]
SCALES: tuple[Scale, ...] = get_args(Scale)
KappaWeights = Literal["linear", "quadratic"]

CHUNK = 1000
"""Distinct numbers of a ratio scale that are compared with all others at once."""


def krippendorff_alpha(ratings: Labels, scale: Scale = "nominal") -> float:
    """Krippendorff's alpha: 1 - observed / expected disagreement (Krippendorff 2011, any number of raters, any gaps).

    Two ratings of an item disagree by 1 if they differ (nominal), by their squared difference (interval), by that of
    their mean ranks among all ratings (ordinal), or by ((a - b) / (a + b))^2 (ratio). Items with one rating are left
    out.

    Args:
        ratings: names or numbers for a nominal scale, numbers for the others.
        scale: of the ratings.

    Returns:
        At most 1; nan when no item has two ratings or all ratings are equal.

    Raises:
        DataError: `ratings` does not have two dimensions, or has values that are not numbers, or below 0 (ratio).
        ConfigError: `scale` is unknown.
    """
    if scale not in SCALES:
        raise ConfigError(f"`scale` is {scale!r}: give one of {', '.join(SCALES)}.")
    table = label_codes(ratings)[0] if scale == "nominal" else rating_table(ratings)
    if scale == "ratio" and (table < 0).any():
        raise DataError("`ratings` holds numbers below 0: they are on no ratio scale; take 'interval'.")
    given = (~np.isnan(table)).sum(axis=1)
    table, given = table[given > 1], given[given > 1]
    values = table[~np.isnan(table)]
    if scale == "ordinal":
        table[~np.isnan(table)] = values = stats.rankdata(values)
    if values.size == 0:
        return math.nan
    observed = 0.0
    for a, b in itertools.combinations(range(table.shape[1]), 2):
        both = ~np.isnan(table[:, a]) & ~np.isnan(table[:, b])
        distances = _distances(table[both, a], table[both, b], scale)
        observed += 2 * float((distances / (given[both] - 1)).sum())
    expected = _expected(values, scale)
    return 1 - (values.size - 1) * observed / expected if expected > 0 else math.nan


def scott_pi(ratings: Labels) -> float:
    """Scott's pi (1955); of more than two raters Fleiss' kappa (1971), with gaps as Gwet (2014) has it.

    (observed - expected) / (1 - expected) agreement, where chance gives each rater the names' mean shares. nan when no
    item has two ratings or all ratings are equal.
    """
    counts = _counts(ratings)[0]
    shares = _shares(counts)
    return _beyond(_observed(counts, np.eye(counts.shape[1])), float((shares**2).sum()))


def gwet_ac1(ratings: Labels, categories: Iterable[Any] | None = None) -> float:
    """Gwet's AC1 (2008): as `scott_pi`, but chance is sum pi (1 - pi) / (q - 1) over the q names.

    If nearly all ratings are of one name, kappa and pi fall to 0 or below although raters agree; AC1 does not.

    Args:
        ratings: names or numbers.
        categories: all names that could have been given; by default those that were. More of them mean less chance.

    Returns:
        At most 1; nan when no item has two ratings or there is only one name.
    """
    counts, names = _counts(ratings, categories)
    return _gwet(counts, np.eye(len(names)))


def gwet_ac2(ratings: Labels, weights: KappaWeights = "quadratic", categories: Iterable[float] | None = None) -> float:
    """Gwet's AC2 (2014): AC1 with part credit for ratings that are near each other.

    Args:
        ratings: numbers.
        weights: credit of 1 - d ("linear") or 1 - d^2 ("quadratic"), d being the distance as a share of the range.
        categories: all numbers that could have been given; by default those that were.
    """
    power = _power(weights)
    counts, names = _counts(rating_table(ratings), categories)
    values = np.array(names, dtype=np.float64)
    reach = np.ptp(values) if values.size else 0.0
    distance = np.abs(values[:, None] - values) / reach if reach > 0 else np.zeros((values.size, values.size))
    return _gwet(counts, 1 - distance**power)


def cohen_kappa(
    a: ArrayLike | Sequence[Any], b: ArrayLike | Sequence[Any], weights: KappaWeights | None = None
) -> float:
    """Cohen's kappa of two raters (1960), or with part credit for nearness (1968).

    Weights go by the distance of the numbers themselves, so with equidistant numbers they are the textbook's.

    Args:
        a: names, or numbers for weights, shape (items,); None or nan where missing.
        b: the same by the other rater.
        weights: "linear" or "quadratic"; None for none.

    Returns:
        At most 1; nan when no item has both, or both know one and the same name only.

    Raises:
        DataError: the lengths differ, or, with weights, a value is not a number.
        ConfigError: `weights` is unknown.
    """
    first, second = (np.array(side, dtype=object) for side in (a, b))
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"`a` has shape {first.shape} and `b` {second.shape}: give one each per item.")
    pairs = np.column_stack([first, second])
    if weights is None:
        table, names = label_codes(pairs)
        both = table[~np.isnan(table).any(axis=1)].astype(np.int64)
        return float(kappa(confusion_counts(both[:, 0], both[:, 1], len(names))))
    power = _power(weights)
    numbers = rating_table(pairs)
    x, y = numbers[~np.isnan(numbers).any(axis=1)].T
    if power == 2:
        return float(quadratic_kappa(np.ones((1, len(x))), x, y).item())
    apart = _mean_distance(x, y)
    return 1 - float(np.abs(x - y).mean()) / apart if apart > 0 else math.nan


def _counts(ratings: Labels, categories: Iterable[Any] | None = None) -> tuple[Ints, list[Any]]:
    """How many raters gave each item each name, shape (items, names); items without a rating are left out."""
    table, names = label_codes(ratings, categories)
    counts = np.zeros((len(table), len(names)), dtype=np.int64)
    for code in range(len(names)):
        counts[:, code] = (table == code).sum(axis=1)
    return counts[counts.sum(axis=1) > 0], names


def _observed(counts: Ints, credit: Floats) -> float:
    """The mean credit of two ratings of one item, over the items with two or more."""
    several = counts[counts.sum(axis=1) > 1]
    given = several.sum(axis=1)
    if not len(several):
        return math.nan
    return float(((several * (several @ credit - 1)).sum(axis=1) / (given * (given - 1))).mean())


def _shares(counts: Ints) -> Floats:
    """The mean over items of the share of ratings of each name, shape (names,)."""
    shares: Floats = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0) if len(counts) else np.zeros(0)
    return shares


def _gwet(counts: Ints, credit: Floats) -> float:
    q = len(credit)
    if q < 2:
        return math.nan
    shares = _shares(counts)
    return _beyond(_observed(counts, credit), float(credit.sum() / (q * (q - 1)) * (shares * (1 - shares)).sum()))


def _beyond(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected) if expected < 1 - 1e-12 else math.nan


def _distances(a: Floats, b: Floats, scale: Scale) -> Floats:
    if scale == "nominal":
        differ: Floats = (a != b).astype(np.float64)
        return differ
    if scale == "ratio":
        total = a + b
        quotients: Floats = divided(a - b, total, otherwise=0.0)
        return quotients**2
    squares: Floats = (a - b) ** 2
    return squares


def _expected(values: Floats, scale: Scale) -> float:
    """The sum of the distances of all ordered pairs of ratings."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < 2:
        return 0.0
    if scale == "nominal":
        return float(values.size**2 - (counts**2).sum())
    if scale == "ratio":
        total = 0.0
        for start in range(0, len(distinct), CHUNK):
            part = slice(start, start + CHUNK)
            first = np.repeat(distinct[part, None], len(distinct), axis=1)
            total += float(counts[part] @ _distances(first, np.broadcast_to(distinct, first.shape), scale) @ counts)
        return total
    return float(2 * values.size * ((values - values.mean()) ** 2).sum())


def _mean_distance(x: Floats, y: Floats) -> float:
    """The mean of |x_i - y_j| over all pairs, by the share of either side below each step between neighbors."""
    if not len(x):
        return 0.0
    steps = np.unique(np.concatenate([x, y]))
    below_x, below_y = (np.searchsorted(np.sort(side), steps[:-1], side="right") / len(side) for side in (x, y))
    return float((np.diff(steps) * (below_x * (1 - below_y) + below_y * (1 - below_x))).sum())


def _power(weights: str) -> int:
    if weights not in ("linear", "quadratic"):
        raise ConfigError(f"`weights` is {weights!r}: give 'linear' or 'quadratic'.")
    return 1 if weights == "linear" else 2
