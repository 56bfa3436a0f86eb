"""Tests of a share against a target at several thresholds, with one risk for all of them."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats, Mask

MIN_RATIO = 0.8
"""Smallest over largest inclusion probability from which a binomial test with a raised target is used."""

N_STARTS = 3
"""Starting points among the thresholds. Few labels cannot afford more, and one may lie where the LLM is worse."""

BETS = np.append(np.arange(0.025, 1, 0.05), 0.999)
"""Bets of the betting test, as shares of the largest that keeps all capital."""


def share_p_value(successes: Mask, probabilities: Floats | None, target: float) -> float:
    """P-value of the hypothesis that the share of successes among all rows is below a target.

    Args:
        successes: outcomes of the sampled rows, shape (n,).
        probabilities: their inclusion probabilities, shape (n,); None if all are equal.
        target: between 0 and 1.

    Returns:
        The exact binomial p-value for equal probabilities; the one of `raised_target` if they are nearly equal;
        otherwise that of `betting_p_value`. 1 without rows.
    """
    if not len(successes):
        return 1.0
    if probabilities is None:
        return binomial_p_value(int(successes.sum()), len(successes), target)
    ratio = probability_ratio(probabilities)
    if ratio >= MIN_RATIO:
        return binomial_p_value(int(successes.sum()), len(successes), raised_target(target, ratio))
    return betting_p_value(successes, 1 / probabilities, target)


def share_test(probabilities: Floats | None) -> str:
    """Name of the test that `share_p_value` uses."""
    if probabilities is None or probability_ratio(probabilities) == 1:
        return "exact binomial"
    return "exact binomial, raised target" if probability_ratio(probabilities) >= MIN_RATIO else "betting"


def probability_ratio(probabilities: Floats) -> float:
    """The smallest over the largest inclusion probability, 1 if they differ by rounding only."""
    if not len(probabilities):
        return 1.0
    ratio = float(probabilities.min() / probabilities.max())
    return 1.0 if ratio > 1 - 1e-9 else ratio


def binomial_p_value(successes: int, n: int, target: float) -> float:
    """P(X >= successes) for X ~ Binomial(n, target): the test that inverts to the Clopper-Pearson limit."""
    return float(stats.binom.sf(successes - 1, n, target))


def raised_target(target: float, ratio: float) -> float:
    """The target that unweighted rows must reach, so that all rows reach `target`.

    Failures are sampled with at least `ratio` times the probability of successes. If a share of 1 - target or more
    fails among all rows, at least ratio * (1 - target) is expected to fail among the sampled ones.
    """
    return 1 - ratio * (1 - target)


def betting_p_value(successes: Mask, weights: Floats, target: float) -> float:
    """P-value from bets against the hypothesis that a weighted share is below a target.

    A bet b turns a capital of 1 into the product of 1 + b w_i (y_i - target) over the sampled rows. Under the
    hypothesis, the expected capital is at most 1 if the rows were sampled independently, or without replacement within
    strata (Maclaurin's inequality), so 1 / capital is a p-value (Waudby-Smith & Ramdas 2024). The capital is the mean
    over fixed bets, which makes it independent of the order of the rows.

    Args:
        successes: outcomes y of the sampled rows, shape (n,).
        weights: inverse inclusion probabilities w, above 0.
        target: between 0 and 1.
    """
    gains = weights / weights.max() * (successes - target) / target
    capital = np.log1p(BETS[:, None] * gains).sum(axis=1)
    highest = float(capital.max())
    log_mean = highest + math.log(float(np.exp(capital - highest).mean()))
    return min(1.0, math.exp(-log_mean))


def start_levels(testable: Mask, risk: float, n_starts: int = N_STARTS) -> Floats:
    """Levels at the starting points: the first testable threshold, the last one, and one between them.

    Args:
        testable: thresholds at which enough rows are labeled to reject at the level of one start, shape (thresholds,).
        risk: sum of the levels.
        n_starts: number of starting points; a single one is the first testable threshold.
    """
    levels = np.zeros(len(testable))
    places = np.flatnonzero(testable)
    if len(places):
        starts = np.unique(np.linspace(places[0], len(testable) - 1, n_starts).round().astype(np.int64))
        levels[starts] = risk / len(starts)
    return levels


def fixed_sequence(p_values: Floats, levels: Floats) -> tuple[Mask, Floats]:
    """Test hypotheses in a fixed sequence with several starts, at a family-wise error of the sum of levels.

    Each hypothesis is tested at its own level plus that of the one before it, if that was rejected (fallback procedure;
    Wiens 2003). One start is the fixed-sequence test of learn-then-test (Angelopoulos et al. 2021).

    Args:
        p_values: in the order of testing, shape (hypotheses,).
        levels: fixed before the outcomes are known, shape (hypotheses,).

    Returns: the rejected hypotheses, and the level at which each is tested, 0 if it is not.
    """
    available = np.array(levels, dtype=np.float64)
    rejected = np.zeros(len(p_values), dtype=np.bool_)
    for place in range(len(p_values)):
        available[place] += available[place - 1] if place and rejected[place - 1] else 0.0
        rejected[place] = available[place] > 0 and p_values[place] <= available[place]
    return rejected, available
