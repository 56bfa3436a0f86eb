"""Tests of a share against a target at several thresholds, with one risk for all of them."""

from __future__ import annotations

import numpy as np
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats, Ints, Mask

N_STARTS = 3
"""Starting points among the thresholds. Few labels cannot afford more, and one may lie where the LLM is worse."""


def binomial_p_values(successes: Ints, n: Ints, target: float) -> Floats:
    """P(X >= successes) for X ~ Binomial(n, target), the test that inverts to the Clopper-Pearson limit.

    It is exact for a random sample of a population. For the rows of a table, which are sampled without replacement, a
    p-value below 0.5 is conservative.
    """
    p_values: Floats = stats.binom.sf(np.asarray(successes) - 1, n, target)
    return p_values


def equal_probability_rows(probabilities: Floats, counted: Mask, seed: int) -> Mask:
    """A subsample of the counted rows in which all rows have the same inclusion probability.

    A row is used with the smallest inclusion probability over its own. The test of the subsample is exact, and with
    this use of few rows it has more power than bounds of the weighted share by betting.

    Args:
        probabilities: inclusion probabilities of counted rows, shape (rows,).
        counted: human-labeled rows, shape (rows,).
        seed: random seed.
    """
    if not counted.any():
        return counted
    draws = np.random.default_rng(seed).random(len(counted))
    used: Mask = counted & (draws * np.where(counted, probabilities, 1.0) < probabilities[counted].min() * (1 + 1e-9))
    return used


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
