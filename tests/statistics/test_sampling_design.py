"""Clusters and strata: variances against textbook formulas, intervals against simulation and a slow loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig, validate
from hf_synthlabels.statistics.agreement.scale import _bias
from hf_synthlabels.statistics.agreement.weighted import weighted_share
from hf_synthlabels.statistics.bootstrap import UnitResampler
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import wilson
from tests.statistics.test_validation import Columns

EVERY = np.ones(12, dtype=np.bool_)
HITS = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0], dtype=np.bool_)
CLUSTERS = np.repeat(np.arange(4), 3)
STRATA = np.repeat([0, 1], 6)


def test_the_variance_of_a_total_by_hand() -> None:
    values = HITS.astype(float)
    # Clusters 3, 2, 0, 1: mean 1.5, squares 2.25 + .25 + 2.25 + .25 = 5, times 4 / 3.
    assert SamplingDesign(clusters=CLUSTERS).variance_of_total(values) == pytest.approx(20 / 3)
    # Within strata: (3, 2) and (0, 1) each vary by .5, times 2.
    assert SamplingDesign(clusters=CLUSTERS, strata=STRATA).variance_of_total(values) == pytest.approx(2)
    # Rows: each stratum's sum of squares 6 p (1 - p), times 6 / 5; p is 5/6 and 1/6.
    assert SamplingDesign(strata=STRATA).variance_of_total(values) == pytest.approx(2 * 6 * 5 / 36 * 6 / 5)
    # A stratum of one unit has no variance of its own; such strata are taken together.
    alone = SamplingDesign(clusters=CLUSTERS, strata=CLUSTERS)
    assert alone.variance_of_total(values) == SamplingDesign(clusters=CLUSTERS).variance_of_total(values)


def test_a_share_of_clusters_has_fewer_effective_rows() -> None:
    share, effective = SamplingDesign(clusters=CLUSTERS).effective_rows(HITS, EVERY, 0.95)
    # p (1 - p) / (20 / 3 / 144) = .25 x 21.6 = 5.4, less what Student's quantile of 3 degrees costs.
    ratio = stats.t.ppf(0.975, 3) / stats.norm.ppf(0.975) * math.sqrt(4 / 3)
    assert (share, effective) == pytest.approx((0.5, 5.4 / ratio**2))
    # Whole clusters of hits: four units.
    nothing = np.zeros(12, dtype=np.bool_)
    assert SamplingDesign(clusters=CLUSTERS).effective_rows(nothing, EVERY, 0.95)[1] == pytest.approx(4 / ratio**2)


def test_clusters_of_one_row_each_are_a_simple_random_sample() -> None:
    rng = np.random.default_rng(0)
    hits = rng.random(400) < 0.8
    share = weighted_share(hits, np.ones(400, dtype=np.bool_), SamplingDesign(clusters=np.arange(400)))
    plain = wilson(int(hits.sum()), 400)
    assert (share.low, share.high) == pytest.approx((plain.low, plain.high), abs=2e-3)


def test_drawn_units_have_the_moments_of_a_loop_over_clusters() -> None:
    rng = np.random.default_rng(3)
    cells = rng.integers(0, 3, size=60)
    clusters, strata = np.repeat(np.arange(20), 3), np.repeat([0, 1], 30)
    design = SamplingDesign(rng.uniform(0.5, 1.5, size=60), clusters, strata)
    assert design.weights is not None
    resampler = UnitResampler(cells, 3, np.zeros(3), design, 1.0)
    draws = np.concatenate(list(resampler.resample(BootstrapConfig(resamples=20_000, seed=1), 20_000)))
    loop = np.zeros((4000, 3))
    for draw in range(len(loop)):
        for stratum in range(2):
            for unit in rng.choice(np.arange(10) + 10 * stratum, 10):
                rows = clusters == unit
                loop[draw] += np.bincount(cells[rows], weights=design.weights[rows], minlength=3)
    assert draws.mean(axis=0) == pytest.approx(loop.mean(axis=0), rel=0.02)
    assert np.cov(draws.T) == pytest.approx(np.cov(loop.T), rel=0.12, abs=0.3)


def clustered(rng: np.random.Generator, clusters: int, size: int) -> tuple[list[str], list[str], list[int]]:
    """Labels of texts that share an author: the LLM is right in some authors' texts far more often."""
    human = rng.choice(["a", "b"], size=clusters * size, p=[0.7, 0.3])
    right = rng.random(clusters * size) < np.repeat(rng.beta(4 * 0.8, 4 * 0.2, size=clusters), size)
    llm = np.where(right, human, np.where(human == "a", "b", "a"))
    return human.tolist(), llm.tolist(), np.repeat(np.arange(clusters), size).tolist()


def test_validate_of_clusters_keeps_its_level() -> None:
    # 250 rows of 25 authors; rows taken one by one covered .79 to .83.
    rng, covered, rows_alone = np.random.default_rng(5), {"accuracy": 0, "kappa": 0}, 0
    truth = {"accuracy": 0.8, "kappa": (0.8 - 0.5248) / (1 - 0.5248)}
    for _ in range(150):
        human, llm, authors = clustered(rng, 25, 10)
        columns = Columns(label=human, llm_label=llm, author=authors)
        report = validate(columns, clusters="author", resamples=200)
        for name in covered:
            covered[name] += report.score(name).low <= truth[name] <= report.score(name).high
        alone = validate(columns, resamples=20).accuracy
        rows_alone += alone.low <= truth["accuracy"] <= alone.high
    assert covered["accuracy"] >= 150 * 0.90
    assert covered["kappa"] >= 150 * 0.90
    assert rows_alone < 150 * 0.90


@pytest.mark.parametrize("kind", ["multi-label", "text-scale", "text-generation"])
def test_every_kind_is_wider_with_clusters(kind: str) -> None:
    rng = np.random.default_rng(7)
    values: dict[str, tuple[Any, Any]] = {
        "multi-label": (["a"], ["b"]),
        "text-scale": (1.0, 3.0),
        "text-generation": ("red", "blue"),
    }
    first, second = values[kind]
    human = [first] * 120
    # All rows of a cluster are right, or all are wrong.
    llm = [first if right else second for right in np.repeat(rng.random(12) < 0.6, 10)]
    columns = Columns(label=human, llm_label=llm, place=np.repeat(np.arange(12), 10).tolist())
    plain = validate(columns, kind=kind, resamples=300)
    clustered = validate(columns, kind=kind, clusters="place", resamples=300)
    for name, score in clustered.scores.items():
        other = plain.score(name)
        if name != "coverage" and other.high > other.low and not math.isnan(score.low):
            assert score.high - score.low > 1.8 * (other.high - other.low), name
            assert "12 clusters" in score.method or "design" in score.method


def test_strata_narrow_what_they_explain() -> None:
    human = ["a"] * 200
    llm = ["a"] * 95 + ["b"] * 5 + ["a"] * 20 + ["b"] * 80
    columns = Columns(label=human, llm_label=llm, stratum=[0] * 100 + [1] * 100)
    plain, within = validate(columns, resamples=50).accuracy, validate(columns, strata="stratum", resamples=50).accuracy
    # Var: (.95 x .05 + .2 x .8) / 2 / 2 against .575 x .425, so the interval shrinks by about sqrt(.104 / .244).
    ratio = (within.high - within.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(math.sqrt((0.95 * 0.05 + 0.2 * 0.8) / 2 / (0.575 * 0.425)), abs=0.05)


def test_a_scored_row_needs_its_cluster() -> None:
    columns = Columns(label=["a", "b", None], llm_label=["a", "b", "b"], author=["x", None, None])
    with pytest.raises(DataError, match="`author`"):
        validate(columns, clusters="author")
    with pytest.raises(DataError, match="`writer`"):
        validate(columns, clusters="writer")
    whole = Columns(label=["a", "b", None], llm_label=["a", "b", "b"], author=["x", "y", None])
    assert validate(whole, clusters="author", resamples=20).n_human == 2


def test_drawing_is_reproducible_with_clusters() -> None:
    human, llm, authors = clustered(np.random.default_rng(1), 10, 5)
    columns = Columns(label=human, llm_label=llm, author=authors)
    assert BootstrapConfig().seed == 0
    assert validate(columns, clusters="author").to_dict() == validate(columns, clusters="author").to_dict()


def test_a_stratum_without_an_error_does_not_narrow_a_share() -> None:
    """100 of 100 right leave 3.7 % of errors possible in a stratum that holds 99.9 % of the population."""
    hits = np.repeat([True, True, False], [100, 5, 5])
    weights = np.repeat([99.0, 1.0], [100, 10])
    strata = np.repeat([0, 1], [100, 10])
    every = np.ones(110, dtype=np.bool_)
    _, rows = SamplingDesign(weights, None, strata).effective_rows(hits, every, 0.95)
    assert rows <= 110


def test_only_the_clusters_of_the_counted_rows_give_degrees_of_freedom() -> None:
    clusters = np.repeat(np.arange(50), 4)
    counted = clusters < 2
    hits = np.tile([True, False, True, True], 50)
    hits[4] = False
    whole = SamplingDesign(None, clusters, None).effective_rows(hits, counted, 0.95)
    alone = SamplingDesign(None, clusters[counted], None).effective_rows(hits[counted], counted[counted], 0.95)
    assert whole == pytest.approx(alone)


def test_one_cluster_gives_no_interval_of_the_bias() -> None:
    rng = np.random.default_rng(0)
    human = rng.integers(0, 5, 40).astype(np.float64)
    llm = np.clip(human + rng.integers(-1, 2, 40), 0, 5)
    bias = _bias(
        human, llm, 0.95, SamplingDesign(None, np.zeros(40, dtype=np.int64)), np.ones(40, dtype=np.bool_), (0.0, 5.0)
    )
    assert bias.estimate == pytest.approx(float((llm - human).mean()))
    assert math.isnan(bias.low)
    assert math.isnan(bias.high)
