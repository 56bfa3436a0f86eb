"""Agreement: every score of a confusion matrix with its interval, for the whole and for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix
from hf_synthlabels.statistics.agreement.scores import margins
from hf_synthlabels.statistics.intervals import Interval, bootstrap, wilson, wilson_f1


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """How well one class is found."""

    name: str
    support: int
    """Human-labelled rows of the class."""
    predicted: int
    """Of the human-labelled rows, those that are predicted to be of the class."""
    precision: Interval
    """Right predictions among `predicted` (Wilson)."""
    recall: Interval
    """Right predictions among `support`; a missing prediction is wrong (Wilson)."""
    f1: Interval
    """Wilson interval of the class's Jaccard share, carried over; see `wilson_f1`."""

    def to_dict(self) -> dict[str, Any]:
        """The fields, the intervals as their own dictionaries."""
        intervals = {key: getattr(self, key).to_dict() for key in ("precision", "recall", "f1")}
        return {"name": self.name, "support": self.support, "predicted": self.predicted, **intervals}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassAgreement:
        """The class that `to_dict` wrote."""
        intervals = {key: Interval.from_dict(values[key]) for key in ("precision", "recall", "f1")}
        return cls(values["name"], values["support"], values["predicted"], **intervals)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far predicted labels agree with human ones."""

    coverage: Interval
    """Human-labelled rows that have a prediction (Wilson)."""
    accuracy: Interval
    """Right predictions among all human-labelled rows, a missing one being wrong (Wilson)."""
    accuracy_answered: Interval
    """Right predictions among the rows that have one (Wilson)."""
    macro_f1: Interval
    """Mean F1 over the classes that occur, a missing prediction being a miss (bootstrap)."""
    weighted_f1: Interval
    """Mean F1 weighted by human-labelled rows (bootstrap)."""
    kappa: Interval
    """Cohen's kappa of the answered rows (bootstrap); read it with `coverage`."""
    classes: tuple[ClassAgreement, ...]


def agreement(matrix: ConfusionMatrix, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Agreement:
    """Score a confusion matrix, with an interval on every number; without rows all of them are nan.

    Args:
        matrix: human against predicted labels.
        level: confidence level of each interval by itself; nothing is corrected for their number.
        resamples: of each bootstrap.
        seed: of each bootstrap.

    Raises:
        ConfigError: `level` is not between 0 and 1, or `resamples` is less than 1.
    """
    counts = matrix.array
    columns = [column.tolist() for column in margins(counts)]
    right = sum(columns[0])
    macro_f1, weighted_f1, kappa = (
        bootstrap(counts, metric, level=level, resamples=resamples, seed=seed)
        for metric in ("macro_f1", "weighted_f1", "kappa")
    )
    return Agreement(
        coverage=wilson(matrix.answered, matrix.n, level),
        accuracy=wilson(right, matrix.n, level),
        accuracy_answered=wilson(right, matrix.answered, level),
        macro_f1=macro_f1,
        weighted_f1=weighted_f1,
        kappa=kappa,
        classes=tuple(
            class_agreement(name, *row, level=level)
            for name, row in zip(matrix.names, zip(*columns, strict=True), strict=True)
        ),
    )


def class_agreement(name: str, right: int, predicted: int, support: int, *, level: float) -> ClassAgreement:
    """The agreement on one class, from rows that are right, predicted and human-labelled (Wilson)."""
    return ClassAgreement(
        name=name,
        support=support,
        predicted=predicted,
        precision=wilson(right, predicted, level),
        recall=wilson(right, support, level),
        f1=wilson_f1(right, predicted, support, level),
    )
