"""The naive, classical and PPI++ estimators of an estimand.

With moments m, inverse-probability weights w of the labeled rows with the sum 1, human labels Y and LLM labels F:

* naive (plug-in): sum over rows of m(F);
* classical (human labels only): sum of w m(Y) (Horvitz & Thompson 1952; Hajek 1971);
* PPI++ (Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453): lam x mean m(F) over the other rows + sum of
  w (m(Y) - lam m(F)), with lam tuned for each quantity; with unequal probabilities the first mean is over all rows.

`dsl` has the fourth. Each is solved for its root. Its variance is the sandwich: the squared contributions of the rows.
The part of the labeled rows is multiplied by n / (n - k), as in HC1 (MacKinnon & White 1985). Clusters are added up
before squaring, with G / (G - 1) x (n - 1) / (n - k) (Liang & Zeger 1986). Intervals use Student's t with Welch's
degrees of freedom.

For a finite population the LLM labels are known, and only the selection of rows is random: the square of a labeled
row's contribution is multiplied by 1 - inclusion probability (Hajek 1964; Cochran 1977, theorem 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hf_synthlabels.statistics.arrays import Floats
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Term, inverse, slope_of, solve
from hf_synthlabels.statistics.estimation.label_rows import Inference, LabelRows
from hf_synthlabels.statistics.estimation.variance import (
    error_variance,
    estimate_interval,
    influences,
    with_pseudo_errors,
)
from hf_synthlabels.statistics.intervals import Interval


@dataclass(frozen=True, slots=True)
class PointEstimate:
    """One quantity by one estimator."""

    interval: Interval
    variance: float
    lam: float = math.nan


class Estimator(Protocol):
    """Estimates the quantities of an estimand from labels."""

    def __call__(self, estimand: Estimand, rows: LabelRows, inference: Inference) -> list[PointEstimate]:
        """One estimate for each quantity, in their order."""


def naive(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[PointEstimate]:
    """The LLM labels treated as human labels; rows without one are left out."""
    weights = rows.scored / rows.scored.sum()
    terms = [(weights, rows.llm)]
    theta = solve(estimand, terms)
    errors = influences(estimand, terms, theta, weights[:, None] * estimand.moments(theta, rows.llm))
    estimates = []
    for quantity in estimand.quantities:
        variance = error_variance(errors @ quantity.weights, rows, estimand.size, human_like=rows.scored)
        interval = estimate_interval(
            quantity,
            float(theta @ quantity.weights),
            variance,
            rows,
            inference.level,
            "naive",
            human_like=rows.scored,
        )
        estimates.append(PointEstimate(interval, variance.variance))
    return estimates


def classical(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[PointEstimate]:
    """The human labels only, weighted by their inverse inclusion probabilities."""
    terms = [(rows.weights, rows.human)]
    theta = solve(estimand, terms)
    errors = influences(estimand, terms, theta, rows.weights[:, None] * estimand.moments(theta, rows.human))
    estimates = []
    for quantity in estimand.quantities:
        variance = error_variance(errors @ quantity.weights, rows, estimand.size)
        variance = with_pseudo_errors(variance, quantity, estimand, theta, rows, terms, inference.level, uses_llm=False)
        point = float(theta @ quantity.weights)
        interval = estimate_interval(quantity, point, variance, rows, inference.level, "classical")
        estimates.append(PointEstimate(interval, variance.total))
    return estimates


def ppi(estimand: Estimand, rows: LabelRows, inference: Inference, *, lam: float | None = None) -> list[PointEstimate]:
    """PPI++, with `lam` tuned for each quantity by default."""
    start = solve(estimand, [(rows.weights, rows.human)])
    return [_ppi(quantity, estimand, rows, inference, start, lam) for quantity in estimand.quantities]


def _ppi(
    quantity: Quantity,
    estimand: Estimand,
    rows: LabelRows,
    inference: Inference,
    start: Floats,
    fixed_lam: float | None,
) -> PointEstimate:
    lam = _tuned_lam(quantity, estimand, rows, start) if fixed_lam is None else fixed_lam
    labeled, llm = rows.weights, _llm_weights(rows)
    terms = [(lam * (llm - labeled), rows.llm), (labeled, rows.human)]
    theta = solve(estimand, terms, start)
    m_human, m_llm = estimand.moments(theta, rows.human), estimand.moments(theta, rows.llm)
    residual = m_human - lam * m_llm
    moments = labeled[:, None] * (residual - labeled @ residual)
    if not rows.finite:
        moments = moments + lam * llm[:, None] * (m_llm - llm @ m_llm)
    # With lam 0 this is the classical estimate, with its slope.
    slope_terms = _slope_terms(estimand, rows, terms) if lam else terms
    errors = influences(estimand, slope_terms, theta, moments) @ quantity.weights
    variance = error_variance(errors, rows, estimand.size, tuned=int(fixed_lam is None and _llm_helps(rows)))
    variance = with_pseudo_errors(
        variance, quantity, estimand, theta, rows, slope_terms, inference.level, uses_llm=bool(lam)
    )
    method = "PPI++" if lam else "PPI++, LLM not used"
    point = float(theta @ quantity.weights)
    return PointEstimate(
        estimate_interval(quantity, point, variance, rows, inference.level, method), variance.total, lam
    )


def _llm_weights(rows: LabelRows) -> Floats:
    """Weights of the mean of the LLM's moments: rows without a human label, or all if probabilities differ."""
    others_only = rows.probabilities is None and not rows.finite
    members = ~rows.labeled if others_only else np.ones(len(rows.labeled), dtype=np.bool_)
    weights: Floats = members / max(1, members.sum())
    return weights


def _llm_helps(rows: LabelRows) -> bool:
    """Whether there are other rows, and LLM labels that vary."""
    return not bool(rows.labeled.all()) and bool(np.ptp(rows.llm, axis=0).max() > 0)


def _tuned_lam(quantity: Quantity, estimand: Estimand, rows: LabelRows, theta: Floats) -> float:
    """The lam with the smallest variance, between 0 and 1."""
    if not _llm_helps(rows) or np.isnan(theta).any():
        return 0.0
    labeled, llm = rows.weights, _llm_weights(rows)
    slope = slope_of(estimand, _slope_terms(estimand, rows, [(labeled, rows.human)]), theta)
    turn = -inverse(slope).T @ np.array(quantity.weights)
    human, predicted = estimand.moments(theta, rows.human) @ turn, estimand.moments(theta, rows.llm) @ turn
    if rows.probabilities is None and not rows.finite:
        # Equation 7 of the paper, with the variance over all rows as in the authors' program.
        across = float(labeled @ ((human - labeled @ human) * predicted))
        under = (1 + rows.n / (len(predicted) - rows.n)) * float(predicted.var(ddof=1))
    else:
        a = labeled * (human - labeled @ human)
        b = llm * (predicted - llm @ predicted) - labeled * (predicted - labeled @ predicted)
        across, under = -float(a @ b), float(b @ b)
    return min(1.0, max(0.0, across / under)) if under > 0 else 0.0


def _slope_terms(estimand: Estimand, rows: LabelRows, terms: Sequence[Term]) -> Sequence[Term]:
    """All rows if the slope does not depend on labels, otherwise the terms of the equations themselves."""
    return [(np.full(len(rows.llm), 1 / len(rows.llm)), rows.llm)] if estimand.label_free else terms
