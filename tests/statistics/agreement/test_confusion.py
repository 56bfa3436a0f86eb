from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.agreement.confusion import (
    METRICS,
    ConfusionMatrix,
    class_scores,
    confusion_counts,
    kappa,
    occurring,
    score,
    score_margins,
)
from hf_synthlabels.statistics.arrays import Ints, encode

NAMES = "abcd"
ROWS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*NAMES, None])), min_size=1, max_size=60)
# Human a: 6 rows (4 correct, 1 b, 1 none); human b: 4 rows (1 a, 3 correct); c never occurs.
COUNTS = np.array([[4, 1, 0, 1], [1, 3, 0, 0], [0, 0, 0, 0]])


def codes(rows: list[tuple[str, str | None]]) -> tuple[Ints, Ints]:
    return encode([human for human, _ in rows], NAMES), encode([predicted for _, predicted in rows], NAMES)


def test_missing_predictions_are_in_the_last_column() -> None:
    matrix = ConfusionMatrix.from_codes(np.array([0, 0, 1, 1]), np.array([0, 1, -1, 1]), ["a", "b"])
    assert (matrix.names, matrix.counts) == (("a", "b"), ((1, 1, 0), (0, 1, 1)))
    assert (matrix.n, matrix.answered) == (4, 3)
    empty = ConfusionMatrix.from_codes(np.empty(0, int), np.empty(0, int), [])
    assert (empty.names, empty.n, empty.answered, empty.mistakes()) == ((), 0, 0, [])


def test_mistakes_are_sorted_by_frequency() -> None:
    matrix = ConfusionMatrix(("a", "b"), ((5, 1, 2), (3, 4, 0)))
    assert matrix.mistakes() == [("b", "a", 3), ("a", None, 2), ("a", "b", 1)]


def test_counts_and_codes_that_do_not_fit_are_refused() -> None:
    # Too narrow, too short, negative.
    for counts in (((1, 2),), ((1, 0, 0),), ((1, 0, 0), (0, -1, 0))):
        with pytest.raises(DataError, match="`counts`"):
            ConfusionMatrix(("a", "b"), counts)
    for human, predicted, field in (([0], [0, 1], "human"), ([2], [0], "human"), ([-1], [0], "human")):
        with pytest.raises(DataError, match=f"`{field}`"):
            confusion_counts(np.array(human), np.array(predicted), 2)
    with pytest.raises(DataError, match="`predicted`"):
        confusion_counts(np.array([0]), np.array([-2]), 2)


def test_scores_of_ten_rows_by_hand() -> None:
    precision, recall, f1 = class_scores(COUNTS)
    # Precision: a 4/(4+1), b 3/(1+3); recall: a 4/6 (the row without a prediction is a miss), b 3/4.
    np.testing.assert_allclose(precision, [4 / 5, 3 / 4, np.nan])
    np.testing.assert_allclose(recall, [4 / 6, 3 / 4, np.nan])
    # F1: a 2 x 4/(5+6), b 2 x 3/(4+4); c never occurs.
    np.testing.assert_allclose(f1, [8 / 11, 6 / 8, np.nan])
    assert occurring(COUNTS).tolist() == [True, True, False]
    assert score("accuracy", COUNTS) == pytest.approx(7 / 10)
    assert score("macro_f1", COUNTS) == pytest.approx((8 / 11 + 6 / 8) / 2)
    assert score("weighted_f1", COUNTS) == pytest.approx((6 * 8 / 11 + 4 * 6 / 8) / 10)
    # Kappa on the 9 answered: po = 7/9; pe = (5 x 5 + 4 x 4)/81 = 41/81; (63 - 41)/(81 - 41) = 22/40.
    assert score("kappa", COUNTS) == pytest.approx(22 / 40)
    # A named class that does not occur counts as 0.
    assert score("macro_f1", COUNTS, np.array([True] * 3)) == pytest.approx((8 / 11 + 6 / 8) / 3)


def test_macro_f1_counts_a_class_that_is_only_predicted() -> None:
    # F1: a 2 x 1/(1+2) = 2/3, b (predicted once, never human) 0.
    assert score("macro_f1", np.array([[1, 1, 0], [0, 0, 0]])) == pytest.approx(1 / 3)


def test_scores_without_rows_predictions_or_a_second_class() -> None:
    assert all(math.isnan(score(metric, np.zeros((2, 3), dtype=np.int64))) for metric in METRICS)
    unanswered = np.array([[0, 0, 3], [0, 0, 2]])
    assert [score(metric, unanswered) for metric in METRICS[:3]] == [0, 0, 0]
    assert math.isnan(kappa(unanswered))
    assert math.isnan(kappa(np.array([[5, 0, 0], [0, 0, 0]])))


def test_scores_of_a_stack_are_those_of_its_members() -> None:
    stack = np.random.default_rng(0).integers(0, 5, size=(2, 4, 3, 4))
    for metric in METRICS:
        expected = [[score(metric, stack[i, j]) for j in range(4)] for i in range(2)]
        np.testing.assert_allclose(score(metric, stack), expected)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_scores_match_scikit_learn(rows: list[tuple[str, str | None]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    matrix = ConfusionMatrix.from_codes(*codes(rows), NAMES)
    assert ConfusionMatrix.from_dict(matrix.to_dict()) == matrix
    human, predicted = [row[0] for row in rows], [row[1] or "~" for row in rows]
    occurs = sorted((set(human) | set(predicted)) - {"~"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = metrics.confusion_matrix(human, predicted, labels=[*NAMES, "~"])[:4]
        assert matrix.array.tolist() == expected.tolist()
        for average in ("macro", "weighted"):
            theirs = metrics.f1_score(human, predicted, labels=occurs, average=average, zero_division=0)
            assert score(f"{average}_f1", matrix.array) == pytest.approx(theirs)  # type: ignore[arg-type]
        theirs = metrics.precision_recall_fscore_support(human, predicted, labels=list(NAMES), zero_division=np.nan)
        for ours, values in zip(class_scores(matrix.array), theirs, strict=False):
            np.testing.assert_allclose(ours, values)
        assert score("accuracy", matrix.array) == pytest.approx(metrics.accuracy_score(human, predicted))
        if answered := [row for row in rows if row[1]]:
            theirs = metrics.cohen_kappa_score(*zip(*answered, strict=True))
            np.testing.assert_allclose(kappa(matrix.array), theirs, atol=1e-12)


@given(ROWS, st.data())
def test_losing_a_prediction_never_raises_recall_or_changes_precision_of_another_class(
    rows: list[tuple[str, str | None]], data: st.DataObject
) -> None:
    human, predicted = codes(rows)
    lost = data.draw(st.integers(0, len(rows) - 1))
    fewer = predicted.copy()
    fewer[lost] = -1
    before, after = confusion_counts(human, predicted, 4), confusion_counts(human, fewer, 4)
    assert np.all(np.nan_to_num(class_scores(after)[1]) <= np.nan_to_num(class_scores(before)[1]))
    assert score("accuracy", after) <= score("accuracy", before)
    others = np.arange(4) != predicted[lost]
    np.testing.assert_array_equal(class_scores(after)[0][others], class_scores(before)[0][others])


def test_macro_precision_and_recall_by_hand() -> None:
    # Correct, predicted and human-labeled rows of two classes; the second is never predicted.
    margins = np.array([2, 0]), np.array([4, 0]), np.array([2, 3])
    assert score_margins("macro_precision", *margins) == pytest.approx((2 / 4 + 0) / 2)
    assert score_margins("macro_recall", *margins) == pytest.approx((2 / 2 + 0) / 2)
