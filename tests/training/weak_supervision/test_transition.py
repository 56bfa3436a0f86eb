from __future__ import annotations

import json
import math

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training.weak_supervision.annotator_errors import estimate_transition

NAMES = ("a", "b")


def labels(counts: list[list[int]]) -> tuple[list[int], list[int]]:
    """Rows with these counts of human and LLM label."""
    human = [i for i, row in enumerate(counts) for count in row for _ in range(count)]
    llm = [j for row in counts for j, count in enumerate(row) for _ in range(count)]
    return human, llm


def test_entries_are_shrunk_to_the_symmetric_matrix_by_ten_rows() -> None:
    found = estimate_transition(*labels([[8, 2], [5, 25]]), NAMES)
    # 33 of 40 rows agree: S has (33 + 1) / (40 + 2) on its diagonal.
    s = 34 / 42
    expected = [
        [(8 + 10 * s) / 20, (2 + 10 * (1 - s)) / 20],
        [(5 + 10 * (1 - s)) / 40, (25 + 10 * s) / 40],
    ]
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-12)
    np.testing.assert_allclose(found.shrinkage, [10 / 20, 10 / 40])
    assert found.n == 40
    # Wilson's interval of 8 in 10, by the formula: (.8 + .19207 ± .28...) / 1.38415.
    share = found.shares[0][0]
    assert (share.estimate, share.n) == (0.8, 10)
    assert (share.low, share.high) == pytest.approx((0.490162, 0.943318), abs=1e-6)


def test_rows_sum_to_one_and_no_entry_is_zero() -> None:
    found = estimate_transition(*labels([[50, 0, 0], [0, 50, 0], [0, 3, 47]]), ("a", "b", "c"))
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1)
    assert found.matrix.min() > 0


def test_class_without_human_rows_gets_the_symmetric_row() -> None:
    found = estimate_transition([0] * 10, [0] * 9 + [1], ("a", "b", "c"))
    # 9 of 10 agree: 10/12, and 1/12 for each of the others.
    np.testing.assert_allclose(found.matrix[2], [1 / 12, 1 / 12, 10 / 12])
    np.testing.assert_allclose(found.shrinkage, [0.5, 1, 1])
    assert found.shares[2][0].n == 0
    assert math.isnan(found.shares[2][0].low)
    assert "[no rows]" in str(found)


def test_rows_without_either_label_are_counted_or_passed_over() -> None:
    # Human-labelled and unanswered: counted. Without a human label: nothing to learn from.
    found = estimate_transition([0, 1, 1, -1], [0, 1, -1, 1], NAMES)
    assert (found.n, found.n_unanswered) == (2, 1)


def test_separation_tells_a_matrix_that_can_not_be_inverted() -> None:
    coin = estimate_transition(*labels([[500, 500], [500, 500]]), NAMES)
    assert coin.separation < 0.01
    perfect = estimate_transition(*labels([[500, 0], [0, 500]]), NAMES)
    assert perfect.separation > 0.97


def test_shrunk_estimate_is_nearer_to_the_truth_than_counts_and_laplace() -> None:
    truth = np.full((5, 5), 0.05) + np.eye(5) * 0.75
    truth[4] = [0.25, 0.05, 0.05, 0.05, 0.6]
    rng = np.random.default_rng(0)
    off: dict[str, list[float]] = {"ours": [], "counts": [], "laplace": []}
    for _ in range(100):
        human = rng.integers(5, size=250)
        llm = np.array([rng.choice(5, p=truth[code]) for code in human])
        found = estimate_transition(human, llm, tuple("abcde"))
        total = found.counts.sum(axis=1, keepdims=True)
        guesses = {
            "ours": found.matrix,
            "counts": found.counts / total,
            "laplace": (found.counts + 1) / (total + 5),
        }
        for name, guess in guesses.items():
            off[name].append(float(np.mean((guess - truth) ** 2)))
    assert np.mean(off["ours"]) < 0.95 * np.mean(off["counts"])
    assert np.mean(off["ours"]) < 0.95 * np.mean(off["laplace"])


def test_values_go_to_json() -> None:
    found = estimate_transition([0] * 4, [0] * 4, NAMES)
    read = json.loads(json.dumps(found.to_dict()))
    assert read["counts"] == [[4, 0], [0, 0]]
    assert read["shares"][1][0]["low"] is None


@pytest.mark.parametrize(
    ("human", "llm", "told"),
    [
        ([0, 1], [0], r"`human` has shape \(2,\) and `llm` \(1,\)"),
        ([-1, -1], [0, 1], "have 0 rows with both labels"),
        ([0, 1], [-1, -1], "have 0 rows with both labels"),
        ([0, 2], [0, 1], "codes from 0 to 2"),
    ],
)
def test_labels_that_can_not_be_counted_are_refused(human: list[int], llm: list[int], told: str) -> None:
    with pytest.raises(DataError, match=told):
        estimate_transition(human, llm, NAMES)


@pytest.mark.parametrize("rows", [0, -1, math.nan, math.inf])
def test_pseudo_rows_must_be_above_zero(rows: float) -> None:
    with pytest.raises(ConfigError, match="`pseudo_rows`"):
        estimate_transition([0, 1], [0, 1], NAMES, pseudo_rows=rows)
