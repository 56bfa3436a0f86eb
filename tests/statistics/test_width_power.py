from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import ppi_mean
from hf_synthlabels.statistics.design.sample_size import labels_for_mean, labels_for_share, plan_labels
from hf_synthlabels.statistics.intervals import wilson


@given(st.floats(0.01, 10), st.floats(0.05, 10), st.sampled_from([0.8, 0.95, 0.99]))
def test_fewest_labels_of_a_mean(sd: float, width: float, level: float) -> None:
    def reach(n: int) -> float:
        return 2 * float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)

    n = labels_for_mean(sd, width, level)
    assert reach(n) <= width * (1 + 1e-9)
    assert n == 2 or reach(n - 1) > width


def test_labels_of_a_mean_by_hand() -> None:
    # 2 x 1.96 / .2 = 19.6, squared 384.2; Student's quantile asks for a few more.
    assert labels_for_mean(1, 0.2) == 387
    assert labels_for_mean(0, 0.2) == 2
    assert labels_for_mean(10, 20) == labels_for_mean(1, 2)


@given(st.floats(0, 1), st.floats(0.01, 1))
def test_fewest_labels_of_a_share(share: float, width: float) -> None:
    def reach(n: int) -> float:
        z = float(stats.norm.ppf(0.975))
        ends = np.roots([1 + z * z / n, -(2 * share + z * z / n), share**2])
        return float(abs(ends[0] - ends[1]))

    n = labels_for_share(share, width)
    assert reach(n) <= width + 1e-6
    assert n == 1 or reach(n - 1) > width - 1e-6


def test_labels_of_a_share_agree_with_the_interval() -> None:
    n = labels_for_share(0.8, 0.1)
    # 2 x 1.96 x .4 / .1 = 15.7, squared 245.9.
    assert 240 < n < 250
    found = wilson(round(0.8 * 1000 * n), 1000 * n)
    assert found.high - found.low == pytest.approx(0.1 / math.sqrt(1000), rel=0.01)
    found = wilson(round(0.8 * n), n)
    assert found.high - found.low == pytest.approx(0.1, abs=0.001)


def test_plan_by_hand() -> None:
    # Variances 20/3, covariance 16/3: r = .8.
    x, y = np.array([3.0, 1, -1, -3]), np.array([3.0, -1, 1, -3])
    found = plan_labels(x, y, 1.0, rows=5000, clip=False)

    def reach(n: int) -> float:
        variance = 20 / 3 * ((1 - 0.64) / n + 0.64 / 5000)
        return 2 * float(stats.t.ppf(0.975, n - 2)) * math.sqrt(variance)

    assert found.with_judge is not None
    assert reach(found.with_judge) <= 1 < reach(found.with_judge - 1)
    assert found.human_only == labels_for_mean(math.sqrt(20 / 3), 1.0)
    assert found.correlation == pytest.approx(0.8)
    assert (found.pilot, found.rows) == (4, 5000)
    assert found.saved == pytest.approx(1 - found.with_judge / found.human_only)


def test_plans_come_true() -> None:
    rng = np.random.default_rng(1)

    def sample(size: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.normal(size=size)
        return labels, labels + 0.75 * rng.normal(size=size)

    found = plan_labels(*sample(4000), 0.3, rows=2000)
    assert found.with_judge is not None
    assert found.human_only is not None
    # r^2 is 1 / 1.5625 = .64, less for the other rows' own chance.
    assert 0.5 < found.saved < 0.64
    widths = {"judge": 0.0, "alone": 0.0}
    for _ in range(200):
        labels, scores = sample(2000)
        for name, n in (("judge", found.with_judge), ("alone", found.human_only)):
            human = np.where(np.arange(2000) < n, labels, np.nan)
            estimate = ppi_mean(human, scores, method="student")
            interval = estimate.interval if name == "judge" else estimate.classical
            widths[name] += (interval.high - interval.low) / 200
    assert widths["judge"] == pytest.approx(0.3, rel=0.02)
    assert widths["alone"] == pytest.approx(0.3, rel=0.02)


def test_a_judge_that_follows_nothing_saves_nothing() -> None:
    x, y = np.array([1.0, 2, 3, 4] * 10), np.array([1.0, 2, 2, 1] * 10)
    found = plan_labels(x, y, 0.5, rows=1000)
    assert found.with_judge == found.human_only
    assert found.saved == 0
    same = plan_labels(x, np.ones(40), 0.5, rows=1000)
    assert same.with_judge == same.human_only
    assert math.isnan(same.correlation)


def test_too_few_rows_are_no_plan() -> None:
    x = np.arange(20.0)
    found = plan_labels(x, x + np.tile([1.0, -1], 10), 0.5, rows=100)
    assert (found.human_only, found.with_judge) == (None, None)
    assert math.isnan(found.saved)


def test_wrong_input_is_told() -> None:
    with pytest.raises(ConfigError, match="`width`"):
        labels_for_mean(1, 0)
    with pytest.raises(ConfigError, match="`sd`"):
        labels_for_mean(-1, 1)
    with pytest.raises(ConfigError, match="`share`"):
        labels_for_share(80, 0.1)
    with pytest.raises(ConfigError, match="`level`"):
        labels_for_share(0.8, 0.1, 95)
    with pytest.raises(ConfigError, match="`width`"):
        labels_for_mean(1e12, 1e-12)
    with pytest.raises(DataError, match="`human` and `judge` have 1 rows in common"):
        plan_labels([1, None], [1, 2], 0.1)
    with pytest.raises(DataError, match="`human` has 2 rows and `judge` 1"):
        plan_labels([1, 2], [1], 0.1)
    with pytest.raises(ConfigError, match="`rows`"):
        plan_labels([1, 2, 3], [1, 2, 2], 0.1, rows=1)
