"""Design-based supervised learning (Egami, Hinck, Stewart & Wei 2023, arXiv 2306.04746).

Human labels are predicted for all rows by cross-fitting; the estimate is the mean over rows of m(G) + R / probability
(m(Y) - m(G)) with predictions G, human labels Y and R = 1 for labeled rows. It takes the median over random splits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hf_synthlabels.statistics.arrays import Floats, Ints, Mask
from hf_synthlabels.statistics.estimation.estimands import Estimand, solve
from hf_synthlabels.statistics.estimation.estimators import PointEstimate
from hf_synthlabels.statistics.estimation.label_rows import MIN_TO_LEARN, Inference, LabelRows, Learner
from hf_synthlabels.statistics.estimation.variance import (
    ErrorVariance,
    error_variance,
    estimate_interval,
    influences,
    with_pseudo_errors,
)
from hf_synthlabels.statistics.intervals import Interval


def dsl(
    estimand: Estimand, rows: LabelRows, inference: Inference, *, predictions: Sequence[Floats] | None = None
) -> list[PointEstimate]:
    """The DSL estimator; nan where there are too few human labels to learn from.

    Args:
        estimand: its quantities are estimated.
        rows: labels and sampling design.
        inference: settings.
        predictions: those of `predicted_labels`, where several estimands share them.
    """
    predictions = predicted_labels(rows, inference) if predictions is None else predictions
    if not predictions:
        undefined = Interval(math.nan, math.nan, math.nan, inference.level, "DSL", rows.n)
        return [PointEstimate(undefined, math.nan) for _ in estimand.quantities]
    start = solve(estimand, [(rows.weights, rows.human)])
    splits = [_one_split(estimand, rows, inference, prediction, start) for prediction in predictions]
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
        estimates.append(PointEstimate(interval, variance.total))
    return estimates


def _one_split(
    estimand: Estimand, rows: LabelRows, inference: Inference, prediction: Floats, start: Floats
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
    variances = [
        with_pseudo_errors(
            error_variance(errors @ quantity.weights, rows, estimand.size),
            *(quantity, estimand, theta, rows, terms, inference.level),
            uses_llm=True,
        )
        for quantity in estimand.quantities
    ]
    return [float(theta @ quantity.weights) for quantity in estimand.quantities], variances


def predicted_labels(rows: LabelRows, inference: Inference) -> list[Floats]:
    """Cross-fitted predictions of the human labels of all rows, one for each split; none below `MIN_TO_LEARN`."""
    if rows.units < MIN_TO_LEARN:
        return []
    predictions = []
    for split in range(inference.splits):
        rng = np.random.default_rng([inference.seed, split])
        folds = fold_numbers(rows.labeled, rows.clusters, min(inference.folds, rows.units // 2), rng)
        predictions.append(cross_fitted(rows.features, rows.human, rows.labeled, folds, inference.learner or ridge))
    return predictions


def ridge(features: Floats, labels: Floats, targets: Floats) -> Floats:
    """Least squares on standardized features with a penalty of one row (Hoerl & Kennard 1970).

    Args:
        features: training features, shape (n, p), without a constant.
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


def cross_fitted(features: Floats, labels: Floats, labeled: Mask, folds: Ints, learner: Learner) -> Floats:
    """A prediction for every row by labeled rows of the other folds (Chernozhukov et al. 2018), shape (N, q)."""
    predictions = np.zeros((len(labels), labels.shape[1]))
    for fold in range(int(folds.max()) + 1):
        inside, known = folds == fold, labeled & (folds != fold)
        predicted = learner(features[known], labels[known], features[inside])
        predictions[inside] = np.reshape(predicted, (-1, labels.shape[1]))
    return predictions


def fold_numbers(labeled: Mask, clusters: Ints | None, folds: int, rng: np.random.Generator) -> Ints:
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
