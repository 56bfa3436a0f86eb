from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.agreement.answers import text_agreement
from hf_synthlabels.statistics.arrays import divided
from hf_synthlabels.statistics.bootstrap import Rows, of_sums, prior_weights, row_intervals
from hf_synthlabels.statistics.intervals import wilson

SHARE = {"share": of_sums(lambda sums: divided(sums[:, 0], sums[:, 1]))}


def shares(right: NDArray[np.float64]) -> Rows:
    """Rows of which the share of right ones is taken."""
    one, n = np.ones(len(right)), len(right)
    return Rows(
        np.column_stack([right, one]), np.column_stack([one, one]), np.column_stack([0 * one, one]), np.full(n, 1 / n)
    )


def interval(right: list[int], **options: float) -> Interval:
    bootstrap = BootstrapConfig(**options)  # type: ignore[arg-type]
    return row_intervals(shares(np.array(right, dtype=float)), SHARE, bootstrap, len(right))["share"]


@pytest.mark.parametrize(("right", "n"), [(50, 100), (90, 100), (30, 30), (0, 20), (7, 8)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_of_a_share_it_is_the_interval_of_agresti_and_coull(right: int, n: int, level: float) -> None:
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (right + z * z / 2) / (n + z * z)
    reach = z * math.sqrt(centre * (1 - centre) / n)
    found = interval([1] * right + [0] * (n - right), level=level, resamples=40_000)
    assert found.estimate == right / n
    # Theirs has n + z^2 rows in the root, and so is a little narrower.
    assert found.low == pytest.approx(max(0, min(right / n, centre - reach)), abs=0.005)
    assert found.high == pytest.approx(min(1, max(right / n, centre + reach)), abs=0.005)
    assert found.low <= wilson(right, n, level).low + 0.005
    assert found.high >= wilson(right, n, level).high - 0.005


def test_few_rows_that_are_all_right_do_not_promise_perfection() -> None:
    found = interval([1] * 30)
    assert (found.estimate, found.high) == (1, 1)
    assert 0.8 < found.low < 0.9


def test_same_seed_same_interval_and_another_seed_another() -> None:
    rows = [1, 0] * 20
    assert interval(rows, seed=1) == interval(rows, seed=1)
    assert interval(rows, seed=1) != interval(rows, seed=2)


def test_resamples_are_drawn_in_chunks_without_seams() -> None:
    # 300 are more than one chunk holds.
    assert interval([1, 0] * 20, resamples=300).low == pytest.approx(
        interval([1, 0] * 20, resamples=3000).low, abs=0.03
    )


def test_no_row_is_undefined() -> None:
    empty = Rows(np.empty((0, 2)), np.empty((0, 2)), np.empty((0, 2)), np.empty(0))
    nothing = row_intervals(empty, SHARE, BootstrapConfig(), 0)["share"]
    assert math.isnan(nothing.estimate)
    assert nothing.n == 0


def test_pseudo_rows_are_shared_equally_by_names() -> None:
    # The first name is in rows 0 and 1, the second in row 1 only, the third in none.
    has = np.array([[1, 0, 0], [3, 1, 0], [0, 0, 0]], dtype=float)
    assert prior_weights(has).tolist() == pytest.approx([1 / 4, 1 / 4 + 1 / 2, 0])
    assert prior_weights(0 * has).tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("options", [{"level": 95}, {"resamples": 0}])
def test_drawing_refuses_what_gives_no_interval(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        BootstrapConfig(**options)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "share"), [(30, 0.97), (150, 0.97), (50, 0.6)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(rows: int, share: float) -> None:
    # A text is right with `share`, or else shares half of its words: the truth is known.
    truth = share + (1 - share) * 0.5
    held = 0
    for seed in range(200):
        right = np.random.default_rng(seed).random(rows) < share
        answers = ["x y" if each else "x z" for each in right]
        found = text_agreement([["x y"]] * rows, answers, BootstrapConfig(resamples=400, seed=seed)).scores["token_f1"]
        held += found.low <= truth <= found.high
    assert held >= 200 * 0.91
