from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.statistics.agreement.confusion import (
    METRICS,
    ConfusionMatrix,
    accuracy,
    accuracy_answered,
    confusion_counts,
    coverage,
    f1,
    kappa,
    macro_f1,
    precision,
    recall,
    score,
    support,
    weighted_f1,
)

ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["a", "b", "c", "d", None])), min_size=1, max_size=60
)

# Human a: 6 rows (4 right, 1 b, 1 none); human b: 4 rows (1 a, 3 right); c never occurs.
COUNTS = np.array([[4, 1, 0, 1], [1, 3, 0, 0], [0, 0, 0, 0]])


def test_scores_of_ten_rows_by_hand() -> None:
    assert accuracy(COUNTS) == pytest.approx(7 / 10)
    assert accuracy_answered(COUNTS) == pytest.approx(7 / 9)
    assert coverage(COUNTS) == pytest.approx(9 / 10)
    assert support(COUNTS).tolist() == [6, 4, 0]
    # precision: a 4/(4+1), b 3/(1+3); recall: a 4/6 (the row without a prediction is a miss), b 3/4
    np.testing.assert_allclose(precision(COUNTS), [4 / 5, 3 / 4, np.nan])
    np.testing.assert_allclose(recall(COUNTS), [4 / 6, 3 / 4, np.nan])
    # F1: a 2·4/(5+6), b 2·3/(4+4)
    np.testing.assert_allclose(f1(COUNTS), [8 / 11, 6 / 8, np.nan])
    # c never occurs: the mean is over a and b
    assert macro_f1(COUNTS) == pytest.approx((8 / 11 + 6 / 8) / 2)
    assert weighted_f1(COUNTS) == pytest.approx((6 * 8 / 11 + 4 * 6 / 8) / 10)
    # kappa on the 9 answered: po = 7/9; pe = (5·5 + 4·4)/81 = 41/81; (63 - 41)/(81 - 41) = 22/40
    assert kappa(COUNTS) == pytest.approx(22 / 40)


def test_macro_f1_over_named_classes_counts_an_absent_one_as_zero() -> None:
    assert macro_f1(COUNTS, np.array([True, True, True])) == pytest.approx((8 / 11 + 6 / 8) / 3)


def test_macro_f1_counts_a_class_that_is_only_predicted() -> None:
    # F1: a 2·1/(1+2) = 2/3, b (predicted once, never human) 0
    assert macro_f1(np.array([[1, 1, 0], [0, 0, 0]])) == pytest.approx(1 / 3)


def test_no_rows_gives_nan_for_every_score() -> None:
    empty = np.zeros((2, 3), dtype=np.int64)
    assert all(math.isnan(score(metric, empty)) for metric in METRICS)
    assert math.isnan(coverage(empty))


def test_no_prediction_at_all_gives_zero_and_an_undefined_kappa() -> None:
    counts = np.array([[0, 0, 3], [0, 0, 2]])
    assert [score(metric, counts) for metric in ("accuracy", "macro_f1", "weighted_f1")] == [0, 0, 0]
    assert math.isnan(kappa(counts))
    assert math.isnan(accuracy_answered(counts))


def test_kappa_of_one_class_is_undefined() -> None:
    assert math.isnan(kappa(np.array([[5, 0, 0], [0, 0, 0]])))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_a_stack_are_those_of_its_members(metric: str) -> None:
    stack = np.random.default_rng(0).integers(0, 5, size=(2, 4, 3, 4))
    expected = [[score(metric, stack[i, j]) for j in range(4)] for i in range(2)]  # type: ignore[arg-type]
    np.testing.assert_allclose(score(metric, stack), expected)  # type: ignore[arg-type]


@given(ROWS)
def test_scores_match_scikit_learn(rows: list[tuple[str, str | None]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    human, predicted = [row[0] for row in rows], [row[1] for row in rows]
    counts = ConfusionMatrix.from_labels(human, predicted, names="abcd").array
    filled = [label or "~" for label in predicted]
    occurring = sorted(set(human) | {label for label in predicted if label})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for average, ours in (("macro", macro_f1), ("weighted", weighted_f1)):
            theirs = metrics.f1_score(human, filled, labels=occurring, average=average, zero_division=0)
            assert ours(counts) == pytest.approx(theirs)
        for key, per_class in ((0, precision), (1, recall), (2, f1)):
            theirs = metrics.precision_recall_fscore_support(human, filled, labels=list("abcd"), zero_division=np.nan)[
                key
            ]
            np.testing.assert_allclose(per_class(counts), theirs)
        assert accuracy(counts) == pytest.approx(metrics.accuracy_score(human, filled))
        answered = [row for row in rows if row[1]]
        if answered:
            theirs = metrics.cohen_kappa_score(*zip(*answered, strict=True))
            np.testing.assert_allclose(kappa(counts), theirs, atol=1e-12)


@given(ROWS)
def test_accuracy_is_accuracy_of_the_answered_times_coverage(rows: list[tuple[str, str | None]]) -> None:
    counts = ConfusionMatrix.from_labels([row[0] for row in rows], [row[1] for row in rows]).array
    if coverage(counts):
        assert accuracy(counts) == pytest.approx(accuracy_answered(counts) * coverage(counts))
    else:
        assert accuracy(counts) == 0


@given(ROWS, st.data())
def test_losing_a_prediction_never_raises_recall_or_lowers_precision_of_another_class(
    rows: list[tuple[str, str | None]], data: st.DataObject
) -> None:
    human = np.array(["abcd".index(row[0]) for row in rows])
    predicted = np.array([-1 if row[1] is None else "abcd".index(row[1]) for row in rows])
    lost = data.draw(st.integers(0, len(rows) - 1))
    fewer = predicted.copy()
    fewer[lost] = -1
    before, after = confusion_counts(human, predicted, 4), confusion_counts(human, fewer, 4)
    assert np.all(np.nan_to_num(recall(after)) <= np.nan_to_num(recall(before)))
    assert accuracy(after) <= accuracy(before)
    others = np.arange(4) != predicted[lost]
    np.testing.assert_array_equal(precision(after)[others], precision(before)[others])
