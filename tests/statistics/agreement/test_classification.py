"""Intervals of single-label classifications: Wilson for shares and classes, a smoothed bootstrap for the others."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.agreement.classification import (
    BOOTSTRAPPED,
    classification_agreement,
    confusion_intervals,
)
from hf_synthlabels.statistics.agreement.confusion import METRICS, Metric, confusion_counts, score
from hf_synthlabels.statistics.arrays import Ints
from hf_synthlabels.statistics.intervals import wilson
from tests.statistics.common import contains

COUNTS = st.integers(1, 4).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 6), min_size=k + 1, max_size=k + 1), min_size=k, max_size=k)
)


def interval(counts: object, metric: Metric, **options: float) -> Interval:
    return confusion_intervals(np.array(counts), (metric,), BootstrapConfig(**options))[metric]  # type: ignore[arg-type]


def test_shares_and_classes_have_wilson_intervals() -> None:
    # Class a: 6 of 10 rows that either side gives it are given it by both: J = .6, F1 = 2 x 6/(9 + 7) = .75.
    human = np.array([0] * 7 + [1] * 5)
    predicted = np.array([0] * 6 + [-1] + [0] * 3 + [1] * 2)
    agreement = classification_agreement(human, predicted, ["a", "b"], BootstrapConfig(resamples=20))
    assert list(agreement.scores) == ["coverage", "accuracy", "accuracy_answered", "macro_f1", "weighted_f1", "kappa"]
    assert agreement.scores["coverage"] == wilson(11, 12)
    assert agreement.scores["accuracy"] == wilson(8, 12)
    assert agreement.scores["accuracy_answered"] == wilson(8, 11)
    assert (agreement.scores["macro_f1"].n, agreement.scores["kappa"].n) == (12, 11)
    a = agreement.classes[0]
    assert (a.name, a.support, a.predicted) == ("a", 7, 9)
    assert (a.precision, a.recall) == (wilson(6, 9), wilson(6, 7))
    jaccard = wilson(6, 10)
    expected = [2 * j / (1 + j) for j in (jaccard.estimate, jaccard.low, jaccard.high)]
    assert [a.f1.estimate, a.f1.low, a.f1.high] == pytest.approx(expected)
    assert a.f1.estimate == pytest.approx(0.75)
    assert a.f1.n == 10
    with pytest.raises(DataError, match="`human`"):
        classification_agreement(human, predicted[:-1], ["a", "b"])


def test_no_rows_are_undefined() -> None:
    agreement = classification_agreement(np.empty(0, int), np.empty(0, int), ["a"])
    assert all(math.isnan(each.estimate) for each in agreement.scores.values())
    assert math.isnan(agreement.classes[0].f1.estimate)


def test_class_f1_covers_the_true_value_in_simulation() -> None:
    # Of 150 rows 30% are of the class; recall .8, and 10% of the others are predicted to be of it.
    rng = np.random.default_rng(2)
    truth = 2 * 0.3 * 0.8 / (0.3 + 0.3 * 0.8 + 0.7 * 0.1)
    human, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    covered = []
    for draw in rng.multinomial(150, [0.24, 0.06, 0.07, 0.63], size=600):
        columns = np.repeat(human, draw), np.repeat(predicted, draw)
        f1 = classification_agreement(*columns, ["a", "b"], BootstrapConfig(resamples=1)).classes[0].f1
        covered.append(contains(f1, truth))
    assert 0.92 <= np.mean(covered) <= 0.98


def test_bootstrap_agrees_with_a_loop_over_many_rows() -> None:
    # The smoothing adds 3.84 rows to 2,000, which must not be visible.
    rng = np.random.default_rng(3)
    human = rng.choice(3, size=2000, p=[0.6, 0.3, 0.1])
    predicted = np.where(rng.random(2000) < 0.75, human, rng.integers(-1, 3, size=2000))
    draws = [rng.integers(2000, size=2000) for _ in range(400)]
    tables = np.stack([confusion_counts(human[rows], predicted[rows], 3) for rows in draws])
    intervals = confusion_intervals(confusion_counts(human, predicted, 3), METRICS)
    for metric in METRICS:
        ours = intervals[metric]
        low, high = np.quantile(score(metric, tables), [0.025, 0.975])
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def simulated(cells: np.ndarray, n: int, samples: int, resamples: int, seed: int) -> dict[Metric, np.ndarray]:
    """Limits of the bootstrapped scores, less the true value, in samples of n rows; shape (samples, 2)."""
    rng, limits = np.random.default_rng(seed), []
    for draw in rng.multinomial(n, cells.ravel(), size=samples).reshape(-1, *cells.shape):
        limits.append(confusion_intervals(draw, bootstrap=BootstrapConfig(resamples=resamples)))
    expected = np.rint(1e6 * cells).astype(np.int64)
    return {
        metric: np.array([(each[metric].low, each[metric].high) for each in limits]) - float(score(metric, expected))
        for metric in BOOTSTRAPPED
    }


def test_bootstrap_covers_the_true_value_with_unequal_classes() -> None:
    # Three classes of .9, .07 and .03, recall .8: a bootstrap within classes covered .84 to .87 whatever n.
    cells = np.zeros((3, 4))
    for k, share in enumerate((0.9, 0.07, 0.03)):
        cells[k, :3] = 0.1 * share
        cells[k, k] = 0.8 * share
    limits = simulated(cells, 500, 400, 300, seed=1)
    for metric in ("macro_f1", "kappa"):
        # .93 or more is wanted; three standard errors of 400 samples are .038.
        assert np.mean((limits[metric][:, 0] <= 0) & (limits[metric][:, 1] >= 0)) >= 0.92


def test_bootstrap_keeps_its_level_in_simulation() -> None:
    joint = np.array([[0.46, 0.03, 0.01, 0], [0.05, 0.24, 0.01, 0], [0.04, 0.01, 0.15, 0]])
    for n in (40, 200):
        for limits in simulated(joint, n, 300, 400, seed=6).values():
            assert np.mean((limits[:, 0] <= 0) & (limits[:, 1] >= 0)) >= 0.91
            # A gate relies on this: the lower limit is above the true value in at most 2.5% (of 300 draws here).
            assert np.mean(limits[:, 0] > 0) <= 0.05


def test_lower_limit_holds_where_that_of_the_plain_bootstrap_fails() -> None:
    # 30 rows, 98% correct: more than half of the samples show no mistake, and the plain interval would be [1, 1].
    rng = np.random.default_rng(7)
    lows = []
    for first, second in rng.binomial(15, 0.98, size=(300, 2)):
        lows.append(interval([[first, 15 - first, 0], [15 - second, second, 0]], "macro_f1", resamples=300).low)
    assert np.mean(np.array(lows) > 0.98) <= 0.025


def test_few_correct_rows_do_not_give_certainty() -> None:
    for metric in METRICS:
        ten, thousand = (interval([[n, 0, 0], [0, n, 0]], metric) for n in (5, 500))
        assert ten.high == thousand.high == 1
        assert ten.low < 0.8
        assert 0.98 < thousand.low < 1


def test_one_more_mistake_never_raises_the_lower_limit() -> None:
    lows = [interval([[15 - k, k, 0], [0, 15, 0]], "macro_f1").low for k in range(8)]
    assert lows == sorted(lows, reverse=True)


def test_one_class_has_an_f1_and_no_kappa() -> None:
    # Without another class a mistake is a missing prediction: F1 = 2 x 9/(9 + 10).
    assert interval([[9, 1]], "macro_f1").estimate == pytest.approx(18 / 19)
    kappa = interval([[9, 1]], "kappa")
    assert math.isnan(kappa.estimate)
    assert kappa.n == 9


@given(COUNTS, st.sampled_from(METRICS), st.sampled_from([0.8, 0.95]))
@settings(deadline=None, max_examples=60)
def test_interval_encloses_the_estimate_or_is_undefined(counts: list[list[int]], metric: Metric, level: float) -> None:
    array: Ints = np.array(counts)
    found = interval(array, metric, level=level, resamples=100)
    np.testing.assert_equal(found.estimate, float(score(metric, array)))
    if math.isnan(found.estimate):
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    else:
        assert -1 <= found.low <= found.estimate <= found.high <= 1


def test_the_seed_determines_the_interval() -> None:
    counts = [[40, 10, 2], [5, 30, 0]]
    assert interval(counts, "macro_f1", seed=4) == interval(counts, "macro_f1", seed=4)
    assert interval(counts, "macro_f1", seed=4) != interval(counts, "macro_f1", seed=5)


def test_5000_rows_and_21_classes_take_under_a_second() -> None:
    rng = np.random.default_rng(0)
    human = rng.integers(21, size=5000)
    counts = confusion_counts(human, np.where(rng.random(5000) < 0.8, human, rng.integers(-1, 21, size=5000)), 21)
    start = time.process_time()
    interval(counts, "macro_f1")
    assert time.process_time() - start < 1
