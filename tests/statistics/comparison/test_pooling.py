"""Pooling over tasks: against statsmodels, scipy, formulas, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.comparison.pooling import PooledTasks, bootstrap_p_value, holm, pool_tasks
from tests.statistics.common import contains


def pooled(points: list[float], sd: float = 0.02, resamples: int = 2000) -> PooledTasks:
    rng = np.random.default_rng(0)
    replicates = [rng.normal(point, sd, size=2000) for point in points]
    return pool_tasks(points, replicates, BootstrapConfig(resamples=resamples))


def test_holm_by_hand_and_as_in_statsmodels() -> None:
    # Sorted .01 .03 .04 by 3, 2, 1: .03 .06 .04, of which the last may not be below the second.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(2).random(14) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def test_wilcoxon_of_six_losses_is_one_in_thirty_two() -> None:
    assert pooled([-0.01, -0.02, -0.03, -0.04, -0.05, -0.06]).wilcoxon == pytest.approx(2 / 2**6)
    assert pooled([0.0, 0.0]).wilcoxon == 1.0


def test_fixed_tasks_have_the_error_of_a_mean_and_random_tasks_students_interval() -> None:
    points = [-0.2, -0.1, 0.0, 0.1, 0.2]
    result = pooled(points, resamples=8000)
    assert result.fixed_tasks.high - result.fixed_tasks.low == pytest.approx(2 * 1.96 * 0.02 / np.sqrt(5), rel=0.05)
    expected = stats.ttest_1samp(points, 0).confidence_interval(0.95)
    assert (result.random_tasks.low, result.random_tasks.high) == pytest.approx((expected.low, expected.high))
    assert result.median.estimate == 0
    assert result.mean == result.random_tasks


def test_fewer_than_five_tasks_have_no_estimate_of_the_population() -> None:
    for tasks in (1, 2, 4):
        points = [0.1, 0.12, 0.14, 0.16][:tasks]
        result = pooled(points)
        undefined = [result.random_tasks.estimate, result.random_tasks.low, result.random_tasks.high, result.median.low]
        assert np.isnan(undefined).all()
        assert result.mean == result.fixed_tasks
        assert result.fixed_tasks.low == pytest.approx(np.mean(points) - 1.96 * 0.02 / np.sqrt(tasks), abs=0.004)


def test_the_median_is_between_the_order_statistics_of_the_sign_test() -> None:
    for tasks in (6, 9, 14, 25):
        points = np.sort(np.random.default_rng(tasks).normal(size=tasks))
        median = pooled(points.tolist()).median
        # The widest k whose exact sign interval covers at least 95%, and the next narrower one.
        k = max(k for k in range(1, tasks // 2 + 1) if 1 - 2 * stats.binom.cdf(k - 1, tasks, 0.5) >= 0.95)
        assert points[k - 1] <= median.low <= points[k]
        assert points[tasks - k - 1] <= median.high <= points[tasks - k]
        assert median.estimate == np.median(points)


def test_bootstrap_p_value_is_that_of_the_normal_distribution_of_the_replicates() -> None:
    values = np.random.default_rng(3).normal(0.02, 0.01, size=200_000)
    assert bootstrap_p_value(values) == pytest.approx(2 * stats.norm.sf(2), rel=0.05)
    assert bootstrap_p_value(np.ones(99)) == pytest.approx(0.02)
    assert bootstrap_p_value(np.full(3, np.nan)) == 1


def test_points_and_replicates_must_match() -> None:
    with pytest.raises(DataError, match="`points`"):
        pool_tasks([0.1, 0.2], [np.zeros(3)])


def test_intervals_of_the_population_of_tasks_keep_their_level() -> None:
    for tasks, between, within in ((5, 0.03, 0.01), (14, 0.17, 0.03)):
        rng = np.random.default_rng(tasks)
        points = rng.normal(-0.02, between, size=(3000, tasks)) + rng.normal(0, within, size=(3000, tasks))
        zeros, once = [np.zeros(1)] * tasks, BootstrapConfig(resamples=1)
        covered = [contains(pool_tasks(each.tolist(), zeros, once).random_tasks, -0.02) for each in points]
        assert np.mean(covered) == pytest.approx(0.95, abs=0.014)
