from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hf_synthlabels.statistics.agreement import correlation
from hf_synthlabels.statistics.agreement.correlation import (
    PAIR_SCORES,
    pair_icc,
    quadratic_kappa,
    weighted_kendall,
    weighted_pearson,
    weighted_spearman,
)


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
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=3, max_size=40))
def test_coefficients_match_scipy_scikit_learn_and_the_analysis_of_variance(pairs: list[tuple[int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    table = np.array(pairs, dtype=float)
    x, y = table.T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [test(x, y).statistic for test in (stats.pearsonr, stats.spearmanr, stats.kendalltau)]
        theirs.append(metrics.cohen_kappa_score(x, y, weights="quadratic", labels=[1, 2, 3, 4, 5]))
    theirs.append(math.nan if len(np.unique(table)) == 1 else textbook_icc(table))
    scores = (weighted_pearson, weighted_spearman, weighted_kendall, quadratic_kappa, pair_icc)
    ours = [score(np.ones((1, len(x))), x, y).item() for score in scores]
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_counts_act_as_repeated_rows() -> None:
    x, y = np.array([1.0, 2, 3, 5]), np.array([1.0, 3, 2, 4])
    counts = np.array([[2, 1, 3, 1], [1, 0, 2, 4]])
    for score in PAIR_SCORES.values():
        for row, value in zip(counts, score(counts, x, y), strict=True):
            repeated = score(np.ones((1, row.sum())), np.repeat(x, row), np.repeat(y, row))
            assert value == pytest.approx(repeated.item())


def test_equal_numbers_are_undefined() -> None:
    weights = np.vstack([np.ones((1, 7)), np.random.default_rng(0).random((50, 7))])
    for value in (3.0, 0.1, 1e6):
        for score in PAIR_SCORES.values():
            assert np.isnan(score(weights, np.full(7, value), np.full(7, value))).all()


def test_kendall_of_many_distinct_pairs_has_the_same_value(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 60)).round(1)
    counts = rng.multinomial(60, np.full(60, 1 / 60), size=5)
    at_once = weighted_kendall(counts, x, y)
    monkeypatch.setattr(correlation, "MAX_PAIRS", 10)
    np.testing.assert_allclose(weighted_kendall(counts, x, y), at_once)
