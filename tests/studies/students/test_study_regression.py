"""Regressions are fitted to convergence for any number of rows, so the chosen strength is that of the data."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.model_selection import StratifiedKFold

from hf_synthlabels.studies.students.features import WordCounts
from hf_synthlabels.studies.students.regression import STRENGTHS, choose_strength, fit_regression

Floats = NDArray[np.float64]


def labelled_texts(rows: int, classes: int, *, signal: float = 1.0) -> tuple[list[str], NDArray[np.int64]]:
    """Texts of 12 words out of 400, drawn by Zipf's law with a tilt that depends on the label."""
    draw = np.random.default_rng(rows + classes)
    target = draw.integers(classes, size=rows)
    tilt = draw.normal(0, 0.8 * signal, (classes, 400)) - np.log(np.arange(1, 401))
    chances = np.exp(tilt) / np.exp(tilt).sum(axis=1, keepdims=True)
    texts = [" ".join(f"w{word}" for word in draw.choice(400, 12, p=chances[code])) for code in target]
    return texts, target


def softmax_fit(features: Any, target: NDArray[np.int64], classes: int, strength: float) -> tuple[Floats, Floats]:
    """Coefficients and intercepts at the minimum of the summed log loss plus the penalty, by scipy alone."""
    rows, width = features.shape
    hot = np.eye(classes)[target]

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights, intercepts = flat[: classes * width].reshape(classes, width), flat[classes * width :]
        scores = features @ weights.T + intercepts
        norm = logsumexp(scores, axis=1)
        errors = np.exp(scores - norm[:, None]) - hot
        value = (norm - (scores * hot).sum(axis=1)).sum() + (weights**2).sum() / (2 * strength)
        slope = np.concatenate([((features.T @ errors).T + weights / strength).ravel(), errors.sum(axis=0)])
        return value / rows, slope / rows

    start = np.zeros(classes * (width + 1))
    best = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 0, "gtol": 1e-9}
    )
    return best.x[: classes * width].reshape(classes, width), best.x[classes * width :]


@pytest.mark.parametrize("dense", [False, True], ids=["words", "vectors"])
@pytest.mark.parametrize("rows", [200, 2000, 8000])
def test_a_regression_is_that_of_an_independent_fit(rows: int, dense: bool) -> None:
    texts, target = labelled_texts(rows, 3)
    features = WordCounts().fitted([texts])([texts])
    if dense:
        mix = np.random.default_rng(1).normal(size=(features.shape[1], 30)) / 6
        features = (features @ mix).astype(np.float32)
    else:
        features = sparse.csr_matrix(features[:, :500])
    for strength in STRENGTHS:
        fitted = fit_regression(features, target, strength)
        weights, intercepts = softmax_fit(features.astype(np.float64), target, 3, strength)
        scores = features @ weights.T + intercepts
        expected = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
        np.testing.assert_allclose(fitted.coef_, weights, atol=0.01)
        np.testing.assert_allclose(fitted.predict_proba(features), expected, atol=1e-3)


@pytest.mark.parametrize("signal", [0.0, 1.0], ids=["random labels", "learnable labels"])
@pytest.mark.parametrize("rows", [60, 500, 8000])
def test_every_strength_iterates_and_converges(rows: int, signal: float) -> None:
    texts, target = labelled_texts(rows, 2, signal=signal)
    features = WordCounts().fitted([texts])([texts])
    several = np.column_stack([target, 1 - target, np.random.default_rng(0).integers(2, size=rows)])
    norms = []
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted = fit_regression(features, target, strength)
            each = fit_regression(features, several, strength)
        assert min(fitted.n_iter_) > 0
        assert all(min(one.n_iter_) > 0 for one in each.estimators_)
        norms.append(float(np.linalg.norm(fitted.coef_)))
        # One label per row or several: the same regression.
        np.testing.assert_allclose(each.estimators_[0].coef_, fitted.coef_, atol=0.01)
    # Weaker regularization allows larger coefficients; equal ones would mean that a fit did not move.
    assert norms[0] < 0.8 * norms[1] < 0.64 * norms[2]


def test_the_chosen_strength_is_that_of_converged_cross_validation() -> None:
    texts, target = labelled_texts(500, 3, signal=0.6)
    words = WordCounts()
    correct = dict.fromkeys(STRENGTHS, 0)
    for train, held in StratifiedKFold(5, shuffle=True, random_state=7).split(target, target):
        make: Callable[[Any], Any] = words.fitted([[texts[row] for row in train]])
        features, asked = (make([[texts[row] for row in rows]]) for rows in (train, held))
        for strength in STRENGTHS:
            weights, intercepts = softmax_fit(features, target[train], 3, strength)
            correct[strength] += int(((asked @ weights.T + intercepts).argmax(axis=1) == target[held]).sum())
    assert len(set(correct.values())) == 3, "the strengths differ, so that one is best"
    assert choose_strength(words, [texts], target, 7) == max(correct, key=lambda strength: correct[strength])
