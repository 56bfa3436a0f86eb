from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import ppi_mean
from hf_synthlabels.statistics.estimation.calibration import Affine, Calibration, CalibrationKind, Isotonic, cross_fit
from tests.statistics.common import contains

RNG = np.random.default_rng(0)
SCORES = RNG.integers(1, 11, size=120).astype(float)
LABELS = np.sqrt(SCORES) + RNG.normal(size=120)
KINDS: tuple[CalibrationKind, ...] = ("affine", "isotonic")


def fit(scores: object, labels: object, kind: CalibrationKind) -> Calibration:
    """The calibration from all labeled rows."""
    return cross_fit(scores, labels, kind=kind).calibration  # type: ignore[arg-type]


def test_lines_match_scipy_and_by_hand() -> None:
    theirs = stats.linregress(SCORES, LABELS)
    line = fit(SCORES, LABELS, "affine")
    assert isinstance(line, Affine)
    assert (line.intercept, line.slope) == pytest.approx((theirs.intercept, theirs.slope), abs=1e-9)
    np.testing.assert_allclose(line([0, None, 3]), [theirs.intercept, np.nan, theirs.intercept + 3 * theirs.slope])
    assert fit([1, 2, 3], [2, 4, 6], "affine") == Affine(0, 2)
    # Equal scores give a level line.
    assert fit([0.1, 0.1, 0.1], [1, 2, 6], "affine") == Affine(3, 0)


def test_isotonic_regression_matches_scikit_learn_and_by_hand() -> None:
    # 3 and 2 are out of order: both become their mean. The two labels of score 5 count as 4, twice.
    curve = fit([1, 2, 3, 5, 5, 6], [1, 3, 2, 3, 5, 3.4], "isotonic")
    assert isinstance(curve, Isotonic)
    assert list(curve.scores) == [1, 2, 3, 5, 6]
    assert curve.labels == pytest.approx((1, 2.5, 2.5, (3 + 5 + 3.4) / 3, (3 + 5 + 3.4) / 3))
    # Linear between scores, constant beyond them.
    np.testing.assert_allclose(curve([0, 1.5, 4, 9]), [1, 1.75, (2.5 + 3.8) / 2, 3.8])
    isotonic = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(1)
    for _ in range(20):
        x, y = rng.integers(0, 30, size=200) / 3, rng.normal(size=200)
        theirs = isotonic.IsotonicRegression(out_of_bounds="clip").fit(x, y)
        new = rng.uniform(-1, 11, size=50)
        np.testing.assert_allclose(fit(x, y, "isotonic")(new), theirs.predict(new), atol=1e-9)


def test_a_labeled_row_is_calibrated_by_the_other_folds() -> None:
    scores, labels = np.concatenate([SCORES, [2.5, np.nan]]), np.concatenate([LABELS, [np.nan, 1.0]])
    for kind in KINDS:
        result = cross_fit(scores, labels, kind=kind, folds=4, seed=3)
        assert sorted(np.bincount(result.folds[result.folds >= 0]).tolist()) == [30, 30, 30, 30]
        assert result.folds[-2:].tolist() == [-1, -1]
        fits = []
        for k in range(4):
            inside, outside = result.folds == k, (result.folds != k) & (result.folds >= 0)
            fits.append(fit(scores[outside], labels[outside], kind))
            np.testing.assert_allclose(result.calibrated[inside], fits[-1](scores[inside]), atol=1e-12)
        # A row without a label has the mean of all calibrations, one without a score has none.
        assert result.calibrated[-2] == pytest.approx(np.mean([fitted([2.5])[0] for fitted in fits]))
        assert math.isnan(result.calibrated[-1])
        assert result.n == 120
        assert result.calibration == fit(SCORES, LABELS, kind)
        errors = labels[:120] - result.calibrated[:120]
        expected = (np.abs(errors).mean(), math.sqrt((errors**2).mean()))
        assert (result.mae_after, result.rmse_after) == pytest.approx(expected)
        assert result.mae_before == pytest.approx(np.abs(LABELS - SCORES).mean())
        assert result.mae_after < result.mae_before


def test_folds_depend_on_the_seed_and_keep_clusters_together() -> None:
    clusters = np.repeat(np.arange(24), 5).astype(str)
    first, second, other = (cross_fit(SCORES, LABELS, clusters=clusters, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.folds, second.folds)
    assert (first.folds != other.folds).any()
    assert all(len(set(first.folds[clusters == name])) == 1 for name in set(clusters))
    assert len(set(first.folds)) == 5
    few = cross_fit([1, 2, 3], [1, 2, 3], folds=5)
    assert sorted(few.folds.tolist()) == [0, 1, 2]
    np.testing.assert_allclose(few.calibrated, [1, 2, 3])


def test_noise_is_not_learned() -> None:
    # In-sample calibration of random scores seems to help; out of fold it does not.
    rng = np.random.default_rng(4)
    scores, labels = rng.normal(size=100), rng.normal(size=100)
    result = cross_fit(scores, labels, kind="isotonic")
    inside = labels - result.calibration(scores)
    assert math.sqrt((inside**2).mean()) < labels.std() < result.rmse_after


def test_calibrated_scores_keep_the_corrected_mean_unbiased() -> None:
    rng = np.random.default_rng(6)
    covered, widths = {"judge": 0, "calibrated": 0}, {"judge": 0.0, "calibrated": 0.0}
    for seed in range(250):
        truth = rng.normal(size=600)
        # Scores that are not linear in the labels.
        judge = np.exp(1.5 * truth) + 0.2 * rng.normal(size=600)
        human = np.where(np.arange(600) < 100, truth, np.nan)
        calibrated = cross_fit(judge, human, kind="isotonic", seed=seed).calibrated
        for name, scores in (("judge", judge), ("calibrated", calibrated)):
            interval = ppi_mean(human, scores).interval
            covered[name] += contains(interval, 0)
            widths[name] += interval.high - interval.low
    # 250 draws: two and a half standard errors around .95 are .916 to .984.
    assert all(0.91 <= count / 250 <= 0.985 for count in covered.values()), covered
    assert widths["calibrated"] < 0.7 * widths["judge"]


def test_invalid_arguments_are_refused() -> None:
    for scores, labels, clusters, field in (
        ([1, 2], [1], None, "scores"),
        ([1, 2], ["good", "bad"], None, "labels"),
        ([1, 2], [1, None], None, "labels"),
        ([1, 2], [1, 2], ["a", "a"], "labels"),
        ([1, 2], [1, 2], ["a"], "clusters"),
    ):
        with pytest.raises(DataError, match=f"`{field}`"):
            cross_fit(scores, labels, clusters=clusters)
    with pytest.raises(ConfigError, match="`kind`"):
        cross_fit([1, 2], [1, 2], kind="platt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`folds`"):
        cross_fit([1, 2], [1, 2], folds=1)
