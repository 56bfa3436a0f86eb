"""Confusion matrices and the scores computed from them.

Every score takes counts of shape (..., K, K + 1), as `confusion_counts` returns them, and works along the last two
axes, so that thousands of resamples are scored in one call.

A missing prediction is an error: a false negative for its human class and a false positive for none. `coverage` and
`accuracy_answered` separate the two; accuracy = accuracy_answered x coverage. Only kappa is restricted to the answered
rows, because "no label" is not a category that a human could have chosen.

A proportion of nothing is nan. Macro F1 is the mean over the classes that occur as a human or as a predicted label, as
in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, encode


def confusion_counts(human: Ints, predicted: Ints, n_classes: int) -> Ints:
    """Count the pairs of human and predicted label ids.

    Args:
        human: codes of shape (rows,), each from 0 to `n_classes` - 1.
        predicted: codes of shape (rows,); `MISSING` where there is no prediction.
        n_classes: the number of classes, K.

    Returns:
        Counts of shape (K, K + 1): rows are human classes, columns predicted ones, and the last column the rows
        that have no prediction.

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
    """Human labels against predicted labels, counted.

    Raises:
        DataError: `counts` is not one row of K + 1 numbers, none negative, for each of the K names.
    """

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """`counts[i][j]`: rows that a human gave name i and the annotator name j; the last j is "no label"."""

    def __post_init__(self) -> None:
        width = len(self.names) + 1
        if len(self.counts) != len(self.names) or any(len(row) != width or min(row) < 0 for row in self.counts):
            raise DataError(f"`counts` must be {width - 1} rows of {width} numbers, none negative, one row per name.")

    @classmethod
    def from_labels(
        cls, human: Sequence[str], predicted: Sequence[str | None], names: Sequence[str] | None = None
    ) -> ConfusionMatrix:
        """Count two label columns.

        Args:
            human: the human label of each row.
            predicted: the predicted label of each row, None for a row without one.
            names: all label names in the order wanted; by default those that occur, sorted.

        Raises:
            DataError: the lengths differ, a human label is missing, or a label is not in `names`.
        """
        if len(human) != len(predicted):
            raise DataError(
                f"`human` has {len(human):,} rows and `predicted` {len(predicted):,}: give one value of each per row."
            )
        if names is None:
            names = sorted({label for label in (*human, *predicted) if label is not None})
        if not names:
            return cls((), ())
        human_codes = encode(human, names, field="human")
        if missing := int((human_codes == MISSING).sum()):
            raise DataError(f"`human` is missing in {missing:,} rows: leave those rows out.")
        return cls.from_codes(human_codes, encode(predicted, names, field="predicted"), names)

    @classmethod
    def from_codes(cls, human: Ints, predicted: Ints, names: Sequence[str]) -> ConfusionMatrix:
        """Count two columns of codes; see `confusion_counts`.

        Raises:
            DataError: the lengths differ or a code is out of range.
        """
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

    @property
    def absent(self) -> tuple[str, ...]:
        """The names that occur neither as a human nor as a predicted label."""
        occurs = self.array.sum(axis=1) + self.array[:, :-1].sum(axis=0) > 0
        return tuple(name for name, there in zip(self.names, occurs, strict=True) if not there)

    def mistakes(self) -> list[tuple[str, str | None, int]]:
        """Every (human name, predicted name or None, rows) on which the two differ, the most frequent first."""
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
        return {"names": list(self.names), "counts": [list(row) for row in self.counts]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConfusionMatrix:
        """Restore a matrix from the output of `to_dict`."""
        return cls(tuple(values["names"]), tuple(tuple(row) for row in values["counts"]))


Metric = Literal["accuracy", "macro_f1", "weighted_f1", "kappa"]
"""The scores by which a label set as a whole is judged."""


METRICS: tuple[Metric, ...] = ("accuracy", "macro_f1", "weighted_f1", "kappa")


def margins(counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Per class the rows that are right, predicted and human-labeled, each of shape (..., K)."""
    answered = counts[..., :-1]
    return np.diagonal(answered, axis1=-2, axis2=-1), answered.sum(axis=-2), counts.sum(axis=-1)


def support(counts: Ints) -> Ints:
    """Human-labeled rows per class, shape (..., K)."""
    return margins(counts)[2]


def occurring(counts: Ints) -> NDArray[np.bool_]:
    """Whether each class occurs as a human or a predicted label, shape (..., K)."""
    _, predicted, human = margins(counts)
    return predicted + human > 0


def coverage(counts: Ints) -> Floats:
    """The share of human-labeled rows that have a prediction."""
    return _divide(counts[..., :-1].sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def accuracy(counts: Ints) -> Floats:
    """The share of all human-labeled rows whose prediction is right; a missing one is wrong."""
    return _divide(margins(counts)[0].sum(axis=-1), counts.sum(axis=(-2, -1)))


def accuracy_answered(counts: Ints) -> Floats:
    """The share of right predictions among the rows that have one."""
    return _divide(margins(counts)[0].sum(axis=-1), counts[..., :-1].sum(axis=(-2, -1)))


def precision(counts: Ints) -> Floats:
    """Per class the share of its predictions that are right, shape (..., K)."""
    right, predicted, _ = margins(counts)
    return _divide(right, predicted)


def recall(counts: Ints) -> Floats:
    """Per class the share of its human-labeled rows that are predicted so, shape (..., K)."""
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
    """The mean F1 weighted by the human-labeled rows of each class."""
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
    """The score of that name; `classes` as in `macro_f1`, which is the only score that uses it."""
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
        human: human-labeled rows per class.
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
