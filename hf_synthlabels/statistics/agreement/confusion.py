"""Confusion matrices and the scores computed from them.

Every score takes counts of shape (..., K, K + 1), as `confusion_counts` returns them, so that thousands of resamples
are scored in one call.

A missing prediction is incorrect: a false negative of its human class and a false positive of none. Only kappa is of
the answered rows, because "no label" is not a category that a human could have chosen. A proportion of nothing is nan.
Macro F1 is the mean over the classes that occur as a human or a predicted label, as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, Mask, divided
from hf_synthlabels.statistics.intervals import fields_as_json

MIN_CLASS_ROWS = 5
"""Human-labeled rows of a class below which no interval of a mean over classes keeps its coverage."""

SHOWN_CLASSES = 5


def confusion_counts(human: Ints, predicted: Ints, n_classes: int) -> Ints:
    """Count the pairs of human and predicted codes.

    Args:
        human: codes from 0 to `n_classes` - 1, shape (rows,).
        predicted: codes, `MISSING` where there is no prediction, shape (rows,).
        n_classes: number of classes K.

    Returns:
        Counts of shape (K, K + 1): rows are human classes, columns predicted ones, the last column "no prediction".

    Raises:
        DataError: the lengths differ or a code is out of range.
    """
    if human.shape != predicted.shape or human.ndim != 1:
        raise DataError(f"`human` has shape {human.shape} and `predicted` {predicted.shape}: give one code per row.")
    if human.size and (human.min() < 0 or human.max() >= n_classes):
        raise DataError(f"`human` has codes from {human.min()} to {human.max()}: give 0 to {n_classes - 1}.")
    if predicted.size and (predicted.min() < MISSING or predicted.max() >= n_classes):
        raise DataError(
            f"`predicted` has codes from {predicted.min()} to {predicted.max()}: give {MISSING} to {n_classes - 1}."
        )
    columns = np.where(predicted == MISSING, n_classes, predicted)
    flat = np.bincount(human * (n_classes + 1) + columns, minlength=n_classes * (n_classes + 1))
    return flat.reshape(n_classes, n_classes + 1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """Counts of human against predicted labels.

    Raises:
        DataError: `counts` is not one row of K + 1 numbers, none negative, for each of the K names.
    """

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """`counts[i][j]`: rows with human label i and predicted label j; the last j is "no label"."""

    def __post_init__(self) -> None:
        width = len(self.names) + 1
        if len(self.counts) != len(self.names) or any(len(row) != width or min(row) < 0 for row in self.counts):
            raise DataError(f"`counts` must be {width - 1} rows of {width} numbers, none negative, one row per name.")

    @classmethod
    def from_codes(cls, human: Ints, predicted: Ints, names: Sequence[str]) -> Self:
        """Count two columns of codes; see `confusion_counts`."""
        counts = confusion_counts(human, predicted, len(names))
        return cls(tuple(names), tuple(tuple(row) for row in counts.tolist()))

    @property
    def array(self) -> Ints:
        """The counts as a new array of shape (K, K + 1)."""
        return np.array(self.counts, dtype=np.int64).reshape(len(self.names), len(self.names) + 1)

    @property
    def n(self) -> int:
        """The number of rows."""
        return sum(map(sum, self.counts))

    @property
    def answered(self) -> int:
        """The number of rows that have a prediction."""
        return self.n - sum(row[-1] for row in self.counts)

    def mistakes(self) -> list[tuple[str, str | None, int]]:
        """Human name, predicted name or None, and rows of each confused pair, the most frequent first."""
        columns = (*self.names, None)
        cells = [
            (human, predicted, count)
            for human, row in zip(self.names, self.counts, strict=True)
            for predicted, count in zip(columns, row, strict=True)
            if count and human != predicted
        ]
        return sorted(cells, key=lambda cell: -cell[2])

    def to_dict(self) -> dict[str, Any]:
        """The names and the counts as lists."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(tuple(values["names"]), tuple(tuple(row) for row in values["counts"]))


Metric = Literal["accuracy", "macro_f1", "weighted_f1", "kappa"]
"""Scores of a whole confusion matrix."""

METRICS: tuple[Metric, ...] = get_args(Metric)

MarginMetric = Literal["accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall"]
"""Scores that depend on the margins of a confusion matrix only."""


def margins(counts: Ints | Floats) -> tuple[Any, Any, Any]:
    """Correct, predicted and human-labeled rows of each class, each of shape (..., K)."""
    answered = counts[..., :-1]
    return np.diagonal(answered, axis1=-2, axis2=-1), answered.sum(axis=-2), counts.sum(axis=-1)


def occurring(counts: Ints | Floats) -> Mask:
    """Whether each class occurs as a human or a predicted label, shape (..., K)."""
    _, predicted, human = margins(counts)
    occurs: Mask = predicted + human > 0
    return occurs


def class_scores(counts: Ints) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of each class, each of shape (..., K); nan where the denominator is 0."""
    correct, predicted, human = margins(counts)
    return divided(correct, predicted), divided(correct, human), divided(2 * correct, predicted + human)


def score(metric: Metric, counts: Ints | Floats, classes: Mask | None = None) -> Floats:
    """A score of confusion counts; `classes` as in `score_margins`."""
    return kappa(counts) if metric == "kappa" else score_margins(metric, *margins(counts), classes=classes)


def kappa(counts: Ints | Floats) -> Floats:
    """Cohen's kappa (1960) of the answered rows; nan without any, or if both sides know the same one class only."""
    answered = counts[..., :-1].astype(np.float64)
    n = answered.sum(axis=(-2, -1))
    observed = divided(np.trace(answered, axis1=-2, axis2=-1), n)
    expected = divided((answered.sum(axis=-1) * answered.sum(axis=-2)).sum(axis=-1), n * n)
    return divided(observed - expected, 1 - expected)


def score_margins(
    metric: MarginMetric,
    correct: Ints | Floats,
    predicted: Ints | Floats,
    human: Ints | Floats,
    classes: Mask | None = None,
) -> Floats:
    """A score from the `margins` of confusion counts.

    Args:
        metric: the score.
        correct: correctly predicted rows of each class, shape (..., K).
        predicted: predicted rows of each class.
        human: human-labeled rows of each class.
        classes: classes of a macro average, broadcastable to (..., K); by default those that occur. A class named here
            that does not occur counts as 0: resamples are averaged over the classes of the whole sample.
    """
    if metric == "accuracy":
        return divided(correct.sum(axis=-1), human.sum(axis=-1))
    occurrences = predicted + human
    over, under = {"macro_precision": (correct, predicted), "macro_recall": (correct, human)}.get(
        metric, (2 * correct, occurrences)
    )
    # A class that is never predicted has precision 0, as in scikit-learn.
    per_class = divided(over, under, otherwise=0.0)
    if metric == "weighted_f1":
        return divided((per_class * human).sum(axis=-1), human.sum(axis=-1))
    included = np.broadcast_to(occurrences > 0 if classes is None else classes, per_class.shape)
    return divided((per_class * included).sum(axis=-1), included.sum(axis=-1))


def rare_classes(matrix: ConfusionMatrix) -> tuple[str, ...]:
    """A note on classes that are too rare for reliable intervals of macro F1 and kappa."""
    rare = [
        f"{name} ({sum(row)})"
        for name, row, occurs in zip(matrix.names, matrix.counts, occurring(matrix.array), strict=True)
        if occurs and sum(row) < MIN_CLASS_ROWS
    ]
    if len(matrix.names) < 2 or not rare:
        return ()
    shown = ", ".join(rare[:SHOWN_CLASSES]) + (f" and {len(rare) - SHOWN_CLASSES} more" if len(rare) > 5 else "")
    return (
        f"Classes with fewer than {MIN_CLASS_ROWS} human-labeled rows: {shown}. The intervals of macro F1 and kappa "
        "are not reliable for them; label more rows of these classes.",
    )
