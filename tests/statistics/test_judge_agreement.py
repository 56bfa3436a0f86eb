from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import (
    BootstrapConfig,
    Interval,
    cohen_kappa,
    gwet_ac1,
    judge_agreement,
    krippendorff_alpha,
)
from hf_synthlabels.statistics.bootstrap import cluster_bootstrap
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.statistics.raters.chance_corrected import scott_pi
from hf_synthlabels.statistics.raters.icc import icc

RNG = np.random.default_rng(0)
HUMAN = RNG.integers(1, 6, size=90).astype(float)
JUDGE = np.clip(HUMAN + RNG.integers(-1, 3, size=90), 1, 5)
PAIRS = np.column_stack([HUMAN, JUDGE])
CLUSTERS = np.arange(90) // 6
FEW = BootstrapConfig(resamples=100)


def estimates(found: dict[str, Interval]) -> dict[str, float]:
    return {name: interval.estimate for name, interval in found.items()}


@pytest.mark.parametrize("scale", ["ordinal", "interval"])
def test_coefficients_of_numbers_are_those_of_their_own_functions(scale: str) -> None:
    found = judge_agreement(HUMAN, JUDGE, scale=scale, bootstrap=FEW)  # type: ignore[arg-type]
    expected = {
        "coverage": 1.0,
        "pearson": stats.pearsonr(HUMAN, JUDGE).statistic,
        "spearman": stats.spearmanr(HUMAN, JUDGE).statistic,
        "kendall": stats.kendalltau(HUMAN, JUDGE).statistic,
        "weighted_kappa": cohen_kappa(HUMAN, JUDGE, "quadratic"),
        "icc": icc(PAIRS),
        "alpha": krippendorff_alpha(PAIRS, scale),  # type: ignore[arg-type]
    }
    assert estimates(found) == pytest.approx(expected, abs=1e-9)
    assert all(interval.low < interval.estimate < interval.high for interval in list(found.values())[1:])
    assert {interval.n for interval in found.values()} == {90}


def test_coefficients_of_names_are_those_of_their_own_functions() -> None:
    human, judge = (["abcdef"[int(v)] for v in side] for side in (HUMAN, JUDGE))
    found = judge_agreement(human, judge, scale="nominal", bootstrap=FEW)
    right = int((HUMAN == JUDGE).sum())
    expected = {
        "coverage": 1.0,
        "accuracy": right / 90,
        "kappa": cohen_kappa(human, judge),
        "scott_pi": scott_pi(PAIRS),
        "alpha": krippendorff_alpha(PAIRS),
        "ac1": gwet_ac1(PAIRS),
    }
    assert estimates(found) == pytest.approx(expected, abs=1e-9)
    assert found["accuracy"] == wilson(right, 90)


@pytest.mark.parametrize("name", ["spearman", "alpha"])
def test_clusters_are_drawn_whole(name: str) -> None:
    bootstrap = BootstrapConfig(resamples=3000)
    found = judge_agreement(HUMAN, JUDGE, scale="ordinal", clusters=CLUSTERS, bootstrap=bootstrap)[name]

    def statistic(rows: np.ndarray) -> float:
        if name == "alpha":
            return krippendorff_alpha(PAIRS[rows], "ordinal")
        return float(stats.spearmanr(HUMAN[rows], JUDGE[rows]).statistic)

    other = cluster_bootstrap(statistic, CLUSTERS, BootstrapConfig(resamples=1000, seed=1))
    assert found.estimate == pytest.approx(other.estimate, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.03)
    assert (found.method, found.n) == ("bootstrap: 15 clusters", 90)


def test_rows_that_repeat_each_other_are_not_more_rows() -> None:
    names = judge_agreement(
        np.repeat(HUMAN, 10),
        np.repeat(JUDGE, 10),
        scale="nominal",
        clusters=np.repeat(np.arange(90), 10),
        bootstrap=FEW,
    )
    once = judge_agreement(HUMAN, JUDGE, scale="nominal", clusters=np.arange(90), bootstrap=FEW)
    assert names["kappa"].estimate == once["kappa"].estimate
    widths = [each["kappa"].high - each["kappa"].low for each in (names, once)]
    assert widths[0] == pytest.approx(widths[1], rel=0.25)
    assert names["accuracy"].method == "bootstrap: 90 clusters"


def test_unscored_rows_lower_coverage_and_nothing_else() -> None:
    human, judge = [*HUMAN, 3.0, 4.0, None], [*JUDGE, None, math.nan, 2.0]
    found = judge_agreement(human, judge, clusters=[*CLUSTERS, 0, 1, 2], bootstrap=FEW)
    plain = judge_agreement(HUMAN, JUDGE, clusters=CLUSTERS, bootstrap=FEW)
    assert found.pop("coverage") == wilson(90, 92)
    plain.pop("coverage")
    assert found == plain


@pytest.mark.parametrize("scale", ["nominal", "ordinal", "interval"])
def test_nothing_to_compare_is_undefined(scale: str) -> None:
    for human, judge in (([], []), ([1.0, 2.0], [None, None]), ([1.0, 1.0], [1.0, 1.0])):
        found = judge_agreement(human, judge, scale=scale, bootstrap=FEW)  # type: ignore[arg-type]
        assert math.isnan(found["alpha"].estimate)
        assert math.isnan(found["alpha"].low)


def test_equal_inputs_give_equal_intervals() -> None:
    assert judge_agreement(HUMAN, JUDGE, bootstrap=FEW) == judge_agreement(HUMAN, JUDGE, bootstrap=FEW)


def test_wrong_input_is_told() -> None:
    with pytest.raises(ConfigError, match="`scale`"):
        judge_agreement(HUMAN, JUDGE, scale="likert")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"`human` has shape \(90,\) and `judge` \(1,\)"):
        judge_agreement(HUMAN, [1])
    with pytest.raises(DataError, match="`clusters`"):
        judge_agreement(HUMAN, JUDGE, clusters=[1])
    with pytest.raises(DataError, match="not numbers"):
        judge_agreement(["a"], ["b"])
