"""Non-inferiority: verdicts at every place of the margin, and sizes against a simulation and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.comparison.condition_bootstrap import PairedScore, ScoreReplicates
from hf_synthlabels.statistics.comparison.paired import detectable_margin, non_inferiority, rows_to_detect


def difference(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 0.95, "", 100)


def pair(sd: float, n: int, seed_sd: float = 0.0, seeds: int = 1) -> PairedScore:
    """Two arms whose difference has these standard errors."""
    rng = np.random.default_rng(0)
    rows = rng.normal(0, sd, size=(20_000, 1))
    apart = np.linspace(-1, 1, seeds) if seeds > 1 else np.zeros(1)
    apart = apart / (apart.std(ddof=1) or 1) * seed_sd if seeds > 1 else apart
    drawn = rows + apart
    a = ScoreReplicates(n, apart, drawn.mean(axis=1), drawn, 0.95)
    none = ScoreReplicates(n, np.zeros(seeds), np.zeros(20_000), np.zeros((20_000, seeds)), 0.95)
    return PairedScore(a, none)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.05, "superior"),
        (-0.03, 0.02, "non-inferior"),
        (-0.03, -0.01, "non-inferior"),
        (-0.06, 0.02, "inconclusive"),
        (-0.06, -0.05, "inferior"),
        (-0.04, 0.0, "inconclusive"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_verdict_is_where_the_interval_lies(low: float, high: float, verdict: str) -> None:
    assert non_inferiority(difference(low, high), 0.04) == verdict


def test_smallest_margin_is_2_8_standard_errors() -> None:
    # 1.959964 + 0.841621 standard errors of 0.02.
    assert detectable_margin(pair(0.02, 100), 0.04).margin == pytest.approx(2.801585 * 0.02, rel=0.02)


def test_rows_are_those_of_statsmodels() -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    sd = 0.02 * math.sqrt(100)
    wanted = power.NormalIndPower().solve_power(
        effect_size=0.04 / sd, alpha=0.025, power=0.8, ratio=0, alternative="larger"
    )
    assert rows_to_detect(pair(0.02, 100), 0.04) == pytest.approx(wanted, rel=0.03)


def test_seeds_can_hide_what_no_number_of_rows_shows() -> None:
    noisy = pair(0.02, 100, seed_sd=0.06, seeds=3)
    assert noisy.seed_variance == pytest.approx(0.06**2 / 3)
    found = detectable_margin(noisy, 0.04)
    assert found.rows is None
    assert found.floor == pytest.approx(2.801585 * 0.06 / math.sqrt(3), rel=1e-4)
    assert rows_to_detect(noisy, 0.0) is None


def test_a_margin_below_0_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`margin`"):
        non_inferiority(difference(0, 1), -0.1)
    with pytest.raises(ConfigError, match="`power`"):
        detectable_margin(pair(0.02, 100), 0.04, power=1)


@pytest.mark.slow
def test_an_arm_as_good_is_found_so_in_eight_of_ten_studies_of_the_size() -> None:
    rng, n = np.random.default_rng(1), 800
    margin, found = 2.801585 * math.sqrt(0.25 / n), 0
    for _ in range(4000):
        only_a, only_b, _ = rng.multinomial(n, [0.125, 0.125, 0.75])
        mean = (only_a - only_b) / n
        error = math.sqrt(((only_a + only_b) / n - mean**2) / n)
        found += non_inferiority(difference(mean - 1.959964 * error, mean + 1.959964 * error), margin) in (
            "superior",
            "non-inferior",
        )
    assert found / 4000 == pytest.approx(0.8, abs=0.02)
