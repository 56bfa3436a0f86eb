"""ConfusionMatrix: how often each human label met each predicted label, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.label_ids import MISSING, Ints, encode


def confusion_counts(human: Ints, predicted: Ints, n_classes: int) -> Ints:
    """Count the pairs of a human and a predicted code.

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
            DataError: the lengths differ, a human label is None or a label is not in `names`.
        """
        if len(human) != len(predicted):
            raise DataError(
                f"`human` has {len(human):,} rows and `predicted` {len(predicted):,}: give one each per row."
            )
        if names is None:
            names = sorted({label for label in (*human, *predicted) if label is not None})
        if not names:
            return cls((), ())
        human_codes = encode(human, names, field="human")
        if missing := int((human_codes == MISSING).sum()):
            raise DataError(f"`human` is None in {missing:,} rows: leave those rows out.")
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
        """The matrix that `to_dict` wrote."""
        return cls(tuple(values["names"]), tuple(tuple(row) for row in values["counts"]))
