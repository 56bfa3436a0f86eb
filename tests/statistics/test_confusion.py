from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix, confusion_counts
from hf_synthlabels.statistics.arrays import MISSING, encode

LABELS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "b", "c", None])), max_size=40)


def test_encode_gives_positions_and_minus_one_for_none() -> None:
    assert encode(["b", None, "a"], ["a", "b"]).tolist() == [1, MISSING, 0]


def test_encode_unknown_labels_shows_three_values_and_counts_rows() -> None:
    labels = ["x", "x", "y", "z", "w", "a"]
    with pytest.raises(
        DataError, match=r"`gold` has 5 rows .* in `names`: 'x', 'y', 'z' and 1 more values\..*'a', 'b'"
    ):
        encode(labels, ["a", "b"], field="gold")


@pytest.mark.parametrize("names", [[], ["a", "a"]], ids=["empty", "twice"])
def test_encode_bad_names_is_refused(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="`names`"):
        encode(["a"], names)


def test_from_labels_puts_missing_predictions_in_the_last_column() -> None:
    matrix = ConfusionMatrix.from_labels(["a", "a", "b", "b"], ["a", "b", None, "b"])
    assert matrix.names == ("a", "b")
    assert matrix.counts == ((1, 1, 0), (0, 1, 1))
    assert (matrix.n, matrix.answered) == (4, 3)


def test_from_labels_keeps_the_order_of_names_and_tells_those_that_never_occur() -> None:
    matrix = ConfusionMatrix.from_labels(["b"], ["c"], names=["d", "c", "b"])
    assert matrix.counts == ((0, 0, 0, 0), (0, 0, 0, 0), (0, 1, 0, 0))
    assert matrix.absent == ("d",)


def test_from_labels_without_rows_is_empty() -> None:
    matrix = ConfusionMatrix.from_labels([], [])
    assert (matrix.names, matrix.n, matrix.answered, matrix.absent, matrix.mistakes()) == ((), 0, 0, (), [])


def test_from_labels_different_lengths_or_human_none_is_refused() -> None:
    with pytest.raises(DataError, match="`human` has 1 rows and `predicted` 2"):
        ConfusionMatrix.from_labels(["a"], ["a", "a"])
    with pytest.raises(DataError, match="`human`"):
        ConfusionMatrix.from_labels(["a", None], ["a", "a"])  # type: ignore[list-item]


def test_mistakes_come_with_the_most_frequent_first() -> None:
    matrix = ConfusionMatrix(("a", "b"), ((5, 1, 2), (3, 4, 0)))
    assert matrix.mistakes() == [("b", "a", 3), ("a", None, 2), ("a", "b", 1)]


@pytest.mark.parametrize(
    "counts", [((1, 2),), ((1, 0, 0),), ((1, 0, 0), (0, -1, 0))], ids=["narrow", "short", "negative"]
)
def test_matrix_with_counts_that_do_not_fit_is_refused(counts: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(DataError, match="`counts`"):
        ConfusionMatrix(("a", "b"), counts)


@pytest.mark.parametrize(
    ("human", "predicted", "match"),
    [
        ([0], [0, 1], "shape"),
        ([2], [0], "`human`"),
        ([-1], [0], "`human`"),
        ([0], [-2], "`predicted`"),
    ],
    ids=["lengths", "human too high", "human missing", "predicted too low"],
)
def test_counts_of_codes_out_of_range_are_refused(human: list[int], predicted: list[int], match: str) -> None:
    with pytest.raises(DataError, match=match):
        confusion_counts(np.array(human), np.array(predicted), 2)


@given(LABELS)
def test_counts_match_scikit_learn_with_none_as_a_class(rows: list[tuple[str, str | None]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    if not rows:
        return
    human, predicted = [row[0] for row in rows], [row[1] or "~" for row in rows]
    expected = metrics.confusion_matrix(human, predicted, labels=["a", "b", "c", "~"])[:3]
    matrix = ConfusionMatrix.from_labels(human, [row[1] for row in rows], names="abc")
    assert matrix.array.tolist() == expected.tolist()


@given(LABELS)
def test_dict_round_trip(rows: list[tuple[str, str | None]]) -> None:
    matrix = ConfusionMatrix.from_labels([row[0] for row in rows], [row[1] for row in rows])
    assert ConfusionMatrix.from_dict(matrix.to_dict()) == matrix
