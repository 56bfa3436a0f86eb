"""Agreement of single-label classifications: every score with its interval, overall and per class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix, Metric, margins, occurring, score
from hf_synthlabels.statistics.arrays import Floats, Ints
from hf_synthlabels.statistics.bootstrap import METHOD, BootstrapConfig, resample_counts
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, percentile_interval, wilson, wilson_f1
from hf_synthlabels.statistics.text_tables import Breakdown


@dataclass(frozen=True, slots=True)
class ClassAgreement:
    """How well one class is found."""

    name: str
    support: int
    """Human-labeled rows of the class."""
    predicted: int
    """Of the human-labeled rows, those that are predicted to be of the class."""
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
    """Human-labeled rows that have a prediction (Wilson)."""
    accuracy: Interval
    """Right predictions among all human-labeled rows, a missing one being wrong (Wilson)."""
    accuracy_answered: Interval
    """Right predictions among the rows that have one (Wilson)."""
    macro_f1: Interval
    """Mean F1 over the classes that occur, a missing prediction being a miss (bootstrap)."""
    weighted_f1: Interval
    """Mean F1 weighted by human-labeled rows (bootstrap)."""
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
        confusion_bootstrap(counts, metric, level=level, resamples=resamples, seed=seed)
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
    """The agreement on one class, from rows that are right, predicted and human-labeled (Wilson)."""
    return ClassAgreement(
        name=name,
        support=support,
        predicted=predicted,
        precision=wilson(right, predicted, level),
        recall=wilson(right, support, level),
        f1=wilson_f1(right, predicted, support, level),
    )


@dataclass(frozen=True, slots=True)
class KindAgreement:
    """How far predicted labels of one kind agree with human ones."""

    scores: Mapping[str, Interval]
    """By name, in the order of `MEASURES`."""
    classes: tuple[ClassAgreement, ...] = ()
    """For each label name, where the kind has names."""
    breakdowns: tuple[Breakdown, ...] = ()
    notes: tuple[str, ...] = ()
    """What must be known to read the scores, for example how rows without a prediction enter them."""


CHUNK = 500
"""Resampled tables that are scored at once."""


def confusion_bootstrap(
    counts: Ints, metric: Metric, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """The interval of a score: percentiles of a smoothed bootstrap of rows.

    Rows are drawn with replacement, so the class counts vary between resamples as they do between samples. A bootstrap
    within classes would be too narrow wherever recalls differ.

    The plain bootstrap cannot imagine a mistake that the sample does not show: with 30 rows all right its interval
    is [1, 1], and a gate would pass on it. So z^2 pseudo-rows, half right and half wrong and shared equally by the
    classes, are added to the distribution that is drawn from, which is what the Wilson interval does to a share
    (Agresti & Coull 1998). Their weight fades as 1/n. The ends always enclose the estimate.

    Args:
        counts: shape (K, K + 1), from `confusion_counts`.
        metric: the score.
        level: confidence level.
        resamples: how many resamples to draw.
        seed: of the random numbers; the same seed gives the same interval.

    Returns:
        An interval whose `n` is the number of human-labeled rows, of answered rows for kappa; nan where the score is
        undefined.

    Raises:
        ConfigError: `level` is not between 0 and 1, or `resamples` is less than 1.
    """
    config = BootstrapConfig(level, resamples, seed)
    n = int((counts[:, :-1] if metric == "kappa" else counts).sum())
    estimate = float(score(metric, counts))
    if math.isnan(estimate):
        return Interval(math.nan, math.nan, math.nan, level, METHOD, n)
    masses = (counts + pseudo_counts(counts, level)).ravel()
    # Only the cells that can be drawn: many classes leave most of them empty.
    cells = np.flatnonzero(masses)
    present, values = occurring(counts), []
    for drawn in resample_counts(masses[cells] / masses.sum(), int(counts.sum()), config, CHUNK):
        tables = np.zeros((len(drawn), counts.size), dtype=np.int64)
        tables[:, cells] = drawn
        values.append(score(metric, tables.reshape(-1, *counts.shape), present))
    return percentile_interval(np.concatenate(values), estimate, level, METHOD, n)


def pseudo_counts(counts: Ints, level: float) -> Floats:
    """The z^2 pseudo-rows of a smoothed bootstrap, in equal parts for the classes that have human-labeled rows.

    Within a class half of them are right; the wrong ones go where predictions of other classes (or none) went.

    Args:
        counts: shape (K, K + 1), from `confusion_counts`.
        level: confidence level; it gives z.
    """
    out = np.zeros(counts.shape)
    present = np.flatnonzero(counts.sum(axis=1))
    each = normal_quantile(level) ** 2 / max(len(present), 1)
    for k in present:
        elsewhere = counts.sum(axis=0).astype(np.float64)
        elsewhere[k] = 0
        if not elsewhere.any():
            elsewhere[-1] = 1
        out[k] += each / 2 * elsewhere / elsewhere.sum()
        out[k, k] += each / 2
    return out
