"""Bounds of a mean by betting: at a number of rows that is fixed in advance, and at any time.

A gambler bets against the claim that the mean is m. His capital stays small if the claim holds: the probability that it
ever reaches 1 / risk is at most risk (Ville 1939). So all m against which the capital reached 1 / risk are excluded
(Waudby-Smith & Ramdas 2024, JRSS-B). The capital is spread over several fixed bets, and their mean counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, check_lengths, check_level, number_column
from hf_synthlabels.statistics.intervals import ANY_TIME, Interval

BETS: Floats = ((np.arange(24) + 0.5) / 24) ** 2
"""Shares of the capital that are bet; dense near 0, where bets against a mean that is nearly right are."""

FIXED_BETS: Floats = np.array([1.0, 2.0, 4.0, 8.0])
"""Multiples of the bet that is best for a number of rows known in advance; larger ones for values that vary less."""

PARTS: Floats = np.array([0.7, 0.1, 0.1, 0.1])
"""Of the capital, for each multiple."""

WEIGHTED_PARTS: Floats = np.full(4, 0.25)

MAX_BET = 0.95
"""A row never costs the whole capital."""

STEPS = 50
"""Of the bisection: bounds are exact to 1e-15."""

METHOD = f"betting, {ANY_TIME}"


def lower_bound(
    values: ArrayLike, risk: float = 0.05, *, weights: ArrayLike | None = None, max_weight: float | None = None
) -> float:
    """A lower bound of a mean that is too high with a probability of at most `risk`, for a fixed number of rows.

    It holds for every distribution on [0, 1] and every number of rows, and does not depend on their order.

    Args:
        values: from 0 to 1, shape (n,).
        risk: probability that the bound is above the mean.
        weights: inverse inclusion probabilities, above 0; None if all are equal.
        max_weight: the largest weight that a row can have (default: the largest of these rows).

    Raises:
        ConfigError: `risk` is not between 0 and 1.
        DataError: a value is not from 0 to 1, or a weight is not above 0 and at most `max_weight`.
    """
    units, shares = _checked(values, risk, weights, max_weight)
    return _smallest_mean_now(units, shares, risk, PARTS if weights is None else WEIGHTED_PARTS)


def upper_bound(
    values: ArrayLike, risk: float = 0.05, *, weights: ArrayLike | None = None, max_weight: float | None = None
) -> float:
    """An upper bound of a mean that is too low with a probability of at most `risk`; see `lower_bound`."""
    units, shares = _checked(values, risk, weights, max_weight)
    return 1 - _smallest_mean_now(1 - units, shares, risk, PARTS if weights is None else WEIGHTED_PARTS)


def anytime_interval(
    values: ArrayLike, level: float = 0.95, *, weights: ArrayLike | None = None, max_weight: float | None = None
) -> Interval:
    """The interval of a mean that holds at all times at once: rows may be looked at after each of them.

    Each limit has half of the risk. Rows must be labeled in random order; their order here does not matter.

    Args:
        values: from 0 to 1, of the rows labeled so far, shape (n,).
        level: probability that the intervals of all looks contain the mean.
        weights: inverse inclusion probabilities, above 0; None if all are equal.
        max_weight: the largest weight that a row of the sample can have (default: the largest of these rows).

    Raises:
        ConfigError: `level` is not between 0 and 1.
        DataError: a value is not from 0 to 1, or a weight is not above 0 and at most `max_weight`.
    """
    check_level(level)
    units, shares = _checked(values, (1 - level) / 2, weights, max_weight)
    method = METHOD if weights is None else f"{METHOD}, weighted"
    if not len(units):
        return Interval.undefined(level, method)
    low = _smallest_mean_ever(units, shares, (1 - level) / 2)
    high = 1 - _smallest_mean_ever(1 - units, shares, (1 - level) / 2)
    estimate = float(shares @ units / shares.sum())
    return Interval(estimate, low, high, level, method, len(units))


def log_capital(values: Floats, mean: float, shares: Floats | None = None) -> Floats:
    """Logarithm of the capital after each row, from bets that the true mean is above `mean`.

    Each factor `1 + bet * share * (value / mean - 1)` falls with the mean, so the capital does, too. With shares
    proportional to inverse inclusion probabilities its expectation at the true mean is 1.

    Args:
        values: from 0 to 1, shape (..., n).
        mean: the mean to bet against, above 0.
        shares: weights divided by the largest possible one, shape (..., n); None if all are equal.

    Returns:
        Shape (..., n).
    """
    gains = (values / mean - 1) if shares is None else shares * (values / mean - 1)
    capital = np.full(gains.shape, -np.inf)
    for bet in BETS:
        np.logaddexp(capital, np.log1p(bet * gains).cumsum(axis=-1), out=capital)
    return capital - math.log(len(BETS))


def _smallest_mean_now(units: Floats, shares: Floats, risk: float, parts: Floats) -> float:
    """The smallest mean that all rows together do not exclude."""
    # The bet that is best for shares of right labels: no values from 0 to 1 with this mean vary more.
    scale = math.sqrt(2 * math.log(1 / risk) / max(1, len(units)))

    def log_capitals(mean: float) -> Floats:
        bets = np.minimum(MAX_BET, FIXED_BETS * scale * math.sqrt(mean / (1 - mean)))
        gains = cells[:, 1] * (cells[:, 0] / mean - 1)
        return np.log(parts) + np.log1p(bets[:, None] * gains) @ counts

    cells, counts = np.unique(np.column_stack([units, shares]), axis=0, return_counts=True)
    return _bisected(units, lambda mean: float(np.logaddexp.reduce(log_capitals(mean))) >= math.log(1 / risk))


def _smallest_mean_ever(units: Floats, shares: Floats, risk: float) -> float:
    """The smallest mean that the rows labeled so far do not exclude."""
    cells, counts = np.unique(np.column_stack([units, shares]), axis=0, return_counts=True)
    limit = math.log(len(BETS) / risk)

    def is_excluded(mean: float) -> bool:
        gains = np.log1p(BETS[:, None] * (cells[:, 1] * (cells[:, 0] / mean - 1)))
        return float(np.logaddexp.reduce(gains @ counts)) >= limit

    return _bisected(units, is_excluded)


def _bisected(units: Floats, is_excluded: Callable[[float], bool]) -> float:
    """The end of the excluded means."""
    if not units.any():
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_excluded(middle) else (low, middle)
    return low


def _checked(
    values: ArrayLike, risk: float, weights: ArrayLike | None, max_weight: float | None
) -> tuple[Floats, Floats]:
    """The values, and the weights divided by the largest one."""
    if not 0 < risk < 1:
        raise ConfigError(f"`risk` is {risk!r}: give a probability between 0 and 1, such as 0.05.")
    units = number_column(values, "values")
    if wrong := int((~((units >= 0) & (units <= 1))).sum()):
        raise DataError(f"`values` has {wrong:,} values that are not from 0 to 1: give numbers from 0 to 1.")
    if weights is None:
        return units, np.ones(len(units))
    known = number_column(weights, "weights")
    check_lengths(values=units, weights=known)
    largest = float(known.max(initial=0.0)) if max_weight is None else max_weight
    if wrong := int((~((known > 0) & (known <= largest * (1 + 1e-9)))).sum()):
        raise DataError(
            f"`weights` has {wrong:,} values that are not above 0 and at most {largest:g}: give inverse inclusion "
            "probabilities, and a `max_weight` that none of them exceeds."
        )
    return units, np.minimum(1.0, known / largest) if len(known) else known
