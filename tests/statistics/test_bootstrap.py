"""Bootstraps of rows and of clusters against scipy, formulas and simulation."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.agreement.answers import text_agreement
from hf_synthlabels.statistics.arrays import divided
from hf_synthlabels.statistics.bootstrap import (
    RowContributions,
    class_balanced_weights,
    cluster_bootstrap,
    row_intervals,
    score_of_sums,
)
from hf_synthlabels.statistics.intervals import wilson
from tests.statistics.common import contains

FEW = BootstrapConfig(resamples=50)
SHARE = {"share": score_of_sums(lambda sums: divided(sums[:, 0], sums[:, 1]))}


def share_interval(hits: list[int], **options: float) -> Interval:
    """The interval of a share of hits."""
    one, n = np.ones(len(hits)), max(len(hits), 1)
    parts = [np.column_stack([np.array(hits, dtype=float), one]), np.column_stack([one, one])]
    rows = RowContributions(parts[0], parts[1], np.column_stack([0 * one, one]), np.full(len(hits), 1 / n))
    return row_intervals(rows, SHARE, BootstrapConfig(**options), len(hits))["share"]  # type: ignore[arg-type]


def test_row_interval_of_a_share_is_that_of_agresti_and_coull() -> None:
    for level in (0.8, 0.95):
        z = NormalDist().inv_cdf((1 + level) / 2)
        for hits, n in ((50, 100), (90, 100), (30, 30), (0, 20), (7, 8)):
            center = (hits + z * z / 2) / (n + z * z)
            half = z * math.sqrt(center * (1 - center) / n)
            interval = share_interval([1] * hits + [0] * (n - hits), level=level, resamples=40_000)
            assert interval.estimate == hits / n
            # Theirs has n + z^2 rows in the root, and so is a little narrower.
            assert interval.low == pytest.approx(max(0, min(hits / n, center - half)), abs=0.005)
            assert interval.high == pytest.approx(min(1, max(hits / n, center + half)), abs=0.005)
            assert interval.low <= wilson(hits, n, level).low + 0.005
            assert interval.high >= wilson(hits, n, level).high - 0.005


def test_row_intervals_depend_on_the_seed_and_not_on_chunks() -> None:
    rows = [1, 0] * 20
    assert share_interval(rows, seed=1) == share_interval(rows, seed=1)
    assert share_interval(rows, seed=1) != share_interval(rows, seed=2)
    # 300 are more than one chunk holds.
    many = share_interval(rows, resamples=3000)
    assert share_interval(rows, resamples=300).low == pytest.approx(many.low, abs=0.03)
    nothing = share_interval([])
    assert (nothing.n, str(nothing)) == (0, "undefined")


def test_pseudo_rows_are_balanced_over_classes() -> None:
    # The first class is in rows 0 and 1, the second in row 1 only, the third in none.
    has = np.array([[1, 0, 0], [3, 1, 0], [0, 0, 0]], dtype=float)
    assert class_balanced_weights(has).tolist() == pytest.approx([1 / 4, 1 / 4 + 1 / 2, 0])
    assert class_balanced_weights(0 * has).tolist() == pytest.approx([1 / 3] * 3)


def test_invalid_configurations_are_refused() -> None:
    for options in ({"level": 95}, {"resamples": 0}):
        with pytest.raises(ConfigError, match=f"`{next(iter(options))}`"):
            BootstrapConfig(**options)


@pytest.mark.slow
def test_row_intervals_cover_the_true_value() -> None:
    # A text is correct with `share`, or else shares half of its words.
    for rows, share in ((30, 0.97), (150, 0.97), (50, 0.6)):
        truth, covered = share + (1 - share) * 0.5, 0
        for seed in range(200):
            correct = np.random.default_rng(seed).random(rows) < share
            answers = ["x y" if each else "x z" for each in correct]
            scores = text_agreement([["x y"]] * rows, answers, BootstrapConfig(resamples=400, seed=seed)).scores
            covered += contains(scores["token_f1"], truth)
        assert covered >= 200 * 0.91


def test_clusters_are_drawn_whole() -> None:
    clusters = np.array(["b", "a", "b", "c", "a", "b"])
    sizes = {"a": 2, "b": 3, "c": 1}

    def statistic(rows: NDArray[np.int64]) -> float:
        names, counts = np.unique(clusters[rows], return_counts=True)
        times = [count / sizes[name] for name, count in zip(names, counts, strict=True)]
        assert all(time == int(time) for time in times)
        assert sum(times) == 3
        # A cluster that is drawn twice brings each of its rows twice.
        for name, time in zip(names, times, strict=True):
            assert np.bincount(rows, minlength=6)[clusters == name].tolist() == [time] * sizes[name]
        return 1.0

    assert cluster_bootstrap(statistic, clusters, FEW).n == 6


def test_clusters_of_one_row_match_the_percentile_bootstrap_of_scipy() -> None:
    values = np.random.default_rng(3).normal(size=80)
    options = {"n_resamples": 20_000, "method": "percentile", "rng": np.random.default_rng(1)}
    theirs = stats.bootstrap((values,), np.mean, **options).confidence_interval
    ours = cluster_bootstrap(lambda rows: float(values[rows].mean()), np.arange(80), BootstrapConfig(resamples=20_000))
    assert ours.estimate == pytest.approx(values.mean(), abs=1e-12)
    # The standard error of a 2.5% point of 20,000 draws is about .02 standard errors of the mean.
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert (ours.n, ours.method, ours.level) == (80, "bootstrap: 80 clusters", 0.95)


def test_repeated_rows_of_a_cluster_add_nothing() -> None:
    once = np.random.default_rng(4).normal(size=30)
    many = np.repeat(once, 20)

    def interval(values: NDArray[np.float64], clusters: NDArray[np.int64], seed: int) -> tuple[float, float]:
        bootstrap = BootstrapConfig(resamples=300, seed=seed)
        found = cluster_bootstrap(lambda rows: float(values[rows].mean()), clusters, bootstrap)
        return found.low, found.high

    alone = interval(once, np.arange(30), 7)
    assert interval(many, np.repeat(np.arange(30), 20), 7) == pytest.approx(alone, abs=1e-12)
    assert interval(once, np.arange(30), 8) != alone == interval(once, np.arange(30), 7)


def test_undefined_statistics_have_no_limits() -> None:
    one_cluster = cluster_bootstrap(lambda _: 1.0, ["a", "a"], FEW)
    assert one_cluster.estimate == 1
    assert math.isnan(one_cluster.low)
    assert math.isnan(cluster_bootstrap(lambda _: math.nan, [1, 2, 3], FEW).low)
    nothing = cluster_bootstrap(lambda _: 1.0, [], FEW)
    assert (nothing.n, str(nothing)) == (0, "undefined")
    # Resamples without a value are left out.
    values = np.array([0.0, 1.0])
    partly = cluster_bootstrap(
        lambda rows: float(values[rows].mean()) if len(set(rows.tolist())) == 2 else math.nan, [0, 1], FEW
    )
    assert (partly.low, partly.high) == (0.5, 0.5)


def test_invalid_clusters_are_refused() -> None:
    mixed = np.array([1, "a"], dtype=object)
    for clusters in ([[1, 2], [3, 4]], ["a", None], [1.0, math.nan, math.nan], mixed):
        with pytest.raises(DataError, match="`clusters`"):
            cluster_bootstrap(lambda _: 1.0, clusters, FEW)  # type: ignore[arg-type]
