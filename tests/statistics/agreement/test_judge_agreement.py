from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig, cohen_kappa, gwet_ac1, judge_agreement, krippendorff_alpha
from hf_synthlabels.statistics.agreement.chance_corrected import scott_pi
from hf_synthlabels.statistics.agreement.icc import icc
from hf_synthlabels.statistics.bootstrap import cluster_bootstrap
from hf_synthlabels.statistics.intervals import wilson
from tests.statistics.common import estimates

RNG = np.random.default_rng(0)
HUMAN = RNG.integers(1, 6, size=90).astype(float)
JUDGE = np.clip(HUMAN + RNG.integers(-1, 3, size=90), 1, 5)
PAIRS = np.column_stack([HUMAN, JUDGE])
CLUSTERS = np.arange(90) // 6
FEW = BootstrapConfig(resamples=100)


def test_coefficients_equal_those_of_their_own_functions() -> None:
    scales: tuple[Literal["ordinal", "interval"], ...] = ("ordinal", "interval")
    for scale in scales:
        intervals = judge_agreement(HUMAN, JUDGE, scale=scale, bootstrap=FEW)
        expected = {
            "coverage": 1.0,
            "pearson": stats.pearsonr(HUMAN, JUDGE).statistic,
            "spearman": stats.spearmanr(HUMAN, JUDGE).statistic,
            "kendall": stats.kendalltau(HUMAN, JUDGE).statistic,
            "weighted_kappa": cohen_kappa(HUMAN, JUDGE, "quadratic"),
            "icc": icc(PAIRS),
            "alpha": krippendorff_alpha(PAIRS, scale),
        }
        assert estimates(intervals) == pytest.approx(expected, abs=1e-9)
        assert all(each.low < each.estimate < each.high for each in list(intervals.values())[1:])
        assert {each.n for each in intervals.values()} == {90}
    human, judge = (["abcdef"[int(v)] for v in side] for side in (HUMAN, JUDGE))
    intervals = judge_agreement(human, judge, scale="nominal", bootstrap=FEW)
    accuracy = wilson(int((HUMAN == JUDGE).sum()), 90)
    expected = {"coverage": 1.0, "accuracy": accuracy.estimate, "kappa": cohen_kappa(human, judge)}
    expected |= {"scott_pi": scott_pi(PAIRS), "alpha": krippendorff_alpha(PAIRS), "ac1": gwet_ac1(PAIRS)}
    assert estimates(intervals) == pytest.approx(expected, abs=1e-9)
    assert intervals["accuracy"] == accuracy


def test_intervals_of_clusters_match_the_cluster_bootstrap() -> None:
    bootstrap = BootstrapConfig(resamples=3000)
    intervals = judge_agreement(HUMAN, JUDGE, scale="ordinal", clusters=CLUSTERS, bootstrap=bootstrap)
    for name, statistic in (
        ("alpha", lambda rows: krippendorff_alpha(PAIRS[rows], "ordinal")),
        ("spearman", lambda rows: float(stats.spearmanr(HUMAN[rows], JUDGE[rows]).statistic)),
    ):
        slow = cluster_bootstrap(statistic, CLUSTERS, BootstrapConfig(resamples=500, seed=1))
        assert intervals[name].estimate == pytest.approx(slow.estimate, abs=1e-9)
        assert (intervals[name].low, intervals[name].high) == pytest.approx((slow.low, slow.high), abs=0.04)
        assert (intervals[name].method, intervals[name].n) == ("bootstrap: 15 clusters", 90)


def test_repeated_rows_of_a_cluster_do_not_narrow_intervals() -> None:
    human, judge, clusters = (np.repeat(each, 10) for each in (HUMAN, JUDGE, np.arange(90)))
    many = judge_agreement(human, judge, scale="nominal", clusters=clusters, bootstrap=FEW)
    once = judge_agreement(HUMAN, JUDGE, scale="nominal", clusters=np.arange(90), bootstrap=FEW)
    assert many["kappa"].estimate == once["kappa"].estimate
    widths = [each["kappa"].high - each["kappa"].low for each in (many, once)]
    assert widths[0] == pytest.approx(widths[1], rel=0.25)
    assert many["accuracy"].method == "bootstrap: 90 clusters"


def test_unscored_rows_lower_only_coverage() -> None:
    human, judge = [*HUMAN, 3.0, 4.0, None], [*JUDGE, None, math.nan, 2.0]
    intervals = judge_agreement(human, judge, clusters=[*CLUSTERS, 0, 1, 2], bootstrap=FEW)
    plain = judge_agreement(HUMAN, JUDGE, clusters=CLUSTERS, bootstrap=FEW)
    assert intervals == {**plain, "coverage": wilson(90, 92)}


def test_nothing_to_compare_is_undefined() -> None:
    for scale in ("nominal", "ordinal", "interval"):
        for human, judge in (([], []), ([1.0, 2.0], [None, None]), ([1.0, 1.0], [1.0, 1.0])):
            alpha = judge_agreement(human, judge, scale=scale, bootstrap=FEW)["alpha"]  # type: ignore[arg-type]
            assert math.isnan(alpha.estimate)
            assert math.isnan(alpha.low)


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="`scale`"):
        judge_agreement(HUMAN, JUDGE, scale="likert")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"`human` has shape \(90,\) and `judge` \(1,\)"):
        judge_agreement(HUMAN, [1])
    with pytest.raises(DataError, match="`clusters`"):
        judge_agreement(HUMAN, JUDGE, clusters=[1])
    with pytest.raises(DataError, match="not numbers"):
        judge_agreement(["a"], ["b"])
