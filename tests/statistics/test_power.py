from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.design.sample_size import (
    rows_to_fail,
    rows_to_pass,
    scaled_rows_to_fail,
    scaled_rows_to_pass,
)
from hf_synthlabels.statistics.intervals import wilson


def power(share: float, threshold: float, n: int) -> tuple[float, float]:
    """The exact probabilities that the Wilson interval of n rows lies above, and below, the threshold."""
    counts = np.arange(n + 1)
    shares = stats.binom.pmf(counts, n, share)
    intervals = [wilson(int(count), n) for count in counts]
    above = np.array([interval.low >= threshold for interval in intervals])
    below = np.array([interval.high < threshold for interval in intervals])
    return float(shares[above].sum()), float(shares[below].sum())


def test_rows_to_pass_by_hand() -> None:
    # ((1.95996 · sqrt(.7 · .3) + .84162 · sqrt(.8 · .2)) / .1)² = ((.89817 + .33665) / .1)² = 152.48
    assert rows_to_pass(0.8, 0.7) == 153
    # With even odds only z² t (1 - t) / (p - t)² = 3.8415 · .7 · .3 / .1² = 80.67
    assert rows_to_pass(0.8, 0.7, power=0.5) == 81


@pytest.mark.parametrize(("share", "threshold"), [(0.88, 0.8), (0.83, 0.8), (0.95, 0.9), (0.6, 0.5), (0.75, 0.6)])
def test_a_gate_is_settled_with_the_stated_power(share: float, threshold: float) -> None:
    n = rows_to_pass(share, threshold)
    assert n is not None
    # Shares are multiples of 1/n, so the exact power jumps a little around the stated one.
    assert np.mean([power(share, threshold, rows)[0] for rows in range(n - 5, n + 6)]) == pytest.approx(0.8, abs=0.025)
    below = rows_to_fail(1 - share, 1 - threshold)
    assert below is not None
    assert np.mean([power(1 - share, 1 - threshold, rows)[1] for rows in range(below - 5, below + 6)]) == pytest.approx(
        0.8, abs=0.03
    )


@given(st.floats(0, 1), st.floats(0.01, 0.99))
def test_only_one_of_the_two_questions_has_an_answer(share: float, threshold: float) -> None:
    if share == threshold:
        return
    answers = rows_to_pass(share, threshold), rows_to_fail(share, threshold)
    assert [answer is None for answer in answers] == [share < threshold, share > threshold]


def test_a_share_at_the_threshold_is_settled_by_no_number() -> None:
    assert rows_to_pass(0.7, 0.7) is None
    assert rows_to_fail(0.7, 0.7) is None


def test_thresholds_at_the_ends() -> None:
    assert rows_to_pass(0.5, 0) == 1
    assert rows_to_pass(1, 1) is None
    # (.84162 · sqrt(.99 · .01) / .01)² = 70.1; at the ends of the scale the normal approximation is rough.
    assert rows_to_fail(0.99, 1) == 71


@pytest.mark.parametrize(("share", "threshold", "level"), [(1.2, 0.7, 0.95), (0.8, -1, 0.95), (0.8, 0.7, 0)])
def test_what_is_no_share_is_refused(share: float, threshold: float, level: float) -> None:
    with pytest.raises(ConfigError):
        rows_to_pass(share, threshold, level)


def test_scaled_rows_by_hand() -> None:
    interval = Interval(0.8, 0.7, 0.86, 0.95, "bootstrap", 100)
    # To halve the lower half-width of .1 takes four times the rows; the upper one, .06, must become .04: (6/4)² = 2.25
    assert scaled_rows_to_pass(interval, 0.75, power=0.5) == 400
    assert scaled_rows_to_fail(interval, 0.84, power=0.5) == 225
    assert scaled_rows_to_pass(interval, 0.75, rows=150, power=0.5) == 600
    # With 80 % power (1 + .84162 / 1.95996)² = 2.0432 times as many.
    assert scaled_rows_to_pass(interval, 0.75) == 818


def test_scaled_rows_when_none_will_do() -> None:
    interval = Interval(0.8, 0.7, 0.86, 0.95, "bootstrap", 100)
    assert scaled_rows_to_pass(interval, 0.8) is None
    assert scaled_rows_to_fail(interval, 0.8) is None
    undefined = Interval(math.nan, math.nan, math.nan, 0.95, "bootstrap", 0)
    assert scaled_rows_to_pass(undefined, 0.5) is None
