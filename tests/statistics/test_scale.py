from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement import correlation as rank_module
from hf_synthlabels.statistics.agreement.classification import KindAgreement
from hf_synthlabels.statistics.agreement.correlation import (
    pair_icc,
    quadratic_kappa,
    weighted_kendall,
    weighted_pearson,
    weighted_spearman,
)
from hf_synthlabels.statistics.agreement.scale import scale_agreement
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import wilson

FEW = BootstrapConfig(resamples=20)
PAIRS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=3, max_size=40)

# Errors 0, 1, 2, none.
HUMAN = [1.0, 2.0, 5.0, 4.0]
LLM = [1.0, 3.0, 3.0, None]


def scores(found: KindAgreement) -> dict[str, float]:
    return {name: interval.estimate for name, interval in found.scores.items()}


def one(values: NDArray[np.float64]) -> float:
    """The score of a single resample."""
    return float(values.item())


def test_four_rows_by_hand() -> None:
    found = scores(scale_agreement(HUMAN, LLM, low=1, high=5, step=1, bootstrap=FEW))
    assert list(found) == [
        *("coverage", "accuracy", "accuracy_answered", "within_one", "mae", "mae_answered", "rmse", "rmse_answered"),
        *("bias", "pearson", "spearman", "kendall", "weighted_kappa", "icc"),
    ]
    assert (found["coverage"], found["accuracy"], found["accuracy_answered"]) == (3 / 4, 1 / 4, 1 / 3)
    assert found["within_one"] == 2 / 4
    # The row without a prediction has human 4 on a scale of 1 to 5: at worst it had been 3 off.
    assert found["mae"] == pytest.approx((0 + 1 + 2 + 3) / 4)
    assert found["rmse"] == pytest.approx(math.sqrt((0 + 1 + 4 + 9) / 4))
    assert found["mae_answered"] == pytest.approx(3 / 3)
    assert found["rmse_answered"] == pytest.approx(math.sqrt(5 / 3))
    assert found["bias"] == pytest.approx((0 + 1 - 2) / 3)
    # Deviations: human (-5/3, -2/3, 7/3), LLM (-4/3, 2/3, 2/3).
    across, human, llm = 20 / 9 - 4 / 9 + 14 / 9, 25 / 9 + 4 / 9 + 49 / 9, 16 / 9 + 4 / 9 + 4 / 9
    assert found["pearson"] == pytest.approx(across / math.sqrt(human * llm))
    # Of three pairs two are concordant and one is tied in the LLM's.
    assert found["kendall"] == pytest.approx(2 / math.sqrt(3 * 2))
    # 2 cov / (var + var + difference of means squared), all with divisor 3.
    assert found["weighted_kappa"] == pytest.approx(2 * across / 3 / (human / 3 + llm / 3 + (1 / 3) ** 2))


def test_denominators_are_told() -> None:
    found = scale_agreement(HUMAN, LLM, low=1, high=5, step=1, bootstrap=FEW).scores
    whole = {name for name, interval in found.items() if interval.n == 4}
    assert whole == {"coverage", "accuracy", "within_one", "mae", "rmse"}
    assert all(interval.n == 3 for name, interval in found.items() if name not in whole)
    assert found["accuracy"] == wilson(1, 4)


def test_worst_errors_bound_the_error_whatever_the_missing_prediction_was() -> None:
    found = scores(scale_agreement(HUMAN, LLM, low=1, high=5, step=1, bootstrap=FEW))
    for missing in range(1, 6):
        whole = scores(scale_agreement(HUMAN, [*LLM[:3], float(missing)], low=1, high=5, step=1, bootstrap=FEW))
        assert found["mae_answered"] * found["coverage"] <= whole["mae"] <= found["mae"]
        assert whole["rmse"] <= found["rmse"]


@settings(deadline=None)
@given(PAIRS)
def test_correlations_match_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    counts = np.ones((1, len(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [test(x, y).statistic for test in (stats.pearsonr, stats.spearmanr, stats.kendalltau)]
    ours = [one(test(counts, x, y)) for test in (weighted_pearson, weighted_spearman, weighted_kendall)]
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@settings(deadline=None)
@given(PAIRS)
def test_quadratic_kappa_matches_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    ours = one(quadratic_kappa(np.ones((1, len(x))), x.astype(float), y.astype(float)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = metrics.cohen_kappa_score(x, y, weights="quadratic", labels=[1, 2, 3, 4, 5])
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def textbook_icc(table: np.ndarray) -> float:
    """ICC(A,1) from the sums of squares of a two-way analysis of variance, as McGraw and Wong (1996) write it."""
    n, k = table.shape
    grand = table.mean()
    total = sum((table[i, j] - grand) ** 2 for i in range(n) for j in range(k))
    rows = k * sum((table[i].mean() - grand) ** 2 for i in range(n))
    raters = n * sum((table[:, j].mean() - grand) ** 2 for j in range(k))
    msr, msc, mse = rows / (n - 1), raters / (k - 1), (total - rows - raters) / ((n - 1) * (k - 1))
    return float((msr - mse) / (msr + (k - 1) * mse + k / n * (msc - mse)))


@settings(deadline=None)
@given(PAIRS)
def test_icc_matches_the_analysis_of_variance(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs, dtype=float)
    if len(np.unique(table)) == 1:
        assert math.isnan(one(pair_icc(np.ones((1, len(table))), table[:, 0], table[:, 1])))
        return
    ours = one(pair_icc(np.ones((1, len(table))), table[:, 0], table[:, 1]))
    assert ours == pytest.approx(textbook_icc(table), abs=1e-9)


def test_icc_of_shrout_and_fleiss() -> None:
    # Their table (1979) has four judges, for whom ICC(2,1) is .29; of two of them the textbook's formula is ours.
    table = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
    assert round(textbook_icc(table), 2) == 0.29
    two = table[:, [0, 3]]
    assert one(pair_icc(np.ones((1, 6)), two[:, 0], two[:, 1])) == pytest.approx(textbook_icc(two))


SCORES = (weighted_pearson, weighted_spearman, weighted_kendall, quadratic_kappa, pair_icc)


@pytest.mark.parametrize("score", SCORES)
def test_how_often_a_pair_is_drawn_counts_as_that_many_rows(score: object) -> None:
    x, y = np.array([1.0, 2, 3, 5]), np.array([1.0, 3, 2, 4])
    counts = np.array([[2, 1, 3, 1], [1, 0, 2, 4]])
    ours = score(counts, x, y)  # type: ignore[operator]
    for row, value in zip(counts, ours, strict=True):
        repeated = score(np.ones((1, row.sum())), np.repeat(x, row), np.repeat(y, row))  # type: ignore[operator]
        assert value == pytest.approx(repeated.item())


def test_kendall_of_many_distinct_pairs_takes_another_way_to_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60)).round(1)
    counts = rng.multinomial(60, np.full(60, 1 / 60), size=5)
    at_once = weighted_kendall(counts, x, y)
    monkeypatch.setattr(rank_module, "MAX_PAIRS", 10)
    np.testing.assert_allclose(weighted_kendall(counts, x, y), at_once)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("value", [3.0, 0.1, 1e6])
def test_nothing_is_said_when_all_numbers_are_the_same(score: object, value: float) -> None:
    same = np.full(7, value)
    assert math.isnan(score(np.ones((1, 7)), same, same).item())  # type: ignore[operator]
    weights = np.random.default_rng(0).random((50, 7))
    assert np.isnan(score(weights, same, same)).all()  # type: ignore[operator]


def test_bias_has_students_interval() -> None:
    human, llm = [1.0, 2, 3, 4, 5], [2.0, 2, 4, 5, 5]
    bias = scale_agreement(human, llm, low=1, high=5, bootstrap=FEW).scores["bias"]
    theirs = stats.ttest_rel(llm, human).confidence_interval(0.95)
    assert (bias.low, bias.high) == pytest.approx((theirs.low, theirs.high))


def test_few_answered_rows_say_nothing_of_correlation() -> None:
    found = scores(scale_agreement([1, 2, 3], [1, 2, None], low=1, high=5, bootstrap=FEW))
    assert math.isnan(found["pearson"])
    assert math.isnan(found["icc"])
    assert found["mae"] == pytest.approx(2 / 3)
    assert math.isnan(scores(scale_agreement([1, 2], [1, None], low=1, high=5, bootstrap=FEW))["bias"])


CORRELATIONS = ("pearson", "spearman", "kendall", "weighted_kappa", "icc")


@pytest.mark.parametrize("clusters", [None, np.arange(100)])
@pytest.mark.parametrize(("answered", "weight"), [(2, 40.0), (8, 0.01)])
def test_answered_rows_are_counted_however_much_they_weigh(
    answered: int, weight: float, clusters: NDArray[np.int64] | None
) -> None:
    human = np.arange(100) % 5 + 1.0
    llm = np.where(np.arange(100) % 3 == 0, human, np.maximum(1, human - 1))
    given = [float(value) if row < answered else None for row, value in enumerate(llm)]
    weights = np.where(np.arange(100) < answered, weight, 1.0)
    design = SamplingDesign(weights / weights.mean(), clusters)
    found = scale_agreement(human.tolist(), given, low=1, high=5, bootstrap=FEW, design=design).scores
    # The answered rows weigh the same, so these are the values of the same rows without weights.
    plain = scale_agreement(human[:answered].tolist(), llm[:answered].tolist(), low=1, high=5, bootstrap=FEW).scores
    for name in CORRELATIONS:
        assert found[name].estimate == pytest.approx(plain[name].estimate, nan_ok=True), name
        assert math.isnan(found[name].estimate) == (answered < 3), name
        assert math.isnan(found[name].low) == (answered < 3), name


def test_no_rows_and_no_answers_are_undefined_or_worst() -> None:
    assert all(math.isnan(value) for value in scores(scale_agreement([], [], bootstrap=FEW)).values())
    found = scores(scale_agreement([1, 5], [None, None], low=1, high=5, step=1, bootstrap=FEW))
    assert (found["coverage"], found["accuracy"], found["within_one"], found["mae"]) == (0, 0, 0, 4)
    assert math.isnan(found["mae_answered"])


def test_thirty_right_rows_do_not_promise_perfection() -> None:
    numbers = [1.0, 2, 3, 4, 5] * 6
    found = scale_agreement(numbers, list(numbers), low=1, high=5, step=1).scores
    assert found["mae"].estimate == found["mae"].low == 0
    # 1.92 of 33.84 rows may be without a label, and then 2 to 4 off.
    assert found["mae"].high > 0.3
    assert 0.05 < found["mae_answered"].high < found["mae"].high
    for name in ("pearson", "spearman", "kendall", "weighted_kappa", "icc"):
        assert found[name].high == pytest.approx(1)
        assert found[name].low < 0.95


def test_ends_of_the_scale_are_those_that_occur_unless_given() -> None:
    assert scores(scale_agreement([2, 4], [None, 3], bootstrap=FEW))["mae"] == pytest.approx((2 + 1) / 2)
    assert scores(scale_agreement([2, 4], [None, 3], low=0, high=10, bootstrap=FEW))["mae"] == pytest.approx(
        (8 + 1) / 2
    )
    with pytest.raises(ConfigError, match="`scale`"):
        scale_agreement([3, 3], [3, None])
    with pytest.raises(DataError, match="`scale`"):
        scale_agreement([0, 3], [3, None], low=1, high=5)
    with pytest.raises(DataError, match="`human` has 1 rows and `llm` 2"):
        scale_agreement([3], [3, None])


def test_steps_are_met_but_for_rounding() -> None:
    found = scores(scale_agreement([0.3, 0.5], [0.1 + 0.2, 0.6], low=0, high=1, step=0.1, bootstrap=FEW))
    assert (found["accuracy"], found["within_one"]) == (1 / 2, 1)
    assert "within_one" not in scale_agreement([0.3, 0.5], [0.3, 0.6], bootstrap=FEW).scores


def test_table_of_a_short_scale_shows_every_value() -> None:
    (table,) = scale_agreement(HUMAN, LLM, low=1, high=5, step=1, bootstrap=FEW).breakdowns
    assert table.head == ("human \\ LLM", "1", "2", "3", "4", "5", "no label", "LLM mean")
    assert table.rows == (
        ("1", 1, 0, 0, 0, 0, 0, 1.0),
        ("2", 0, 0, 1, 0, 0, 0, 3.0),
        ("4", 0, 0, 0, 0, 0, 1, None),
        ("5", 0, 0, 1, 0, 0, 0, 3.0),
    )
    lines = str(table).splitlines()
    assert lines[3].split() == ["4", "0", "0", "0", "0", "0", "1", "-"]


def test_table_of_a_long_scale_shows_ranges() -> None:
    (table,) = scale_agreement([0, 19.9, 55, 100], [10, 20, None, 100], low=0, high=100, bootstrap=FEW).breakdowns
    ranges = ("0 to 20", "20 to 40", "40 to 60", "60 to 80", "80 to 100")
    # Of few different values each is shown.
    assert table.head[1:-2] == ("0", "10", "19.9", "20", "55", "100")
    many = [float(value) for value in range(0, 101, 5)]
    (table,) = scale_agreement(many, [*many], low=0, high=100, bootstrap=FEW).breakdowns
    assert table.head[1:-2] == ranges
    assert [row[0] for row in table.rows] == list(ranges)
    assert table.rows[0][1:] == (4, 0, 0, 0, 0, 0, 7.5)


def test_means_of_several_people_are_said_to_lie_between_the_steps() -> None:
    between = scale_agreement([1.5, 2], [1, 2], low=1, high=5, step=1, bootstrap=FEW)
    assert any("between the steps" in note for note in between.notes)
    assert not any("between the steps" in note for note in scale_agreement(HUMAN, LLM, step=1, bootstrap=FEW).notes)
