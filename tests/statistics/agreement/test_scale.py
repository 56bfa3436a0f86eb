from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.correlation import PAIR_SCORES
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import wilson
from tests.statistics.common import contains, estimates

FEW = BootstrapConfig(resamples=20)
# Errors 0, 1, 2, none.
HUMAN = [1.0, 2.0, 5.0, 4.0]
LLM = [1.0, 3.0, 3.0, None]


def scores(human: list[float], llm: list[float | None], **scale: float) -> dict[str, float]:
    return estimates(scale_agreement(human, llm, bootstrap=FEW, **scale).scores)  # type: ignore[arg-type]


def test_scores_of_four_rows_by_hand() -> None:
    intervals = scale_agreement(HUMAN, LLM, low=1, high=5, step=1, bootstrap=FEW).scores
    # Deviations: human (-5/3, -2/3, 7/3), LLM (-4/3, 2/3, 2/3).
    across, human, llm = 20 / 9 - 4 / 9 + 14 / 9, 25 / 9 + 4 / 9 + 49 / 9, 16 / 9 + 4 / 9 + 4 / 9
    expected = {
        "coverage": 3 / 4,
        "accuracy": 1 / 4,
        "accuracy_answered": 1 / 3,
        "within_one": 2 / 4,
        # The row without a prediction has human 4 on a scale of 1 to 5: the worst error is 3.
        "mae": (0 + 1 + 2 + 3) / 4,
        "mae_answered": 3 / 3,
        "rmse": math.sqrt((0 + 1 + 4 + 9) / 4),
        "rmse_answered": math.sqrt(5 / 3),
        "bias": (0 + 1 - 2) / 3,
        "pearson": across / math.sqrt(human * llm),
        "spearman": stats.spearmanr(HUMAN[:3], LLM[:3]).statistic,
        # Of three pairs two are concordant and one is tied in the LLM's.
        "kendall": 2 / math.sqrt(3 * 2),
        # 2 cov / (var + var + difference of means squared), all with divisor 3.
        "weighted_kappa": 2 * across / 3 / (human / 3 + llm / 3 + (1 / 3) ** 2),
    }
    assert list(intervals) == [*expected, "icc"]
    assert {name: intervals[name].estimate for name in expected} == pytest.approx(expected)
    assert intervals["accuracy"] == wilson(1, 4)
    of_all_rows = {name for name, interval in intervals.items() if interval.n == 4}
    assert of_all_rows == {"coverage", "accuracy", "within_one", "mae", "rmse"}
    assert all(interval.n == 3 for name, interval in intervals.items() if name not in of_all_rows)


def test_errors_are_upper_bounds_over_all_possible_missing_predictions() -> None:
    bounded = scores(HUMAN, LLM, low=1, high=5, step=1)
    for missing in range(1, 6):
        whole = scores(HUMAN, [*LLM[:3], float(missing)], low=1, high=5, step=1)
        assert bounded["mae_answered"] * bounded["coverage"] <= whole["mae"] <= bounded["mae"]
        assert whole["rmse"] <= bounded["rmse"]


def test_bias_has_students_interval() -> None:
    human, llm = [1.0, 2, 3, 4, 5], [2.0, 2, 4, 5, 5]
    bias = scale_agreement(human, llm, low=1, high=5, bootstrap=FEW).scores["bias"]
    theirs = stats.ttest_rel(llm, human).confidence_interval(0.95)
    assert (bias.low, bias.high) == pytest.approx((theirs.low, theirs.high))


def test_bias_of_one_cluster_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    human = rng.integers(0, 5, 40).astype(np.float64)
    llm = np.clip(human + rng.integers(-1, 2, 40), 0, 5)
    design = SamplingDesign(None, np.zeros(40, dtype=np.int64))
    options = {"low": 0, "high": 5, "bootstrap": FEW, "design": design}
    bias = scale_agreement(human.tolist(), llm.tolist(), **options).scores["bias"]  # type: ignore[arg-type]
    assert bias.estimate == pytest.approx(float((llm - human).mean()))
    assert math.isnan(bias.low)
    assert math.isnan(bias.high)


def test_scores_of_few_or_no_rows() -> None:
    two = scores([1, 2, 3], [1, 2, None], low=1, high=5)
    assert math.isnan(two["pearson"])
    assert math.isnan(two["icc"])
    assert two["mae"] == pytest.approx(2 / 3)
    assert math.isnan(scores([1, 2], [1, None], low=1, high=5)["bias"])
    assert all(math.isnan(value) for value in scores([], []).values())
    unanswered = scores([1, 5], [None, None], low=1, high=5, step=1)
    assert [unanswered[name] for name in ("coverage", "accuracy", "within_one", "mae")] == [0, 0, 0, 4]
    assert math.isnan(unanswered["mae_answered"])


def test_correlations_count_answered_rows_whatever_their_weight() -> None:
    human = np.arange(100) % 5 + 1.0
    llm = np.where(np.arange(100) % 3 == 0, human, np.maximum(1, human - 1))
    for answered, weight in ((2, 40.0), (8, 0.01)):
        # The answered rows have equal weights, so these are the values of the same rows without weights.
        plain = scores(human[:answered].tolist(), llm[:answered].tolist(), low=1, high=5)
        given = [float(value) if row < answered else None for row, value in enumerate(llm)]
        weights = np.where(np.arange(100) < answered, weight, 1.0)
        for clusters in (None, np.arange(100)):
            design = SamplingDesign(weights / weights.mean(), clusters)
            agreement = scale_agreement(human.tolist(), given, low=1, high=5, bootstrap=FEW, design=design)
            for name in PAIR_SCORES:
                interval = agreement.scores[name]
                assert interval.estimate == pytest.approx(plain[name], nan_ok=True), name
                assert math.isnan(interval.estimate) == math.isnan(interval.low) == (answered < 3), name


def test_thirty_correct_rows_do_not_give_certainty() -> None:
    numbers = [1.0, 2, 3, 4, 5] * 6
    intervals = scale_agreement(numbers, list(numbers), low=1, high=5, step=1).scores
    assert intervals["mae"].estimate == intervals["mae"].low == 0
    # 1.92 of 33.84 rows may be without a label, and then 2 to 4 off.
    assert intervals["mae"].high > 0.3
    assert 0.05 < intervals["mae_answered"].high < intervals["mae"].high
    for name in PAIR_SCORES:
        assert intervals[name].high == pytest.approx(1)
        assert intervals[name].low < 0.95


def test_bias_of_exact_ratings_allows_for_unobserved_errors() -> None:
    # 3% of all ratings are raised to 5: 50 rows often show none of them. The bias is .03 x mean(5 - rating) = .06.
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        human = rng.integers(1, 6, 50).astype(float)
        llm = np.where(rng.random(50) < 0.03, 5.0, human)
        few = BootstrapConfig(resamples=2)
        scores = scale_agreement(human.tolist(), llm.tolist(), low=1, high=5, bootstrap=few).scores
        covered += contains(scores["bias"], 0.06)
    assert covered >= 186


def test_the_scale_defaults_to_the_range_of_the_numbers() -> None:
    assert scores([2, 4], [None, 3])["mae"] == pytest.approx((2 + 1) / 2)
    assert scores([2, 4], [None, 3], low=0, high=10)["mae"] == pytest.approx((8 + 1) / 2)
    with pytest.raises(ConfigError, match="`scale`"):
        scale_agreement([3, 3], [3, None])
    with pytest.raises(DataError, match="`scale`"):
        scale_agreement([0, 3], [3, None], low=1, high=5)
    with pytest.raises(DataError, match="`human` has 1 rows and `llm` 2"):
        scale_agreement([3], [3, None])


def test_steps_are_matched_up_to_rounding() -> None:
    rounded = scores([0.3, 0.5], [0.1 + 0.2, 0.6], low=0, high=1, step=0.1)
    assert (rounded["accuracy"], rounded["within_one"]) == (1 / 2, 1)
    assert "within_one" not in scores([0.3, 0.5], [0.3, 0.6])
    for human, noted in ([1.5, 2], True), ([1.0, 2], False):
        agreement = scale_agreement(human, [1, 2], low=1, high=5, step=1, bootstrap=FEW)
        assert any("between the steps" in note for note in agreement.notes) == noted


def test_breakdown_shows_values_of_a_short_scale_and_ranges_of_a_long_one() -> None:
    (table,) = scale_agreement(HUMAN, LLM, low=1, high=5, step=1, bootstrap=FEW).breakdowns
    assert table.head == ("human \\ LLM", "1", "2", "3", "4", "5", "no label", "LLM mean")
    assert table.rows == (
        ("1", 1, 0, 0, 0, 0, 0, 1.0),
        ("2", 0, 0, 1, 0, 0, 0, 3.0),
        ("4", 0, 0, 0, 0, 0, 1, None),
        ("5", 0, 0, 1, 0, 0, 0, 3.0),
    )
    assert str(table).splitlines()[3].split() == ["4", "0", "0", "0", "0", "0", "1", "-"]
    # A few different values of a long scale are shown each.
    (table,) = scale_agreement([0, 19.9, 55, 100], [10, 20, None, 100], low=0, high=100, bootstrap=FEW).breakdowns
    assert table.head[1:-2] == ("0", "10", "19.9", "20", "55", "100")
    many = [float(value) for value in range(0, 101, 5)]
    (table,) = scale_agreement(many, [*many], low=0, high=100, bootstrap=FEW).breakdowns
    ranges = ("0 to 20", "20 to 40", "40 to 60", "60 to 80", "80 to 100")
    assert table.head[1:-2] == ranges == tuple(row[0] for row in table.rows)
    assert table.rows[0][1:] == (4, 0, 0, 0, 0, 0, 7.5)
