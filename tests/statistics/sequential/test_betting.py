"""Betting bounds against a loop over means, enumerated samples and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.sequential.betting import (
    BETS,
    FIXED_BETS,
    MAX_BET,
    PARTS,
    WEIGHTED_PARTS,
    anytime_interval,
    log_capital,
    lower_bound,
    upper_bound,
)

GRID = [mean / 400 for mean in range(1, 400)]


def sample(n: int, seed: int, *, binary: bool = True) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    values = (rng.random(n) < 0.8).astype(float) if binary else rng.beta(4, 1, n)
    return values.tolist(), rng.choice([1.0, 2.5, 10.0], n).tolist()


def capitals(values: list[float], shares: list[float], mean: float) -> list[float]:
    """The capital after each row, one multiplication at a time."""
    purses, path = [1 / len(BETS)] * len(BETS), []
    for value, share in zip(values, shares, strict=True):
        purses = [purse * (1 + bet * share * (value / mean - 1)) for purse, bet in zip(purses, BETS, strict=True)]
        path.append(math.fsum(purses))
    return path


def fixed_capital(values: list[float], shares: list[float], mean: float, risk: float, *, weighted: bool) -> float:
    capital = 0.0
    best = math.sqrt(2 * math.log(1 / risk) / (len(values) * mean * (1 - mean)))
    for part, multiple in zip(WEIGHTED_PARTS if weighted else PARTS, FIXED_BETS, strict=True):
        bet = min(multiple * best, MAX_BET / mean)
        capital += part * math.prod(1 + bet * v * (x - mean) for x, v in zip(values, shares, strict=True))
    return capital


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("n", [1, 7, 40])
def test_bounds_are_those_of_a_loop_over_means(n: int, weighted: bool, binary: bool) -> None:
    values, weights = sample(n, n, binary=binary)
    shares = [weight / 10 for weight in weights] if weighted else [1.0] * n
    mirrored = [1 - value for value in values]

    def smallest(x: list[float], *, ever: bool) -> float:
        if ever:
            kept = [mean for mean in GRID if capitals(x, shares, mean)[-1] < 40]
        else:
            kept = [mean for mean in GRID if fixed_capital(x, shares, mean, 0.025, weighted=weighted) < 40]
        return min(kept, default=1.0)

    options = {"weights": weights, "max_weight": 10.0} if weighted else {}
    interval = anytime_interval(values, **options)  # type: ignore[arg-type]
    assert interval.low == pytest.approx(smallest(values, ever=True), abs=1 / 400)
    assert interval.high == pytest.approx(1 - smallest(mirrored, ever=True), abs=1 / 400)
    assert interval.estimate == pytest.approx(np.average(values, weights=weights if weighted else None))
    assert interval.n == n
    assert lower_bound(values, 0.025, **options) == pytest.approx(smallest(values, ever=False), abs=1 / 400)  # type: ignore[arg-type]
    assert upper_bound(values, 0.025, **options) == pytest.approx(1 - smallest(mirrored, ever=False), abs=1 / 400)  # type: ignore[arg-type]


def test_the_bound_of_one_row_has_a_closed_form() -> None:
    # 1 + mean(bets) (1 / m - 1) = 1 / risk.
    assert anytime_interval([1.0]).low == pytest.approx(1 / (1 + 39 / BETS.mean()))
    assert (anytime_interval([1.0]).high, anytime_interval([0.0]).low) == (1, 0)


@pytest.mark.parametrize("mean", [0.2, 0.5, 0.9])
def test_the_capital_is_fair_and_rarely_large_in_all_samples_of_ten_rows(mean: float) -> None:
    samples = np.array(list(itertools.product([0.0, 1.0], repeat=10)))
    right = samples.sum(axis=1)
    chances = mean**right * (1 - mean) ** (10 - right)
    capital = np.exp(log_capital(samples, mean))
    assert chances @ capital == pytest.approx(np.ones(10))
    assert chances @ (capital.max(axis=1) >= 20) <= 0.05
    bounds = np.array([lower_bound([1.0] * count + [0.0] * (10 - count)) for count in range(11)])
    assert chances @ (bounds[right.astype(int)] > mean) <= 0.05


def test_weighted_capital_is_fair_under_the_sampling_design() -> None:
    # Rows of probability .2 and .8 of the sample, with inverse weights; their values are right in 50% and in 90%.
    drawn = [(share, value) for share in (0.25, 1.0) for value in (0.0, 1.0)]
    chance = {(1.0, 1.0): 0.2 * 0.5, (1.0, 0.0): 0.2 * 0.5, (0.25, 1.0): 0.8 * 0.9, (0.25, 0.0): 0.8 * 0.1}
    # Each stratum is half of the population.
    mean, expected = (0.5 + 0.9) / 2, 0.0
    for rows in itertools.product(drawn, repeat=3):
        shares, values = (np.array(part) for part in zip(*rows, strict=True))
        expected += math.prod(chance[row] for row in rows) * math.exp(log_capital(values, mean, shares)[-1])
    assert expected == pytest.approx(1)


def test_the_path_of_the_capital_is_that_of_a_loop() -> None:
    values, weights = sample(40, 5, binary=False)
    shares = [weight / 10 for weight in weights]
    path = log_capital(np.array(values), 0.7, np.array(shares))
    assert np.exp(path) == pytest.approx(capitals(values, shares, 0.7))


def test_intervals_contain_the_estimate_and_scaled_weights_change_nothing() -> None:
    values, weights = sample(120, 5)
    for n in range(1, 121, 7):
        look = anytime_interval(values[:n], weights=weights[:n], max_weight=10)
        assert 0 <= look.low <= look.estimate <= look.high <= 1
        scaled = anytime_interval(values[:n], weights=[weight / 7 for weight in weights[:n]], max_weight=10 / 7)
        assert (scaled.low, scaled.high) == pytest.approx((look.low, look.high))
    wide = anytime_interval(values, 0.99, weights=weights)
    assert wide.low < anytime_interval(values, 0.95, weights=weights).low


def test_bounds_do_not_depend_on_the_order() -> None:
    values, weights = sample(80, 6)
    assert lower_bound(values, weights=weights) == pytest.approx(lower_bound(values[::-1], weights=weights[::-1]))
    reordered = anytime_interval(values[::-1], weights=weights[::-1])
    assert reordered.low == pytest.approx(anytime_interval(values, weights=weights).low)
    assert lower_bound(values, 0.01) < lower_bound(values, 0.1) < np.mean(values) < upper_bound(values, 0.1)


@pytest.mark.parametrize("values", [[], [0.0], [1.0], [0.0] * 30, [1.0] * 30, [0.5] * 30])
def test_few_and_equal_values(values: list[float]) -> None:
    low, high = lower_bound(values), upper_bound(values)
    assert 0 <= low <= (np.mean(values) if values else 0)
    assert (np.mean(values) if values else 1) <= high <= 1
    assert anytime_interval(values).n == len(values)


@pytest.mark.parametrize(
    ("options", "field", "kind"),
    [
        ({"values": [0.5, 1.2]}, "values", DataError),
        ({"values": [0.5, None]}, "values", DataError),
        ({"values": [1.0], "risk": 0}, "risk", ConfigError),
        ({"values": [1.0], "weights": [0.0]}, "weights", DataError),
        ({"values": [1.0], "weights": [3.0], "max_weight": 2.0}, "weights", DataError),
        ({"values": [1.0], "weights": [3.0, 1.0]}, "weights", DataError),
    ],
)
def test_wrong_input_names_the_field(options: dict[str, object], field: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"`{field}`"):
        lower_bound(**options)  # type: ignore[arg-type]
