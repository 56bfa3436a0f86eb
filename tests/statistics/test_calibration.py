from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import ppi_mean
from hf_synthlabels.statistics.correction.calibration import Affine, Isotonic, cross_fit, fit_affine, fit_isotonic

RNG = np.random.default_rng(0)
SCORES = RNG.integers(1, 11, size=120).astype(float)
LABELS = np.sqrt(SCORES) + RNG.normal(size=120)


def test_line_matches_scipy() -> None:
    theirs = stats.linregress(SCORES, LABELS)
    found = fit_affine(SCORES, LABELS)
    assert (found.intercept, found.slope) == pytest.approx((theirs.intercept, theirs.slope), abs=1e-9)
    np.testing.assert_allclose(found([0, None, 3]), [theirs.intercept, np.nan, theirs.intercept + 3 * theirs.slope])


def test_line_by_hand() -> None:
    assert fit_affine([1, 2, 3], [2, 4, 6]) == Affine(0, 2)
    # Nothing to learn from scores that are all the same.
    assert fit_affine([0.1, 0.1, 0.1], [1, 2, 6]) == Affine(3, 0)


def test_pooled_neighbours_by_hand() -> None:
    # 3 and 2 are out of order: both become their mean. The two labels of score 5 count as 4, twice.
    found = fit_isotonic([1, 2, 3, 5, 5, 6], [1, 3, 2, 3, 5, 3.4])
    assert list(found.scores) == [1, 2, 3, 5, 6]
    assert found.labels == pytest.approx((1, 2.5, 2.5, (3 + 5 + 3.4) / 3, (3 + 5 + 3.4) / 3))
    # Straight between scores, level beyond them.
    np.testing.assert_allclose(found([0, 1.5, 4, 9]), [1, 1.75, (2.5 + 3.8) / 2, 3.8])


def test_isotonic_matches_scikit_learn() -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(1)
    for _ in range(20):
        x, y = rng.integers(0, 30, size=200) / 3, rng.normal(size=200)
        theirs = isotonic.IsotonicRegression(out_of_bounds="clip").fit(x, y)
        new = rng.uniform(-1, 11, size=50)
        np.testing.assert_allclose(fit_isotonic(x, y)(new), theirs.predict(new), atol=1e-9)


@pytest.mark.parametrize("kind", ["affine", "isotonic"])
def test_a_labelled_row_is_calibrated_by_the_others(kind: str) -> None:
    scores = np.concatenate([SCORES, [2.5, np.nan]])
    labels = np.concatenate([LABELS, [np.nan, 1.0]])
    found = cross_fit(scores, labels, kind=kind, folds=4, seed=3)  # type: ignore[arg-type]
    fit = fit_affine if kind == "affine" else fit_isotonic
    assert sorted(np.bincount(found.folds[found.folds >= 0]).tolist()) == [30, 30, 30, 30]
    assert found.folds[-2:].tolist() == [-1, -1]
    fits = []
    for k in range(4):
        inside, outside = found.folds == k, (found.folds != k) & (found.folds >= 0)
        fits.append(fit(scores[outside], labels[outside]))
        np.testing.assert_allclose(found.calibrated[inside], fits[-1](scores[inside]), atol=1e-12)
    # A row without a label is calibrated by all parts' calibrations alike, one without a score not at all.
    assert found.calibrated[-2] == pytest.approx(np.mean([fitted([2.5])[0] for fitted in fits]))
    assert math.isnan(found.calibrated[-1])
    assert found.n == 120
    assert found.calibration == fit(SCORES, LABELS)
    off = labels[:120] - found.calibrated[:120]
    assert (found.mae_after, found.rmse_after) == pytest.approx((np.abs(off).mean(), math.sqrt((off**2).mean())))
    assert found.mae_before == pytest.approx(np.abs(LABELS - SCORES).mean())
    assert found.mae_after < found.mae_before


def test_equal_seeds_deal_alike_and_clusters_stay_together() -> None:
    clusters = np.repeat(np.arange(24), 5).astype(str)
    first, second, other = (cross_fit(SCORES, LABELS, clusters=clusters, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.folds, second.folds)
    assert (first.folds != other.folds).any()
    assert all(len(set(first.folds[clusters == name])) == 1 for name in set(clusters))
    assert len(set(first.folds)) == 5


def test_no_more_parts_than_rows() -> None:
    found = cross_fit([1, 2, 3], [1, 2, 3], folds=5)
    assert sorted(found.folds.tolist()) == [0, 1, 2]
    np.testing.assert_allclose(found.calibrated, [1, 2, 3])


def test_noise_is_not_learnt() -> None:
    """In-sample calibration of scores that mean nothing seems to help; out of fold it does not."""
    rng = np.random.default_rng(4)
    scores, labels = rng.normal(size=100), rng.normal(size=100)
    found = cross_fit(scores, labels, kind="isotonic")
    inside = labels - found.calibration(scores)
    assert math.sqrt((inside**2).mean()) < labels.std()
    assert found.rmse_after > labels.std()


def test_calibrated_scores_keep_the_corrected_mean_right() -> None:
    rng = np.random.default_rng(6)
    held, widths = {"judge": 0, "calibrated": 0}, {"judge": 0.0, "calibrated": 0.0}
    for draw in range(250):
        truth = rng.normal(size=600)
        # A judge whose scores are bent: a straight use of them loses much.
        judge = np.exp(1.5 * truth) + 0.2 * rng.normal(size=600)
        human = np.where(np.arange(600) < 100, truth, np.nan)
        calibrated = cross_fit(judge, human, kind="isotonic", seed=draw).calibrated
        for name, scores in (("judge", judge), ("calibrated", calibrated)):
            found = ppi_mean(human, scores).interval
            held[name] += found.low <= 0 <= found.high
            widths[name] += found.high - found.low
    # 250 draws: two and a half standard errors around .95 are .916 to .984.
    assert all(0.91 <= count / 250 <= 0.985 for count in held.values()), held
    assert widths["calibrated"] < 0.7 * widths["judge"]


def test_wrong_input_is_told() -> None:
    with pytest.raises(DataError, match="`scores` has 2 rows and `labels` 1"):
        fit_affine([1, 2], [1])
    with pytest.raises(DataError, match="no row in common"):
        fit_isotonic([1, None], [None, 1])
    with pytest.raises(DataError, match="`labels`"):
        fit_affine([1, 2], ["good", "bad"])
    with pytest.raises(ConfigError, match="`kind`"):
        cross_fit([1, 2], [1, 2], kind="platt")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`folds`"):
        cross_fit([1, 2], [1, 2], folds=1)
    with pytest.raises(DataError, match="both there in 1 rows"):
        cross_fit([1, 2], [1, None])
    with pytest.raises(DataError, match="both there in 1 clusters"):
        cross_fit([1, 2], [1, 2], clusters=["a", "a"])
    with pytest.raises(DataError, match="`clusters`"):
        cross_fit([1, 2], [1, 2], clusters=["a"])
    assert isinstance(fit_isotonic([1], [2]), Isotonic)
