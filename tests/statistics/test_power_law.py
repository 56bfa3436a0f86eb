"""Power laws: against known curves and scipy's least squares, and what labels are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.comparison.learning_curves import fit_power_law, label_equivalent

SIZES = [50, 100, 200, 400, 800, 1600]


def law(n: Any, a: float, b: float, c: float) -> Any:
    return a - b * n**-c


def test_a_curve_without_noise_is_found_again() -> None:
    found = fit_power_law(SIZES, np.array([law(n, 0.9, 2.0, 0.5) for n in SIZES]))
    assert (found.a[0], found.b[0], found.c[0]) == pytest.approx((0.9, 2.0, 0.5), rel=0.05)
    assert found.score(300)[0] == pytest.approx(law(300, 0.9, 2.0, 0.5), abs=1e-3)
    assert found.size(law(300, 0.9, 2.0, 0.5))[0] == pytest.approx(300, rel=0.02)


def test_noisy_curves_fit_no_worse_than_scipy_does() -> None:
    rng = np.random.default_rng(0)
    curves = np.array([[law(n, 0.85, 1.5, 0.4) for n in SIZES]] * 20) + rng.normal(0, 0.01, size=(20, len(SIZES)))
    found = fit_power_law(SIZES, curves)
    for at, curve in enumerate(curves):
        bounds = ([0, 0, 0.05], [1, np.inf, 2.0])
        best, _ = curve_fit(law, SIZES, curve, p0=(0.9, 1, 0.5), bounds=bounds, maxfev=20_000)
        theirs = sum((law(n, *best) - y) ** 2 for n, y in zip(SIZES, curve, strict=True))
        assert found.errors[at] <= theirs + 1e-6


def test_parts_stay_within_their_bounds() -> None:
    steep = fit_power_law([10, 100, 1000], np.array([[0.1, 0.5, 0.99], [0.9, 0.5, 0.1], [0.4, 0.4, 0.4]]))
    assert (steep.a <= 1).all()
    assert (steep.b >= 0).all()
    # A curve that falls is flat at its mean, and no number of labels reaches more.
    assert steep.a[1] == pytest.approx(0.5)
    assert steep.b[1] == 0
    assert np.isinf(steep.size(0.6)[1])


def test_worth_is_read_within_the_sizes_and_said_beyond_them() -> None:
    curve = np.array([law(n, 0.9, 2.0, 0.5) for n in SIZES])
    drawn = curve + np.zeros((50, 1))

    def worth(score: float) -> str:
        return str(label_equivalent(SIZES, curve, drawn, 1000, score, np.full(50, score), level=0.95, n=100))

    assert worth(law(400, 0.9, 2.0, 0.5)).startswith("40") or worth(law(400, 0.9, 2.0, 0.5)).startswith("39")
    assert worth(0.95) == "more than 1,600 [more than 1,600, more than 1,600]"
    assert worth(0.1) == "fewer than 50 [fewer than 50, fewer than 50]"


def test_two_sizes_are_no_curve() -> None:
    with pytest.raises(DataError, match="at least 3 different sizes"):
        fit_power_law([10, 100], np.array([0.5, 0.6]))
