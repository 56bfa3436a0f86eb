"""Calibration error: how far confidence is from accuracy, with the part that is noise taken out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import optimize, stats

from hf_synthlabels.statistics.arrays import Floats, Ints
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.confidence.reliability_table import ConfidentRows, automatic_bins, bin_codes
from hf_synthlabels.statistics.intervals import Interval, fields_as_json

METHOD = "debiased by bins, chi-square"

CHUNK = 256


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Calibration errors over bins of equal mass."""

    bins: int
    debiased: Interval
    """Root mean square of confidence - accuracy over bins, without the part that noise adds (Kumar et al. 2019)."""
    ece: float
    """Mean absolute difference of confidence and accuracy over bins; noise alone makes it positive."""
    ece_if_calibrated: Interval
    """The ECE that perfectly calibrated confidences would show on so many rows: mean and central range."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        intervals = {name: Interval.from_dict(values[name]) for name in ("debiased", "ece_if_calibrated")}
        return cls(**{**values, **intervals})


def calibration_error(
    rows: ConfidentRows, bins: int | None = None, bootstrap: BootstrapConfig | None = None
) -> CalibrationError:
    """The calibration error of confidences, plain and debiased.

    The plain expected calibration error (ECE) is positive even for calibrated confidences, because the accuracy of a
    bin is an estimate. The debiased error subtracts the sampling variance from each squared difference (Kumar, Liang &
    Ma 2019). Its interval inverts a test by a scaled chi-square distribution, so that it may include 0. Both are
    errors of the binned confidence: differences within a bin that cancel are not seen.

    Args:
        rows: labels with a confidence.
        bins: of equal mass, at most; by default 10, and fewer for less than 150 rows.
        bootstrap: level, and resamples and seed of the ECE of calibrated confidences.
    """
    bootstrap = bootstrap or BootstrapConfig()
    weights, n = rows.weights, len(rows)
    codes = bin_codes(rows.confidence, weights, automatic_bins(n) if bins is None else bins)
    gaps, masses = _gaps(rows, weights, codes)
    variances, floors = _variances(rows, weights, codes, gaps)
    return CalibrationError(
        bins=len(masses),
        debiased=_debiased(gaps, masses, variances, np.maximum(variances, floors), bootstrap.level, n),
        ece=float(masses @ np.abs(gaps)),
        ece_if_calibrated=_calibrated_ece(rows, weights, codes, bootstrap),
    )


def _gaps(rows: ConfidentRows, weights: Floats, codes: Ints) -> tuple[Floats, Floats]:
    """Accuracy - confidence of each bin, and the weighted shares of the bins."""
    mass = np.bincount(codes, weights=weights)
    return np.bincount(codes, weights=weights * (rows.correct - rows.confidence)) / mass, mass / mass.sum()


def _variances(rows: ConfidentRows, weights: Floats, codes: Ints, gaps: Floats) -> tuple[Floats, Floats]:
    """The sampling variance of the gap of each bin, estimated and if the confidences were calibrated."""
    variances, floors = np.zeros(len(gaps)), np.zeros(len(gaps))
    residuals = rows.correct - rows.confidence - gaps[codes]
    spread = rows.confidence * (1 - rows.confidence)
    for code in range(len(gaps)):
        within = codes == code
        total, n = weights[within].sum(), int(within.sum())
        floors[code] = weights[within] ** 2 @ spread[within] / total**2
        if n == 1:
            variances[code] = floors[code]
        elif rows.design is None or not rows.design.has_units:
            variances[code] = weights[within] ** 2 @ residuals[within] ** 2 / total**2 * n / (n - 1)
        else:
            variances[code] = rows.design.variance_of_total(np.where(within, weights * residuals, 0.0)) / total**2
    return variances, floors


def _debiased(gaps: Floats, masses: Floats, variances: Floats, noise: Floats, level: float, n: int) -> Interval:
    """The root of the unbiased mean squared gap, with the values that a test does not reject."""
    observed, bias = float(masses @ gaps**2), float(masses @ variances)
    estimate = math.sqrt(max(0.0, observed - bias))
    second = 2 * float(masses**2 @ noise**2)
    # The variance of the cross term depends on where the error is; the largest is assumed.
    slope = 4 * float((masses * noise).max())
    shift = float(masses @ noise)
    if second == 0:
        return Interval(estimate, estimate, estimate, level, METHOD, n)

    def excess(squared: float, share: float, value: float) -> float:
        mean, variance = squared + shift, slope * squared + second
        return float(stats.chi2.ppf(share, 2 * mean**2 / variance)) * variance / (2 * mean) - value

    def end(share: float, value: float) -> float:
        if excess(0.0, share, value) >= 0:
            return 0.0
        if excess(1.0, share, value) <= 0:
            return 1.0
        return math.sqrt(optimize.brentq(excess, 0.0, 1.0, args=(share, value)))

    low = end((1 + level) / 2, observed)
    # Gaps that are by chance smaller than noise alone would make them do not narrow the interval.
    high = end((1 - level) / 2, max(observed, shift))
    return Interval(estimate, min(low, estimate), max(high, estimate), level, METHOD, n)


def _calibrated_ece(rows: ConfidentRows, weights: Floats, codes: Ints, bootstrap: BootstrapConfig) -> Interval:
    """The ECE of labels that are right with the probability of their confidence: mean and central range.

    Simulated rows are independent, so clusters do not widen the range.
    """
    rng = np.random.default_rng(bootstrap.seed)
    belongs = (codes[:, None] == np.arange(int(codes.max()) + 1)) * (weights / weights.sum())[:, None]
    values = []
    for start in range(0, bootstrap.resamples, CHUNK):
        size = (min(CHUNK, bootstrap.resamples - start), len(rows))
        right = rng.random(size) < rows.confidence
        values.append(np.abs((right - rows.confidence) @ belongs).sum(axis=1))
    errors = np.concatenate(values)
    ends = np.quantile(errors, [(1 - bootstrap.level) / 2, (1 + bootstrap.level) / 2])
    return Interval(
        float(errors.mean()), float(ends[0]), float(ends[1]), bootstrap.level, "simulated calibrated rows", len(rows)
    )
