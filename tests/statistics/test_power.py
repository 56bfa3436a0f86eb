from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import (
    Interval,
    rows_to_fail,
    rows_to_pass,
    scaled_rows_to_fail,
    scaled_rows_to_pass,
)

Z = 1.959963984540054


def wilson_ends(share: float, n: int) -> tuple[float, float]:
    """The Wilson ends of a share that need not be a multiple of 1/n."""
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + (Z / (2 * n)) ** 2)
    return centre - half, centre + half


def test_rows_to_pass_by_hand() -> None:
    # z² t (1 - t) / (p - t)² = 3.8415 · .7 · .3 / .1² = 80.67
    assert rows_to_pass(0.8, 0.7) == 81
    assert wilson_ends(0.8, 81)[0] >= 0.7 > wilson_ends(0.8, 80)[0]


def test_rows_to_fail_is_the_mirror() -> None:
    assert rows_to_fail(0.6, 0.7) == 81
    assert wilson_ends(0.6, 81)[1] < 0.7 <= wilson_ends(0.6, 80)[1]


@given(st.floats(0, 1), st.floats(0.01, 0.99))
def test_rows_are_the_fewest(share: float, threshold: float) -> None:
    if abs(share - threshold) < 0.01:
        return
    if share > threshold:
        n = rows_to_pass(share, threshold)
        assert n is not None
        assert rows_to_fail(share, threshold) is None
        assert wilson_ends(share, n)[0] >= threshold - 1e-9
        assert n == 1 or wilson_ends(share, n - 1)[0] < threshold + 1e-9
    else:
        n = rows_to_fail(share, threshold)
        assert n is not None
        assert rows_to_pass(share, threshold) is None
        assert wilson_ends(share, n)[1] < threshold + 1e-9
        assert n == 1 or wilson_ends(share, n - 1)[1] >= threshold - 1e-9


def test_a_share_at_the_threshold_is_settled_by_no_number() -> None:
    assert rows_to_pass(0.7, 0.7) is None
    assert rows_to_fail(0.7, 0.7) is None


def test_thresholds_at_the_ends() -> None:
    assert rows_to_pass(0.5, 0) == 1
    assert rows_to_pass(1, 1) is None
    assert rows_to_fail(0.99, 1) == 1


@pytest.mark.parametrize(("share", "threshold", "level"), [(1.2, 0.7, 0.95), (0.8, -1, 0.95), (0.8, 0.7, 0)])
def test_what_is_no_share_is_refused(share: float, threshold: float, level: float) -> None:
    with pytest.raises(ConfigError):
        rows_to_pass(share, threshold, level)


def test_scaled_rows_by_hand() -> None:
    interval = Interval(0.8, 0.7, 0.86, 0.95, "bootstrap", 100)
    # To halve the lower half-width of .1 takes four times the rows; the upper one, .06, must become .04: (6/4)² = 2.25
    assert scaled_rows_to_pass(interval, 0.75) == 400
    assert scaled_rows_to_fail(interval, 0.84) == 225
    assert scaled_rows_to_pass(interval, 0.75, rows=150) == 600


def test_scaled_rows_when_none_will_do() -> None:
    interval = Interval(0.8, 0.7, 0.86, 0.95, "bootstrap", 100)
    assert scaled_rows_to_pass(interval, 0.8) is None
    assert scaled_rows_to_fail(interval, 0.8) is None
    undefined = Interval(math.nan, math.nan, math.nan, 0.95, "bootstrap", 0)
    assert scaled_rows_to_pass(undefined, 0.5) is None
