"""Clusters, strata and weights: variances against textbook formulas, resamples against a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.bootstrap import unit_resamples
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval, weighted_mean
from hf_synthlabels.statistics.intervals import wilson

EVERY = np.ones(12, dtype=np.bool_)
HITS = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0], dtype=np.bool_)
CLUSTERS = np.repeat(np.arange(4), 3)
STRATA = np.repeat([0, 1], 6)


def test_variance_of_a_total_by_hand() -> None:
    values = HITS.astype(float)
    # Clusters 3, 2, 0, 1: mean 1.5, squares 2.25 + .25 + 2.25 + .25 = 5, times 4 / 3.
    assert SamplingDesign(clusters=CLUSTERS).variance_of_total(values) == pytest.approx(20 / 3)
    # Within strata: (3, 2) and (0, 1) each vary by .5, times 2.
    assert SamplingDesign(clusters=CLUSTERS, strata=STRATA).variance_of_total(values) == pytest.approx(2)
    # Rows: each stratum's sum of squares 6 p (1 - p), times 6 / 5; p is 5/6 and 1/6.
    assert SamplingDesign(strata=STRATA).variance_of_total(values) == pytest.approx(2 * 6 * 5 / 36 * 6 / 5)
    # Strata of one unit have no variance of their own, and are merged.
    alone = SamplingDesign(clusters=CLUSTERS, strata=CLUSTERS)
    assert alone.variance_of_total(values) == SamplingDesign(clusters=CLUSTERS).variance_of_total(values)


def test_effective_rows_of_clusters_by_hand() -> None:
    share, effective = SamplingDesign(clusters=CLUSTERS).effective_rows(HITS, EVERY, 0.95)
    # p (1 - p) / (20 / 3 / 144) = .25 x 21.6 = 5.4, less the effect of Student's quantile of 3 degrees.
    ratio = stats.t.ppf(0.975, 3) / stats.norm.ppf(0.975) * math.sqrt(4 / 3)
    assert (share, effective) == pytest.approx((0.5, 5.4 / ratio**2))
    # Without hits: four units.
    assert SamplingDesign(clusters=CLUSTERS).effective_rows(~EVERY, EVERY, 0.95)[1] == pytest.approx(4 / ratio**2)


def test_a_stratum_without_an_error_does_not_narrow_a_share() -> None:
    # 100 of 100 correct leave 3.7% of errors possible in a stratum that holds 99.9% of the population.
    hits = np.repeat([True, True, False], [100, 5, 5])
    design = SamplingDesign(np.repeat([99.0, 1.0], [100, 10]), None, np.repeat([0, 1], [100, 10]))
    assert design.effective_rows(hits, np.ones(110, dtype=np.bool_), 0.95)[1] <= 110


def test_only_clusters_of_counted_rows_give_degrees_of_freedom() -> None:
    clusters = np.repeat(np.arange(50), 4)
    counted = clusters < 2
    hits = np.tile([True, False, True, True], 50)
    hits[4] = False
    whole = SamplingDesign(None, clusters, None).effective_rows(hits, counted, 0.95)
    alone = SamplingDesign(None, clusters[counted], None).effective_rows(hits[counted], counted[counted], 0.95)
    assert whole == pytest.approx(alone)


def test_share_interval_of_weights_and_of_single_row_clusters() -> None:
    hits = np.random.default_rng(0).random(400) < 0.8
    plain = wilson(int(hits.sum()), 400)
    single = share_interval(hits, None, SamplingDesign(clusters=np.arange(400)))
    assert (single.low, single.high) == pytest.approx((plain.low, plain.high), abs=2e-3)
    assert share_interval(hits, None, None) == share_interval(hits, None, SamplingDesign()) == plain
    weighted = share_interval(np.array([True, False, True]), None, SamplingDesign(np.array([2.0, 4.0, 2.0])))
    assert weighted.estimate == 0.5
    assert 0 < weighted.low < 0.5 < weighted.high < 1
    nobody = np.zeros(2, dtype=np.bool_)
    assert share_interval(nobody, nobody, SamplingDesign(np.ones(2))).n == 0


def test_weighted_mean_has_a_linearized_variance() -> None:
    # (0 + 3) / 4; variance (0.75^2 + (3 x 0.25)^2) / 16 x 2 / 1 = 0.140625, which is 0.375^2; 1.96 x 0.375 = 0.735.
    mean = weighted_mean(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    assert (mean.estimate, mean.low, mean.high, mean.n) == pytest.approx((0.75, 0.015, 1.0, 2), abs=1e-3)
    one = weighted_mean(np.array([0.4]), np.array([2.0]))
    assert (one.estimate, one.low, one.high) == (0.4, 0.0, 1.0)
    assert math.isnan(weighted_mean(np.zeros(0), np.zeros(0)).estimate)


def test_unit_resamples_have_the_moments_of_a_loop_over_clusters() -> None:
    rng = np.random.default_rng(3)
    cells = rng.integers(0, 3, size=60)
    clusters, strata = np.repeat(np.arange(20), 3), np.repeat([0, 1], 30)
    weights = rng.uniform(0.5, 1.5, size=60)
    design = SamplingDesign(weights, clusters, strata)
    bootstrap = BootstrapConfig(resamples=20_000, seed=1)
    draws = np.concatenate(list(unit_resamples(cells, np.zeros(3), cells == 0, design, bootstrap, 20_000)))
    loop = np.zeros((3000, 3))
    for draw in loop:
        for stratum in range(2):
            for unit in rng.choice(np.arange(10) + 10 * stratum, 10):
                rows = clusters == unit
                draw += np.bincount(cells[rows], weights=weights[rows], minlength=3)
    assert draws.mean(axis=0) == pytest.approx(loop.mean(axis=0), rel=0.02)
    assert np.cov(draws.T) == pytest.approx(np.cov(loop.T), rel=0.12, abs=0.3)
