"""Agreement of predicted with human labels, of any kind: its result, and scores that are shares of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hf_synthlabels.statistics.arrays import Mask
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval
from hf_synthlabels.statistics.exhibits import Breakdown
from hf_synthlabels.statistics.intervals import Interval, fields_as_json


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """Precision, recall and F1 of one class."""

    name: str
    support: int
    """Human-labeled rows of the class."""
    predicted: int
    """Human-labeled rows that are predicted to be of the class."""
    precision: Interval
    recall: Interval
    """A missing prediction is incorrect."""
    f1: Interval

    def to_dict(self) -> dict[str, Any]:
        """The fields, the intervals as their own dictionaries."""
        return fields_as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        intervals = {key: Interval.from_dict(values[key]) for key in ("precision", "recall", "f1")}
        return cls(values["name"], values["support"], values["predicted"], **intervals)


@dataclass(frozen=True, slots=True)
class KindAgreement:
    """Agreement of predicted labels of one kind with human labels."""

    scores: Mapping[str, Interval]
    """By name, in the order of `MEASURES`."""
    classes: tuple[ClassAgreement, ...] = ()
    """For each label name, where the kind has names."""
    breakdowns: tuple[Breakdown, ...] = ()
    notes: tuple[str, ...] = ()
    """How to read the scores, for example how rows without a prediction enter them."""


def class_agreement(
    name: str, human: Mask, predicted: Mask, design: SamplingDesign | None, level: float
) -> ClassAgreement:
    """Precision, recall and F1 of a class that a row has or not.

    Of the rows to which either side gives the class, the share J on which both do is binomial given their number, and
    F1 = 2 J / (1 + J) rises with J. So the limits of J's Wilson interval carry over.

    Args:
        name: of the class.
        human: rows with the class according to humans, shape (rows,).
        predicted: rows with the class according to the LLM, shape (rows,).
        design: weights, clusters and strata of the rows; None for a simple random sample.
        level: confidence level.
    """
    both = human & predicted
    jaccard = share_interval(both, human | predicted, design, level)
    estimate, low, high = (2 * j / (1 + j) for j in (jaccard.estimate, jaccard.low, jaccard.high))
    return ClassAgreement(
        name=name,
        support=int(human.sum()),
        predicted=int(predicted.sum()),
        precision=share_interval(both, predicted, design, level),
        recall=share_interval(both, human, design, level),
        f1=Interval(estimate, low, high, level, f"{jaccard.method}, of the Jaccard share", jaccard.n),
    )


def row_accuracy(
    answered: Mask, correct: Mask, design: SamplingDesign | None, level: float, name: str = "accuracy"
) -> dict[str, Interval]:
    """Coverage, and accuracy over all rows and over the answered rows, as shares of rows."""
    return {
        "coverage": share_interval(answered, None, design, level),
        name: share_interval(correct, None, design, level),
        f"{name}_answered": share_interval(correct, answered, design, level),
    }
