"""Brier score: of the confidence in the label, and of the probabilities of all classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, divided
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, RowContributions, row_intervals, score_of_sums
from hf_synthlabels.statistics.confidence.reliability_table import automatic_bins, bin_codes
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import Interval, fields_as_json

MAX_MULTICLASS = 2.0
"""The Brier score of probability 1 for a wrong class."""

TOTAL_TOLERANCE = 0.02
"""How far the probabilities of a row may sum to something other than 1."""


@dataclass(frozen=True, slots=True)
class BrierParts:
    """Decomposition of a Brier score (Murphy 1973), exact for any bins (Stephenson, Coelho & Jolliffe 2008).

    The score is reliability - resolution + uncertainty + within_bins.
    """

    reliability: float
    """Mean squared difference of mean confidence and accuracy over bins; 0 is best."""
    resolution: float
    """Variance of accuracy between bins; more is better."""
    uncertainty: float
    """Accuracy x (1 - accuracy), or the same for each class: the score of a constant confidence, calibrated."""
    within_bins: float
    """What the bins hide: variance of confidence within bins, less twice its covariance with being right."""

    @property
    def total(self) -> float:
        """The Brier score."""
        return self.reliability - self.resolution + self.uncertainty + self.within_bins

    def to_dict(self) -> dict[str, float]:
        """The fields."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Self:
        """Read what `to_dict` returned."""
        return cls(**values)


@dataclass(frozen=True, slots=True)
class BrierScore:
    """A Brier score with its interval and decomposition."""

    score: Interval
    parts: BrierParts

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(Interval.from_dict(values["score"]), BrierParts.from_dict(values["parts"]))


def brier_parts(forecast: Floats, outcome: Floats, weights: Floats, codes: Ints) -> BrierParts:
    """The decomposition of the Brier score of one forecast.

    Args:
        forecast: from 0 to 1, shape (rows,).
        outcome: 0 or 1, shape (rows,).
        weights: shape (rows,).
        codes: bin of each row, from 0.
    """
    total = weights.sum()
    mass = np.bincount(codes, weights=weights)
    means = [divided(np.bincount(codes, weights=weights * values), mass, 0.0) for values in (forecast, outcome)]
    overall = float(weights @ outcome / total)
    spread, hits = forecast - means[0][codes], outcome - means[1][codes]
    return BrierParts(
        reliability=float(mass @ (means[0] - means[1]) ** 2 / total),
        resolution=float(mass @ (means[1] - overall) ** 2 / total),
        uncertainty=overall * (1 - overall),
        within_bins=float(weights @ (spread**2 - 2 * spread * hits) / total),
    )


def multiclass_brier(
    probabilities: Floats,
    truth: Ints,
    design: SamplingDesign | None = None,
    *,
    bins: int | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> BrierScore:
    """The Brier score of the probabilities of all classes, from 0 to 2 (Brier 1950).

    It is the sum over classes of (probability - 1 for the human label, 0 otherwise) squared. So is the decomposition,
    with bins of equal mass for each class.

    Args:
        probabilities: shape (rows, classes), each row with the sum 1.
        truth: the class of the human label, from 0, shape (rows,).
        design: weights, clusters and strata; None for a simple random sample.
        bins: of each class, at most.
        bootstrap: level, resamples and seed.

    Raises:
        DataError: the shapes differ, there is no row, or a row does not hold probabilities.
    """
    bootstrap = bootstrap or BootstrapConfig()
    _check(probabilities, truth)
    size, classes = probabilities.shape
    is_class = (truth[:, None] == np.arange(classes)).astype(np.float64)
    square = (probabilities**2).sum(axis=1)
    # For each class that could be the human label: sum p^2 - 2 p + 1.
    possible = square[:, None] - 2 * probabilities + 1
    scores = possible[np.arange(size), truth]
    top = probabilities.argmax(axis=1)
    lowest = possible[np.arange(size), top]
    others = divided(possible.sum(axis=1) - lowest, np.full(size, classes - 1.0), 0.0)
    scaled = None if design is None else design.scaled()
    observed, correct, incorrect = (np.column_stack([each, np.ones(size)]) for each in (scores, lowest, others))
    rows = RowContributions(observed, correct, incorrect, np.full(size, 1 / size), scaled)
    mean = score_of_sums(lambda sums: divided(sums[:, 0], sums[:, 1]))
    interval = row_intervals(rows, {"brier": mean}, bootstrap, size, highest=MAX_MULTICLASS)["brier"]
    weights = np.ones(size) if scaled is None or scaled.weights is None else scaled.weights
    number = automatic_bins(size) if bins is None else bins
    parts = [
        brier_parts(forecast, outcome, weights, bin_codes(forecast, weights, number))
        for forecast, outcome in zip(probabilities.T, is_class.T, strict=True)
    ]
    names = ("reliability", "resolution", "uncertainty", "within_bins")
    sums = BrierParts(**{name: sum(getattr(part, name) for part in parts) for name in names})
    return BrierScore(interval, sums)


def _check(probabilities: Floats, truth: Ints) -> None:
    if probabilities.ndim != 2 or len(probabilities) != len(truth) or not len(truth):
        raise DataError(
            f"`probabilities` has shape {probabilities.shape} and `truth` {truth.shape}: give one row of class "
            "probabilities for each human label."
        )
    totals = probabilities.sum(axis=1)
    wrong = ~((probabilities >= 0).all(axis=1) & (np.abs(totals - 1) <= TOTAL_TOLERANCE))
    if wrong.any():
        raise DataError(
            f"`probabilities` has {int(wrong.sum()):,} rows that are not probabilities with the sum 1, the first with "
            f"the sum {totals[wrong][0]:g}: divide each row by its sum."
        )
