"""Calibration: a judge's scores as the human labels that go with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, Numbers, cluster_codes, number_column

CalibrationKind = Literal["affine", "isotonic"]


class Calibration(Protocol):
    """What turns scores into labels."""

    def __call__(self, scores: Numbers) -> Floats:
        """The label that goes with each score, shape (rows,); nan stays nan."""


@dataclass(frozen=True, slots=True)
class Affine:
    """label = intercept + slope x score."""

    intercept: float
    slope: float

    def __call__(self, scores: Numbers) -> Floats:
        """The label on the line; it may lie beyond the labels that there are."""
        return self.intercept + self.slope * number_column(scores, "scores")


@dataclass(frozen=True, slots=True)
class Isotonic:
    """Labels that never fall as scores rise: straight between the given scores, level beyond the first and last."""

    scores: tuple[float, ...]
    """Rising."""
    labels: tuple[float, ...]
    """Never falling, one for each score."""

    def __call__(self, scores: Numbers) -> Floats:
        """The label between its neighbours."""
        found: Floats = np.interp(number_column(scores, "scores"), self.scores, self.labels)
        return found


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Scores calibrated by labels of other rows than their own."""

    calibrated: Floats
    """Shape (rows,). A labelled row's is of the calibration that did not see its label, another row's the mean of all
    of them (Zrnic & Candes 2024); nan where the row has no score."""
    folds: Ints
    """Which part each labelled row was in, shape (rows,); -1 for rows without label or score."""
    calibration: Calibration
    """From all labelled rows: for new scores."""
    n: int
    """Rows with a label and a score."""
    mae_before: float
    """Mean distance of label and score."""
    mae_after: float
    """Mean distance of label and out-of-fold calibrated score."""
    rmse_before: float
    rmse_after: float


def fit_affine(scores: Numbers, labels: Numbers) -> Affine:
    """The line of least squares; a level one where all scores are the same.

    Args:
        scores: the judge's, shape (rows,).
        labels: human ones. Rows without either are left out.

    Raises:
        DataError: the lengths differ, a value is not a number, or no row has both.
    """
    return _affine(*_pairs(scores, labels))


def fit_isotonic(scores: Numbers, labels: Numbers) -> Isotonic:
    """The never falling labels of least squares, by pooling adjacent violators (Barlow et al. 1972, as scipy has it).

    Rows of one score count as their mean label, as many times as there are. With few labels it follows noise: below
    some hundred rows a line is mostly nearer.

    Args:
        scores: as in `fit_affine`.
        labels: as in `fit_affine`.

    Raises:
        DataError: as in `fit_affine`.
    """
    return _isotonic(*_pairs(scores, labels))


def cross_fit(
    scores: Numbers,
    labels: Numbers,
    *,
    kind: CalibrationKind = "affine",
    folds: int = 5,
    clusters: ArrayLike | None = None,
    seed: int = 0,
) -> CrossFit:
    """Calibrated scores of all rows of which no labelled one has seen its own label.

    The labelled rows are dealt into parts; each part is calibrated by the labels of the others. So `mae_after` is what
    new rows may expect, and `ppi_mean(labels, calibrated)` stays right, which it would not with scores that know the
    labels they are to be compared with.

    Args:
        scores: the judge's, shape (rows,); None or nan for unscored.
        labels: human ones, None or nan where there is none.
        kind: "affine" or "isotonic".
        folds: how many parts, at least 2; not more than there are rows, or clusters, to deal.
        clusters: rows of one cluster stay in one part, shape (rows,).
        seed: of the dealing.

    Raises:
        DataError: as in `fit_affine`; or `clusters` has not one value for each row; or there are fewer than two
            labelled rows, or clusters of them, to deal.
        ConfigError: there is no such kind, or `folds` is less than 2.
    """
    if kind not in FITS:
        raise ConfigError(f"`kind` is {kind!r}: give one of {', '.join(FITS)}.")
    if folds < 2:
        raise ConfigError(f"`folds` is {folds!r}: give at least 2; 5 is usual.")
    x, y = _columns(scores, labels)
    used = ~np.isnan(x) & ~np.isnan(y)
    part = _deal(used, clusters, folds, seed)
    fits = [FITS[kind](x[used & (part != k)], y[used & (part != k)]) for k in range(int(part.max()) + 1)]
    calibrated = np.mean([fit(x) for fit in fits], axis=0)
    for k, fit in enumerate(fits):
        calibrated[part == k] = fit(x[part == k])
    before, after = (y - x)[used], (y - calibrated)[used]
    return CrossFit(
        calibrated,
        part,
        FITS[kind](x[used], y[used]),
        int(used.sum()),
        float(np.abs(before).mean()),
        float(np.abs(after).mean()),
        math.sqrt(float((before**2).mean())),
        math.sqrt(float((after**2).mean())),
    )


def _affine(x: Floats, y: Floats) -> Affine:
    centred = x - x.mean()
    under = float((centred**2).sum())
    slope = float((centred * y).sum()) / under if under > 1e-24 * (1 + float((x**2).sum())) else 0.0
    return Affine(float(y.mean()) - slope * float(x.mean()), slope)


def _isotonic(x: Floats, y: Floats) -> Isotonic:
    values, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=y) / counts
    fitted = optimize.isotonic_regression(means, weights=counts.astype(np.float64)).x
    return Isotonic(tuple(values.tolist()), tuple(fitted.tolist()))


FITS: dict[str, Callable[[Floats, Floats], Calibration]] = {"affine": _affine, "isotonic": _isotonic}


def _columns(scores: Numbers, labels: Numbers) -> tuple[Floats, Floats]:
    x, y = number_column(scores, "scores"), number_column(labels, "labels")
    if len(x) != len(y):
        raise DataError(f"`scores` has {len(x):,} rows and `labels` {len(y):,}: give one each per row.")
    return x, y


def _pairs(scores: Numbers, labels: Numbers) -> tuple[Floats, Floats]:
    """Scores and labels of the rows that have both."""
    x, y = _columns(scores, labels)
    both = ~np.isnan(x) & ~np.isnan(y)
    if not both.any():
        raise DataError("`scores` and `labels` have no row in common: a calibration needs rows with both.")
    return x[both], y[both]


def _deal(used: np.ndarray, clusters: ArrayLike | None, folds: int, seed: int) -> Ints:
    """The part of each used row, -1 for the others; parts differ by at most one row, or cluster, in size."""
    part = np.full(len(used), -1, dtype=np.int64)
    units = np.arange(len(used)) if clusters is None else cluster_codes(clusters, len(used))
    names, place = np.unique(units[used], return_inverse=True)
    if len(names) < 2:
        what = "rows" if clusters is None else "clusters"
        raise DataError(
            f"`labels` and `scores` are both there in {len(names)} {what}: cross-fitting needs two at least."
        )
    dealt = np.random.default_rng(seed).permutation(len(names)) % min(folds, len(names))
    part[used] = dealt[place]
    return part
