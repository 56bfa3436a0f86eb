"""McNemar's test, mean differences, non-inferiority and its sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore, ScoreReplicates
from hf_synthlabels.statistics.comparison.paired import (
    detectable_margin,
    mcnemar,
    mean_difference,
    non_inferiority,
    rows_to_detect,
)
from tests.statistics.common import contains


def test_mcnemar_by_hand() -> None:
    # Only a is correct in 5 rows, only b in 1: p = 2 (C(6,0) + C(6,1)) / 2^6 = 14/64.
    human, a = ["x"] * 10, ["x"] * 8 + ["y", None]
    b = ["x", "x", "x"] + ["y"] * 5 + ["x", "y"]
    result = mcnemar(human, a, b)
    assert (result.both, result.only_a, result.only_b, result.neither, result.n) == (3, 5, 1, 1, 10)
    assert (result.p_value, result.difference) == pytest.approx((14 / 64, 0.4))
    truth, first, second = np.array([0, 1, 1, 0]), np.array([0, 1, -1, 0]), np.array([0, 0, -1, 1])
    assert mcnemar(truth, first, second).p_value == mcnemar(truth, second, first).p_value == 0.5
    assert mcnemar(truth, first, second).neither == 1
    assert mcnemar(["x"], ["x"], ["x"]).p_value == mcnemar([], [], []).p_value == 1
    assert math.isnan(mcnemar([], [], []).difference)


def test_mcnemar_refuses_several_seeds_and_missing_human_labels() -> None:
    for human, a in (([0, 1], np.array([[0, 1], [0, 1]])), ([0, 1], [0]), ([0, None], [0, 1]), ([0, -1], [0, 1])):
        with pytest.raises(DataError, match="`human`"):
            mcnemar(human, a, [0, 1])


def test_mean_difference_by_hand() -> None:
    # 10 rows: only a is correct in 3, only b in 1. Agresti & Min: b* = 3.5, c* = 1.5, n* = 12.
    a, b = np.array([1.0] * 8 + [0.0] * 2), np.array([0.0] * 3 + [1.0] * 5 + [1.0, 0.0])
    error = math.sqrt((3.5 + 1.5) / 12 - ((3.5 - 1.5) / 12) ** 2) / math.sqrt(12)
    interval = mean_difference(a, b)
    expected = (0.2, 2 / 12 - 1.959963985 * error, 2 / 12 + 1.959963985 * error, 10)
    assert (interval.estimate, interval.low, interval.high, interval.n) == pytest.approx(expected)
    # Equal scores of few rows do not prove equality.
    same = np.ones(20)
    assert mean_difference(same, same).low < -0.05 < 0.05 < mean_difference(same, same).high
    assert mean_difference(np.full(3, np.nan), np.ones(3)).n == 0
    with pytest.raises(DataError, match="`a` has 2 rows and `b` 3"):
        mean_difference(np.ones(2), np.ones(3))


def test_mean_difference_covers_the_true_value() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(1000):
        shared = rng.random(100)
        b = (np.where(rng.random(100) < 0.3, rng.random(100), shared) < 0.75).astype(float)
        covered += contains(mean_difference((shared < 0.8).astype(float), b), 0.05)
    assert 930 <= covered <= 985


def difference(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 0.95, "", 100)


def test_verdicts_follow_the_position_of_the_interval() -> None:
    for low, high, verdict in (
        (0.01, 0.05, "superior"),
        (-0.03, 0.02, "non-inferior"),
        (-0.03, -0.01, "non-inferior"),
        (-0.06, 0.02, "inconclusive"),
        (-0.06, -0.05, "inferior"),
        (-0.04, 0.0, "inconclusive"),
        (math.nan, math.nan, "inconclusive"),
    ):
        assert non_inferiority(difference(low, high), 0.04) == verdict


def pair(sd: float, n: int, seed_sd: float = 0.0, seeds: int = 1) -> PairedScore:
    """Two conditions whose difference has these standard errors of rows and seeds."""
    rows = np.random.default_rng(0).normal(0, sd, size=(20_000, 1))
    offsets = np.linspace(-1, 1, seeds) if seeds > 1 else np.zeros(1)
    offsets = offsets / offsets.std(ddof=1) * seed_sd if seeds > 1 else offsets
    drawn = rows + offsets
    a = ScoreReplicates(n, offsets, drawn.mean(axis=1), drawn, 0.95)
    zero = ScoreReplicates(n, np.zeros(seeds), np.zeros(20_000), np.zeros((20_000, seeds)), 0.95)
    return PairedScore(a, zero)


def test_detectable_margins_and_rows_match_statsmodels() -> None:
    # 1.959964 + 0.841621 standard errors of 0.02.
    assert detectable_margin(pair(0.02, 100), 0.04).margin == pytest.approx(2.801585 * 0.02, rel=0.02)
    power = pytest.importorskip("statsmodels.stats.power")
    options = {"alpha": 0.025, "power": 0.8, "ratio": 0, "alternative": "larger"}
    expected = power.NormalIndPower().solve_power(effect_size=0.04 / (0.02 * math.sqrt(100)), **options)
    assert rows_to_detect(pair(0.02, 100), 0.04) == pytest.approx(expected, rel=0.03)


def test_seeds_can_hide_what_no_number_of_rows_shows() -> None:
    noisy = pair(0.02, 100, seed_sd=0.06, seeds=3)
    assert noisy.seed_variance == pytest.approx(0.06**2 / 3)
    margin = detectable_margin(noisy, 0.04)
    assert margin.rows is None
    assert margin.floor == pytest.approx(2.801585 * 0.06 / math.sqrt(3), rel=1e-4)
    assert rows_to_detect(noisy, 0.0) is None


def test_invalid_margins_and_power_are_refused() -> None:
    with pytest.raises(ConfigError, match="`margin`"):
        non_inferiority(difference(0, 1), -0.1)
    with pytest.raises(ConfigError, match="`power`"):
        detectable_margin(pair(0.02, 100), 0.04, power=1)


@pytest.mark.slow
def test_an_equal_condition_is_non_inferior_with_the_stated_power() -> None:
    rng, n = np.random.default_rng(1), 800
    margin, good = 2.801585 * math.sqrt(0.25 / n), 0
    for only_a, only_b, _ in rng.multinomial(n, [0.125, 0.125, 0.75], size=4000):
        mean = (only_a - only_b) / n
        half = 1.959964 * math.sqrt(((only_a + only_b) / n - mean**2) / n)
        good += non_inferiority(difference(mean - half, mean + half), margin) in ("superior", "non-inferior")
    assert good / 4000 == pytest.approx(0.8, abs=0.02)
