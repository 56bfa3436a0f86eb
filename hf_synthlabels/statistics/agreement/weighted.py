"""Design-based agreement: scores of labels sampled with unequal probabilities, in clusters or within strata."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import cast

import numpy as np

from hf_synthlabels.statistics.agreement.classification import Agreement, ClassAgreement, class_agreement, pseudo_counts
from hf_synthlabels.statistics.agreement.confusion import METRICS, Metric, confusion_counts, occurring, score
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, Mask
from hf_synthlabels.statistics.bootstrap import (
    METHOD,
    BootstrapConfig,
    UnitResampler,
    design_method,
    replicates,
    resample_counts,
    widened,
)
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, percentile_interval, wilson

WILSON = "wilson"


NORMAL = "normal, weighted"


CHUNK = 250


def weighted_agreement(
    human: Ints, predicted: Ints, design: SamplingDesign, names: tuple[str, ...], bootstrap: BootstrapConfig
) -> Agreement:
    """The scores of `agreement`, of rows that are no simple random sample.

    Shares are as in `weighted_share`. Other scores are bootstrapped: rows, or whole clusters within strata, are drawn
    with their weights, and z^2 pseudo-rows keep a sample without a mistake from certainty, as in `bootstrap`.

    Args:
        human: codes, none missing, shape (n,).
        predicted: codes, `MISSING` where there is none.
        design: weights, clusters and strata of the rows.
        names: of the classes.
        bootstrap: level, resamples and seed.
    """
    answered, right = predicted != MISSING, predicted == human
    every = np.ones(len(human), dtype=np.bool_)
    scores = _bootstrapped(human, predicted, design.scaled(), len(names), bootstrap)
    classes = tuple(
        weighted_class(name, human == code, predicted == code, design, bootstrap.level)
        for code, name in enumerate(names)
    )
    return Agreement(
        coverage=weighted_share(answered, every, design, bootstrap.level),
        accuracy=weighted_share(right, every, design, bootstrap.level),
        accuracy_answered=weighted_share(right, answered, design, bootstrap.level),
        macro_f1=scores["macro_f1"],
        weighted_f1=scores["weighted_f1"],
        kappa=scores["kappa"],
        classes=classes,
    )


def weighted_class(name: str, truly: Mask, said: Mask, design: SamplingDesign, level: float) -> ClassAgreement:
    """One name of which a row has it or not; as in `weighted_agreement`."""
    both = truly & said
    jaccard = weighted_share(both, truly | said, design, level)
    low, estimate, high = (2 * j / (1 + j) for j in (jaccard.low, jaccard.estimate, jaccard.high))
    return ClassAgreement(
        name=name,
        support=int(truly.sum()),
        predicted=int(said.sum()),
        precision=weighted_share(both, said, design, level),
        recall=weighted_share(both, truly, design, level),
        f1=Interval(estimate, low, high, level, f"{jaccard.method}, of the Jaccard share", jaccard.n),
    )


def weighted_mean(values: Floats, weights: Floats, level: float = 0.95) -> Interval:
    """The weighted mean of numbers from 0 to 1, with a normal interval of its linearised variance (Hajek 1971).

    Args:
        values: shape (n,).
        weights: inverse inclusion probabilities, above 0.
        level: confidence level.
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


def weighted_share(hits: Mask, among: Mask, design: SamplingDesign, level: float = 0.95) -> Interval:
    """The share of hits among some rows: a ratio of sums of weights (Hajek 1971) with an interval for its design.

    The interval is Wilson's for the effective number of rows, see `SamplingDesign.effective_rows`.

    Args:
        hits: which rows are hits, shape (n,).
        among: which rows count, shape (n,).
        design: weights, clusters and strata of all rows.
        level: confidence level.
    """
    n = int(among.sum())
    method = design_method(WILSON, design, len(hits))
    if not n:
        return Interval(math.nan, math.nan, math.nan, level, method, 0)
    share, effective = design.effective_rows(hits & among, among, level)
    return _wilson(share, effective, level, n, method)


def _wilson(p: float, effective: float, level: float, n: int, method: str) -> Interval:
    """Wilson's interval of a share of a number of rows that need not be whole."""
    z2 = normal_quantile(level) ** 2
    centre = (p + z2 / (2 * effective)) / (1 + z2 / effective)
    half = math.sqrt(z2) / (1 + z2 / effective) * math.sqrt(p * (1 - p) / effective + z2 / (4 * effective**2))
    low, top = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(p, min(low, p) if p else 0.0, max(top, p) if p < 1 else 1.0, level, method, n)


def _bootstrapped(
    human: Ints, predicted: Ints, design: SamplingDesign, classes: int, bootstrap: BootstrapConfig
) -> dict[Metric, Interval]:
    width = classes + 1
    weights = np.ones(len(human)) if design.weights is None else design.weights
    cells = human * width + np.where(predicted == MISSING, classes, predicted)
    counts = np.bincount(cells, weights=weights, minlength=classes * width).reshape(classes, width)
    # Scores are quotients, so counts of rows and sums of weights give the same.
    table = cast("Ints", counts)
    present = occurring(table)
    pseudo = pseudo_counts(confusion_counts(human, predicted, classes), bootstrap.level)
    effect = design.effect(predicted == human, bootstrap.level)
    tables = (
        (cast("Ints", each.reshape(-1, classes, width)), present)
        for each in _tables(cells, weights, pseudo.ravel(), design, effect, bootstrap)
    )
    values = replicates({metric: functools.partial(score, metric) for metric in METRICS}, tables)
    n, answered = len(human), int((predicted != MISSING).sum())
    wider = design.widening(n, bootstrap.level)
    return {
        metric: percentile_interval(
            widened(values[metric], wider),
            float(score(metric, table)),
            bootstrap.level,
            design_method(METHOD, design, n),
            answered if metric == "kappa" else n,
        )
        for metric in METRICS
    }


def _tables(
    cells: Ints, weights: Floats, pseudo: Floats, design: SamplingDesign, effect: float, bootstrap: BootstrapConfig
) -> Iterator[Floats]:
    """Resampled tables, flat, some at a time; rows that are alike are drawn together."""
    if design.has_units:
        yield from UnitResampler(cells, len(pseudo), pseudo, design, effect).resample(bootstrap, CHUNK)
        return
    kinds, times = np.unique(np.column_stack([cells, weights]), axis=0, return_counts=True)
    extra = np.flatnonzero(pseudo)
    pool = np.concatenate([kinds[:, 0], extra]).astype(np.int64)
    masses = np.concatenate([times, pseudo[extra]])
    into = np.concatenate([kinds[:, 1], np.ones(len(extra))])[:, None] * (pool[:, None] == np.arange(len(pseudo)))
    for counts in resample_counts(masses / masses.sum(), len(cells), bootstrap, CHUNK):
        yield counts @ into


def share(hits: Mask, counted: Mask | None, design: SamplingDesign | None, level: float) -> Interval:
    """The share of rows that are hits, with the interval of `wilson` or of `weighted_share`.

    Args:
        hits: which rows are, shape (n,).
        counted: which rows count; None for all.
        design: weights, clusters and strata of the rows; None for a simple random sample.
        level: confidence level.
    """
    counted = np.ones(len(hits), dtype=np.bool_) if counted is None else counted
    if design is None or design.is_random:
        return wilson(int((hits & counted).sum()), int(counted.sum()), level)
    return weighted_share(hits, counted, design, level)


def name_agreement(name: str, truly: Mask, said: Mask, design: SamplingDesign | None, level: float) -> ClassAgreement:
    """Precision, recall and F1 of one name of which a row has it or not.

    Args:
        name: the name.
        truly: the rows to which humans gave it, shape (n,).
        said: those to which the LLM did.
        design: as in `share`.
        level: confidence level.
    """
    if design is None or design.is_random:
        counts = [int(each.sum()) for each in (truly & said, said, truly)]
        return class_agreement(name, counts[0], counts[1], counts[2], level=level)
    return weighted_class(name, truly, said, design, level)


def answer_scores(answered: Mask, exact: Mask, design: SamplingDesign | None, level: float) -> dict[str, Interval]:
    """Coverage, and accuracy over all rows and over the answered rows, as proportions of rows."""
    return {
        "coverage": share(answered, None, design, level),
        "accuracy": share(exact, None, design, level),
        "accuracy_answered": share(exact, answered, design, level),
    }
