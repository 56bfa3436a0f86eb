"""Agreement of single-label classifications: every score with its interval, overall and for each class."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from hf_synthlabels.statistics.agreement.base import KindAgreement, class_agreement, row_accuracy
from hf_synthlabels.statistics.agreement.confusion import Metric, confusion_counts, occurring, score
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints
from hf_synthlabels.statistics.bootstrap import (
    METHOD,
    BootstrapConfig,
    replicates,
    resample_counts,
    unit_resamples,
    widened,
)
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, percentile_interval

CHUNK = 250
"""Resampled tables that are scored at once."""

BOOTSTRAPPED: tuple[Metric, ...] = ("macro_f1", "weighted_f1", "kappa")


def classification_agreement(
    human: Ints,
    predicted: Ints,
    names: Sequence[str],
    bootstrap: BootstrapConfig | None = None,
    design: SamplingDesign | None = None,
) -> KindAgreement:
    """Agreement of predicted classes with human classes; undefined scores without rows.

    A missing prediction is incorrect; only kappa is of the answered rows. Shares of rows have Wilson intervals, the
    other scores those of `confusion_intervals`. Intervals are not corrected for their number.

    Args:
        human: codes, none missing, shape (rows,).
        predicted: codes, `MISSING` where there is no prediction, shape (rows,).
        names: of the classes.
        bootstrap: level, resamples and seed.
        design: weights, clusters and strata of the rows; None for a simple random sample.

    Raises:
        DataError: the lengths differ or a code is out of range.
    """
    bootstrap = bootstrap or BootstrapConfig()
    counts, level = confusion_counts(human, predicted, len(names)), bootstrap.level
    if design is None or design.is_random:
        intervals = confusion_intervals(counts, BOOTSTRAPPED, bootstrap)
    else:
        intervals = _weighted_intervals(human, predicted, counts, design.scaled(), bootstrap)
    return KindAgreement(
        {**row_accuracy(predicted != MISSING, predicted == human, design, level), **intervals},
        tuple(class_agreement(name, human == k, predicted == k, design, level) for k, name in enumerate(names)),
    )


def confusion_intervals(
    counts: Ints, metrics: Sequence[Metric] = BOOTSTRAPPED, bootstrap: BootstrapConfig | None = None
) -> dict[str, Interval]:
    """Percentile intervals of scores from a smoothed bootstrap of rows.

    Rows are drawn with replacement, so the class counts vary between resamples as they do between samples. A bootstrap
    within classes would be too narrow where recalls differ.

    The plain bootstrap of 30 correct rows has the interval [1, 1], and a gate would pass on it. So z^2 pseudo-rows,
    half correct and half incorrect and shared equally by the classes, are added to the distribution that is drawn from,
    as the Wilson interval does to a share (Agresti & Coull 1998). Their weight fades as 1/n.

    Args:
        counts: shape (K, K + 1), from `confusion_counts`.
        metrics: the scores.
        bootstrap: level, resamples and seed.
    """
    bootstrap = bootstrap or BootstrapConfig()
    masses = (counts + _pseudo_counts(counts, bootstrap.level)).ravel()
    # Only the cells that can be drawn: many classes leave most of them empty.
    cells = np.flatnonzero(masses)

    def resamples() -> Iterator[Floats]:
        for drawn in resample_counts(masses[cells] / masses.sum(), int(counts.sum()), bootstrap, CHUNK):
            tables = np.zeros((len(drawn), counts.size))
            tables[:, cells] = drawn
            yield tables

    return _intervals(counts, counts, resamples(), metrics, SamplingDesign(), bootstrap)


def _weighted_intervals(
    human: Ints, predicted: Ints, counts: Ints, design: SamplingDesign, bootstrap: BootstrapConfig
) -> dict[str, Interval]:
    """`confusion_intervals` of rows, or whole clusters within strata, that are drawn with their weights."""
    classes = len(counts)
    weights = np.ones(len(human)) if design.weights is None else design.weights
    cells = human * (classes + 1) + np.where(predicted == MISSING, classes, predicted)
    pseudo = _pseudo_counts(counts, bootstrap.level).ravel()
    if design.has_units:
        resamples = unit_resamples(cells, pseudo, predicted == human, design, bootstrap, CHUNK)
    else:
        resamples = _weighted_resamples(cells, weights, pseudo, bootstrap)
    # Scores are quotients, so counts of rows and sums of weights give the same.
    weighted = np.bincount(cells, weights=weights, minlength=counts.size).reshape(counts.shape)
    return _intervals(counts, weighted, resamples, BOOTSTRAPPED, design, bootstrap)


def _intervals(
    counts: Ints,
    weighted: Ints | Floats,
    resamples: Iterator[Floats],
    metrics: Sequence[Metric],
    design: SamplingDesign,
    bootstrap: BootstrapConfig,
) -> dict[str, Interval]:
    n, answered, present = int(counts.sum()), int(counts[:, :-1].sum()), occurring(weighted)
    method = design.method_name(METHOD, n)
    if not n:
        return {metric: Interval.undefined(bootstrap.level, method) for metric in metrics}
    tables = ((each.reshape(-1, *counts.shape), present) for each in resamples)
    values = replicates({metric: functools.partial(score, metric) for metric in metrics}, tables)
    widening = design.widening(n, bootstrap.level)
    return {
        metric: percentile_interval(
            widened(values[metric], widening),
            float(score(metric, weighted)),
            bootstrap.level,
            method,
            answered if metric == "kappa" else n,
        )
        for metric in metrics
    }


def _weighted_resamples(cells: Ints, weights: Floats, pseudo: Floats, bootstrap: BootstrapConfig) -> Iterator[Floats]:
    """Flat tables of weighted rows drawn with equal probabilities; rows that are alike are drawn together."""
    kinds, times = np.unique(np.column_stack([cells, weights]), axis=0, return_counts=True)
    extra = np.flatnonzero(pseudo)
    pool = np.concatenate([kinds[:, 0], extra]).astype(np.int64)
    masses = np.concatenate([times, pseudo[extra]])
    into = np.concatenate([kinds[:, 1], np.ones(len(extra))])[:, None] * (pool[:, None] == np.arange(len(pseudo)))
    for drawn in resample_counts(masses / masses.sum(), len(cells), bootstrap, CHUNK):
        yield drawn @ into


def _pseudo_counts(counts: Ints, level: float) -> Floats:
    """The z^2 pseudo-rows in equal parts for the classes with human-labeled rows, shape (K, K + 1).

    Within a class half of them are correct; the others go where predictions of other classes (or none) went.
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
