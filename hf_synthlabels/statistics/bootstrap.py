"""The bootstrap: resamples of rows, of clusters and within strata."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from hf_synthlabels.statistics.arrays import Floats, Ints, Mask, check_level, check_resamples, cluster_codes
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, percentile_interval

METHOD = "bootstrap: rows, smoothed"
CHUNK = 256
MAX_NUMBERS = 2_000_000
"""Resamples x distinct rows that are scored at once."""

RowScore = Callable[[Ints | Floats, Floats], Floats]
"""Scores of resamples, shape (R,), from how often each distinct row was drawn, (R, C), and these rows, (C, d)."""


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """Confidence level, number of resamples and random seed of bootstrap intervals.

    Raises:
        ConfigError: `level` is not between 0 and 1, or `resamples` is less than 1.
    """

    level: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        check_level(self.level)
        check_resamples(self.resamples)


def _chunk_sizes(resamples: int, chunk: int) -> list[int]:
    return [min(chunk, resamples - start) for start in range(0, resamples, chunk)]


def resample_counts(probabilities: Floats, size: int, bootstrap: BootstrapConfig, chunk: int) -> Iterator[Ints]:
    """How often each category is drawn in resamples of `size` rows, in chunks of shape (R, categories)."""
    rng = np.random.default_rng(bootstrap.seed)
    for count in _chunk_sizes(bootstrap.resamples, chunk):
        yield rng.multinomial(size, probabilities, size=count)


def resample_positions(n: int, resamples: int, rng: np.random.Generator, chunk: int) -> Iterator[Ints]:
    """Positions of n rows drawn with replacement, in chunks of shape (R, n)."""
    for count in _chunk_sizes(resamples, chunk):
        yield rng.integers(n, size=(count, n))


def position_counts(positions: Ints, n: int) -> Ints:
    """How often each of n rows occurs in each resample, shape (R, n)."""
    offsets = np.arange(len(positions))[:, None] * n
    return np.bincount((positions + offsets).ravel(), minlength=len(positions) * n).reshape(-1, n)


def replicates(scores: Mapping[Any, Callable[..., Floats]], resamples: Iterable[tuple[Any, ...]]) -> dict[Any, Floats]:
    """Replicates of several scores from the same resamples, each of shape (resamples,)."""
    values: dict[Any, list[Floats]] = {name: [] for name in scores}
    for resample in resamples:
        for name, score in scores.items():
            values[name].append(score(*resample))
    return {name: np.concatenate(chunks) for name, chunks in values.items()}


def unit_resamples(
    cells: Ints, pseudo: Floats, correct: Mask, design: SamplingDesign, bootstrap: BootstrapConfig, chunk: int
) -> Iterator[Floats]:
    """Weighted counts of each code in resamples of whole units within strata, in chunks of shape (R, codes).

    Args:
        cells: content of each row, as a code, shape (rows,).
        pseudo: pseudo-rows of each code, shape (codes,). Clustered rows get more of them, by their design effect.
        correct: whether each row is correct, for the design effect, shape (rows,).
        design: sampling design of the rows.
        bootstrap: level, resamples and seed.
        chunk: resamples drawn at once.
    """
    rows, codes = len(cells), len(pseudo)
    unit, stratum_of_unit = design.units(rows)
    weights = np.ones(rows) if design.weights is None else design.weights
    units, sizes = len(stratum_of_unit), np.bincount(stratum_of_unit)
    kinds = np.flatnonzero(pseudo)
    # Pseudo-units have the mean size of a unit, so fewer of them make up the same number of rows.
    masses_of_pseudo = pseudo[kinds] * design.effect(correct, bootstrap.level) * units / rows
    mean_size = np.full(len(kinds), float(weights.sum()) / units)
    content = sparse.vstack(
        [
            sparse.csr_matrix((weights, (unit, cells)), shape=(units, codes)),
            sparse.csr_matrix((mean_size, (np.arange(len(kinds)), kinds)), (len(kinds), codes)),
        ]
    ).tocsr()
    rng = np.random.default_rng(bootstrap.seed)
    for count in _chunk_sizes(bootstrap.resamples, chunk):
        times = np.zeros((count, content.shape[0]))
        for stratum, size in enumerate(sizes):
            masses = np.concatenate([np.ones(size), masses_of_pseudo * size / units])
            drawn = rng.multinomial(size, masses / masses.sum(), size=count)
            times[:, np.flatnonzero(stratum_of_unit == stratum)] = drawn[:, :size]
            times[:, units:] += drawn[:, size:]
        yield np.asarray(times @ content)


@dataclass(frozen=True, slots=True)
class RowContributions:
    """What each row adds to a score: as observed, and if its prediction were correct or incorrect."""

    observed: Floats
    """Shape (rows, d)."""
    correct: Floats
    incorrect: Floats
    pseudo_weights: Floats
    """Distribution of the pseudo-rows over the rows, shape (rows,); the sum is 1."""
    design: SamplingDesign | None = None
    """Weights (with the mean 1), clusters and strata of the rows; None for a simple random sample."""


def row_intervals(
    rows: RowContributions,
    scores: Mapping[str, RowScore],
    bootstrap: BootstrapConfig,
    n: int | Mapping[str, int],
    *,
    highest: float = 1.0,
    percentiles: bool = False,
) -> dict[str, Interval]:
    """Intervals of several scores from the same resamples of a smoothed bootstrap of rows.

    Whole rows are resampled, so that the entities of one text stay together. As in `confusion_intervals`, z^2
    pseudo-rows, half correct and half incorrect, are mixed in (Agresti & Coull 1998); their weight fades as 1/n.

    The limits are z standard deviations of the replicates around their mean, within 0 and `highest`: where nearly all
    rows are correct, percentiles of the skewed distribution fall below the true value. In simulated samples of 30 to
    400 rows, 95% intervals covered the true value in 90% to 100%. Correlations do better with percentiles.

    Weighted rows are drawn with equal probabilities and count with their weights. Clusters are drawn whole, within
    strata; few clusters widen the interval.

    Args:
        rows: what each row adds.
        scores: by name.
        bootstrap: level, resamples and seed.
        n: denominator of each interval.
        highest: upper bound of the scores, whose lower bound is 0.
        percentiles: whether the limits are percentiles.
    """
    size, design = len(rows.observed), rows.design or SamplingDesign()
    denominators = dict.fromkeys(scores, n) if isinstance(n, int) else n
    method = design.method_name(METHOD, size)
    if size == 0:
        return {name: Interval.undefined(bootstrap.level, method) for name in scores}
    once = (np.ones(size) if design.weights is None else design.weights)[None]
    limits = percentile_interval if percentiles else functools.partial(_centered_interval, highest=highest)
    widening = design.widening(size, bootstrap.level)
    intervals = {}
    for name, values in replicates(scores, _row_resamples(rows, design, bootstrap)).items():
        estimate = float(scores[name](once, rows.observed)[0])
        intervals[name] = limits(widened(values, widening), estimate, bootstrap.level, method, denominators[name])
    return intervals


def widened(values: Floats, factor: float) -> Floats:
    """Bootstrap replicates spread around their mean by a factor."""
    if factor == 1:
        return values
    known = values[~np.isnan(values)]
    return values if not known.size else known.mean() + factor * (values - known.mean())


def score_of_sums(score: Callable[[Floats], Floats]) -> RowScore:
    """A row score that depends only on the sums over rows, shape (R, d)."""
    return lambda counts, cells: score(counts @ cells)


def class_balanced_weights(has: Floats) -> Floats:
    """Pseudo-row weights that give each class the same total, spread over the rows with that human label.

    Args:
        has: how often a human gave each class in each row, shape (rows, K).
    """
    present = (has > 0).astype(np.float64)
    support = present.sum(axis=0)
    if not support.any():
        return np.full(len(has), 1 / max(len(has), 1))
    names = support > 0
    weights: Floats = (present[:, names] / support[names]).sum(axis=1) / names.sum()
    return weights


def cluster_bootstrap(
    statistic: Callable[[Ints], float], clusters: ArrayLike, bootstrap: BootstrapConfig | None = None
) -> Interval:
    """Percentile interval of a statistic of clustered rows (Davison & Hinkley 1997, section 3.8).

    With few clusters percentiles are a little narrow: in 600 simulated samples each, 95% intervals of a mean covered
    the true value in 90% with 10 clusters and in 92% to 94% with 20 to 100.

    Args:
        statistic: takes row positions, with repetitions, and returns a number, nan where it is undefined.
        clusters: cluster of each row, shape (rows,): numbers or strings.
        bootstrap: level, resamples and seed.

    Returns:
        An interval over the rows; nan limits for fewer than two clusters or an undefined statistic.

    Raises:
        DataError: `clusters` does not have one dimension, or mixes values that cannot be compared.
    """
    bootstrap = bootstrap or BootstrapConfig()
    place = cluster_codes(clusters)
    n, size = len(place), int(place.max(initial=-1)) + 1
    method = f"bootstrap: {size:,} clusters"
    estimate = float(statistic(np.arange(n))) if n else math.nan
    if size < 2 or math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan, bootstrap.level, method, n)
    order = np.argsort(place, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(place[order])) + 1)
    draws = resample_positions(size, bootstrap.resamples, np.random.default_rng(bootstrap.seed), chunk=1)
    values = [statistic(np.concatenate([members[cluster] for cluster in drawn[0]])) for drawn in draws]
    return percentile_interval(np.array(values, dtype=np.float64), estimate, bootstrap.level, method, n)


def _centered_interval(
    values: Floats, estimate: float, level: float, method: str, n: int, *, highest: float
) -> Interval:
    """The mean of the replicates and z standard deviations around it, within 0 and `highest`."""
    kept = values[~np.isnan(values)]
    if kept.size == 0 or math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan, level, method, n)
    mean, half = float(kept.mean()), normal_quantile(level) * float(kept.std())
    low, high = max(0.0, mean - half), min(highest, mean + half)
    return Interval(estimate, min(low, estimate), max(high, estimate), level, method, n)


def _row_resamples(
    rows: RowContributions, design: SamplingDesign, bootstrap: BootstrapConfig
) -> Iterator[tuple[Ints | Floats, Floats]]:
    """Resamples in chunks: how often each distinct row is drawn, times its weight, and the distinct rows."""
    size = len(rows.observed)
    pseudo = normal_quantile(bootstrap.level) ** 2 / 2 * rows.pseudo_weights
    population = np.concatenate([rows.observed, rows.correct, rows.incorrect])
    weights = None if design.has_units else design.weights
    if weights is not None:
        population = np.column_stack([population, np.concatenate([weights, np.ones(2 * size)])])
    # Equal rows are drawn together: most label sets have few distinct ones.
    cells, place = np.unique(population, axis=0, return_inverse=True)
    place = place.ravel()
    chunk = max(1, min(CHUNK, MAX_NUMBERS // len(cells)))
    if design.has_units:
        mixed = np.bincount(place[size:], weights=np.concatenate([pseudo, pseudo]), minlength=len(cells))
        correct = (rows.observed == rows.correct).all(axis=1)
        resamples = unit_resamples(place[:size], mixed.astype(np.float64), correct, design, bootstrap, chunk)
        yield from ((counts, cells) for counts in resamples)
        return
    masses = np.bincount(place, weights=np.concatenate([np.ones(size), pseudo, pseudo]), minlength=len(cells))
    for counts in resample_counts(masses / masses.sum(), size, bootstrap, chunk):
        yield (counts, cells) if weights is None else (counts * cells[:, -1], cells[:, :-1])
