"""Pooling over tasks: against statsmodels, scipy, formulas, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import Drawing, drawn_p_value, holm, pool_tasks


def draws(points: list[float], sd: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(point, sd, size=2000) for point in points]


def test_holm_by_hand() -> None:
    # Sorted .01 .03 .04 by 3, 2, 1: .03 .06 .04, of which the last may not be below the second.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_holm_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(2).random(14) ** 3
    assert holm(p_values.tolist()) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


def test_wilcoxon_of_six_losses_is_one_in_thirty_two() -> None:
    points = [-0.01, -0.02, -0.03, -0.04, -0.05, -0.06]
    assert pool_tasks(points, draws(points, 0.01)).wilcoxon == pytest.approx(2 / 2**6)
    assert pool_tasks([0.0, 0.0], draws([0.0, 0.0], 0.01)).wilcoxon == 1.0


def test_these_tasks_have_the_error_of_a_mean_and_such_tasks_that_of_a_sample() -> None:
    points = [-0.2, -0.1, 0.0, 0.1, 0.2]
    found = pool_tasks(points, draws(points, 0.02), Drawing(resamples=8000))
    assert found.these.high - found.these.low == pytest.approx(2 * 1.96 * 0.02 / np.sqrt(5), rel=0.05)
    between = np.std(points)
    assert found.such.high - found.such.low == pytest.approx(2 * 1.96 * np.hypot(between, 0.02) / np.sqrt(5), rel=0.07)
    assert found.median.estimate == 0


def test_a_single_task_says_nothing_of_others() -> None:
    found = pool_tasks([0.1], draws([0.1], 0.02))
    assert np.isnan(found.such.low)
    assert found.these.low == pytest.approx(0.06, abs=0.005)


def test_p_value_of_draws_is_that_of_the_normal_they_come_from() -> None:
    values = np.random.default_rng(3).normal(0.02, 0.01, size=200_000)
    assert drawn_p_value(values) == pytest.approx(2 * stats.norm.sf(2), rel=0.05)
    assert drawn_p_value(np.ones(99)) == pytest.approx(0.02)
    assert drawn_p_value(np.full(3, np.nan)) == 1


def test_tasks_and_draws_must_fit() -> None:
    with pytest.raises(DataError, match="`points` has 2 tasks"):
        pool_tasks([0.1, 0.2], draws([0.1], 0.1))


@pytest.mark.slow
def test_intervals_for_such_tasks_hold_the_truth_and_are_rather_too_wide() -> None:
    rng, held = np.random.default_rng(4), 0
    for sample in range(600):
        true = rng.normal(-0.05, 0.06, size=14)
        points = rng.normal(true, 0.03)
        found = pool_tasks(points.tolist(), [rng.normal(p, 0.03, size=500) for p in points], Drawing(0.95, 500, sample))
        held += found.such.low <= -0.05 <= found.such.high
    assert 0.92 <= held / 600 <= 0.985
