"""Surrogates: what a human would have said, guessed from the LLM's label by rows whose own human label was not seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics.label_ids import Floats, Ints

Learner = Callable[[Floats, Floats, Floats], Floats]
"""Features and labels to learn from, (n, p) and (n, q), and features to guess for, (m, p): guesses, (m, q)."""


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
