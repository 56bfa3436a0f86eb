"""Agreement of LLM labels with the human labels that there are so far: every score with an interval for any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.statistics.agreement.base import ClassAgreement, KindAgreement
from hf_synthlabels.statistics.agreement.confusion import confusion_counts
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, Mask
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.sequential.asymptotic import SMOOTH_METRICS, anytime_score
from hf_synthlabels.statistics.sequential.betting import anytime_interval

NOTE = (
    "The intervals hold at all looks at once, if the rows were labeled in random order: look as often as you like, and "
    "stop when you like. They are wider than those of a number of rows that was fixed in advance."
)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The rows labeled so far."""

    weights: Floats | None
    """Inverse inclusion probabilities, shape (rows,); None if all are equal."""
    max_weight: float
    """The largest weight of the whole sample."""
    level: float

    def share(self, hits: Mask, counted: Mask | None = None) -> Interval:
        """The share of hits among the counted rows."""
        return self.mean(hits.astype(np.float64), counted)

    def mean(self, values: Floats, counted: Mask | None = None) -> Interval:
        """The mean of values from 0 to 1 of the counted rows."""
        rows = np.ones(len(values), dtype=np.bool_) if counted is None else counted
        if self.weights is None:
            return anytime_interval(values[rows], self.level)
        return anytime_interval(values[rows], self.level, weights=self.weights[rows], max_weight=self.max_weight)


def anytime_agreement(
    human: Ints, predicted: Ints, names: Sequence[str], look: Look, all_predicted: Ints | None = None
) -> KindAgreement:
    """Agreement of predicted classes with human classes; see `classification_agreement` for a finished sample.

    Shares of rows have betting intervals, which hold for any number of rows. Macro F1, weighted F1 and kappa have
    asymptotic ones.

    Args:
        human: codes, none missing, shape (rows,).
        predicted: codes, `MISSING` where there is no prediction, shape (rows,).
        names: of the classes.
        look: weights and level.
        all_predicted: codes of all rows of the table, if known; their classes count in macro F1 before the first human
            label of each.
    """
    size = len(names)
    counts = confusion_counts(human, predicted, size)
    cells = human * (size + 1) + np.where(predicted == MISSING, size, predicted)
    scaled = np.ones(len(human)) if look.weights is None else look.weights / look.weights.mean()
    weighted, squared = (
        np.bincount(cells, weights=scaled**power, minlength=counts.size).astype(np.float64).reshape(counts.shape)
        for power in (1, 2)
    )
    present = (counts.sum(axis=1) + counts[:, :-1].sum(axis=0)) > 0
    classes = present if all_predicted is None else present | np.isin(np.arange(size), all_predicted)
    smooth = {
        str(metric): anytime_score(metric, weighted, squared, len(human), classes, look.level)
        for metric in SMOOTH_METRICS
    }
    return KindAgreement(
        {**row_shares(predicted != MISSING, predicted == human, look), **smooth},
        tuple(_class(name, human == k, predicted == k, look) for k, name in enumerate(names)),
        notes=(NOTE,),
    )


def row_shares(answered: Mask, correct: Mask, look: Look, name: str = "accuracy") -> dict[str, Interval]:
    """Coverage, and accuracy over all rows and over the answered rows."""
    return {
        "coverage": look.share(answered),
        name: look.share(correct),
        f"{name}_answered": look.share(correct, answered),
    }


def row_means(values: Mapping[str, Floats], look: Look) -> dict[str, Interval]:
    """Means of further row scores from 0 to 1."""
    return {name: look.mean(column) for name, column in values.items()}


def _class(name: str, human: Mask, predicted: Mask, look: Look) -> ClassAgreement:
    """Precision, recall and F1 of a class; F1 rises with the Jaccard share, as in `class_agreement`."""
    both = human & predicted
    jaccard = look.share(both, human | predicted)
    estimate, low, high = (2 * j / (1 + j) for j in (jaccard.estimate, jaccard.low, jaccard.high))
    return ClassAgreement(
        name=name,
        support=int(human.sum()),
        predicted=int(predicted.sum()),
        precision=look.share(both, predicted),
        recall=look.share(both, human),
        f1=Interval(estimate, low, high, look.level, f"{jaccard.method}, of the Jaccard share", jaccard.n),
    )
