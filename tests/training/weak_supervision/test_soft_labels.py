from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training.weak_supervision.annotator_errors import at_temperature, fit_temperature, smoothed_shares


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


@pytest.mark.parametrize("said", [0.5, 1.0, 2.5])
def test_fitted_temperature_undoes_the_annotators(said: float) -> None:
    probs, human = sample(20_000)
    # Who says softmax(log p / said) is put right by dividing by 1 / said.
    found = fit_temperature(at_temperature(probs, said), human)
    assert found.value.estimate == pytest.approx(1 / said, rel=0.05)
    assert found.value.low < 1 / said < found.value.high
    assert found.nll_after <= found.nll_before + 1e-12


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
