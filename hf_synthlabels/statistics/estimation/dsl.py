"""Design-based supervised learning (DSL): cross-fitted predictions of human labels, corrected with human labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics.arrays import Floats, Ints
from hf_synthlabels.statistics.estimation.estimands import Estimand, solve
from hf_synthlabels.statistics.estimation.estimators import PointEstimate
from hf_synthlabels.statistics.estimation.label_rows import MIN_TO_LEARN, Inference, LabelRows, Learner
from hf_synthlabels.statistics.estimation.variance import (
    Spread,
    estimate_interval,
    influences,
    spread_of,
    with_pseudo_errors,
)
from hf_synthlabels.statistics.intervals import Interval


def ridge(features: Floats, labels: Floats, wanted: Floats) -> Floats:
    """Least squares on standardised features with a penalty of one row (Hoerl & Kennard 1970).

    Args:
        features: to learn from, shape (n, p), without a column of ones.
        labels: shape (n, q).
        wanted: features to guess for, shape (m, p).

    Returns:
        Guesses, shape (m, q).
    """
    middle, spread = features.mean(axis=0), features.std(axis=0)
    usable = spread > 1e-12 * (1 + np.abs(middle))
    x = (features[:, usable] - middle[usable]) / spread[usable]
    base = labels.mean(axis=0)
    slopes = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (labels - base))
    guesses: Floats = base + (wanted[:, usable] - middle[usable]) / spread[usable] @ slopes
    return guesses


def cross_fitted(
    features: Floats, labels: Floats, labelled: NDArray[np.bool_], parts: Ints, learner: Learner
) -> Floats:
    """A guess for every row, made from labelled rows of the other parts (Chernozhukov et al. 2018).

    Args:
        features: of all rows, shape (N, p).
        labels: of all rows, shape (N, q); only those of labelled rows are read.
        labelled: shape (N,).
        parts: which part each row is in, shape (N,).
        learner: what guesses.

    Returns:
        Guesses, shape (N, q).
    """
    guesses = np.zeros((len(labels), labels.shape[1]))
    for part in range(int(parts.max()) + 1):
        mine, known = parts == part, labelled & (parts != part)
        guesses[mine] = np.reshape(learner(features[known], labels[known], features[mine]), (-1, labels.shape[1]))
    return guesses


def fold_numbers(labelled: NDArray[np.bool_], clusters: Ints | None, folds: int, rng: np.random.Generator) -> Ints:
    """Parts of equal size, drawn at random: of the labelled rows and of the others, or of whole clusters."""
    parts = np.zeros(len(labelled), dtype=np.int64)
    if clusters is None:
        for group in (labelled, ~labelled):
            parts[group] = rng.permutation(int(group.sum())) % folds
        return parts
    # Clusters with labels first, so that each part has some of them.
    some = np.unique(clusters[labelled])
    others = np.setdiff1d(clusters, some)
    of_cluster = np.zeros(int(clusters.max()) + 1, dtype=np.int64)
    for members in (some, others):
        of_cluster[members] = rng.permutation(len(members)) % folds
    return of_cluster[clusters]


def guesses(rows: LabelRows, inference: Inference) -> list[Floats]:
    """Human labels guessed for all rows, once for each cut into parts; none where there are too few to learn from."""
    if rows.units < MIN_TO_LEARN:
        return []
    made = []
    for split in range(inference.splits):
        rng = np.random.default_rng([inference.seed, split])
        parts = fold_numbers(rows.labelled, rows.clusters, min(inference.folds, rows.units // 2), rng)
        made.append(cross_fitted(rows.features, rows.human, rows.labelled, parts, inference.learner or ridge))
    return made


def dsl(estimand: Estimand, rows: LabelRows, inference: Inference, guessed: Sequence[Floats]) -> list[PointEstimate]:
    """Design-based supervised learning: the median over cuts, with what differs between them in the variance."""
    if not guessed:
        lost = Interval(math.nan, math.nan, math.nan, inference.level, "DSL", rows.n)
        return [PointEstimate(lost, math.nan) for _ in estimand.quantities]
    start = solve(estimand, [(rows.weights, rows.human)])
    stands = rows.inverse_chances / len(rows.llm)
    points: list[list[float]] = []
    spreads: list[list[Spread]] = []
    for guess in guessed:
        terms = [(1 / len(rows.llm) - stands, guess), (stands, rows.human)]
        theta = solve(estimand, terms, start)
        m, g = estimand.moments(theta, rows.human), estimand.moments(theta, guess)
        if rows.finite:
            sums = stands[:, None] * (m - g - stands @ (m - g) / stands.sum())
        else:
            sums = g / len(rows.llm) + stands[:, None] * (m - g)
        influence = influences(estimand, terms, theta, sums)
        points.append([float(theta @ each.weights) for each in estimand.quantities])
        spreads.append(
            [
                with_pseudo_errors(
                    spread_of(influence @ each.weights, rows, estimand.size),
                    *(each, estimand, theta, rows, terms, inference),
                    judged=True,
                )
                for each in estimand.quantities
            ]
        )
    found = []
    for place, quantity in enumerate(estimand.quantities):
        values = np.array([point[place] for point in points])
        middle = float(np.median(values))
        variance = float(np.median([s[place].variance for s in spreads] + (values - middle) ** 2))
        free, added = (float(np.median([getattr(s[place], key) for s in spreads])) for key in ("free", "added"))
        spread = Spread(variance, free, added, judged=True)
        found.append(PointEstimate(estimate_interval(quantity, middle, spread, rows, inference, "DSL"), spread.total))
    return found
