from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.correlation import pair_icc as icc_of_pairs
from hf_synthlabels.statistics.raters.icc import ICCKind, icc, icc_bootstrap, icc_interval, variance_components

# Four judges of six targets: Shrout and Fleiss (1979), table 2. They print ICC(2,1) = .29 and ICC(3,1) = .71.
TARGETS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)

# Made with numpy's generator; the expected numbers of both tables are what pingouin 0.7.0 gives (intraclass_corr).
TWENTY = np.array(
    [
        *([0.0, 2.0, -1.5], [0.2, 1.3, -1.0], [-0.1, 0.2, -0.8], [0.3, -0.4, -1.1], [-0.7, 0.5, -1.3]),
        *([0.7, 0.2, -0.8], [2.1, 3.3, -1.0], [2.5, 2.8, 0.7], [-0.4, -0.5, -0.2], [0.7, 1.0, -1.0]),
        *([-0.3, -1.3, -1.6], [0.7, -0.7, -0.6], [-1.9, -1.1, -4.5], [-0.9, -0.2, -2.4], [0.5, -1.2, -1.9]),
        *([-1.0, 1.4, -0.4], [0.1, -2.2, -1.5], [0.4, 1.2, -1.9], [2.2, -0.4, -1.2], [2.0, 1.6, 2.0]),
    ]
)


@pytest.mark.parametrize(
    ("ratings", "kind", "estimate", "low", "high"),
    [
        (TARGETS, "A,1", 0.289763779527559, 0.01878651337471, 0.76108436964895),
        (TARGETS, "C,1", 0.714840714840715, 0.34246476503393, 0.94585825995536),
        (TWENTY, "A,1", 0.360308205228778, 0.06513008810583, 0.64476550405096),
        (TWENTY, "C,1", 0.507587108291625, 0.23918084508772, 0.74109641275945),
    ],
)
def test_icc_and_its_interval_match_pingouin(
    ratings: NDArray[np.float64], kind: ICCKind, estimate: float, low: float, high: float
) -> None:
    found = icc_interval(ratings, kind)
    assert (found.estimate, found.low, found.high) == pytest.approx((estimate, low, high), abs=1e-9)
    assert icc(ratings, kind) == found.estimate
    assert (found.n, found.method) == (len(ratings), "F")


def test_a_rater_who_is_always_one_higher_disagrees_but_is_consistent() -> None:
    ratings = np.array([[1.0, 2], [2, 3], [3, 4]])
    # Item variance 1, rater variance 1/2, no residual: 1 / 1.5.
    assert icc(ratings, "A,1") == pytest.approx(2 / 3)
    assert icc(ratings, "C,1") == 1
    found = icc_interval(ratings, "C,1")
    assert (found.low, found.high) == (1, 1)


def test_components_of_shrout_and_fleiss() -> None:
    # Their mean squares: targets 11.24, judges 32.49, residual 1.02. So 2.556, 5.244 and 1.019, as computed by hand.
    found = variance_components(TARGETS)
    msr, msc, mse = 56.208333333333 / 5, 97.458333333333 / 3, 15.291666666667 / 15
    assert (found.item, found.rater, found.residual) == pytest.approx(((msr - mse) / 4, (msc - mse) / 6, mse), abs=1e-9)
    assert icc(TARGETS) == pytest.approx(found.item / (found.item + found.rater + found.residual), abs=1e-12)
    assert icc(TARGETS, "C,1") == pytest.approx(found.item / (found.item + found.residual), abs=1e-12)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.n == 6


def test_a_component_below_zero_is_told_and_has_no_share() -> None:
    found = variance_components([[1, 2], [2, 1], [1, 2], [2, 1]])
    # All items have the same mean, all raters too: 2/3 is left, -1/3 of it for items, -1/6 for raters.
    assert (found.item, found.rater, found.residual) == pytest.approx((-1 / 3, -1 / 6, 2 / 3))
    assert found.shares == {"item": 0, "rater": 0, "residual": 1}


def test_two_raters_match_the_icc_of_pairs() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 50))
    of_pairs = icc_of_pairs(np.ones((1, 50)), x, x + y)
    assert icc(np.column_stack([x, x + y])) == pytest.approx(of_pairs.item(), abs=1e-12)


def test_items_with_a_missing_rating_are_left_out() -> None:
    more = np.vstack([TARGETS, [1, 2, np.nan, 4]])
    assert icc(more) == icc(TARGETS)
    assert icc_interval(more).n == 6
    assert (
        icc_bootstrap(more, clusters=list("abcdefg"), bootstrap=BootstrapConfig(resamples=9)).method
        == "bootstrap: 6 clusters"
    )
    missing: list[list[float | None]] = [[1, 2], [None, 3], [2, 2], [4, 5]]
    assert icc(missing) == icc([[1, 2], [2, 2], [4, 5]])


@pytest.mark.parametrize("ratings", [[[1.0, 2.0]], [[1.0], [2.0]], np.full((5, 3), 0.1), np.empty((0, 2))])
def test_nothing_to_compare_is_undefined(ratings: NDArray[np.float64]) -> None:
    for kind in ("A,1", "C,1"):
        assert math.isnan(icc(ratings, kind))
        assert str(icc_interval(ratings, kind)) == "undefined"
    assert math.isnan(variance_components(ratings).shares["item"])


def test_items_that_are_all_alike_leave_no_interval() -> None:
    found = icc_interval([[1, 2], [1, 2], [1, 2]])
    assert found.estimate == 0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_cluster_bootstrap_is_wider_where_items_hang_together() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(25), 8)
    level, spread = rng.normal(size=(25, 1)), rng.exponential(size=(25, 1))
    ratings = (level + spread * rng.normal(size=(25, 3)))[clusters] + 0.1 * rng.normal(size=(200, 3))
    bootstrap = BootstrapConfig(resamples=300)
    together, alone = (
        icc_bootstrap(ratings, clusters=clusters, bootstrap=bootstrap),
        icc_bootstrap(ratings, bootstrap=bootstrap),
    )
    assert together.estimate == alone.estimate == icc(ratings)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert (together.n, together.method) == (200, "bootstrap: 25 clusters")


def test_intervals_from_f_hold_the_truth_as_often_as_they_say() -> None:
    # Item, rater and residual variance 1, .25 and .75: ICC(A,1) is 1/2, ICC(C,1) 1/1.75.
    rng = np.random.default_rng(6)
    held = dict.fromkeys(("A,1", "C,1"), 0)
    for _ in range(400):
        rater = 0.5 * rng.normal(size=(1, 4))
        ratings = rng.normal(size=(30, 1)) + rater + math.sqrt(0.75) * rng.normal(size=(30, 4))
        for kind, truth in (("A,1", 1 / 2), ("C,1", 1 / 1.75)):
            found = icc_interval(ratings, kind)  # type: ignore[arg-type]
            held[kind] += found.low <= truth <= found.high
    # 400 draws: two standard errors around .95 are .928 to .972.
    assert all(0.925 <= count / 400 <= 0.98 for count in held.values()), held


def test_wrong_input_is_told() -> None:
    with pytest.raises(ConfigError, match="`kind`"):
        icc(TARGETS, "A,k")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"`ratings`"):
        icc([1, 2, 3])
    with pytest.raises(DataError, match="`ratings`"):
        icc([["good", "bad"]])
    with pytest.raises(DataError, match="`ratings`"):
        icc([["1", "2"], ["3", "4"]])
    with pytest.raises(DataError, match="infinite"):
        icc([[1.0, 2.0], [2.0, math.inf]])
    with pytest.raises(DataError, match="`clusters`"):
        icc_bootstrap(TARGETS, clusters=[1, 2])
    with pytest.raises(ConfigError, match="`level`"):
        icc_interval(TARGETS, level=95)
