"""Variances and intervals of estimates, with pseudo-errors for small samples.

A Wald interval takes its width from the observed errors. With few or none it is too narrow: 50 rows without an error
are compatible with an error rate of 7%. Two remedies, both used in this package for plain proportions:

* the score interval (Wilson 1927) with the effective sample size n_eff = p (1 - p) / variance, which reflects the
  design and what the LLM adds (Korn & Graubard 1998 for surveys);
* z^2 / 2 pseudo-errors (Agresti & Coull 1998): rows whose human label is replaced by another one. Their weight falls to
  0 at ten observed errors, beyond which the normal approximation is good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats, Ints
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Term, inverse, slope_of
from hf_synthlabels.statistics.estimation.label_rows import Inference, LabelRows
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, score_interval

ENOUGH_EVENTS = 10
"""Observed errors, or labels of the rarer kind, from which on nothing is added."""


DOMINANT = 0.8
"""Share of rows with the same difference from which on the others count as rare."""


MAX_ALTERNATIVES = 12
"""Other labels that a pseudo-error may put in place of a row's own; of more, so many evenly spaced ones."""


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


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance of an estimate and its degrees of freedom."""

    variance: float
    free: float
    added: float = 0.0
    """What pseudo-errors add to the variance."""
    judged: bool = False
    """Whether the LLM's labels are used."""

    @property
    def total(self) -> float:
        """The variance with pseudo-errors."""
        return self.variance + self.added


def influences(estimand: Estimand, terms: Sequence[Term], theta: Floats, sums: Floats) -> Floats:
    """What each row adds to the error of the parameters, shape (N, k); nan where there is no root."""
    if np.isnan(theta).any():
        return np.full(sums.shape, math.nan)
    found: Floats = -sums @ inverse(slope_of(estimand, terms, theta)).T
    return found


def with_pseudo_errors(
    spread: Spread,
    quantity: Quantity,
    estimand: Estimand,
    theta: Floats,
    rows: LabelRows,
    terms: Sequence[Term],
    inference: Inference,
    *,
    judged: bool,
) -> Spread:
    """The spread with what pseudo-errors add.

    By human labels alone shares have a score interval and means Student's: neither needs any.
    """
    needed = judged or (math.isfinite(quantity.low) and not quantity.share)
    if math.isnan(spread.variance) or np.isnan(theta).any() or not needed:
        return replace(spread, judged=judged)
    turn = -inverse(slope_of(estimand, terms, theta)).T @ np.array(quantity.weights)
    added = pseudo_error_variance(quantity, estimand, theta, rows, turn, inference.level, judged=judged)
    return replace(spread, added=added, judged=judged)


def spread_of(
    errors: Floats,
    rows: LabelRows,
    size: int,
    *,
    spent: int | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Spread:
    """The variance of a quantity from what each row adds to its error, and on how many degrees of freedom it rests.

    Args:
        errors: shape (N,).
        rows: for clusters and chances.
        size: the number of parameters.
        spent: degrees of freedom that went into them, if more.
        mask: the rows whose labels are taken for human ones; by default those that are.
    """
    spent = size if spent is None else spent
    core = rows.labelled if mask is None else mask
    n = int(core.sum())
    if rows.finite and mask is not None:
        return Spread(0.0, float(n))
    if rows.finite:
        errors = np.where(core, errors * np.sqrt(rows.undrawn), 0.0)
    if rows.clusters is not None:
        sums = np.bincount(rows.clusters, weights=errors)
        units = len(np.unique(rows.clusters[core]))
        left = units - 1 - (spent - size)
        if left <= 0 or n <= size:
            return Spread(math.nan, 0)
        return Spread(float(sums @ sums) * units / left * (n - 1) / (n - size), left)
    mine, others = errors[core], errors[~core]
    # Rows that count more leave fewer to learn the spread from.
    free = (rows.kish if mask is None and rows.chances is not None else n) - spent
    if free <= 0 or n <= spent:
        return Spread(math.nan, 0)
    pieces = [(float(mine @ mine) * n / (n - spent), float(free))]
    if others.any():
        # With unequal chances the LLM's mean is over all rows and costs these none.
        rest = max(1, len(others) - (rows.chances is None))
        pieces.append((float(others @ others) * len(others) / rest, float(rest)))
    variance = sum(piece for piece, _ in pieces)
    under = sum(piece**2 / each for piece, each in pieces)
    return Spread(variance, variance**2 / under if under > 0 else free)


def estimate_interval(
    quantity: Quantity,
    point: float,
    spread: Spread,
    rows: LabelRows,
    inference: Inference,
    method: str,
    *,
    mask: NDArray[np.bool_] | None = None,
) -> Interval:
    """Interval of a quantity: Student's, or for a proportion the score interval with the effective sample size."""
    own = own_rows(quantity, rows) if mask is None else [mask & part for part in quantity.parts or (mask,)]
    n = int(sum(part.sum() for part in own))
    if rows.clusters is not None:
        method += ", clusters"
    if math.isnan(point) or math.isnan(spread.variance):
        return Interval(point, math.nan, math.nan, inference.level, method, n)
    quantile = float(stats.t.ppf((1 + inference.level) / 2, spread.free))
    half = quantile * math.sqrt(spread.total)
    low, high = point - half, point + half
    if quantity.share and mask is None:
        below, above = score_interval(point, *_effective_n(point, spread, own[0], rows, quantile, inference.level))
        # Without pseudo-errors the score interval is the better of the two.
        low, high = (min(low, below), max(high, above)) if spread.added else (below, above)
    cut = [min(quantity.high, max(quantity.low, value)) for value in (point, low, high)]
    return Interval(cut[0], cut[1], cut[2], inference.level, method, n)


def _effective_n(
    share: float, spread: Spread, own: NDArray[np.bool_], rows: LabelRows, quantile: float, level: float
) -> tuple[float, float]:
    """How many independent rows would give a share the variance that the estimate has, and the quantile to use."""
    units = int(own.sum()) if rows.clusters is None else len(np.unique(rows.clusters[own]))
    if spread.variance <= 1e-24:
        # All labels are alike. Where the LLM is used, pseudo-errors tell what is open.
        open_part = float(rows.undrawn[own].mean()) if rows.finite and units else 1.0
        return math.inf if spread.judged or open_part == 0 else units / open_part, normal_quantile(level)
    # An estimate at or beyond the end of the scale has the spread of half a row.
    inside = min(1 - 1 / (2 * units), max(1 / (2 * units), share)) if units else 0.5
    return inside * (1 - inside) / spread.variance, quantile
