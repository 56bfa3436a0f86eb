from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.correlation import pair_icc
from hf_synthlabels.statistics.agreement.icc import ICCKind, icc, icc_bootstrap, icc_interval, variance_components
from tests.statistics.common import contains

KINDS: tuple[ICCKind, ...] = ("A,1", "C,1")
# Four judges of six targets: Shrout and Fleiss (1979), table 2. They print ICC(2,1) = .29 and ICC(3,1) = .71.
TARGETS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
TWENTY = np.array(
    [
        *([0.0, 2.0, -1.5], [0.2, 1.3, -1.0], [-0.1, 0.2, -0.8], [0.3, -0.4, -1.1], [-0.7, 0.5, -1.3]),
        *([0.7, 0.2, -0.8], [2.1, 3.3, -1.0], [2.5, 2.8, 0.7], [-0.4, -0.5, -0.2], [0.7, 1.0, -1.0]),
        *([-0.3, -1.3, -1.6], [0.7, -0.7, -0.6], [-1.9, -1.1, -4.5], [-0.9, -0.2, -2.4], [0.5, -1.2, -1.9]),
        *([-1.0, 1.4, -0.4], [0.1, -2.2, -1.5], [0.4, 1.2, -1.9], [2.2, -0.4, -1.2], [2.0, 1.6, 2.0]),
    ]
)


def test_icc_and_its_interval_match_pingouin() -> None:
    # Estimate and limits by intraclass_corr of pingouin 0.7.0.
    for ratings, kind, expected in (
        (TARGETS, "A,1", (0.289763779527559, 0.01878651337471, 0.76108436964895)),
        (TARGETS, "C,1", (0.714840714840715, 0.34246476503393, 0.94585825995536)),
        (TWENTY, "A,1", (0.360308205228778, 0.06513008810583, 0.64476550405096)),
        (TWENTY, "C,1", (0.507587108291625, 0.23918084508772, 0.74109641275945)),
    ):
        interval = icc_interval(ratings, kind)  # type: ignore[arg-type]
        assert (interval.estimate, interval.low, interval.high) == pytest.approx(expected, abs=1e-9)
        assert icc(ratings, kind) == interval.estimate  # type: ignore[arg-type]
        assert (interval.n, interval.method) == (len(ratings), "F")


def test_a_rater_who_is_always_one_higher_disagrees_but_is_consistent() -> None:
    ratings = np.array([[1.0, 2], [2, 3], [3, 4]])
    # Item variance 1, rater variance 1/2, no residual: 1 / 1.5.
    assert icc(ratings, "A,1") == pytest.approx(2 / 3)
    interval = icc_interval(ratings, "C,1")
    assert (interval.estimate, interval.low, interval.high) == (1, 1, 1)


def test_variance_components_by_hand() -> None:
    # Mean squares of Shrout and Fleiss: targets 11.24, judges 32.49, residual 1.02.
    components = variance_components(TARGETS)
    msr, msc, mse = 56.208333333333 / 5, 97.458333333333 / 3, 15.291666666667 / 15
    expected = ((msr - mse) / 4, (msc - mse) / 6, mse)
    assert (components.item, components.rater, components.residual) == pytest.approx(expected, abs=1e-9)
    assert icc(TARGETS) == pytest.approx(components.item / sum(expected), abs=1e-9)
    assert icc(TARGETS, "C,1") == pytest.approx(components.item / (components.item + components.residual), abs=1e-12)
    assert sum(components.shares.values()) == pytest.approx(1)
    assert components.n == 6
    # All items have the same mean, all raters too: 2/3 is left, -1/3 of it for items, -1/6 for raters.
    negative = variance_components([[1, 2], [2, 1], [1, 2], [2, 1]])
    assert (negative.item, negative.rater, negative.residual) == pytest.approx((-1 / 3, -1 / 6, 2 / 3))
    assert negative.shares == {"item": 0, "rater": 0, "residual": 1}


def test_icc_of_two_raters_is_that_of_pairs() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 50))
    expected = pair_icc(np.ones((1, 50)), x, x + y).item()
    assert icc(np.column_stack([x, x + y])) == pytest.approx(expected, abs=1e-12)


def test_items_with_a_missing_rating_are_left_out() -> None:
    more = np.vstack([TARGETS, [1, 2, np.nan, 4]])
    assert icc(more) == icc(TARGETS)
    assert icc_interval(more).n == 6
    few = BootstrapConfig(resamples=9)
    assert icc_bootstrap(more, clusters=list("abcdefg"), bootstrap=few).method == "bootstrap: 6 clusters"
    missing: list[list[float | None]] = [[1, 2], [None, 3], [2, 2], [4, 5]]
    assert icc(missing) == icc([[1, 2], [2, 2], [4, 5]])


def test_nothing_to_compare_is_undefined() -> None:
    for ratings in ([[1.0, 2.0]], [[1.0], [2.0]], np.full((5, 3), 0.1), np.empty((0, 2))):
        for kind in KINDS:
            assert math.isnan(icc(ratings, kind))
            assert str(icc_interval(ratings, kind)) == "undefined"
        assert math.isnan(variance_components(ratings).shares["item"])
    alike = icc_interval([[1, 2], [1, 2], [1, 2]])
    assert alike.estimate == 0
    assert math.isnan(alike.low)
    assert math.isnan(alike.high)


def test_cluster_bootstrap_is_wider_for_correlated_items() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(25), 8)
    level, spread = rng.normal(size=(25, 1)), rng.exponential(size=(25, 1))
    ratings = (level + spread * rng.normal(size=(25, 3)))[clusters] + 0.1 * rng.normal(size=(200, 3))
    bootstrap = BootstrapConfig(resamples=300)
    clustered = icc_bootstrap(ratings, clusters=clusters, bootstrap=bootstrap)
    by_items = icc_bootstrap(ratings, bootstrap=bootstrap)
    assert clustered.estimate == by_items.estimate == icc(ratings)
    assert clustered.high - clustered.low > 1.5 * (by_items.high - by_items.low)
    assert (clustered.n, clustered.method) == (200, "bootstrap: 25 clusters")


def test_f_intervals_cover_the_true_value() -> None:
    # Item, rater and residual variance 1, .25 and .75: ICC(A,1) is 1/2, ICC(C,1) 1/1.75.
    rng = np.random.default_rng(6)
    covered = dict.fromkeys(KINDS, 0)
    for _ in range(400):
        rater = 0.5 * rng.normal(size=(1, 4))
        ratings = rng.normal(size=(30, 1)) + rater + math.sqrt(0.75) * rng.normal(size=(30, 4))
        for kind, truth in zip(KINDS, (1 / 2, 1 / 1.75), strict=True):
            covered[kind] += contains(icc_interval(ratings, kind), truth)
    # 400 draws: two standard errors around .95 are .928 to .972.
    assert all(0.925 <= count / 400 <= 0.98 for count in covered.values()), covered


def test_invalid_arguments_are_refused() -> None:
    invalid: list[Any] = [[1, 2, 3], [["good", "bad"]], [["1", "2"], ["3", "4"]], [[1.0, 2.0], [2.0, math.inf]]]
    for ratings in invalid:
        with pytest.raises(DataError, match="`ratings`"):
            icc(ratings)
    with pytest.raises(DataError, match="`clusters`"):
        icc_bootstrap(TARGETS, clusters=[1, 2])
    with pytest.raises(ConfigError, match="`kind`"):
        icc(TARGETS, "A,k")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`level`"):
        icc_interval(TARGETS, level=95)
