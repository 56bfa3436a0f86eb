from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.intervals import bounded_mean, percentile_interval, score_interval, wilson
from tests.statistics.common import contains

SHARES = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(SHARES, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_matches_scipy(share: tuple[int, int], level: float) -> None:
    successes, n = share
    expected = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
    interval = wilson(successes, n, level)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert contains(interval, interval.estimate)


def test_wilson_at_the_ends_and_of_nothing() -> None:
    # All of 10 correct: the lower limit is 1 / (1 + z^2/10) = 10 / 13.8415.
    assert wilson(10, 10).low == pytest.approx(10 / 13.8415, abs=1e-4)
    assert wilson(10, 10).high == 1.0
    assert wilson(0, 10).low == 0.0
    nothing = wilson(0, 0)
    assert (nothing.n, str(nothing)) == (0, "undefined")
    assert all(map(math.isnan, (nothing.estimate, nothing.low, nothing.high)))


def test_wilson_refuses_invalid_counts_and_levels() -> None:
    for successes, n, level in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 95), (1, 2, 1)):
        with pytest.raises(ConfigError, match=r"`successes`|`level`"):
            wilson(successes, n, level)


def test_wilson_keeps_its_level_in_simulation() -> None:
    rng = np.random.default_rng(1)
    for share in (0.7, 0.9):
        covered = [contains(wilson(int(x), 100), share) for x in rng.binomial(100, share, size=2000)]
        assert 0.92 <= np.mean(covered) <= 0.98


def test_score_interval_takes_fractional_and_infinite_numbers_of_rows() -> None:
    # For whole numbers it is Wilson's.
    expected = wilson(7, 20)
    assert score_interval(0.35, 20, stats.norm.ppf(0.975)) == pytest.approx((expected.low, expected.high))
    assert score_interval(0.35, 20.5, 1.96)[0] > score_interval(0.35, 20, 1.96)[0]
    # Each limit solves (share - limit)^2 = z^2 limit (1 - limit) / n.
    for share, n in ((0.02, 7.5), (0.5, 40), (0.5, 1000)):
        for limit in score_interval(share, n, 2.1):
            assert abs(share - limit) == pytest.approx(2.1 * math.sqrt(limit * (1 - limit) / n))
    # Nothing is known without rows; all is known with infinitely many, and a share outside is cut.
    assert score_interval(0.35, 0, 1.96) == (0, 1)
    assert score_interval(1.2, math.inf, 1.96) == (1, 1)


def test_bounded_mean_of_binary_values_is_agresti_coull() -> None:
    z2 = stats.norm.ppf(0.975) ** 2
    center = (8 + z2 / 2) / (10 + z2)
    half = math.sqrt(z2 * center * (1 - center) / (10 + z2))
    interval = bounded_mean([1] * 8 + [0] * 2, 0, 1)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.8, center - half, center + half))
    # The same on another scale; equal values have a width, and no values no mean.
    scaled = bounded_mean([5] * 8 + [1] * 2, 1, 5)
    assert (scaled.low, scaled.high) == pytest.approx((1 + 4 * interval.low, 1 + 4 * interval.high))
    equal = bounded_mean([5] * 20, 1, 5)
    assert (equal.estimate, equal.high) == (5, 5)
    assert 4 < equal.low < 4.9
    assert math.isnan(bounded_mean([], 1, 5).estimate)


def test_bounded_mean_covers_the_true_mean() -> None:
    # Mean 4.5 of scores from 1 to 5 that pile up at the top.
    rng = np.random.default_rng(0)
    draws = rng.choice([1.0, 3.0, 5.0], p=[0.05, 0.15, 0.8], size=(1500, 40))
    assert np.mean([contains(bounded_mean(draw, 1, 5), 4.5) for draw in draws]) >= 0.93


def test_percentile_interval_leaves_nan_out_and_encloses_the_estimate() -> None:
    interval = percentile_interval(np.array([0.2, np.nan, 0.4]), 0.3, 0.5, "m", 7)
    assert (interval.low, interval.high) == pytest.approx((0.25, 0.35))
    assert percentile_interval(np.array([0.2, 0.4]), 0.9, 0.5, "m", 7).high == 0.9
    assert math.isnan(percentile_interval(np.array([np.nan]), 0.3, 0.5, "m", 7).low)


def test_intervals_are_written_and_read() -> None:
    for interval in (wilson(3, 5), wilson(0, 0)):
        text = json.dumps(interval.to_dict(), allow_nan=False)
        assert Interval.from_dict(json.loads(text)).to_dict() == interval.to_dict()
    assert str(Interval(0.5, 0.25, 0.75, 0.95, "wilson", 4)) == "0.500 [0.250, 0.750]"
