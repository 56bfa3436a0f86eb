"""Influence functions against numeric derivatives, and the boundary against its formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hf_synthlabels.statistics.agreement.confusion import score
from hf_synthlabels.statistics.sequential.asymptotic import (
    SMOOTH_METRICS,
    SmoothMetric,
    anytime_score,
    boundary,
    influence_of_cells,
    pseudo_rows,
    score_limits,
)

COUNTS = np.array([[40.0, 3, 2, 1], [4, 20, 0, 2], [1, 5, 9, 0]])
EVERY = np.ones(3, dtype=bool)


@pytest.mark.parametrize("metric", SMOOTH_METRICS)
@pytest.mark.parametrize("classes", [EVERY, np.array([True, True, False])])
def test_influence_is_the_derivative_of_the_score(metric: SmoothMetric, classes: np.ndarray) -> None:
    shares, step = COUNTS / COUNTS.sum(), 1e-6
    plain = float(score(metric, shares, classes))
    derivative = np.zeros(shares.shape)
    for cell in itertools.product(range(3), range(4)):
        moved = (1 - step) * shares
        moved[cell] += step
        derivative[cell] = (float(score(metric, moved, classes)) - plain) / step
    influence = influence_of_cells(metric, COUNTS, classes)
    assert influence == pytest.approx(derivative, abs=1e-4)
    assert (influence * shares).sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [1, 30, 250, 5000])
def test_the_boundary_is_that_of_a_normal_mixture(n: int) -> None:
    # Waudby-Smith et al. (2024): sqrt((n r^2 + 1) / (n^2 r^2) log((n r^2 + 1) / alpha^2)) in units of the deviation.
    r2 = (-2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))) / 250
    formula = math.sqrt((n * r2 + 1) / (n**2 * r2) * math.log((n * r2 + 1) / 0.05**2))
    assert boundary(n, 0.95) / math.sqrt(n) == pytest.approx(formula)
    assert boundary(n, 0.99) > boundary(n, 0.95) > 2.7


def test_the_mixture_is_the_average_of_likelihood_ratios() -> None:
    # Robbins: the mean over drifts of N(0, r^2) of exp(drift S - drift^2 n / 2) reaches 1 / alpha at the boundary.
    n, alpha = 40, 0.05
    r2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / 250
    total = boundary(n, 1 - alpha) * math.sqrt(n)
    drifts = np.linspace(-8, 8, 20001) * math.sqrt(r2)
    density = np.exp(-(drifts**2) / (2 * r2)) / math.sqrt(2 * math.pi * r2)
    capital = (np.exp(drifts * total - drifts**2 * n / 2) * density).sum() * (drifts[1] - drifts[0])
    assert capital == pytest.approx(1 / alpha, rel=1e-4)


def test_limits_are_those_of_a_loop_over_rows() -> None:
    rng = np.random.default_rng(2)
    cells, weights = rng.choice(12, 90, p=(COUNTS / COUNTS.sum()).ravel()), rng.choice([0.5, 1.5], 90)
    weighted, squared = (np.bincount(cells, weights**p, 12).astype(float).reshape(3, 4) for p in (1, 2))
    interval = anytime_score("macro_f1", weighted, squared, 90, EVERY)
    width = boundary(90)
    pseudo = pseudo_rows(weighted, EVERY, width**2)
    smoothed = weighted + pseudo
    influence = influence_of_cells("macro_f1", smoothed, EVERY).ravel()
    variance = sum((weight * influence[cell]) ** 2 for cell, weight in zip(cells, weights, strict=True))
    variance += sum(mass * influence[cell] ** 2 for cell, mass in enumerate(pseudo.ravel()))
    center = float(score("macro_f1", smoothed))
    half = width * math.sqrt(variance) / smoothed.sum()
    assert (interval.low, interval.high) == pytest.approx((center - half, min(1, center + half)))
    assert interval.estimate == pytest.approx(float(score("macro_f1", weighted)))


def test_pseudo_rows_are_half_correct_and_go_where_errors_went() -> None:
    rows = pseudo_rows(COUNTS, np.array([True, True, False]), 8.0)
    assert rows.sum(axis=1) == pytest.approx([4, 4, 0])
    assert np.diagonal(rows) == pytest.approx([2, 2, 0])
    # Predictions of the other columns are 28, 11 and 3 in number.
    assert rows[0, 1:] == pytest.approx(2 * np.array([28, 11, 3]) / 42)


@pytest.mark.parametrize("metric", SMOOTH_METRICS)
@pytest.mark.parametrize("diagonal", [[1, 0, 0], [30, 0, 0], [20, 10, 5]])
def test_rows_without_an_error_have_an_interval_of_some_width(metric: SmoothMetric, diagonal: list[int]) -> None:
    counts = np.zeros((3, 4))
    counts[range(3), range(3)] = diagonal
    low, high = score_limits(metric, counts, counts, boundary(sum(diagonal)), EVERY)
    assert low < 0.85
    assert high == pytest.approx(1)


def test_many_samples_at_once_equal_single_ones() -> None:
    many = np.stack([COUNTS, COUNTS[::-1], 3 * COUNTS])
    for metric in SMOOTH_METRICS:
        lows, highs = score_limits(metric, many, many, 3.0, EVERY)
        for counts, low, high in zip(many, lows, highs, strict=True):
            assert np.array(score_limits(metric, counts, counts, 3.0, EVERY)) == pytest.approx(np.array([low, high]))
