"""Does confidence separate right from wrong labels? AUROC, and the accuracy of the most confident rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import optimize

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.arrays import Floats, Ints, Mask, divided
from hf_synthlabels.statistics.confidence.reliability_table import ConfidentRows
from hf_synthlabels.statistics.intervals import Interval, fields_as_json, normal_quantile

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of rows that a curve of selective accuracy keeps."""

TINY = 1e-9

METHOD = "score, Hanley-McNeil"


@dataclass(frozen=True, slots=True)
class KeptRows:
    """The rows with at least some confidence."""

    threshold: float
    kept: Interval
    """Share of all rows."""
    accuracy: Interval
    """Of the kept rows."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        intervals = (Interval.from_dict(values[name]) for name in ("kept", "accuracy"))
        return cls(values["threshold"], *intervals)


def auroc(rows: ConfidentRows, level: float = 0.95) -> Interval:
    """The probability that a right label has more confidence than a wrong one; ties count half.

    The interval inverts the score test with the variance of Hanley & McNeil (method 5 of Newcombe 2006), which keeps
    its coverage with few wrong labels. Weights enter by the effective number of right and of wrong labels, and
    clusters by their design effect.

    Args:
        rows: labels with a confidence.
        level: confidence level.
    """
    right, wrong = rows.correct, ~rows.correct
    n = len(rows)
    method = METHOD if rows.design is None else rows.design.method_name(METHOD, n)
    if not right.any() or not wrong.any():
        return Interval.undefined(level, method, n)
    weights = rows.weights
    placements = _placements(rows, weights)
    area = float(weights[right] @ placements[right] / weights[right].sum())
    sizes = [float(weights[part].sum() ** 2 / (weights[part] ** 2).sum()) for part in (right, wrong)]
    effect = _cluster_effect(rows, weights, placements, area)
    low, high = _score_limits(area, sizes[0] / effect, sizes[1] / effect, normal_quantile(level))
    return Interval(area, low, high, level, method, n)


def _placements(rows: ConfidentRows, weights: Floats) -> Floats:
    """For a right label the weighted share of wrong ones with less confidence, and the reverse; ties count half."""
    _, place = np.unique(rows.confidence, return_inverse=True)
    right = np.bincount(place, weights=weights * rows.correct)
    wrong = np.bincount(place, weights=weights * ~rows.correct)
    below = (np.cumsum(wrong) - wrong / 2) / wrong.sum()
    above = 1 - (np.cumsum(right) - right / 2) / right.sum()
    placements: Floats = np.where(rows.correct, below[place], above[place])
    return placements


def _cluster_effect(rows: ConfidentRows, weights: Floats, placements: Floats, area: float) -> float:
    """The variance of the area with clusters over that without, by the linearized area; at least 1."""
    design = rows.design
    if design is None or design.clusters is None:
        return 1.0
    totals = np.where(rows.correct, weights[rows.correct].sum(), weights[~rows.correct].sum())
    influence = weights * (placements - area) / totals
    single = float((influence**2).sum())
    if single == 0:
        return len(rows) / len(design.units(len(rows))[1])
    widening = design.widening(len(rows), 0.95) ** 2
    return max(1.0, design.variance_of_total(influence) / single * widening)


def _score_limits(area: float, right: float, wrong: float, quantile: float) -> tuple[float, float]:
    """The areas that differ from the estimate by `quantile` of their standard errors."""
    size = (right + wrong) / 2

    def excess(true: float) -> float:
        spread = 1 + (size - 1) * ((1 - true) / (2 - true) + true / (1 + true))
        variance = true * (1 - true) / (right * wrong) * max(1.0, spread)
        return (area - true) ** 2 - quantile**2 * variance

    # The variance is 0 at both ends, so an estimate of 0 or 1 is itself a root.
    low = 0.0 if area <= 0 else optimize.brentq(excess, 0.0, min(area, 1 - TINY))
    high = 1.0 if area >= 1 else optimize.brentq(excess, max(area, TINY), 1.0)
    return float(low), float(high)


def accuracy_by_coverage(
    rows: ConfidentRows, shares: Sequence[float] = SHARES, level: float = 0.95
) -> tuple[KeptRows, ...]:
    """The accuracy of the rows with the most confidence, for several shares of rows to keep.

    Rows with the same confidence are kept together, so more rows than the share may be kept. Each interval is for a
    threshold that was fixed in advance, not for one that was chosen because its accuracy is high.

    Args:
        rows: labels with a confidence.
        shares: to keep at least, above 0 and at most 1.
        level: confidence level.

    Raises:
        ConfigError: a share is not above 0 and at most 1.
    """
    if wrong := [share for share in shares if not 0 < share <= 1]:
        raise ConfigError(f"`shares` has {wrong[0]!r}: give shares above 0 and at most 1.")
    values, place = np.unique(rows.confidence, return_inverse=True)
    masses = np.bincount(place, weights=rows.weights)
    reached = np.cumsum(masses[::-1])[::-1] / masses.sum()
    curve = {}
    for share in shares:
        # The sum of weights is 1 only up to rounding.
        threshold = float(values[np.flatnonzero(reached >= share - 1e-12)[-1]])
        kept = rows.confidence >= threshold
        curve[threshold] = KeptRows(threshold, rows.share(kept, level=level), rows.share(rows.correct, kept, level))
    return tuple(curve.values())


def area_under_risk_curve(counts: Ints | Floats, cells: Floats) -> Floats:
    """The mean share of wrong labels over all thresholds (AURC, Geifman & El-Yaniv 2017), for each resample.

    Each row counts with the share of wrong labels among the rows with at least its confidence.

    Args:
        counts: weight of each distinct row in each resample, shape (R, C).
        cells: confidence and whether the label is right, shape (C, 2).
    """
    order = np.argsort(-cells[:, 0], kind="stable")
    ordered = cells[order]
    starts: Mask = np.concatenate([[True], np.diff(ordered[:, 0]) != 0])
    first = np.flatnonzero(starts)
    drawn = np.asarray(counts, dtype=np.float64)[:, order]
    mass = np.add.reduceat(drawn, first, axis=1)
    wrong = np.add.reduceat(drawn * (1 - ordered[:, 1]), first, axis=1)
    risk = divided(np.cumsum(wrong, axis=1), np.cumsum(mass, axis=1), 0.0)
    return divided((mass * risk).sum(axis=1), mass.sum(axis=1))


def brier_of_counts(counts: Ints | Floats, cells: Floats) -> Floats:
    """The Brier score of confidences for each resample; arguments as for `area_under_risk_curve`."""
    drawn = np.asarray(counts, dtype=np.float64)
    return divided(drawn @ (cells[:, 0] - cells[:, 1]) ** 2, drawn.sum(axis=1), math.nan)
