"""Tests of thresholds: p-values by hand, the error rate by enumeration, and rows with equal probabilities."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.statistics.routing.threshold_tests import (
    binomial_p_values,
    equal_probability_rows,
    fixed_sequence,
    start_levels,
)
from hf_synthlabels.statistics.routing.thresholds import confidence_thresholds, min_labels


def test_p_values_are_sums_of_binomial_probabilities() -> None:
    # All of 29 right: 0.9 ** 29. All but one of 46: 0.9 ** 46 + 46 * 0.1 * 0.9 ** 45.
    computed = binomial_p_values(np.array([29, 45, 0]), np.array([29, 46, 0]), 0.9)
    assert computed == pytest.approx([0.9**29, 0.9**46 + 4.6 * 0.9**45, 1.0])


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95])
@pytest.mark.parametrize(("rows", "n"), [(60, 30), (300, 50), (400, 200), (1000, 900)])
def test_p_values_are_conservative_for_a_sample_without_replacement(target: float, rows: int, n: int) -> None:
    most_right = math.ceil(target * rows) - 1
    successes = np.arange(n + 1)
    exact = stats.hypergeom.sf(successes - 1, rows, most_right, n)
    computed = binomial_p_values(successes, np.full(n + 1, n), target)
    assert (computed >= exact - 1e-12)[computed < 0.5].all()


@pytest.mark.parametrize(
    ("p_values", "levels", "rejected", "tested"),
    [
        ([0.04, 0.01, 0.06, 0.001], [0.05, 0, 0, 0], [1, 1, 0, 0], [0.05, 0.05, 0.05, 0]),
        # A failed start costs its own level only, and a rejection passes its level on.
        ([0.9, 0.01, 0.04, 0.05], [0.01, 0.02, 0.02, 0], [0, 1, 1, 0], [0.01, 0.02, 0.04, 0.04]),
        ([0.9, 0.0], [0.05, 0], [0, 0], [0.05, 0]),
    ],
)
def test_a_fixed_sequence_by_hand(
    p_values: list[float], levels: list[float], rejected: list[int], tested: list[float]
) -> None:
    computed = fixed_sequence(np.array(p_values), np.array(levels))
    assert computed[0].tolist() == [bool(each) for each in rejected]
    assert computed[1] == pytest.approx(tested)


def closed_test(p_values: list[float], levels: list[float]) -> list[bool]:
    """Hypotheses that the closed test rejects: each set of them at the levels since its member before (Wiens 2003)."""
    places = range(len(p_values))
    rejected = dict.fromkeys(places, True)
    for size in range(1, len(p_values) + 1):
        for members in itertools.combinations(places, size):
            before = -1
            is_rejected = False
            for member in members:
                is_rejected |= p_values[member] <= sum(levels[before + 1 : member + 1]) > 0
                before = member
            if not is_rejected:
                rejected |= dict.fromkeys(members, False)
    return list(rejected.values())


def test_a_fixed_sequence_rejects_no_more_than_the_closed_test() -> None:
    rng = np.random.default_rng(0)
    n_rejected = 0
    for _ in range(300):
        p_values, levels = rng.random(5) ** 4, rng.dirichlet(np.ones(5)) * 0.1 * (rng.random(5) < 0.7)
        rejected = fixed_sequence(p_values, levels)[0]
        n_rejected += rejected.sum()
        assert (rejected <= np.array(closed_test(p_values.tolist(), levels.tolist()))).all()
    assert n_rejected > 100


@pytest.mark.parametrize(
    "accuracies",
    [(0.9, 0.9, 0.9), (0.899, 0.899, 0.899), (0.95, 0.85, 0.9), (1.0, 0.75, 0.9), (0.7, 0.99, 0.99), (0.99, 0.7, 0.7)],
)
def test_the_probability_of_a_false_guarantee_is_at_most_the_risk(accuracies: tuple[float, ...]) -> None:
    """Exact: the sum over all outcomes of three bins of 30, 25 and 20 human-labeled rows."""
    bins, target, risk = np.array([30, 25, 20]), 0.9, 0.1
    sizes = bins.cumsum()
    cumulated = (np.array(accuracies) * bins).cumsum() / sizes
    levels = start_levels(binomial_p_values(sizes, sizes, target) <= risk / 3, risk)
    false = total = 0.0
    for right in itertools.product(*(range(size + 1) for size in bins)):
        probability = float(np.prod(stats.binom.pmf(right, bins, accuracies)))
        if probability < 1e-12:
            continue
        rejected = fixed_sequence(binomial_p_values(np.cumsum(right), sizes, target), levels)[0]
        total += probability
        if rejected.any() and cumulated[np.flatnonzero(rejected)[-1]] < target - 1e-12:
            false += probability
    assert total == pytest.approx(1, abs=1e-6)
    assert false <= risk


def test_starts_are_the_first_testable_threshold_the_last_and_one_between() -> None:
    testable = np.array([False, True, True, True, True, True])
    assert start_levels(testable, 0.06) == pytest.approx([0, 0.02, 0, 0.02, 0, 0.02])
    assert start_levels(testable, 0.06, 1) == pytest.approx([0, 0.06, 0, 0, 0, 0])
    assert start_levels(testable[-1:], 0.06) == pytest.approx([0.06])
    assert not start_levels(~np.ones(3, dtype=bool), 0.06).any()


def test_the_smallest_number_of_labels() -> None:
    # 0.9 ** 28 > 0.05 >= 0.9 ** 29, and 0.9 ** 38 > 0.05 / 3 >= 0.9 ** 39.
    assert (min_labels(0.9, 0.05, 1), min_labels(0.9, 0.05, 3)) == (29, 39)
    assert min_labels(0.5, 0.25, 1) == 2


def test_thresholds_keep_equal_confidences_together_and_are_rounded_down() -> None:
    assert confidence_thresholds(np.array([0.9] * 5 + [0.5] * 4 + [0.1, math.nan])) == [0.9, 0.5, 0.1]
    assert confidence_thresholds(np.array([math.nan])) == []
    values = np.random.default_rng(0).random(1000)
    thresholds = confidence_thresholds(values)
    assert [int((values >= threshold).sum()) for threshold in thresholds] == [50 * step for step in range(1, 21)]
    assert all(len(str(threshold)) <= 8 for threshold in thresholds)
    assert confidence_thresholds(np.array([0.1 + 0.2])) == [0.3]
    assert confidence_thresholds(np.array([0.7 - 1e-9])) == [0.699999]


def test_rows_are_thinned_to_equal_probabilities() -> None:
    counted = np.arange(40_000) % 4 != 0
    probabilities = np.where(np.arange(40_000) % 2, 0.4, 0.1)
    used = equal_probability_rows(probabilities, counted, seed=1)
    assert not (used & ~counted).any()
    assert used[counted & (probabilities == 0.1)].all()
    # 20,000 rows, each used with the probability 0.25: a standard deviation of 61.
    assert abs(used[counted & (probabilities == 0.4)].sum() - 5000) < 300
    assert (equal_probability_rows(np.full(9, 0.3), counted[:9], seed=0) == counted[:9]).all()
