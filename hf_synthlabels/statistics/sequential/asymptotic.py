"""Intervals of macro F1, weighted F1 and kappa that hold at all looks, in large samples.

A score that is a smooth function of the confusion matrix is nearly a mean of row values, its influence function. Such a
mean has an asymptotic confidence sequence with Robbins' normal mixture boundary (Waudby-Smith, Arbour, Sinha, Kennedy &
Ramdas 2024, Annals of Statistics). As in the bootstrap of a finished sample, pseudo-rows are added, so that a few rows
without an error do not give an interval of width 0.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from hf_synthlabels.statistics.agreement.confusion import margins, score
from hf_synthlabels.statistics.arrays import Floats, Mask, check_level, divided
from hf_synthlabels.statistics.intervals import ANY_TIME, Interval

SmoothMetric = Literal["macro_f1", "weighted_f1", "kappa"]
"""Scores that are smooth functions of a confusion matrix."""

SMOOTH_METRICS: tuple[SmoothMetric, ...] = get_args(SmoothMetric)

METHOD = f"asymptotic, {ANY_TIME}"

FOCUS_ROWS = 250
"""Number of rows for which the boundary is narrowest."""


def boundary(n: int, level: float = 0.95) -> float:
    """Half the width of an interval after n rows, in standard errors; a fixed sample has 1.96 at level 0.95.

    Raises:
        ConfigError: `level` is not between 0 and 1.
    """
    check_level(level)
    log_risk = math.log(1 - level)
    # The variance of the mixture that makes the interval of `FOCUS_ROWS` rows nearly as narrow as possible.
    mixed = n * (-2 * log_risk + math.log(1 - 2 * log_risk)) / FOCUS_ROWS
    return math.sqrt((mixed + 1) / mixed * (math.log(mixed + 1) - 2 * log_risk))


def anytime_score(
    metric: SmoothMetric, weighted: Floats, squared: Floats, n: int, classes: Mask, level: float = 0.95
) -> Interval:
    """The interval of a score of a confusion matrix that holds at all looks.

    Args:
        metric: the score.
        weighted: sums of weights of mean 1 in each cell, shape (K, K + 1).
        squared: sums of squared weights in each cell.
        n: labeled rows.
        classes: classes of a macro average, shape (K,).
        level: probability that the intervals of all looks contain the score.
    """
    if not n:
        return Interval.undefined(level, METHOD)
    estimate = float(score(metric, weighted))
    low, high = score_limits(metric, weighted, squared, boundary(n, level), classes)
    ends = (min(estimate, float(low)), max(estimate, float(high)))
    counted = n if metric != "kappa" else round(n * float(weighted[:, :-1].sum() / weighted.sum()))
    return Interval(estimate, *ends, level, METHOD, counted)


def score_limits(
    metric: SmoothMetric, weighted: Floats, squared: Floats, width: float, classes: Mask
) -> tuple[Floats, Floats]:
    """The limits of many samples of equal size at once; see `anytime_score`.

    Args:
        metric: the score.
        weighted: shape (..., K, K + 1).
        squared: shape (..., K, K + 1).
        width: half the width of the interval in standard errors.
        classes: shape (..., K) or (K,).

    Returns:
        Lower and upper limits, each of shape (...).
    """
    pseudo = pseudo_rows(weighted, classes, width**2)
    smoothed = weighted + pseudo
    center = score(metric, smoothed, classes)
    influence = influence_of_cells(metric, smoothed, classes)
    total = smoothed.sum(axis=(-2, -1))
    variance = ((squared + pseudo) * influence**2).sum(axis=(-2, -1)) / total**2
    half = width * np.sqrt(variance)
    lowest = -1.0 if metric == "kappa" else 0.0
    return np.maximum(lowest, center - half), np.minimum(1.0, center + half)


def influence_of_cells(metric: SmoothMetric, counts: Floats, classes: Mask) -> Floats:
    """How a row of each cell moves the score, relative to a row on average; shape (..., K, K + 1).

    This is the derivative of the score by the share of a cell, less the mean of these derivatives.
    """
    shares = counts / counts.sum(axis=(-2, -1), keepdims=True)
    size = counts.shape[-2]
    if metric == "kappa":
        return _influence_on_kappa(shares)
    correct, predicted, human = margins(shares)
    f1 = divided(2 * correct, predicted + human, otherwise=0.0)
    counted = np.broadcast_to(classes, f1.shape)
    part = counted / np.maximum(counted.sum(axis=-1, keepdims=True), 1) if metric == "macro_f1" else human
    slope = divided(part, predicted + human, otherwise=0.0)
    # A row of cell (i, j) is a human row of class i and a predicted row of class j.
    by_class = slope * f1
    cells = np.zeros(counts.shape)
    cells[..., :size] -= by_class[..., None, :]
    cells -= by_class[..., :, None]
    diagonal = np.arange(size)
    cells[..., diagonal, diagonal] += 2 * slope
    if metric == "weighted_f1":
        cells += f1[..., :, None] - (human * f1).sum(axis=-1)[..., None, None]
    return cells


def _influence_on_kappa(shares: Floats) -> Floats:
    """Of the answered rows; the others have none."""
    size = shares.shape[-2]
    answered = shares[..., :-1]
    total = answered.sum(axis=(-2, -1), keepdims=True)
    answered = divided(answered, total, otherwise=0.0)
    human, predicted = answered.sum(axis=-1), answered.sum(axis=-2)
    observed = np.trace(answered, axis1=-2, axis2=-1)[..., None, None]
    expected = (human * predicted).sum(axis=-1)[..., None, None]
    beyond = np.maximum(1 - expected, 1e-12)
    change = predicted[..., :, None] + human[..., None, :] - 2 * expected
    cells = np.zeros(shares.shape)
    cells[..., :size] = (np.eye(size) - observed) / beyond - (1 - observed) * change / beyond**2
    return divided(cells, np.broadcast_to(total, cells.shape), otherwise=0.0)


def pseudo_rows(weighted: Floats, classes: Mask, number: float) -> Floats:
    """Pseudo-rows in equal parts for the classes, half of them correct; shape (..., K, K + 1).

    The others go where the predictions of other classes (or none) went, as in the bootstrap of a finished sample.
    """
    size = weighted.shape[-2]
    columns = weighted.sum(axis=-2)
    elsewhere = np.repeat(columns[..., None, :], size, axis=-2)
    diagonal = np.arange(size)
    elsewhere[..., diagonal, diagonal] = 0
    totals = elsewhere.sum(axis=-1, keepdims=True)
    elsewhere = divided(elsewhere, np.broadcast_to(totals, elsewhere.shape), otherwise=0.0)
    elsewhere[..., -1] += totals[..., 0] == 0
    counted = np.broadcast_to(classes, weighted.shape[:-1])
    each = number * counted / np.maximum(counted.sum(axis=-1, keepdims=True), 1)
    rows: Floats = each[..., None] / 2 * elsewhere
    rows[..., diagonal, diagonal] += each / 2
    return rows
