"""Weighted agreement: scores of labels whose rows were chosen for people with unequal, known chances."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics.agreement import Agreement, ClassAgreement
from hf_synthlabels.statistics.codes import NO_LABEL, Floats, Ints
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, percentile_interval, wilson
from hf_synthlabels.statistics.rows import Drawing
from hf_synthlabels.statistics.scores import METRICS, Metric, occurring, score

__all__ = ["weighted_agreement", "weighted_class", "weighted_mean", "weighted_share"]

Mask = NDArray[np.bool_]

METHOD = "wilson, weighted"
NORMAL = "normal, weighted"
BOOTSTRAP = "bootstrap: rows, weighted, smoothed"
WILSON_Z = 1.959963984540054


def weighted_agreement(
    human: Ints, predicted: Ints, weights: Floats, names: tuple[str, ...], drawing: Drawing
) -> Agreement:
    """The scores of `agreement`, with each row counted with its weight.

    A share is a ratio of sums of weights (Hajek 1971); its interval is Wilson's for as many rows as would vary as much:
    p (1 - p) over the linearised variance, at most all of them (Korn & Graubard 1998), and for a share of 0 or 1 the
    square of the weights' sum over the sum of their squares (Kish 1965). Other scores are bootstrapped, rows drawn with
    their weights, and z^2 pseudo-rows of mean weight keep a sample without a mistake from being certain, as in
    `bootstrap`.

    Args:
        human: codes, none missing, shape (n,).
        predicted: codes, `NO_LABEL` where there is none.
        weights: 1 / chance of each row, above 0.
        names: of the classes.
        drawing: level, resamples and seed.
    """
    answered, right = predicted != NO_LABEL, predicted == human
    every = np.ones(len(human), dtype=np.bool_)
    found: dict[str, Interval] = {
        "coverage": weighted_share(answered, every, weights, drawing.level),
        "accuracy": weighted_share(right, every, weights, drawing.level),
        "accuracy_answered": weighted_share(right, answered, weights, drawing.level),
    }
    scores = _bootstrapped(human, predicted, weights, len(names), drawing)
    classes = tuple(
        weighted_class(name, human == code, predicted == code, weights, drawing.level)
        for code, name in enumerate(names)
    )
    return Agreement(
        coverage=found["coverage"],
        accuracy=found["accuracy"],
        accuracy_answered=found["accuracy_answered"],
        macro_f1=scores["macro_f1"],
        weighted_f1=scores["weighted_f1"],
        kappa=scores["kappa"],
        classes=classes,
    )


def weighted_class(name: str, truly: Mask, said: Mask, weights: Floats, level: float) -> ClassAgreement:
    """One name of which a row has it or not, each row counted with its weight; as in `weighted_agreement`."""
    both = truly & said
    jaccard = weighted_share(both, truly | said, weights, level)
    low, estimate, high = (2 * j / (1 + j) for j in (jaccard.low, jaccard.estimate, jaccard.high))
    return ClassAgreement(
        name=name,
        support=int(truly.sum()),
        predicted=int(said.sum()),
        precision=weighted_share(both, said, weights, level),
        recall=weighted_share(both, truly, weights, level),
        f1=Interval(estimate, low, high, level, f"{METHOD}, of the Jaccard share", jaccard.n),
    )


def weighted_mean(values: Floats, weights: Floats, level: float = 0.95) -> Interval:
    """The weighted mean of numbers from 0 to 1, with a normal interval of its linearised variance (Hajek 1971).

    Args:
        values: shape (n,).
        weights: 1 / chance of each row, above 0.
        level: of confidence.
    """
    n = len(values)
    if not n:
        return Interval(math.nan, math.nan, math.nan, level, NORMAL, 0)
    mean = float(weights @ values / weights.sum())
    if n == 1:
        return Interval(mean, 0.0, 1.0, level, NORMAL, n)
    variance = float(((weights * (values - mean)) ** 2).sum() / weights.sum() ** 2 * n / (n - 1))
    reach = normal_quantile(level) * math.sqrt(variance)
    return Interval(mean, max(0.0, mean - reach), min(1.0, mean + reach), level, NORMAL, n)


def weighted_share(hits: Mask, among: Mask, weights: Floats, level: float = 0.95) -> Interval:
    """The weighted share of rows that are hits among some rows; the interval is that of `weighted_agreement`.

    Args:
        hits: which rows are, shape (n,).
        among: which rows count, shape (n,).
        weights: 1 / chance of each row, above 0.
        level: of confidence.
    """
    w = weights[among]
    if not len(w):
        return Interval(math.nan, math.nan, math.nan, level, METHOD, 0)
    y = hits[among].astype(np.float64)
    p = float(w @ y / w.sum())
    n = len(w)
    effective = float(w.sum() ** 2 / (w @ w))
    if 0 < p < 1 and n > 1:
        variance = float(((w * (y - p)) ** 2).sum() / w.sum() ** 2 * n / (n - 1))
        effective = min(float(n), p * (1 - p) / variance)
    return _wilson(p, effective, level, n)


def _wilson(p: float, effective: float, level: float, n: int) -> Interval:
    """Wilson's interval of a share of a number of rows that need not be whole."""
    # The whole-number one fixes the quantile: of 0 hits its upper end is z^2 / (1 + z^2).
    high = wilson(0, 1, level).high
    z2 = high / (1 - high)
    centre = (p + z2 / (2 * effective)) / (1 + z2 / effective)
    half = math.sqrt(z2) / (1 + z2 / effective) * math.sqrt(p * (1 - p) / effective + z2 / (4 * effective**2))
    low, top = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(p, min(low, p) if p else 0.0, max(top, p) if p < 1 else 1.0, level, METHOD, n)


def _bootstrapped(
    human: Ints, predicted: Ints, weights: Floats, classes: int, drawing: Drawing
) -> dict[Metric, Interval]:
    width = classes + 1
    cells = human * width + np.where(predicted == NO_LABEL, classes, predicted)
    even = weights / weights.mean()
    counts: Floats = np.bincount(cells, weights=even, minlength=classes * width).astype(np.float64)
    counts = counts.reshape(classes, width)
    pool, chances, mass = _pool(cells, even, counts)
    into = mass[:, None] * (pool[:, None] == np.arange(classes * width))
    # Scores are quotients, to which it is all the same whether rows or weights are counted.
    table = cast("Ints", counts)
    rng, present = np.random.default_rng(drawing.seed), occurring(table)
    values: dict[Metric, list[Floats]] = {metric: [] for metric in METRICS}
    for _ in range(0, drawing.resamples, CHUNK):
        times = rng.multinomial(len(human), chances, size=min(CHUNK, drawing.resamples)).astype(np.float64)
        tables = (times @ into).reshape(-1, classes, width)
        for metric in METRICS:
            values[metric].append(score(metric, cast("Ints", tables), present))
    n, answered = len(human), int((predicted != NO_LABEL).sum())
    return {
        metric: percentile_interval(
            np.concatenate(values[metric])[: drawing.resamples],
            float(score(metric, table)),
            drawing.level,
            BOOTSTRAP,
            answered if metric == "kappa" else n,
        )
        for metric in METRICS
    }


CHUNK = 250


def _pool(cells: Ints, even: Floats, counts: Floats) -> tuple[Ints, Floats, Floats]:
    """What is drawn from: rows, and z^2 pseudo-rows of mean weight, half of them right, shared by the classes."""
    width = counts.shape[1]
    z2 = WILSON_Z**2
    present = np.flatnonzero(counts.sum(axis=1))
    extra: list[tuple[int, float]] = []
    for k in present:
        each = z2 / len(present)
        elsewhere = counts.sum(axis=0)
        elsewhere[k] = 0
        if not elsewhere.any():
            elsewhere[-1] = 1
        extra += [(int(k * width + k), each / 2)]
        extra += [(int(k * width + j), each / 2 * elsewhere[j] / elsewhere.sum()) for j in np.flatnonzero(elsewhere)]
    # Rows that are alike are drawn together: a stratified sample has few different weights.
    kinds, times = np.unique(np.column_stack([cells, even]), axis=0, return_counts=True)
    pool = np.concatenate([kinds[:, 0], [cell for cell, _ in extra]]).astype(np.int64)
    chances = np.concatenate([times, [chance for _, chance in extra]]).astype(np.float64)
    mass = np.concatenate([kinds[:, 1], np.ones(len(extra))])
    return pool, chances / chances.sum(), mass
