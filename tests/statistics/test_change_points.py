"""Change points: bends that are known, permutations counted by hand, and error rates by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.comparison.learning_curves import (
    change_point_brackets,
    gain_p_value,
    phase_test,
)

ROWS = [0, 10, 25, 50, 100, 200, 400, 1000]
X = np.log1p(ROWS)


def test_bends_are_found_where_they_are() -> None:
    at = np.log1p(50)
    assert change_point_brackets(X, np.minimum(X, at), "rise, then flat")[1][0] == pytest.approx(at, abs=0.1)
    assert change_point_brackets(X, np.maximum(X, at), "flat, then rise")[0][0] == pytest.approx(at, abs=0.1)


def test_what_never_rises_says_nothing_of_its_bend() -> None:
    for curve, shape in ((np.full(8, 0.5), "rise, then flat"), (-X, "flat, then rise")):
        low, high = change_point_brackets(X, curve, shape)  # type: ignore[arg-type]
        assert (low[0], high[0]) == (X[0], X[-1])
    # So neither may speak for an order: the form as late, the task as early as can be.
    assert change_point_brackets(X, np.full(8, 0.5), "rise, then flat")[1][0] == X[-1]
    assert change_point_brackets(X, -X, "flat, then rise")[0][0] == X[0]


@pytest.mark.parametrize("steps", [[0.3, 1, 1, 1, 1, 1, 1, 1], [0.0, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]])
def test_a_bend_between_two_sizes_may_be_anywhere_between_them(steps: list[float]) -> None:
    y = np.array(steps)
    low, high = change_point_brackets(X, y, "rise, then flat")
    assert (low[0], high[0]) == (X[0], X[1])
    # Each t between them fits without an error, by least squares of the two-column design.
    for t in (0.1, 1.0, X[1]):
        design = np.column_stack([np.ones(8), np.minimum(X, t)])
        assert np.linalg.lstsq(design, y, rcond=None)[1] == pytest.approx(0, abs=1e-20)
    low, high = change_point_brackets(X, y[::-1] * -1, "flat, then rise")
    assert (low[0], high[0]) == (X[-2], X[-1])


def test_ties_count_against_the_order() -> None:
    """The form is learned at 10 rows or before; the task begins at 5 to 20 rows, which is no later for sure."""
    rows = [0, 10, 25, 50, 100, 200]
    x = np.log1p(rows)
    rng = np.random.default_rng(0)
    form = np.array([0.3, 1, 1, 1, 1, 1])
    starts = np.log1p(rng.uniform(5, 20, size=300))
    drawn = 0.1 * np.maximum(x - starts[:, None], 0)
    task = 0.1 * np.maximum(x - np.log1p(12), 0)
    found = phase_test(rows, form, task, np.tile(form, (300, 1)), drawn, level=0.95, n=150)
    assert not found.ordered
    assert (found.form.low, found.form.estimate, found.form.high) == pytest.approx((0, 10, 10))
    # The same task far later is in order even so.
    later = 0.1 * np.maximum(x - np.log1p(60), 0)
    sure = phase_test(rows, form, later, np.tile(form, (300, 1)), np.tile(later, (300, 1)), level=0.95, n=150)
    assert sure.ordered
    assert sure.lag.estimate == pytest.approx(np.log(61 / 11), abs=0.1)


def test_places_without_weight_are_not_heard() -> None:
    y = np.maximum(X, np.log1p(100)).copy()
    y[0] = 9.0
    heard = change_point_brackets(X, y, "flat, then rise")[0][0]
    deaf = change_point_brackets(X, y, "flat, then rise", [1e-9, 1, 1, 1, 1, 1, 1, 1])[0][0]
    assert deaf == pytest.approx(np.log1p(100), abs=0.12)
    assert heard != pytest.approx(deaf, abs=0.3)


def test_form_before_task_is_seen_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    form, task = np.minimum(X, np.log1p(25)) / np.log1p(25), 0.5 + 0.1 * np.maximum(X - np.log1p(200), 0)
    noise = rng.normal(0, 0.01, size=(2, 300, 8))
    found = phase_test(ROWS, form, task, form + noise[0], task + noise[1], level=0.95, n=300)
    assert found.ordered
    assert found.form.low <= 25 <= found.form.high
    assert found.task.low <= 200 <= found.task.high
    turned = phase_test(ROWS, task, form, task + noise[0], form + noise[1], level=0.95, n=300)
    assert not turned.ordered


def test_permutations_by_hand() -> None:
    # Of the 8 ways to sign .1 .2 .3 only the found one sums to .6.
    assert gain_p_value([0.1, 0.2, 0.3], [0, 0, 0]) == pytest.approx(1 / 8)
    # .1 .2 -.3 sums to 0: + + -, - - +, and the four ways that sum to more.
    assert gain_p_value([0.1, 0.2, -0.3], [0, 0, 0]) == pytest.approx(5 / 8)
    assert gain_p_value([0.1] * 14, [0.0] * 14) == pytest.approx(1 / 4096, abs=1e-3)


def test_too_few_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="at least 4 different places"):
        change_point_brackets([1, 2, 3], np.zeros(3), "rise, then flat")
    with pytest.raises(DataError, match="one gain of each"):
        gain_p_value([], [])


@pytest.mark.slow
def test_the_permutation_test_keeps_its_level() -> None:
    rng = np.random.default_rng(1)
    p_values = np.array([gain_p_value(rng.normal(size=6), rng.normal(size=6)) for _ in range(3000)])
    assert np.mean(p_values <= 0.05) <= 0.06
