"""Small samples: intervals of shares near 0 and 1, and errors of the LLM that the labelled rows happen not to show.

A Wald interval takes its width from the errors that were seen. With few of them, or none, it is too narrow: 50 rows
without an error leave an error rate of 7% open. Two remedies, both used elsewhere in this package for plain shares:

* the score interval (Wilson 1927) with the effective sample size n_eff = p (1 - p) / variance, so that it knows of the
  design and of what the LLM adds (Korn & Graubard 1998 for surveys);
* z^2 / 2 pseudo-errors (Agresti & Coull 1998), that is rows whose human label is replaced by another one. Their weight
  falls to 0 at ten observed errors, from where on the normal approximation is good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity
from hf_synthlabels.statistics.estimation.label_rows import LabelRows
from hf_synthlabels.statistics.intervals import Interval, normal_quantile
from hf_synthlabels.statistics.label_ids import Floats, Ints

ENOUGH_EVENTS = 10
"""Observed errors, or labels of the rarer kind, from which on nothing is added."""

DOMINANT = 0.8
"""Share of rows with the same difference from which on the others count as rare."""

MAX_ALTERNATIVES = 12
"""Other labels that a pseudo-error may put in place of a row's own; of more, so many evenly spaced ones."""


def score_interval(share: float, n: float, quantile: float) -> tuple[float, float]:
    """The score interval of a share with an effective number of rows, which need not be whole."""
    share = min(1.0, max(0.0, share))
    if not n > 0:
        return 0.0, 1.0
    if math.isinf(n):
        return share, share
    extra = quantile**2 / n
    centre = (share + extra / 2) / (1 + extra)
    half = quantile / (1 + extra) * math.sqrt(share * (1 - share) / n + (quantile / (2 * n)) ** 2)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)


def bounded_mean(values: ArrayLike, low: float, high: float, level: float = 0.95) -> Interval:
    """The mean of bounded numbers and its interval, for items that are drawn independently of each other.

    It is the interval of Agresti & Coull (1998), carried over from a share to a mean: z^2 pseudo-values are added, half
    of them at each end of the scale, and the interval is z standard errors of the mean of all around it. So equal
    values do not make an interval of no width. The ends always enclose the mean; all three are nan without values.

    Args:
        values: shape (n,), from `low` to `high`.
        low: the least possible value.
        high: the greatest.
        level: confidence level.
    """
    units = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    n, method = len(units), "Agresti-Coull, of a mean"
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, level, method, 0)
    z = normal_quantile(level)
    total, squares, pseudo = math.fsum(units), math.fsum(units**2), z * z
    centre = (total + pseudo / 2) / (n + pseudo)
    variance = max(0.0, (squares + pseudo / 2) / (n + pseudo) - centre * centre)
    half = z * math.sqrt(variance / (n + pseudo))
    estimate = total / n
    ends = (estimate, min(estimate, max(0.0, centre - half)), max(estimate, min(1.0, centre + half)))
    at, first, last = (low + (high - low) * end for end in ends)
    return Interval(at, first, last, level, method, n)


def own_rows(quantity: Quantity, rows: LabelRows) -> list[NDArray[np.bool_]]:
    """The labelled rows that a quantity rests on, for each of its groups, shape (N,) each."""
    parts = quantity.parts or (np.ones(len(rows.labelled), dtype=np.bool_),)
    return [rows.labelled & part for part in parts]


def missing_events(differences: Floats, clusters: Ints | None = None) -> float:
    """Which part of the pseudo-errors is added: 1 where no row differs, 0 from ten rows or clusters on that do.

    Args:
        differences: of the human label and the LLM's, or human labels alone, shape (n, q). A row differs where it has
            not the most frequent value. Without a value that four of five rows have, nothing is added.
        clusters: of the same rows.
    """
    values, place, counts = np.unique(differences, axis=0, return_inverse=True, return_counts=True)
    if not len(values) or counts.max() < DOMINANT * len(differences):
        return 0.0
    differs = place.ravel() != int(np.argmax(counts))
    events = int(differs.sum()) if clusters is None else len(np.unique(clusters[differs]))
    return max(0.0, 1 - events / ENOUGH_EVENTS)


def mean_square_change(labels: Floats, weights: Floats, others: Sequence[float] = ()) -> float:
    """The mean square of what another label of one row would change in a weighted mean.

    Args:
        labels: shape (n,).
        weights: with the sum 1, shape (n,).
        others: labels that are possible besides those that occur, such as the ends of a scale.
    """
    values = np.unique([*np.unique(labels), *others])
    values = np.array([0.0, 1.0]) if set(values.tolist()) <= {0.0, 1.0} else _some(values)
    changes = weights[:, None] * (values - labels[:, None])
    return float((changes**2).sum() / max(1, (changes != 0).sum()))


def pseudo_error_variance(
    quantity: Quantity, estimand: Estimand, theta: Floats, rows: LabelRows, turn: Floats, level: float, *, judged: bool
) -> float:
    """What pseudo-errors add to the variance of a quantity.

    Args:
        quantity: with its groups of rows, each of which has its own events.
        estimand: whose moments.
        theta: the parameters.
        rows: labels and the drawing.
        turn: from a row's moments to its share in the quantity's error, shape (k,).
        level: confidence level.
        judged: whether the LLM's labels are used, so that events are its errors.
    """
    added = 0.0
    for mine in own_rows(quantity, rows):
        clusters = None if rows.clusters is None else rows.clusters[mine]
        missing = missing_events(rows.human[mine] - judged * rows.llm[mine], clusters)
        if missing > 0:
            squares = _squared_changes(mine, quantity, estimand, theta, rows, turn)
            added += normal_quantile(level) ** 2 / 2 * missing * squares
    return added


def _squared_changes(
    mine: NDArray[np.bool_], quantity: Quantity, estimand: Estimand, theta: Floats, rows: LabelRows, turn: Floats
) -> float:
    """The mean square of what another human label of one row, or of one cluster's rows, would change."""
    weights = rows.weights * (np.sqrt(rows.undrawn) if rows.finite else 1.0)
    actual = estimand.moments(theta, rows.human) @ turn
    sums = times = 0.0
    for value in _alternatives(quantity, rows):
        other = np.broadcast_to(value, rows.human.shape)
        differs = mine & (rows.human != other).any(axis=1)
        changes = np.where(differs, weights * (estimand.moments(theta, other) @ turn - actual), 0.0)
        if rows.clusters is not None:
            changes = np.bincount(rows.clusters, weights=changes)
            sums, times = sums + float(changes @ changes), times + len(np.unique(rows.clusters[differs]))
        else:
            sums, times = sums + float(changes @ changes), times + int(differs.sum())
    return sums / times if times else 0.0


def _alternatives(quantity: Quantity, rows: LabelRows) -> Floats:
    """Labels that a row might have had: all classes of a share, else those that occur."""
    size = rows.human.shape[1]
    if math.isfinite(quantity.low) and math.isfinite(quantity.high):
        return np.array([[0.0], [1.0]]) if size == 1 else np.eye(size)
    return _some(np.unique(rows.human[rows.labelled], axis=0))


def _some(values: Floats) -> Floats:
    if len(values) <= MAX_ALTERNATIVES:
        return values
    return values[np.linspace(0, len(values) - 1, MAX_ALTERNATIVES).round().astype(np.int64)]
