from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.bootstrap import cluster_bootstrap, cluster_resamples

FEW = BootstrapConfig(resamples=50)


def one(rows: NDArray[np.int64]) -> float:
    return 1.0


def undefined(rows: NDArray[np.int64]) -> float:
    return math.nan


def test_whole_clusters_are_drawn() -> None:
    clusters = np.array(["b", "a", "b", "c", "a", "b"])
    for rows in cluster_resamples(clusters, FEW):
        names, counts = np.unique(clusters[rows], return_counts=True)
        sizes = {"a": 2, "b": 3, "c": 1}
        times = [count / sizes[name] for name, count in zip(names, counts, strict=True)]
        assert all(time == int(time) for time in times)
        assert sum(times) == 3
        # A cluster that is drawn twice brings each of its rows twice.
        assert all(counts_of % 1 == 0 for counts_of in np.bincount(rows) / np.gcd.reduce(np.bincount(rows)))


def test_clusters_of_one_row_match_the_percentile_bootstrap_of_scipy() -> None:
    values = np.random.default_rng(3).normal(size=80)
    ours = cluster_bootstrap(lambda rows: float(values[rows].mean()), np.arange(80), BootstrapConfig(resamples=20_000))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.estimate == pytest.approx(values.mean(), abs=1e-12)
    # Both are random: the standard error of a 2.5 % point of 20,000 draws is about .02 standard errors of the mean.
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert (ours.n, ours.method, ours.level) == (80, "bootstrap: 80 clusters", 0.95)


def test_rows_that_only_repeat_each_other_add_nothing() -> None:
    once = np.random.default_rng(4).normal(size=30)
    many = np.repeat(once, 20)
    bootstrap = BootstrapConfig(resamples=500, seed=7)
    alone = cluster_bootstrap(lambda rows: float(once[rows].mean()), np.arange(30), bootstrap)
    repeated = cluster_bootstrap(lambda rows: float(many[rows].mean()), np.repeat(np.arange(30), 20), bootstrap)
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_equal_inputs_give_equal_intervals_and_another_seed_another() -> None:
    values, clusters = np.random.default_rng(5).normal(size=40), np.arange(40) // 4

    def interval(seed: int) -> tuple[float, float]:
        found = cluster_bootstrap(
            lambda rows: float(values[rows].mean()), clusters, BootstrapConfig(resamples=99, seed=seed)
        )
        return found.low, found.high

    assert interval(0) == interval(0)
    assert interval(0) != interval(1)


def test_undefined_statistics_have_no_ends() -> None:
    one_cluster = cluster_bootstrap(one, ["a", "a"], FEW)
    assert one_cluster.estimate == 1
    assert math.isnan(one_cluster.low)
    assert math.isnan(cluster_bootstrap(undefined, [1, 2, 3], FEW).low)
    nothing = cluster_bootstrap(one, [], FEW)
    assert (nothing.n, str(nothing)) == (0, "undefined")
    assert list(cluster_resamples([], FEW)) == []


def test_resamples_without_a_value_are_left_out() -> None:
    values = np.array([0.0, 1.0])
    found = cluster_bootstrap(
        lambda rows: float(values[rows].mean()) if len(set(rows.tolist())) == 2 else math.nan, [0, 1], FEW
    )
    assert (found.low, found.high) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("clusters", "words"),
    [
        ([[1, 2], [3, 4]], r"`clusters`"),
        (["a", None], "`clusters`"),
        ([1.0, math.nan, math.nan], "`clusters`"),
        (np.array([1, "a"], dtype=object), "`clusters`"),
    ],
)
def test_clusters_that_are_none_are_refused(clusters: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        cluster_bootstrap(one, clusters, FEW)  # type: ignore[arg-type]
