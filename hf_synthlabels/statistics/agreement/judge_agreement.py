"""Agreement of a judge with humans: the usual coefficients, with cluster-robust intervals."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.confusion import kappa, score
from hf_synthlabels.statistics.agreement.correlation import PAIR_SCORES, PairScore, weighted_ranks
from hf_synthlabels.statistics.arrays import Floats, Ints, Labels, cluster_codes, divided, label_codes, rating_table
from hf_synthlabels.statistics.bootstrap import MAX_NUMBERS, BootstrapConfig, replicates, resample_counts
from hf_synthlabels.statistics.intervals import Interval, percentile_interval, wilson


def judge_agreement(
    human: ArrayLike | list[object],
    judge: ArrayLike | list[object],
    *,
    scale: Literal["nominal", "ordinal", "interval"] = "interval",
    clusters: ArrayLike | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> dict[str, Interval]:
    """Agreement of a judge with humans by several coefficients of the same rows.

    On a nominal scale accuracy, Cohen's kappa, Scott's pi, Krippendorff's alpha and Gwet's AC1; on the others Pearson's
    r, Spearman's rho, Kendall's tau-b, quadratic weighted kappa, ICC(A,1) and alpha. Coverage is over the rows with a
    human label, everything else over those that the judge has scored, too.

    The limits are percentiles of resamples of rows, or of whole clusters, the same for all coefficients; those of
    shares without clusters are Wilson's. With fewer than 30 rows or clusters they are a little narrow.

    Args:
        human: names, or numbers on a scale, shape (rows,); None or nan where missing.
        judge: the same; None or nan for unscored.
        scale: scale of the labels; it decides which coefficients there are.
        clusters: cluster of each row, such as its question, shape (rows,).
        bootstrap: level, resamples and seed.

    Returns:
        Intervals by name: coverage first, their `n` in rows.

    Raises:
        DataError: the lengths differ, or a value on a scale is not a number.
        ConfigError: `scale` is unknown.
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
    labeled, both = ~np.isnan(table[:, 0]), ~np.isnan(table).any(axis=1)
    intervals = {"coverage": wilson(int(both.sum()), int(labeled.sum()), bootstrap.level)}
    scores = _nominal_scores(len(names)) if scale == "nominal" else _numeric_scores(scale)
    intervals |= _intervals(table[both], None if groups is None else groups[both], scores, bootstrap)
    if scale == "nominal" and groups is None:
        correct = int((table[both, 0] == table[both, 1]).sum())
        intervals["accuracy"] = wilson(correct, int(both.sum()), bootstrap.level)
    return intervals


def _intervals(
    pairs: Floats, groups: Ints | None, scores: Mapping[str, PairScore], bootstrap: BootstrapConfig
) -> dict[str, Interval]:
    n = len(pairs)
    if n == 0:
        return dict.fromkeys(scores, Interval.undefined(bootstrap.level, "bootstrap"))
    cells, place = np.unique(pairs, axis=0, return_inverse=True)
    x, y = cells.T
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    method = f"bootstrap: {'rows' if groups is None else f'{units.max() + 1:,} clusters'}"
    whole = np.bincount(place.ravel(), minlength=len(cells))[None]
    resamples = ((counts, x, y) for counts in _resamples(units, place.ravel(), len(cells), bootstrap))
    return {
        name: percentile_interval(values, float(scores[name](whole, x, y)[0]), bootstrap.level, method, n)
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


def _nominal_scores(k: int) -> dict[str, PairScore]:
    def confusion(counts: Ints | Floats, x: Floats, y: Floats) -> Ints:
        out = np.zeros((len(counts), k, k + 1), dtype=np.int64)
        out[:, x.astype(np.int64), y.astype(np.int64)] = counts
        return out

    def chance_corrected(counts: Ints | Floats, x: Floats, y: Floats, name: str) -> Floats:
        table = confusion(counts, x, y)[..., :-1]
        n = table.sum(axis=(1, 2))
        observed = divided(np.trace(table, axis1=1, axis2=2), n)
        shares = divided(table.sum(axis=1) + table.sum(axis=2), 2 * n[:, None])
        if name == "ac1":
            expected = (shares * (1 - shares)).sum(axis=1) / (k - 1) if k > 1 else np.ones(len(counts))
        else:
            expected = (shares**2).sum(axis=1)
        beyond = divided(observed - expected, np.where(expected < 1 - 1e-12, 1 - expected, 0))
        # Alpha allows for the ratings being few: 1 - alpha = (1 - pi) (2 n - 1) / 2 n.
        return 1 - (1 - beyond) * divided(2 * n - 1, 2 * n) if name == "alpha" else beyond

    return {
        "accuracy": lambda counts, x, y: score("accuracy", confusion(counts, x, y)),
        "kappa": lambda counts, x, y: kappa(confusion(counts, x, y)),
        **{name: functools.partial(chance_corrected, name=name) for name in ("scott_pi", "alpha", "ac1")},
    }


def _numeric_scores(scale: str) -> dict[str, PairScore]:
    return {**PAIR_SCORES, "alpha": functools.partial(_alpha, ranks=scale == "ordinal")}


def _alpha(counts: Ints | Floats, x: Floats, y: Floats, *, ranks: bool) -> Floats:
    """Krippendorff's alpha of two raters without gaps: 1 - (2 n - 1) / 2 n x sum (x - y)^2 / sum of squares of all."""
    twice, values = np.concatenate([counts, counts], axis=1), np.concatenate([x, y])
    values = weighted_ranks(twice, values) if ranks else np.broadcast_to(values, twice.shape)
    total = twice.sum(axis=1)
    centered = values - divided((twice * values).sum(axis=1), total)[:, None]
    first, second = np.split(centered, 2, axis=1)
    squares = (twice * centered**2).sum(axis=1)
    squares = np.where(squares > 1e-12 * total * (1 + np.abs(values).max() ** 2), squares, 0)
    return 1 - divided((total - 1) * (counts * (first - second) ** 2).sum(axis=1), total * squares)
