"""Calibration of a judge's scores by human labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, Mask, Numbers, check_lengths, cluster_codes, number_column

CalibrationKind = Literal["affine", "isotonic"]


@dataclass(frozen=True, slots=True)
class Affine:
    """The line label = intercept + slope x score."""

    intercept: float
    slope: float

    def __call__(self, scores: Numbers) -> Floats:
        """The label of each score, shape (rows,); nan stays nan."""
        return self.intercept + self.slope * number_column(scores, "scores")


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Labels that never fall as scores rise: linear between the given scores, constant beyond the first and last."""

    scores: tuple[float, ...]
    """Ascending."""
    labels: tuple[float, ...]
    """Never falling, one for each score."""

    def __call__(self, scores: Numbers) -> Floats:
        """The label of each score, shape (rows,); nan stays nan."""
        labels: Floats = np.interp(number_column(scores, "scores"), self.scores, self.labels)
        return labels


Calibration = Affine | Isotonic


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Scores calibrated by labels of other rows."""

    calibrated: Floats
    """Shape (rows,): a labeled row's by the calibration that did not see its label, another row's by the mean of all of
    them (Zrnic & Candes 2024); nan where the row has no score."""
    folds: Ints
    """Fold of each labeled row, shape (rows,); -1 for rows without label or score."""
    calibration: Calibration
    """From all labeled rows, for new scores."""
    n: int
    """Rows with a label and a score."""
    mae_before: float
    """Mean distance of label and score."""
    mae_after: float
    """Mean distance of label and out-of-fold calibrated score."""
    rmse_before: float
    rmse_after: float


def cross_fit(
    scores: Numbers,
    labels: Numbers,
    *,
    kind: CalibrationKind = "affine",
    folds: int = 5,
    clusters: ArrayLike | None = None,
    seed: int = 0,
) -> CrossFit:
    """Calibrate scores of all rows by cross-fitting, so that no labeled row sees its own label.

    So `mae_after` estimates the error of new rows, and `ppi_mean(labels, calibrated)` stays unbiased.

    Args:
        scores: of the judge, shape (rows,); None or nan for unscored.
        labels: human labels, None or nan where missing.
        kind: "affine" for a line of least squares, or "isotonic" for pooled adjacent violators (Barlow et al. 1972),
            which follow noise below some hundred labels.
        folds: at least 2; at most one for each row, or cluster.
        clusters: rows of one cluster stay in one fold, shape (rows,).
        seed: of the folds.

    Raises:
        DataError: the lengths differ, a value is not a number, or fewer than two rows, or clusters, have both.
        ConfigError: `kind` is unknown, or `folds` is less than 2.
    """
    if kind not in FITS:
        raise ConfigError(f"`kind` is {kind!r}: give one of {', '.join(FITS)}.")
    if folds < 2:
        raise ConfigError(f"`folds` is {folds!r}: give at least 2; 5 is usual.")
    x, y = number_column(scores, "scores"), number_column(labels, "labels")
    check_lengths(scores=x, labels=y)
    used = ~np.isnan(x) & ~np.isnan(y)
    fold = fold_numbers(used, clusters, folds, seed)
    fits = [FITS[kind](x[used & (fold != k)], y[used & (fold != k)]) for k in range(int(fold.max()) + 1)]
    calibrated = np.mean([fit(x) for fit in fits], axis=0)
    for k, fit in enumerate(fits):
        calibrated[fold == k] = fit(x[fold == k])
    before, after = (y - x)[used], (y - calibrated)[used]
    return CrossFit(
        calibrated,
        fold,
        FITS[kind](x[used], y[used]),
        int(used.sum()),
        float(np.abs(before).mean()),
        float(np.abs(after).mean()),
        math.sqrt(float((before**2).mean())),
        math.sqrt(float((after**2).mean())),
    )


def _affine(x: Floats, y: Floats) -> Affine:
    """The line of least squares; a level one if all scores are equal."""
    centered = x - x.mean()
    under = float((centered**2).sum())
    slope = float((centered * y).sum()) / under if under > 1e-24 * (1 + float((x**2).sum())) else 0.0
    return Affine(float(y.mean()) - slope * float(x.mean()), slope)


def _isotonic(x: Floats, y: Floats) -> Isotonic:
    values, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=y) / counts
    fitted = optimize.isotonic_regression(means, weights=counts.astype(np.float64)).x
    return Isotonic(tuple(values.tolist()), tuple(fitted.tolist()))


FITS: dict[str, Callable[[Floats, Floats], Calibration]] = {"affine": _affine, "isotonic": _isotonic}


def fold_numbers(used: Mask, clusters: ArrayLike | None, folds: int, seed: int) -> Ints:
    """The fold of each used row, -1 for the others; folds differ by at most one row, or cluster, in size."""
    numbers = np.full(len(used), -1, dtype=np.int64)
    units = np.arange(len(used)) if clusters is None else cluster_codes(clusters, len(used))
    names, place = np.unique(units[used], return_inverse=True)
    if len(names) < 2:
        what = "rows" if clusters is None else "clusters"
        raise DataError(f"`labels` and `scores` have {len(names)} {what} in common: cross-fitting needs at least two.")
    numbers[used] = (np.random.default_rng(seed).permutation(len(names)) % min(folds, len(names)))[place]
    return numbers
