"""Scores: agreement of predicted labels with human ones, from confusion counts.

Every function takes counts of shape (..., K, K + 1) as `confusion_counts` makes them and works along the last two
axes, so that thousands of resamples are scored in one call.

A row without a prediction is a mistake: it is a miss for its human class and no false alarm for any. `coverage` and
`accuracy_answered` show it apart; accuracy = accuracy_answered x coverage. Kappa alone is of the answered rows, for
"no label" is not a category that a human could have chosen: read it together with `coverage`.

A share of nothing is nan. Macro F1 is the mean over the classes that occur as a human or as a predicted label (as
scikit-learn has it); a class that never occurs is left out rather than counted as 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics.label_ids import Floats, Ints

Metric = Literal["accuracy", "macro_f1", "weighted_f1", "kappa"]
"""The scores by which a label set as a whole is judged."""

METRICS: tuple[Metric, ...] = ("accuracy", "macro_f1", "weighted_f1", "kappa")


def margins(counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Per class the rows that are right, predicted and human-labelled, each of shape (..., K)."""
    answered = counts[..., :-1]
    return np.diagonal(answered, axis1=-2, axis2=-1), answered.sum(axis=-2), counts.sum(axis=-1)


def support(counts: Ints) -> Ints:
    """Human-labelled rows per class, shape (..., K)."""
    return margins(counts)[2]


def occurring(counts: Ints) -> NDArray[np.bool_]:
    """Whether each class occurs as a human or a predicted label, shape (..., K)."""
    _, predicted, human = margins(counts)
    return predicted + human > 0


def coverage(counts: Ints) -> Floats:
    """The share of human-labelled rows that have a prediction."""
    return _divide(counts[..., :-1].sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def accuracy(counts: Ints) -> Floats:
    """The share of all human-labelled rows whose prediction is right; a missing one is wrong."""
    return _divide(margins(counts)[0].sum(axis=-1), counts.sum(axis=(-2, -1)))


def accuracy_answered(counts: Ints) -> Floats:
    """The share of right predictions among the rows that have one."""
    return _divide(margins(counts)[0].sum(axis=-1), counts[..., :-1].sum(axis=(-2, -1)))


def precision(counts: Ints) -> Floats:
    """Per class the share of its predictions that are right, shape (..., K)."""
    right, predicted, _ = margins(counts)
    return _divide(right, predicted)


def recall(counts: Ints) -> Floats:
    """Per class the share of its human-labelled rows that are predicted so, shape (..., K)."""
    right, _, human = margins(counts)
    return _divide(right, human)


def f1(counts: Ints) -> Floats:
    """Per class 2 TP / (predicted + human), shape (..., K); nan for a class that never occurs."""
    right, predicted, human = margins(counts)
    return _divide(2 * right, predicted + human)


def macro_f1(counts: Ints, classes: NDArray[np.bool_] | None = None) -> Floats:
    """The mean F1 over classes.

    Args:
        counts: shape (..., K, K + 1).
        classes: which classes to average over, broadcastable to (..., K); by default those that occur. A class named
            here that does not occur counts as 0: resamples are to be averaged over the classes of the whole sample.
    """
    return score_margins("macro_f1", *margins(counts), classes=classes)


def weighted_f1(counts: Ints) -> Floats:
    """The mean F1 weighted by the human-labelled rows of each class."""
    return score_margins("weighted_f1", *margins(counts))


def kappa(counts: Ints) -> Floats:
    """Cohen's kappa (1960) of the answered rows: agreement beyond what the two sets of margins give by chance.

    It is nan when no row is answered, or when both sides know one and the same class only.
    """
    answered = counts[..., :-1].astype(np.float64)
    n = answered.sum(axis=(-2, -1))
    observed = _divide(np.trace(answered, axis1=-2, axis2=-1), n)
    expected = _divide((answered.sum(axis=-1) * answered.sum(axis=-2)).sum(axis=-1), n * n)
    return _divide(observed - expected, 1 - expected)


def score(metric: Metric, counts: Ints, classes: NDArray[np.bool_] | None = None) -> Floats:
    """The score of that name; `classes` as in `macro_f1`, which alone heeds it."""
    if metric == "macro_f1":
        return macro_f1(counts, classes)
    plain: dict[str, Callable[[Ints], Floats]] = {"accuracy": accuracy, "weighted_f1": weighted_f1, "kappa": kappa}
    return plain[metric](counts)


def score_margins(
    metric: Literal["accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall"],
    right: Ints | Floats,
    predicted: Ints | Floats,
    human: Ints | Floats,
    classes: NDArray[np.bool_] | None = None,
) -> Floats:
    """A score from what `margins` gives; kappa needs more than that.

    Args:
        metric: the score.
        right: rows per class that are predicted right, shape (..., K).
        predicted: rows per class that are predicted so.
        human: human-labelled rows per class.
        classes: as in `macro_f1`.
    """
    if metric == "accuracy":
        return _divide(right.sum(axis=-1), human.sum(axis=-1))
    occurrences = predicted + human
    over, under = {"macro_precision": (right, predicted), "macro_recall": (right, human)}.get(
        metric, (2 * right, occurrences)
    )
    # A class that is never predicted has precision 0 here, as scikit-learn has it: a mean needs a number.
    per_class = _divide(over, under, otherwise=0.0)
    if metric == "weighted_f1":
        return _divide((per_class * human).sum(axis=-1), human.sum(axis=-1))
    included = np.broadcast_to(occurrences > 0 if classes is None else classes, per_class.shape)
    return _divide((per_class * included).sum(axis=-1), included.sum(axis=-1))


def _divide(over: Ints | Floats, under: Ints | Floats, otherwise: float = np.nan) -> Floats:
    """Quotients, and `otherwise` where the divisor is 0."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64))
    out: Floats = np.full(over.shape, otherwise)
    return np.divide(over, under, out=out, where=under != 0)
