"""Pooling over tasks: against statsmodels, scipy, formulas, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.comparison.pooling import bootstrap_p_value, holm, normal_p_value, pool_tasks


def draws(points: list[float], sd: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(point, sd, size=2000) for point in points]


def test_holm_by_hand() -> None:
    # Sorted .01 .03 .04 by 3, 2, 1: .03 .06 .04, of which the last may not be below the second.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_p_values_of_normal_intervals() -> None:
    interval = Interval(0.1, 0.1 - 1.96 * 0.05, 0.1 + 1.96 * 0.04, 0.95, "normal", 100)
    assert normal_p_value(interval) == pytest.approx(2 * stats.norm.sf(2), rel=1e-3)
    assert normal_p_value(interval, 0.18) == pytest.approx(2 * stats.norm.sf(2), rel=1e-3)
    assert normal_p_value(Interval(0.1, np.nan, np.nan, 0.95, "normal", 1)) == 1


def test_holm_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(2).random(14) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def test_wilcoxon_of_six_losses_is_one_in_thirty_two() -> None:
    points = [-0.01, -0.02, -0.03, -0.04, -0.05, -0.06]
    assert pool_tasks(points, draws(points, 0.01)).wilcoxon == pytest.approx(2 / 2**6)
    assert pool_tasks([0.0, 0.0], draws([0.0, 0.0], 0.01)).wilcoxon == 1.0


def test_these_tasks_have_the_error_of_a_mean_and_such_tasks_students_interval() -> None:
    points = [-0.2, -0.1, 0.0, 0.1, 0.2]
    found = pool_tasks(points, draws(points, 0.02), BootstrapConfig(resamples=8000))
    assert found.fixed_tasks.high - found.fixed_tasks.low == pytest.approx(2 * 1.96 * 0.02 / np.sqrt(5), rel=0.05)
    expected = stats.ttest_1samp(points, 0).confidence_interval(0.95)
    assert (found.random_tasks.low, found.random_tasks.high) == pytest.approx((expected.low, expected.high))
    assert found.median.estimate == 0
    assert found.mean == found.random_tasks


@pytest.mark.parametrize("tasks", [1, 2, 4])
def test_few_tasks_say_nothing_of_others(tasks: int) -> None:
    points = [0.1, 0.12, 0.14, 0.16][:tasks]
    found = pool_tasks(points, draws(points, 0.02))
    assert np.isnan(
        [found.random_tasks.estimate, found.random_tasks.low, found.random_tasks.high, found.median.low]
    ).all()
    assert found.mean == found.fixed_tasks
    assert found.fixed_tasks.low == pytest.approx(np.mean(points) - 1.96 * 0.02 / np.sqrt(tasks), abs=0.004)


@pytest.mark.parametrize("tasks", [6, 9, 14, 25])
def test_the_median_lies_between_the_order_statistics_of_the_sign_test(tasks: int) -> None:
    points = np.sort(np.random.default_rng(tasks).normal(size=tasks))
    found = pool_tasks(points.tolist(), draws(points.tolist(), 0.01)).median
    # The widest k whose exact sign interval covers at least 95 %, and the next narrower one.
    k = max(k for k in range(1, tasks // 2 + 1) if 1 - 2 * stats.binom.cdf(k - 1, tasks, 0.5) >= 0.95)
    assert points[k - 1] <= found.low <= points[k]
    assert points[tasks - k - 1] <= found.high <= points[tasks - k]
    assert found.estimate == np.median(points)


def test_p_value_of_draws_is_that_of_the_normal_they_come_from() -> None:
    values = np.random.default_rng(3).normal(0.02, 0.01, size=200_000)
    assert bootstrap_p_value(values) == pytest.approx(2 * stats.norm.sf(2), rel=0.05)
    assert bootstrap_p_value(np.ones(99)) == pytest.approx(0.02)
    assert bootstrap_p_value(np.full(3, np.nan)) == 1


def test_tasks_and_draws_must_fit() -> None:
    with pytest.raises(DataError, match="`points`"):
        pool_tasks([0.1, 0.2], draws([0.1], 0.1))


@pytest.mark.parametrize(("tasks", "between", "within"), [(5, 0.03, 0.01), (8, 0.03, 0.03), (14, 0.17, 0.03)])
def test_intervals_for_such_tasks_hold_their_level(tasks: int, between: float, within: float) -> None:
    rng, repeats = np.random.default_rng(tasks), 4000
    points = rng.normal(-0.02, between, size=(repeats, tasks)) + rng.normal(0, within, size=(repeats, tasks))
    none = [np.zeros(1)] * tasks
    covered = [pool_tasks(each.tolist(), none, BootstrapConfig(resamples=1)).random_tasks for each in points]
    share = np.mean([each.low <= -0.02 <= each.high for each in covered])
    assert share == pytest.approx(0.95, abs=0.014)
