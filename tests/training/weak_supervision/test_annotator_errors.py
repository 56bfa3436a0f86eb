from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training.weak_supervision.annotator_errors import (
    at_temperature,
    estimate_transition,
    fit_temperature,
    smoothed_shares,
)

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


def test_invalid_labels_and_pseudo_counts_are_errors() -> None:
    for human, llm in (([0, 1], [0]), ([-1, -1], [0, 1]), ([0, 1], [-1, -1]), ([0, 2], [0, 1])):
        with pytest.raises(DataError, match="`human`"):
            estimate_transition(human, llm, NAMES)
    for rows in (0, -1, math.nan, math.inf):
        with pytest.raises(ConfigError, match="`pseudo_rows`"):
            estimate_transition([0, 1], [0, 1], NAMES, pseudo_rows=rows)


def sample(rows: int, labels: int = 3, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """True probabilities, and human labels drawn from them."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(labels), rows)
    return probs, np.array([rng.choice(labels, p=row) for row in probs])


def test_three_draws_that_agree_are_not_certain() -> None:
    found = smoothed_shares(np.array([[1.0, 0.0], [2 / 3, 1 / 3]]), 3)
    # (3 + 1/2) / (3 + 2/2), and (2 + 1/2) / 4.
    np.testing.assert_allclose(found, [[0.875, 0.125], [0.625, 0.375]])
    np.testing.assert_array_equal(smoothed_shares(np.array([[1.0, 0.0]]), 3, alpha=0), [[1, 0]])


def test_temperature_scales_logarithms() -> None:
    # .8² : .2² = .64 : .04, and √.8 : √.2 = 2 : 1.
    np.testing.assert_allclose(at_temperature(np.array([[0.8, 0.2]]), 0.5), [[0.64 / 0.68, 0.04 / 0.68]])
    np.testing.assert_allclose(at_temperature(np.array([[0.8, 0.2]]), 2), [[2 / 3, 1 / 3]])
    np.testing.assert_allclose(at_temperature(np.array([[0.3, 0.7]]), 1), [[0.3, 0.7]])


def test_zeros_stay_finite() -> None:
    found = at_temperature(np.array([[1.0, 0.0]]), 3)
    assert np.isfinite(found).all()
    # 1e-6 to the power 1/3 is 1e-2.
    np.testing.assert_allclose(found, [[1 / 1.01, 0.01 / 1.01]])


def test_fitted_temperature_undoes_the_annotators() -> None:
    probs, human = sample(20_000)
    for temperature in (0.5, 1.0, 2.5):
        # softmax(log p / t) is corrected by the temperature 1 / t.
        fitted = fit_temperature(at_temperature(probs, temperature), human)
        assert fitted.value.estimate == pytest.approx(1 / temperature, rel=0.05)
        assert fitted.value.low < 1 / temperature < fitted.value.high
        assert fitted.nll_after <= fitted.nll_before + 1e-12


def test_fit_agrees_with_logistic_regression() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    probs, human = sample(400, labels=2, seed=1)
    sure = at_temperature(probs, 0.4)
    # With two labels the temperature is one over the slope on the log odds, without intercept.
    odds = np.log(sure[:, 1] / sure[:, 0])[:, None]
    model = linear.LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(odds, human)
    assert fit_temperature(sure, human).value.estimate == pytest.approx(1 / model.coef_[0, 0], rel=1e-3)


def test_interval_ends_where_the_likelihood_says() -> None:
    probs, human = sample(250)
    found = fit_temperature(probs, human)

    def log_likelihood(at: float) -> float:
        return float(np.log(at_temperature(probs, at)[np.arange(250), human]).sum())

    best = log_likelihood(found.value.estimate)
    # Half the 95 % quantile of chi-squared with one degree of freedom, 3.8415.
    for end in (found.value.low, found.value.high):
        assert best - log_likelihood(end) == pytest.approx(3.8415 / 2, abs=1e-3)


def test_interval_holds_the_truth_in_about_95_of_100_samples() -> None:
    held = 0
    for seed in range(300):
        probs, human = sample(100, seed=seed)
        value = fit_temperature(probs, human).value
        held += value.low <= 1 <= value.high
    # 285 of 300 expected; ± 3 standard errors.
    assert 273 <= held <= 297


def test_labels_that_are_always_right_stay_within_bounds() -> None:
    found = fit_temperature(np.array([[0.9, 0.1]] * 20), [0] * 20)
    assert found.value.low == pytest.approx(0.05)
    assert found.value.estimate <= found.value.high < 1
    wrong = fit_temperature(np.array([[0.9, 0.1]] * 20), [1] * 20)
    assert wrong.value.estimate == pytest.approx(20)
    assert math.isfinite(wrong.nll_after)


def test_wrong_arguments_are_told() -> None:
    shares = np.array([[0.5, 0.5]])
    with pytest.raises(ConfigError, match="`probs_draws`"):
        smoothed_shares(shares, 0)
    with pytest.raises(ConfigError, match="`probs_alpha`"):
        smoothed_shares(shares, 3, -1)
    with pytest.raises(ConfigError, match="`probs_temperature`"):
        at_temperature(shares, 0)
    with pytest.raises(DataError, match="`probs`"):
        fit_temperature(shares, [])
