"""Power laws against scipy, change points of known curves, and sign permutations counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.comparison.learning_curves import (
    change_point_brackets,
    fit_power_law,
    gain_p_value,
    label_equivalent,
    phase_test,
)

SIZES = [50, 100, 200, 400, 800, 1600]
ROWS = [0, 10, 25, 50, 100, 200, 400, 1000]
X = np.log1p(ROWS)


def law(n: Any, a: float, b: float, c: float) -> Any:
    return a - b * n**-c


CURVE = np.array([law(n, 0.9, 2.0, 0.5) for n in SIZES])


def test_a_curve_without_noise_is_recovered() -> None:
    fit = fit_power_law(SIZES, CURVE)
    assert (fit.a[0], fit.b[0], fit.c[0]) == pytest.approx((0.9, 2.0, 0.5), rel=0.05)
    assert fit.score(300)[0] == pytest.approx(law(300, 0.9, 2.0, 0.5), abs=1e-3)
    assert fit.size(law(300, 0.9, 2.0, 0.5))[0] == pytest.approx(300, rel=0.02)


def test_noisy_curves_fit_as_well_as_by_scipy() -> None:
    rng = np.random.default_rng(0)
    curves = np.array([[law(n, 0.85, 1.5, 0.4) for n in SIZES]] * 20) + rng.normal(0, 0.01, size=(20, len(SIZES)))
    errors = fit_power_law(SIZES, curves).errors
    for error, curve in zip(errors, curves, strict=True):
        bounds = ([0, 0, 0.05], [1, np.inf, 2.0])
        best, _ = curve_fit(law, SIZES, curve, p0=(0.9, 1, 0.5), bounds=bounds, maxfev=20_000)
        assert error <= sum((law(n, *best) - y) ** 2 for n, y in zip(SIZES, curve, strict=True)) + 1e-6


def test_parameters_stay_within_their_bounds() -> None:
    fit = fit_power_law([10, 100, 1000], np.array([[0.1, 0.5, 0.99], [0.9, 0.5, 0.1], [0.4, 0.4, 0.4]]))
    assert (fit.a <= 1).all()
    assert (fit.b >= 0).all()
    # A falling curve is flat at its mean, and no number of labels reaches more.
    assert (fit.a[1], fit.b[1]) == pytest.approx((0.5, 0))
    assert np.isinf(fit.size(0.6)[1])
    with pytest.raises(DataError, match="at least 3 different sizes"):
        fit_power_law([10, 100], np.array([0.5, 0.6]))


def test_label_equivalents_are_within_the_sizes_or_beyond_them() -> None:
    def equivalent(score: float) -> str:
        drawn = CURVE + np.zeros((50, 1))
        return str(label_equivalent(SIZES, CURVE, drawn, 1000, score, np.full(50, score), level=0.95, n=100))

    assert equivalent(law(400, 0.9, 2.0, 0.5))[:2] in ("39", "40")
    assert equivalent(0.95) == "more than 1,600 [more than 1,600, more than 1,600]"
    assert equivalent(0.1) == "fewer than 50 [fewer than 50, fewer than 50]"


def test_change_points_of_known_curves() -> None:
    at = np.log1p(50)
    assert change_point_brackets(X, np.minimum(X, at), "rise, then flat")[1][0] == pytest.approx(at, abs=0.1)
    assert change_point_brackets(X, np.maximum(X, at), "flat, then rise")[0][0] == pytest.approx(at, abs=0.1)
    # The bracket of a curve that does not rise is the whole range.
    for curve, shape in ((np.full(8, 0.5), "rise, then flat"), (-X, "flat, then rise")):
        low, high = change_point_brackets(X, curve, shape)  # type: ignore[arg-type]
        assert (low[0], high[0]) == (X[0], X[-1])
    with pytest.raises(DataError, match="at least 4 different places"):
        change_point_brackets([1, 2, 3], np.zeros(3), "rise, then flat")


def test_a_change_between_two_sizes_may_be_anywhere_between_them() -> None:
    for steps in ([0.3, 1, 1, 1, 1, 1, 1, 1], [0.0, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]):
        y = np.array(steps)
        low, high = change_point_brackets(X, y, "rise, then flat")
        assert (low[0], high[0]) == (X[0], X[1])
        # Each t between them fits without an error, by least squares of the two-column design.
        for t in (0.1, 1.0, X[1]):
            design = np.column_stack([np.ones(8), np.minimum(X, t)])
            assert np.linalg.lstsq(design, y, rcond=None)[1] == pytest.approx(0, abs=1e-20)
        low, high = change_point_brackets(X, y[::-1] * -1, "flat, then rise")
        assert (low[0], high[0]) == (X[-2], X[-1])


def test_places_without_weight_are_ignored() -> None:
    y = np.maximum(X, np.log1p(100)).copy()
    y[0] = 9.0
    weighted = change_point_brackets(X, y, "flat, then rise", [1e-9, 1, 1, 1, 1, 1, 1, 1])[0][0]
    assert weighted == pytest.approx(np.log1p(100), abs=0.12)
    assert change_point_brackets(X, y, "flat, then rise")[0][0] != pytest.approx(weighted, abs=0.3)


def test_format_before_task_is_detected() -> None:
    rng = np.random.default_rng(0)
    form, task = np.minimum(X, np.log1p(25)) / np.log1p(25), 0.5 + 0.1 * np.maximum(X - np.log1p(200), 0)
    noise = rng.normal(0, 0.01, size=(2, 300, 8))
    test = phase_test(ROWS, form, task, form + noise[0], task + noise[1], level=0.95, n=300)
    assert test.ordered
    assert test.form.low <= 25 <= test.form.high
    assert test.task.low <= 200 <= test.task.high
    assert not phase_test(ROWS, task, form, task + noise[0], form + noise[1], level=0.95, n=300).ordered


def test_ties_count_against_the_order() -> None:
    # The format is learned at 10 rows or before; the task begins at 5 to 20 rows, not surely later.
    rows = [0, 10, 25, 50, 100, 200]
    x = np.log1p(rows)
    form = np.array([0.3, 1, 1, 1, 1, 1])
    starts = np.log1p(np.random.default_rng(0).uniform(5, 20, size=300))
    drawn = 0.1 * np.maximum(x - starts[:, None], 0)
    task = 0.1 * np.maximum(x - np.log1p(12), 0)
    test = phase_test(rows, form, task, np.tile(form, (300, 1)), drawn, level=0.95, n=150)
    assert not test.ordered
    assert (test.form.low, test.form.estimate, test.form.high) == pytest.approx((0, 10, 10))
    # The same task far later is in order.
    later = 0.1 * np.maximum(x - np.log1p(60), 0)
    test = phase_test(rows, form, later, np.tile(form, (300, 1)), np.tile(later, (300, 1)), level=0.95, n=150)
    assert test.ordered
    assert test.lag.estimate == pytest.approx(np.log(61 / 11), abs=0.1)


def test_permutation_p_values_by_hand() -> None:
    # Of the 8 signs of .1 .2 .3 only the observed ones sum to .6.
    assert gain_p_value([0.1, 0.2, 0.3], [0, 0, 0]) == pytest.approx(1 / 8)
    # .1 .2 -.3 sums to 0: + + -, - - +, and the four ways that sum to more.
    assert gain_p_value([0.1, 0.2, -0.3], [0, 0, 0]) == pytest.approx(5 / 8)
    assert gain_p_value([0.1] * 14, [0.0] * 14) == pytest.approx(1 / 4096, abs=1e-3)
    with pytest.raises(DataError, match="one gain of each"):
        gain_p_value([], [])


@pytest.mark.slow
def test_the_permutation_test_keeps_its_level() -> None:
    rng = np.random.default_rng(1)
    p_values = np.array([gain_p_value(rng.normal(size=6), rng.normal(size=6)) for _ in range(3000)])
    assert np.mean(p_values <= 0.05) <= 0.06
