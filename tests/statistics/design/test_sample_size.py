from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import Interval, ppi_mean
from hf_synthlabels.statistics.design.sample_size import (
    labels_for_mean,
    labels_for_share,
    plan_labels,
    rows_to_fail,
    rows_to_pass,
    scaled_rows_to_fail,
    scaled_rows_to_pass,
)
from hf_synthlabels.statistics.intervals import wilson


def power(share: float, threshold: float, n: int) -> tuple[float, float]:
    """The exact probabilities that the Wilson interval of n rows is above, and below, the threshold."""
    probabilities = stats.binom.pmf(np.arange(n + 1), n, share)
    intervals = [wilson(count, n) for count in range(n + 1)]
    above = np.array([interval.low >= threshold for interval in intervals])
    below = np.array([interval.high < threshold for interval in intervals])
    return float(probabilities[above].sum()), float(probabilities[below].sum())


def test_planned_rows_settle_a_gate_with_80_percent_power() -> None:
    # ((1.95996 sqrt(.7 x .3) + .84162 sqrt(.8 x .2)) / .1)^2 = ((.89817 + .33665) / .1)^2 = 152.48.
    assert rows_to_pass(0.8, 0.7) == 153
    for share, threshold in ((0.88, 0.8), (0.83, 0.8), (0.95, 0.9), (0.6, 0.5), (0.75, 0.6)):
        n, below = rows_to_pass(share, threshold), rows_to_fail(1 - share, 1 - threshold)
        assert n is not None
        assert below is not None
        # Shares are multiples of 1/n, so the exact power varies a little around the stated one.
        passes = [power(share, threshold, rows)[0] for rows in range(n - 5, n + 6)]
        fails = [power(1 - share, 1 - threshold, rows)[1] for rows in range(below - 5, below + 6)]
        assert np.mean(passes) == pytest.approx(0.8, abs=0.025)
        assert np.mean(fails) == pytest.approx(0.8, abs=0.03)


@given(st.floats(0, 1), st.floats(0.01, 0.99))
def test_only_one_of_both_verdicts_can_be_planned(share: float, threshold: float) -> None:
    if share != threshold:
        rows = rows_to_pass(share, threshold), rows_to_fail(share, threshold)
        assert [each is None for each in rows] == [share < threshold, share > threshold]


def test_rows_at_the_threshold_and_at_the_ends_of_the_scale() -> None:
    assert rows_to_pass(0.7, 0.7) is None
    assert rows_to_fail(0.7, 0.7) is None
    assert rows_to_pass(0.5, 0) == 1
    assert rows_to_pass(1, 1) is None
    # (.84162 sqrt(.99 x .01) / .01)^2 = 70.1.
    assert rows_to_fail(0.99, 1) == 71
    for share, threshold, level in ((1.2, 0.7, 0.95), (0.8, -1, 0.95), (0.8, 0.7, 0)):
        with pytest.raises(ConfigError, match=r"`share`|`threshold`|`level`"):
            rows_to_pass(share, threshold, level)


def test_scaled_rows_by_hand() -> None:
    interval = Interval(0.8, 0.7, 0.86, 0.95, "bootstrap", 100)
    # Half of the lower half-width of .1 takes four times the rows; of the upper one of .06, .04 takes (6/4)^2 = 2.25
    # times the rows. With 80% power (1 + .84162 / 1.95996)^2 = 2.0432 times as many.
    assert scaled_rows_to_pass(interval, 0.75, 100) == 818
    assert scaled_rows_to_pass(interval, 0.75, 150) == 1226
    assert scaled_rows_to_fail(interval, 0.84, 100) == 460
    assert scaled_rows_to_pass(interval, 0.8, 100) is None
    assert scaled_rows_to_fail(interval, 0.8, 100) is None
    assert scaled_rows_to_pass(Interval.undefined(0.95, "bootstrap"), 0.5, 100) is None


@given(st.floats(0.01, 10), st.floats(0.05, 10), st.sampled_from([0.8, 0.95, 0.99]))
def test_labels_of_a_mean_are_the_fewest(sd: float, width: float, level: float) -> None:
    def full_width(n: int) -> float:
        return 2 * float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)

    n = labels_for_mean(sd, width, level)
    assert full_width(n) <= width * (1 + 1e-9)
    assert n == 2 or full_width(n - 1) > width


@given(st.floats(0, 1), st.floats(0.01, 1))
def test_labels_of_a_share_are_the_fewest(share: float, width: float) -> None:
    def full_width(n: int) -> float:
        z = float(stats.norm.ppf(0.975))
        ends = np.roots([1 + z * z / n, -(2 * share + z * z / n), share**2])
        return float(abs(ends[0] - ends[1]))

    n = labels_for_share(share, width)
    assert full_width(n) <= width + 1e-6
    assert n == 1 or full_width(n - 1) > width - 1e-6


def test_labels_by_hand() -> None:
    # 2 x 1.96 / .2 = 19.6, squared 384.2; Student's quantile needs a few more.
    assert labels_for_mean(1, 0.2) == 387
    assert labels_for_mean(0, 0.2) == 2
    assert labels_for_mean(10, 20) == labels_for_mean(1, 2)
    # 2 x 1.96 x .4 / .1 = 15.7, squared 245.9.
    n = labels_for_share(0.8, 0.1)
    interval = wilson(round(0.8 * n), n)
    assert 240 < n < 250
    assert interval.high - interval.low == pytest.approx(0.1, abs=0.001)


def test_plan_of_a_judge_by_hand() -> None:
    # Variances 20/3, covariance 16/3: r = .8.
    plan = plan_labels([3.0, 1, -1, -3], [3.0, -1, 1, -3], 1.0, rows=5000, clip=False)

    def full_width(n: int) -> float:
        variance = 20 / 3 * ((1 - 0.64) / n + 0.64 / 5000)
        return 2 * float(stats.t.ppf(0.975, n - 2)) * math.sqrt(variance)

    assert plan.with_judge is not None
    assert full_width(plan.with_judge) <= 1 < full_width(plan.with_judge - 1)
    assert plan.human_only == labels_for_mean(math.sqrt(20 / 3), 1.0)
    assert plan.correlation == pytest.approx(0.8)
    assert (plan.pilot, plan.rows) == (4, 5000)
    assert plan.saved == pytest.approx(1 - plan.with_judge / plan.human_only)


def test_planned_widths_are_reached() -> None:
    rng = np.random.default_rng(1)

    def sample(size: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.normal(size=size)
        return labels, labels + 0.75 * rng.normal(size=size)

    plan = plan_labels(*sample(4000), 0.3, rows=2000)
    assert plan.with_judge is not None
    assert plan.human_only is not None
    # r^2 is 1 / 1.5625 = .64, less for the variance of the other rows.
    assert 0.5 < plan.saved < 0.64
    widths: dict[str, list[float]] = {"interval": [], "classical": []}
    for _ in range(150):
        labels, scores = sample(2000)
        for name, n in (("interval", plan.with_judge), ("classical", plan.human_only)):
            human = np.where(np.arange(2000) < n, labels, np.nan)
            interval = getattr(ppi_mean(human, scores, method="student"), name)
            widths[name].append(interval.high - interval.low)
    assert [np.mean(each) for each in widths.values()] == pytest.approx([0.3, 0.3], rel=0.02)


def test_a_useless_judge_saves_nothing_and_too_few_rows_have_no_plan() -> None:
    x = np.array([1.0, 2, 3, 4] * 10)
    useless = plan_labels(x, np.array([1.0, 2, 2, 1] * 10), 0.5, rows=1000)
    assert useless.with_judge == useless.human_only
    assert useless.saved == 0
    constant = plan_labels(x, np.ones(40), 0.5, rows=1000)
    assert constant.with_judge == constant.human_only
    assert math.isnan(constant.correlation)
    y = np.arange(20.0)
    few = plan_labels(y, y + np.tile([1.0, -1], 10), 0.5, rows=100)
    assert (few.human_only, few.with_judge) == (None, None)
    assert math.isnan(few.saved)


def test_invalid_arguments_are_refused() -> None:
    cases: list[tuple[type[Exception], str, Any]] = [
        (ConfigError, "width", lambda: labels_for_mean(1, 0)),
        (ConfigError, "width", lambda: labels_for_mean(1e12, 1e-12)),
        (ConfigError, "sd", lambda: labels_for_mean(-1, 1)),
        (ConfigError, "share", lambda: labels_for_share(80, 0.1)),
        (ConfigError, "level", lambda: labels_for_share(0.8, 0.1, 95)),
        (ConfigError, "rows", lambda: plan_labels([1, 2, 3], [1, 2, 2], 0.1, rows=1)),
        (DataError, "human", lambda: plan_labels([1, None], [1, 2], 0.1)),
        (DataError, "human", lambda: plan_labels([1, 2], [1], 0.1)),
    ]
    for error, field, call in cases:
        with pytest.raises(error, match=f"`{field}`"):
            call()
