"""Rows: intervals of scores that are no shares of rows, by drawing whole rows."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, UnitDraws
from hf_synthlabels.statistics.intervals import BOOTSTRAP, Interval, normal_quantile, percentile_interval
from hf_synthlabels.statistics.label_ids import Floats, Ints, check_level, check_resamples

METHOD = BOOTSTRAP

CHUNK = 256
MAX_NUMBERS = 2_000_000
"""Resamples that are scored at once, and fewer where their number x distinct rows would be more than that."""

RowScore = Callable[[Ints | Floats, Floats], Floats]
"""A score of resamples, shape (R,): from how often each distinct row was drawn, (R, C), and these rows, (C, d)."""


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """How intervals are drawn.

    Raises:
        ConfigError: `level` is not between 0 and 1, or `resamples` is less than 1.
    """

    level: float = 0.95
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        check_level(self.level)
        check_resamples(self.resamples)


@dataclass(frozen=True, slots=True)
class Rows:
    """What each row adds to a score: as it is, and as it would be if its prediction were right, or wrong."""

    found: Floats
    """Shape (rows, d)."""
    right: Floats
    wrong: Floats
    shares: Floats
    """How the pseudo-rows are shared out among the rows, shape (rows,); the sum is 1."""
    design: SamplingDesign | None = None
    """Weights (with the mean 1), clusters and strata of the rows; None for a simple random sample."""


def row_intervals(
    rows: Rows,
    scores: Mapping[str, RowScore],
    drawing: BootstrapConfig,
    n: int | Mapping[str, int],
    *,
    highest: float = 1.0,
    percentiles: bool = False,
) -> dict[str, Interval]:
    """The intervals of several scores from the same draws of a smoothed bootstrap of rows.

    A resample draws as many rows as there are, with replacement; human and predicted label of a row stay together.
    Rows are the unit even where a row holds several entities, because what one text holds hangs together.

    The plain bootstrap can not imagine a mistake that the sample does not show. So, as in `bootstrap`, z^2
    pseudo-rows are added to the distribution that is drawn from, half of them right and half wrong: what the Wilson
    interval does to a share (Agresti & Coull 1998). Their weight fades as 1/n. The ends always enclose the estimate.

    The ends are z standard deviations of the draws around their mean, within 0 and `highest`, as Agresti & Coull have
    it: where nearly all rows are right, percentiles of so skewed a distribution end below the truth. In simulated
    samples of 30 to 400 rows a 95 % interval of a mean or of an F1 held the truth in 90 to 100 %; what it missed was
    most often better than it said. Correlations, which are not means, do better with percentiles.

    Rows with weights are drawn with equal probabilities and counted with their weights. Clusters are drawn whole, and
    within strata; the interval of few clusters is as much wider as Student's is than a normal one.

    Args:
        rows: what each row adds.
        scores: by name.
        drawing: level, resamples and seed.
        n: what each interval gives as its denominator.
        highest: the most that a score can be; the least is 0.
        percentiles: whether the ends are percentiles of the draws.
    """
    size = len(rows.found)
    denominators = dict.fromkeys(scores, n) if isinstance(n, int) else n
    design = rows.design
    method = design_method(METHOD, design, size)
    if size == 0:
        nan = float("nan")
        return {name: percentile_interval(np.empty(0), nan, drawing.level, method, 0) for name in scores}
    once = np.ones((1, size)) if design is None or design.weights is None else design.weights[None]
    estimates = {name: float(score(once, rows.found)[0]) for name, score in scores.items()}
    drawn: dict[str, list[Floats]] = {name: [] for name in scores}
    for counts, cells in _draws(rows, drawing):
        for name, score in scores.items():
            drawn[name].append(score(counts, cells))
    ends = percentile_interval if percentiles else functools.partial(_centred_interval, highest=highest)
    wider = 1.0 if design is None else design.widening(size, drawing.level)
    return {
        name: ends(widened(np.concatenate(values), wider), estimates[name], drawing.level, method, denominators[name])
        for name, values in drawn.items()
    }


def design_method(method: str, design: SamplingDesign | None, rows: int) -> str:
    """The name of a method with what the sampling design adds to it."""
    if design is None or design.is_random:
        return method
    parts = ["weighted"] if design.weights is not None else []
    units, stratum = design.units(rows)
    parts += [f"{len(np.unique(units)):,} clusters"] if design.clusters is not None else []
    parts += [f"{len(np.unique(stratum)):,} strata"] if design.strata is not None else []
    return ", ".join([method, *parts])


def widened(values: Floats, factor: float) -> Floats:
    """Bootstrap values spread around their mean by a factor."""
    if factor == 1:
        return values
    known = values[~np.isnan(values)]
    return values if not known.size else known.mean() + factor * (values - known.mean())


def _centred_interval(
    values: Floats, estimate: float, level: float, method: str, n: int, *, highest: float
) -> Interval:
    """The mean of the draws and z standard deviations around it, within 0 and `highest`, and enclosing the estimate."""
    kept = values[~np.isnan(values)]
    if kept.size == 0 or math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan, level, method, n)
    mean, reach = float(kept.mean()), normal_quantile(level) * float(kept.std())
    low, high = max(0.0, mean - reach), min(highest, mean + reach)
    return Interval(estimate, min(low, estimate), max(high, estimate), level, method, n)


def of_sums(score: Callable[[Floats], Floats]) -> RowScore:
    """A score that needs only the sums of what rows add, shape (R, d)."""
    return lambda counts, cells: score(counts @ cells)


def prior_weights(has: Floats) -> Floats:
    """Shares that give each name the same part of the pseudo-rows, spread over the rows that humans gave it.

    Args:
        has: how often a human gave each name in each row, shape (rows, K).
    """
    present = (has > 0).astype(np.float64)
    support = present.sum(axis=0)
    if not support.any():
        return np.full(len(has), 1 / max(len(has), 1))
    names = support > 0
    shares: Floats = (present[:, names] / support[names]).sum(axis=1) / names.sum()
    return shares


def divided(over: Ints | Floats, under: Ints | Floats) -> Floats:
    """Quotients, nan where the divisor is 0."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64))
    out: Floats = np.full(over.shape, np.nan)
    return np.divide(over, under, out=out, where=under != 0)


def _draws(rows: Rows, drawing: BootstrapConfig) -> Iterator[tuple[Ints | Floats, Floats]]:
    """Resamples in chunks: how often each distinct row is drawn, times its weight, and the distinct rows."""
    size = len(rows.found)
    pseudo = normal_quantile(drawing.level) ** 2 / 2 * rows.shares
    population = np.concatenate([rows.found, rows.right, rows.wrong])
    times = np.concatenate([np.ones(size), pseudo, pseudo])
    if rows.design is not None and rows.design.has_units:
        yield from _unit_draws(rows, population, pseudo, drawing)
        return
    weights = None if rows.design is None else rows.design.weights
    if weights is not None:
        population = np.column_stack([population, np.concatenate([weights, np.ones(2 * size)])])
    # Rows that add the same are drawn together: most label sets hold few different ones.
    cells, place = np.unique(population, axis=0, return_inverse=True)
    shares = np.bincount(place.ravel(), weights=times, minlength=len(cells))
    rng = np.random.default_rng(drawing.seed)
    chunk = max(1, min(CHUNK, MAX_NUMBERS // len(cells)))
    for start in range(0, drawing.resamples, chunk):
        count = min(chunk, drawing.resamples - start)
        drawn = rng.multinomial(size, shares / shares.sum(), size=count)
        if weights is None:
            yield drawn, cells
        else:
            yield drawn * cells[:, -1], cells[:, :-1]


def _unit_draws(
    rows: Rows, population: Floats, pseudo: Floats, drawing: BootstrapConfig
) -> Iterator[tuple[Ints | Floats, Floats]]:
    """Resamples of whole clusters within strata; see `_draws`."""
    assert rows.design is not None
    size = len(rows.found)
    cells, place = np.unique(population, axis=0, return_inverse=True)
    place = place.ravel()
    mixed = np.bincount(place[size:], weights=np.concatenate([pseudo, pseudo]), minlength=len(cells))
    effect = rows.design.effect((rows.found == rows.right).all(axis=1), drawing.level)
    draws = UnitDraws(place[:size], len(cells), mixed.astype(np.float64), rows.design, effect)
    rng = np.random.default_rng(drawing.seed)
    chunk = max(1, min(CHUNK, MAX_NUMBERS // len(cells)))
    for start in range(0, drawing.resamples, chunk):
        yield draws.draw(min(chunk, drawing.resamples - start), rng), cells
