"""Learning curves: a power law through scores of growing training sets, and what labels are worth in others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.label_ids import Floats

EXPONENTS = np.geomspace(0.05, 2.0, 200)
"""Of which the best is taken: the sum of squares is smooth in it, and its two ends are the bounds."""

MIN_SIZES = 3


@dataclass(frozen=True, slots=True, eq=False)
class PowerLaw:
    """score = a - b n^-c, with a from 0 to 1, b >= 0 and c from 0.05 to 2; every part for one curve or for many."""

    a: Floats
    """What endless labels would reach, shape (curves,)."""
    b: Floats
    c: Floats
    errors: Floats
    """Sums of squares, shape (curves,)."""

    def score(self, n: float) -> Floats:
        """The score of n labels, shape (curves,)."""
        scores: Floats = self.a - self.b * n**-self.c
        return scores

    def size(self, score: Floats | float) -> Floats:
        """How many labels reach a score, shape (curves,): infinite where none do, 0 where the law is flat below it."""
        gap = self.a - np.asarray(score, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = np.where(self.b > 0, (self.b / gap) ** (1 / self.c), 0.0)
        return np.where(gap > 0, sizes, np.inf)


def fit_power_law(sizes: Sequence[float] | Floats, scores: Floats) -> PowerLaw:
    """Fit score = a - b n^-c by bounded least squares (Hestness et al. 2017; Viering & Loog 2023 on its limits).

    For a given c the law is linear in a and b, whose best values within their bounds are known in closed form; c is
    searched among 200 values. So thousands of resampled curves are fitted at once, and none ends in a local minimum.

    Args:
        sizes: labels, shape (n,), at least three different ones.
        scores: shape (curves, n) or (n,), from 0 to 1.

    Raises:
        DataError: fewer than three sizes, one is not above 0, or the shapes do not fit.
    """
    n = np.asarray(sizes, dtype=np.float64)
    y = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if n.ndim != 1 or y.shape[-1] != n.size or np.unique(n).size < MIN_SIZES or n.min() <= 0:
        raise DataError(
            f"`sizes` is {n.tolist()} and `scores` has shape {y.shape}: give a score for each of at least "
            f"{MIN_SIZES} different sizes above 0."
        )
    best = [np.full(len(y), math.nan) for _ in range(3)]
    least = np.full(len(y), np.inf)
    for c in EXPONENTS:
        a, b = _lines(-(n**-c), y)
        errors = ((a[:, None] - b[:, None] * n**-c - y) ** 2).sum(axis=1)
        # By a hair, so that a flat curve has the same c whatever the rounding.
        better = errors < least - 1e-12
        least = np.where(better, errors, least)
        best = [np.where(better, new, old) for new, old in zip((a, b, np.full(len(y), c)), best, strict=True)]
    return PowerLaw(best[0], best[1], best[2], least)


def _lines(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The best a in [0, 1] and b >= 0 of y = a + b x, each of shape (curves,); x is below 0."""
    centred = x - x.mean()
    b = np.maximum(0.0, y @ centred / (centred @ centred))
    a = y.mean(axis=1) - b * x.mean()
    # The square is convex: where the free optimum lies beyond a bound, the best is on that bound.
    held = np.clip(a, 0.0, 1.0)
    b = np.where(a == held, b, np.maximum(0.0, (y - held[:, None]) @ x / (x @ x)))
    return np.where(b > 0, held, np.clip(y.mean(axis=1), 0.0, 1.0)), b


@dataclass(frozen=True, slots=True)
class LabelWorth:
    """How many labels of one source do what so many of another do."""

    labels: int
    """Of the other source."""
    worth: Interval
    """In labels of the first; an end is infinite where it is beyond the largest size tried, 0 below the smallest."""
    smallest: int
    largest: int

    def __str__(self) -> str:
        low, point, high = (self._words(value) for value in (self.worth.low, self.worth.estimate, self.worth.high))
        return f"{point} [{low}, {high}]"

    def _words(self, value: float) -> str:
        if math.isnan(value):
            return "undefined"
        if value > self.largest:
            return f"more than {self.largest:,}"
        return f"fewer than {self.smallest:,}" if value < self.smallest else f"{round(value):,}"


def label_worth(
    sizes: Sequence[float],
    curve: Floats,
    draws: Floats,
    labels: int,
    score: float,
    drawn_score: Floats,
    *,
    level: float,
    n: int,
) -> LabelWorth:
    """The number of a source's labels that reach the score of some labels of another, with its interval.

    It is read off the power law of the source within the sizes that were tried: beyond them the law is a guess, and
    what comes out is only "more than the largest" or "fewer than the smallest".

    Args:
        sizes: of the source's curve, at least three.
        curve: its scores, shape (sizes,).
        draws: the same in every resample, shape (resamples, sizes).
        labels: how many of the other source.
        score: what they reach.
        drawn_score: the same in every resample, shape (resamples,).
        level: confidence level.
        n: test rows.

    Raises:
        DataError: as in `fit_power_law`.
    """
    smallest, largest = min(sizes), max(sizes)
    point = float(_within(fit_power_law(sizes, curve).size(score), smallest, largest)[0])
    known = ~np.isnan(draws).any(axis=1) & ~np.isnan(drawn_score)
    values = _within(fit_power_law(sizes, draws[known]).size(drawn_score[known]), smallest, largest)
    # Percentiles between infinity and a number are not defined: take the draw itself.
    low, high = (
        np.quantile(values, [(1 - level) / 2, (1 + level) / 2], method="nearest") if values.size else [math.nan] * 2
    )
    interval = Interval(point, min(float(low), point), max(float(high), point), level, "bootstrap: power law", n)
    return LabelWorth(labels, interval, math.floor(smallest), math.ceil(largest))


def _within(values: Floats, smallest: float, largest: float) -> Floats:
    """Sizes that were tried; beyond the largest infinite, below the smallest 0."""
    return np.where(values > largest, np.inf, np.where(values < smallest, 0.0, values))
