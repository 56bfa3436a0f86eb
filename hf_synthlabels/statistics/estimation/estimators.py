"""The naive, classical, PPI++ and DSL estimators of an estimand.

With moments m, inverse-probability weights w of the labeled rows with the sum 1, human labels Y and LLM labels F:

* naive (plug-in): sum over rows of m(F);
* classical (human labels only): sum of w m(Y) (Horvitz & Thompson 1952; Hajek 1971);
* PPI++ (Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453): lam x mean m(F) over the other rows + sum of
  w (m(Y) - lam m(F)), with lam tuned for each quantity; with unequal probabilities the first mean is over all rows;
* DSL, design-based supervised learning (Egami, Hinck, Stewart & Wei 2023, arXiv 2306.04746): mean over rows of
  m(G) + R / probability (m(Y) - m(G)) with cross-fitted predictions G of the human labels and R = 1 for labeled rows,
  the median over random splits.

Each is solved for its root. Its variance is the sandwich: the squared contributions of the rows. The part of the
labeled rows is multiplied by n / (n - k), as in HC1 (MacKinnon & White 1985). Clusters are added up before squaring,
with G / (G - 1) x (n - 1) / (n - k) (Liang & Zeger 1986). Intervals use Student's t with Welch's degrees of freedom.

For a finite population the LLM labels are known, and only the selection of rows is random: the square of a labeled
row's contribution is multiplied by 1 - inclusion probability (Hajek 1964; Cochran 1977, theorem 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.statistics.arrays import Floats, Ints, Mask
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Term, inverse, slope_of, solve
from hf_synthlabels.statistics.estimation.label_rows import MIN_TO_LEARN, Inference, LabelRows
from hf_synthlabels.statistics.estimation.variance import (
    ErrorVariance,
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
    dof: float
    """Degrees of freedom of the variance."""
    lam: float = math.nan


def naive(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[PointEstimate]:
    """The LLM labels treated as human labels; rows without one are left out."""
    weights = rows.scored / rows.scored.sum()
    theta = solve(estimand, [(weights, rows.llm)])
    moments = weights[:, None] * estimand.moments(theta, rows.llm)
    errors = influences(estimand, [(weights, rows.llm)], theta, moments)
    estimates = []
    for quantity in estimand.quantities:
        variance = error_variance(errors @ quantity.weights, rows, estimand.size, human_like=rows.scored)
        point = float(theta @ quantity.weights)
        interval = estimate_interval(quantity, point, variance, rows, inference.level, "naive", human_like=rows.scored)
        estimates.append(PointEstimate(interval, variance.variance, variance.dof))
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
        estimates.append(PointEstimate(interval, variance.total, variance.dof))
    return estimates


def ppi(estimand: Estimand, rows: LabelRows, inference: Inference, *, lam: float | None = None) -> list[PointEstimate]:
    """PPI++, with `lam` tuned for each quantity by default."""
    start = solve(estimand, [(rows.weights, rows.human)])
    return [_ppi(quantity, estimand, rows, inference.level, start, lam) for quantity in estimand.quantities]


def _ppi(
    quantity: Quantity, estimand: Estimand, rows: LabelRows, level: float, start: Floats, fixed_lam: float | None
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
    variance = with_pseudo_errors(variance, quantity, estimand, theta, rows, slope_terms, level, uses_llm=bool(lam))
    method = "PPI++" if lam else "PPI++, LLM not used"
    interval = estimate_interval(quantity, float(theta @ quantity.weights), variance, rows, level, method)
    return PointEstimate(interval, variance.total, variance.dof, lam)


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


def dsl(
    estimand: Estimand, rows: LabelRows, inference: Inference, predictions: Sequence[Floats]
) -> list[PointEstimate]:
    """DSL, from the `predicted_labels` of each split; nan without any."""
    if not predictions:
        undefined = Interval.undefined(inference.level, "DSL", rows.n)
        return [PointEstimate(undefined, math.nan, math.nan) for _ in estimand.quantities]
    start = solve(estimand, [(rows.weights, rows.human)])
    splits = [_dsl_of_split(estimand, rows, inference.level, prediction, start) for prediction in predictions]
    estimates = []
    for place, quantity in enumerate(estimand.quantities):
        points = np.array([points[place] for points, _ in splits])
        variances = [variances[place] for _, variances in splits]
        median = float(np.median(points))
        # The variance between splits is included.
        total = float(np.median([each.variance for each in variances] + (points - median) ** 2))
        dof, pseudo = (float(np.median([getattr(each, key) for each in variances])) for key in ("dof", "pseudo"))
        variance = ErrorVariance(total, dof, pseudo, uses_llm=True)
        interval = estimate_interval(quantity, median, variance, rows, inference.level, "DSL")
        estimates.append(PointEstimate(interval, variance.total, variance.dof))
    return estimates


def _dsl_of_split(
    estimand: Estimand, rows: LabelRows, level: float, prediction: Floats, start: Floats
) -> tuple[list[float], list[ErrorVariance]]:
    n = len(rows.llm)
    weights = rows.inverse_probabilities / n
    terms = [(1 / n - weights, prediction), (weights, rows.human)]
    theta = solve(estimand, terms, start)
    human, predicted = estimand.moments(theta, rows.human), estimand.moments(theta, prediction)
    if rows.finite:
        moments = weights[:, None] * (human - predicted - weights @ (human - predicted) / weights.sum())
    else:
        moments = predicted / n + weights[:, None] * (human - predicted)
    errors = influences(estimand, terms, theta, moments)
    points, variances = [], []
    for quantity in estimand.quantities:
        variance = error_variance(errors @ quantity.weights, rows, estimand.size)
        variances.append(with_pseudo_errors(variance, quantity, estimand, theta, rows, terms, level, uses_llm=True))
        points.append(float(theta @ quantity.weights))
    return points, variances


def predicted_labels(rows: LabelRows, inference: Inference) -> list[Floats]:
    """Cross-fitted predictions of the human labels of all rows, one for each split; none below `MIN_TO_LEARN`."""
    if rows.units < MIN_TO_LEARN:
        return []
    predictions = []
    for split in range(inference.splits):
        rng = np.random.default_rng([inference.seed, split])
        folds = _fold_numbers(rows.labeled, rows.clusters, min(inference.folds, rows.units // 2), rng)
        predictions.append(_cross_fitted(rows, folds))
    return predictions


def _cross_fitted(rows: LabelRows, folds: Ints) -> Floats:
    """A prediction for every row by labeled rows of the other folds (Chernozhukov et al. 2018), shape (N, q)."""
    predictions = np.zeros(rows.human.shape)
    for fold in range(int(folds.max()) + 1):
        inside, known = folds == fold, rows.labeled & (folds != fold)
        predictions[inside] = ridge(rows.features[known], rows.human[known], rows.features[inside])
    return predictions


def ridge(features: Floats, labels: Floats, targets: Floats) -> Floats:
    """Least squares on standardized features with a penalty of one row (Hoerl & Kennard 1970).

    Args:
        features: training features without a constant, shape (n, p).
        labels: training labels, shape (n, q).
        targets: features to predict for, shape (m, p).

    Returns:
        Predictions, shape (m, q).
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    usable = spread > 1e-12 * (1 + np.abs(mean))
    x = (features[:, usable] - mean[usable]) / spread[usable]
    base = labels.mean(axis=0)
    slopes = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (labels - base))
    predictions: Floats = base + (targets[:, usable] - mean[usable]) / spread[usable] @ slopes
    return predictions


def _fold_numbers(labeled: Mask, clusters: Ints | None, folds: int, rng: np.random.Generator) -> Ints:
    """Random folds of equal size, separately for the labeled rows and the others, or of whole clusters."""
    numbers = np.zeros(len(labeled), dtype=np.int64)
    if clusters is None:
        for group in (labeled, ~labeled):
            numbers[group] = rng.permutation(int(group.sum())) % folds
        return numbers
    # Clusters with labels first, so that each fold has some of them.
    with_labels = np.unique(clusters[labeled])
    others = np.setdiff1d(clusters, with_labels)
    of_cluster = np.zeros(int(clusters.max()) + 1, dtype=np.int64)
    for members in (with_labels, others):
        of_cluster[members] = rng.permutation(len(members)) % folds
    return of_cluster[clusters]
