"""Agreement of a judge with humans: the usual coefficients, with cluster-robust intervals."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.confusion import accuracy, kappa
from hf_synthlabels.statistics.agreement.correlation import (
    pair_icc,
    quadratic_kappa,
    weighted_kendall,
    weighted_pearson,
    weighted_ranks,
    weighted_spearman,
)
from hf_synthlabels.statistics.arrays import Floats, Ints, Labels, cluster_codes, divided, label_codes, rating_table
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, replicates, resample_counts
from hf_synthlabels.statistics.intervals import Interval, percentile_interval, wilson

MAX_NUMBERS = 2_000_000
"""Resamples that are scored at once, times distinct pairs."""


PairScore = Callable[[Ints, Floats, Floats], Floats]
"""A coefficient of resamples, shape (R,): how often each distinct pair was drawn, (R, C), and its two columns, (C,)."""


def judge_agreement(
    human: ArrayLike | list[object],
    judge: ArrayLike | list[object],
    *,
    scale: Literal["nominal", "ordinal", "interval"] = "interval",
    clusters: ArrayLike | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> dict[str, Interval]:
    """How far a judge agrees with people, by several coefficients of the same rows.

    On a nominal scale accuracy, Cohen's kappa, Scott's pi, Krippendorff's alpha and Gwet's AC1; on the others Pearson's
    r, Spearman's rho, Kendall's tau-b, quadratic weighted kappa, ICC(A,1) and alpha. Coverage is of the rows with a
    human label, everything else of those that the judge has scored, too.

    The ends are percentiles of resamples of rows, or of whole clusters, the same ones for all coefficients; of shares
    without clusters Wilson's. With fewer than 30 rows or clusters they are a little narrow.

    Args:
        human: names, or numbers on a scale, shape (rows,); None or nan where there is none.
        judge: the same; None or nan for unscored.
        scale: what they are on; it decides which coefficients there are.
        clusters: cluster of each row, such as its question, shape (rows,).
        bootstrap: level, resamples and seed.

    Returns:
        Intervals by name: coverage first, their `n` in rows.

    Raises:
        DataError: the lengths differ, or a value on a scale is not a number.
        ConfigError: there is no such scale.
    """
    if scale not in ("nominal", "ordinal", "interval"):
        raise ConfigError(f"`scale` is {scale!r}: give 'nominal', 'ordinal' or 'interval'.")
    bootstrap = bootstrap or BootstrapConfig()
    first, second = (np.array(side, dtype=object) for side in (human, judge))
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"`human` has shape {first.shape} and `judge` {second.shape}: give one each per row.")
    groups = None if clusters is None else cluster_codes(clusters, len(first))
    pairs: Labels = np.column_stack([first, second])
    table, names = label_codes(pairs) if scale == "nominal" else (rating_table(pairs), [])
    labelled, both = ~np.isnan(table[:, 0]), ~np.isnan(table).any(axis=1)
    found = {"coverage": wilson(int(both.sum()), int(labelled.sum()), bootstrap.level)}
    scores = _of_names(len(names)) if scale == "nominal" else _of_numbers(scale)
    found |= _intervals(table[both], None if groups is None else groups[both], scores, bootstrap)
    if scale == "nominal" and groups is None:
        right = int((table[both, 0] == table[both, 1]).sum())
        found["accuracy"] = wilson(right, int(both.sum()), bootstrap.level)
    return found


def _intervals(
    pairs: Floats, groups: Ints | None, scores: Mapping[str, PairScore], bootstrap: BootstrapConfig
) -> dict[str, Interval]:
    n = len(pairs)
    if n == 0:
        nan = float("nan")
        return {name: Interval(nan, nan, nan, bootstrap.level, "bootstrap", 0) for name in scores}
    cells, place = np.unique(pairs, axis=0, return_inverse=True)
    x, y = cells.T
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    method = f"bootstrap: {'rows' if groups is None else f'{units.max() + 1:,} clusters'}"
    whole = np.bincount(place.ravel(), minlength=len(cells))[None]
    estimates = {name: float(score(whole, x, y)[0]) for name, score in scores.items()}
    resamples = ((counts, x, y) for counts in _resamples(units, place.ravel(), len(cells), bootstrap))
    return {
        name: percentile_interval(values, estimates[name], bootstrap.level, method, n)
        for name, values in replicates(scores, resamples).items()
    }


def _resamples(units: Ints, place: Ints, cells: int, bootstrap: BootstrapConfig) -> Iterator[Ints]:
    """How often each distinct pair is drawn when whole units are drawn, in chunks of shape (R, cells)."""
    size = int(units.max()) + 1
    chunk = max(1, MAX_NUMBERS // max(cells, size))
    if size == len(units):
        yield from resample_counts(np.bincount(place, minlength=cells) / len(place), len(place), bootstrap, chunk)
        return
    content = np.zeros((size, cells))
    np.add.at(content, (units, place), 1)
    for counts in resample_counts(np.full(size, 1 / size), size, bootstrap, chunk):
        yield np.rint(counts @ content).astype(np.int64)


def _of_names(k: int) -> dict[str, PairScore]:
    def confusion(counts: Ints, x: Floats, y: Floats) -> Ints:
        out = np.zeros((len(counts), k, k + 1), dtype=np.int64)
        out[:, x.astype(np.int64), y.astype(np.int64)] = counts
        return out

    def chance(counts: Ints, x: Floats, y: Floats, kind: str) -> Floats:
        table = confusion(counts, x, y)[..., :-1]
        n = table.sum(axis=(1, 2))
        observed = divided(np.trace(table, axis1=1, axis2=2), n)
        shares = divided(table.sum(axis=1) + table.sum(axis=2), 2 * n[:, None])
        if kind == "ac1":
            expected = (shares * (1 - shares)).sum(axis=1) / (k - 1) if k > 1 else np.ones(len(counts))
        else:
            expected = (shares**2).sum(axis=1)
        beyond = divided(observed - expected, np.where(expected < 1 - 1e-12, 1 - expected, 0))
        # Alpha allows for the ratings being few: 1 - alpha = (1 - pi) (2 n - 1) / 2 n.
        return 1 - (1 - beyond) * divided(2 * n - 1, 2 * n) if kind == "alpha" else beyond

    return {
        "accuracy": lambda counts, x, y: accuracy(confusion(counts, x, y)),
        "kappa": lambda counts, x, y: kappa(confusion(counts, x, y)),
        **{name: functools.partial(chance, kind=name) for name in ("scott_pi", "alpha", "ac1")},
    }


def _of_numbers(scale: str) -> dict[str, PairScore]:
    return {
        "pearson": weighted_pearson,
        "spearman": weighted_spearman,
        "kendall": weighted_kendall,
        "weighted_kappa": quadratic_kappa,
        "icc": pair_icc,
        "alpha": functools.partial(_alpha, ranks=scale == "ordinal"),
    }


def _alpha(counts: Ints, x: Floats, y: Floats, *, ranks: bool) -> Floats:
    """Krippendorff's alpha of two raters without gaps: 1 - (2 n - 1) / 2 n x sum (x - y)^2 / sum of squares of all."""
    twice, values = np.concatenate([counts, counts], axis=1), np.concatenate([x, y])
    values = weighted_ranks(twice, values) if ranks else np.broadcast_to(values, twice.shape)
    total = twice.sum(axis=1)
    centred = values - divided((twice * values).sum(axis=1), total)[:, None]
    first, second = np.split(centred, 2, axis=1)
    squares = (twice * centred**2).sum(axis=1)
    squares = np.where(squares > 1e-12 * total * (1 + np.abs(values).max() ** 2), squares, 0)
    return 1 - divided((total - 1) * (counts * (first - second) ** 2).sum(axis=1), total * squares)
