"""Variances and intervals of estimates, with pseudo-errors for small samples.

A Wald interval is too narrow with few observed errors: 50 rows without an error are compatible with an error rate of
7%. There are two remedies:

* the score interval (Wilson 1927) of a share with the effective sample size n_eff = p (1 - p) / variance (Korn &
  Graubard 1998 for surveys);
* z^2 / 2 pseudo-errors (Agresti & Coull 1998): rows whose human label is replaced by another one. Their weight falls to
  0 at ten observed errors, beyond which the normal approximation is good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats, Ints, Mask
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Term, inverse, slope_of
from hf_synthlabels.statistics.estimation.label_rows import LabelRows
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, score_interval

ENOUGH_EVENTS = 10
"""Observed errors, or labels of the rarer kind, from which on no pseudo-errors are added."""

DOMINANT = 0.8
"""Proportion of rows with the same difference from which on the other rows count as rare."""

MAX_ALTERNATIVES = 12
"""Labels that a pseudo-error may have; of more, this many evenly spaced ones."""


@dataclass(frozen=True, slots=True)
class ErrorVariance:
    """Variance of an estimate and its degrees of freedom."""

    variance: float
    dof: float
    pseudo: float = 0.0
    """Variance of the pseudo-errors."""
    uses_llm: bool = False

    @property
    def total(self) -> float:
        """The variance with pseudo-errors."""
        return self.variance + self.pseudo


def own_rows(quantity: Quantity, rows: LabelRows) -> list[Mask]:
    """The labeled rows of each group of a quantity, shape (N,) each."""
    return [rows.labeled & part for part in quantity.parts or (np.ones(len(rows.labeled), dtype=np.bool_),)]


def missing_events(differences: Floats, clusters: Ints | None = None) -> float:
    """The proportion of pseudo-errors to add: 1 without observed errors, 0 from ten rows or clusters on.

    Args:
        differences: human label less LLM label, or human labels, shape (n, q). A row is an error if it does not have
            the most frequent value. If no value occurs in four of five rows, nothing is added.
        clusters: cluster of each row.
    """
    values, place, counts = np.unique(differences, axis=0, return_inverse=True, return_counts=True)
    if not len(values) or counts.max() < DOMINANT * len(differences):
        return 0.0
    differs = place.ravel() != int(np.argmax(counts))
    events = int(differs.sum()) if clusters is None else len(np.unique(clusters[differs]))
    return max(0.0, 1 - events / ENOUGH_EVENTS)


def mean_square_change(labels: Floats, weights: Floats, others: Sequence[float] = ()) -> float:
    """The mean square of the change that another label of one row makes in a weighted mean.

    Args:
        labels: shape (n,).
        weights: with the sum 1, shape (n,).
        others: possible labels besides the observed ones, such as the ends of a scale.
    """
    values = np.unique([*np.unique(labels), *others])
    values = np.array([0.0, 1.0]) if set(values.tolist()) <= {0.0, 1.0} else _evenly_spaced(values)
    changes = weights[:, None] * (values - labels[:, None])
    return float((changes**2).sum() / max(1, (changes != 0).sum()))


def influences(estimand: Estimand, terms: Sequence[Term], theta: Floats, moments: Floats) -> Floats:
    """Contribution of each row to the error of the parameters, shape (N, k); nan where there is no root."""
    if np.isnan(theta).any():
        return np.full(moments.shape, math.nan)
    values: Floats = -moments @ inverse(slope_of(estimand, terms, theta)).T
    return values


def error_variance(
    errors: Floats, rows: LabelRows, n_params: int, *, tuned: int = 0, human_like: Mask | None = None
) -> ErrorVariance:
    """The sandwich variance of a quantity, and its degrees of freedom.

    Args:
        errors: contribution of each row to the error, shape (N,).
        rows: clusters and probabilities.
        n_params: number of parameters.
        tuned: further degrees of freedom used.
        human_like: rows whose labels are treated as human labels; by default those that are.
    """
    core = rows.labeled if human_like is None else human_like
    counted = core if human_like is not None else rows.in_domain(core)
    n, used = int(counted.sum()), n_params + tuned
    if rows.finite and human_like is not None:
        return ErrorVariance(0.0, float(n))
    if rows.finite:
        errors = np.where(core, errors * np.sqrt(rows.population_correction), 0.0)
    if rows.clusters is not None:
        sums = np.bincount(rows.clusters, weights=errors)
        units = len(np.unique(rows.clusters[counted]))
        dof = units - 1 - tuned
        if dof <= 0 or n <= n_params:
            return ErrorVariance(math.nan, 0)
        return ErrorVariance(float(sums @ sums) * units / dof * (n - 1) / (n - n_params), dof)
    labeled, others = errors[core], errors[~core]
    # Unequal weights leave fewer effective rows.
    free = (rows.kish if human_like is None and rows.probabilities is not None else n) - used
    if free <= 0 or n <= used:
        return ErrorVariance(math.nan, 0)
    components = [(float(labeled @ labeled) * n / (n - used), float(free))]
    if others.any():
        # With unequal probabilities the LLM's mean is over all rows and uses no degree of freedom of the others.
        rest = max(1, len(others) - (rows.probabilities is None))
        components.append((float(others @ others) * len(others) / rest, float(rest)))
    variance = sum(component for component, _ in components)
    under = sum(component**2 / dof for component, dof in components)
    return ErrorVariance(variance, variance**2 / under if under > 0 else free)


def with_pseudo_errors(
    variance: ErrorVariance,
    quantity: Quantity,
    estimand: Estimand,
    theta: Floats,
    rows: LabelRows,
    terms: Sequence[Term],
    level: float,
    *,
    uses_llm: bool,
) -> ErrorVariance:
    """The variance with that of pseudo-errors.

    Classical proportions have a score interval and classical means Student's, so they need none.
    """
    needed = uses_llm or (math.isfinite(quantity.low) and not quantity.share)
    if math.isnan(variance.variance) or np.isnan(theta).any() or not needed:
        return replace(variance, uses_llm=uses_llm)
    turn = -inverse(slope_of(estimand, terms, theta)).T @ np.array(quantity.weights)
    pseudo = 0.0
    for group in own_rows(quantity, rows):
        clusters = None if rows.clusters is None else rows.clusters[group]
        missing = missing_events(rows.human[group] - uses_llm * rows.llm[group], clusters)
        if missing > 0:
            squares = _squared_changes(group, quantity, estimand, theta, rows, turn)
            pseudo += normal_quantile(level) ** 2 / 2 * missing * squares
    return replace(variance, pseudo=pseudo, uses_llm=uses_llm)


def _squared_changes(
    group: Mask, quantity: Quantity, estimand: Estimand, theta: Floats, rows: LabelRows, turn: Floats
) -> float:
    """The mean square of the change by another human label of one row, or of the rows of one cluster."""
    weights = rows.weights * (np.sqrt(rows.population_correction) if rows.finite else 1.0)
    actual = estimand.moments(theta, rows.human) @ turn
    sums = times = 0.0
    for value in _alternatives(quantity, rows):
        other = np.broadcast_to(value, rows.human.shape)
        differs = group & (rows.human != other).any(axis=1)
        changes = np.where(differs, weights * (estimand.moments(theta, other) @ turn - actual), 0.0)
        if rows.clusters is not None:
            changes = np.bincount(rows.clusters, weights=changes)
        sums += float(changes @ changes)
        times += int(differs.sum()) if rows.clusters is None else len(np.unique(rows.clusters[differs]))
    return sums / times if times else 0.0


def _alternatives(quantity: Quantity, rows: LabelRows) -> Floats:
    """Possible labels of a row: all classes of a proportion, otherwise those that occur."""
    size = rows.human.shape[1]
    if math.isfinite(quantity.low) and math.isfinite(quantity.high):
        return np.array([[0.0], [1.0]]) if size == 1 else np.eye(size)
    return _evenly_spaced(np.unique(rows.human[rows.labeled], axis=0))


def _evenly_spaced(values: Floats) -> Floats:
    if len(values) <= MAX_ALTERNATIVES:
        return values
    return values[np.linspace(0, len(values) - 1, MAX_ALTERNATIVES).round().astype(np.int64)]


def estimate_interval(
    quantity: Quantity,
    point: float,
    variance: ErrorVariance,
    rows: LabelRows,
    level: float,
    method: str,
    *,
    human_like: Mask | None = None,
) -> Interval:
    """Student's interval of a quantity, or for a proportion the score interval with the effective sample size."""
    own = own_rows(quantity, rows) if human_like is None else [human_like & part for part in quantity.parts or (True,)]
    n = int(sum(part.sum() for part in own))
    if rows.clusters is not None:
        method += ", clusters"
    if math.isnan(point) or math.isnan(variance.variance):
        return Interval(point, math.nan, math.nan, level, method, n)
    quantile = float(stats.t.ppf((1 + level) / 2, variance.dof))
    half = quantile * math.sqrt(variance.total)
    low, high = point - half, point + half
    if quantity.share and human_like is None:
        below, above = score_interval(point, *_effective_n(point, variance, own[0], rows, quantile, level))
        # Without pseudo-errors the score interval is the better of the two.
        low, high = (min(low, below), max(high, above)) if variance.pseudo else (below, above)
    cut = [min(quantity.high, max(quantity.low, value)) for value in (point, low, high)]
    return Interval(cut[0], cut[1], cut[2], level, method, n)


def _effective_n(
    share: float, variance: ErrorVariance, own: Mask, rows: LabelRows, quantile: float, level: float
) -> tuple[float, float]:
    """The number of independent rows with the variance of the estimate, and the quantile to use."""
    units = int(own.sum()) if rows.clusters is None else len(np.unique(rows.clusters[own]))
    if variance.variance <= 1e-24:
        # All labels are equal. If the LLM is used, pseudo-errors give the width.
        correction = float(rows.population_correction[own].mean()) if rows.finite and units else 1.0
        unbounded = variance.uses_llm or correction == 0
        return math.inf if unbounded else units / correction, normal_quantile(level)
    # An estimate at or beyond the end of the scale has the variance of half a row.
    inside = min(1 - 1 / (2 * units), max(1 / (2 * units), share)) if units else 0.5
    return inside * (1 - inside) / variance.variance, quantile
