"""Learning curves: power laws, equivalent numbers of labels, and change points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats
from hf_synthlabels.statistics.intervals import Interval, percentile_interval

EXPONENTS = np.geomspace(0.05, 2.0, 200)
MIN_SIZES = 3

Shape = Literal["rise, then flat", "flat, then rise"]
METHOD = "bootstrap: rows and seeds"
PLACES = 60
MIN_PLACES = 4

TIE = 1e-9
"""Difference, as a proportion of the variance, up to which two fits count as equally good."""

MAX_SIGNS = 12
"""Seeds up to which all 2^n sign patterns are used."""


@dataclass(frozen=True, slots=True, eq=False)
class PowerLaw:
    """score = a - b n^-c with a from 0 to 1, b >= 0 and c from 0.05 to 2; arrays of shape (curves,)."""

    a: Floats
    """Asymptote."""
    b: Floats
    c: Floats
    """Exponent."""
    errors: Floats
    """Sums of squared errors."""

    def score(self, n: float) -> Floats:
        """Score at n labels, shape (curves,)."""
        scores: Floats = self.a - self.b * n**-self.c
        return scores

    def size(self, score: Floats | float) -> Floats:
        """Labels that reach a score, shape (curves,): infinite above the asymptote, 0 where the law is flat."""
        gap = self.a - np.asarray(score, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            sizes = np.where(self.b > 0, (self.b / gap) ** (1 / self.c), 0.0)
        return np.where(gap > 0, sizes, np.inf)


def fit_power_law(sizes: Sequence[float] | Floats, scores: Floats) -> PowerLaw:
    """Fit score = a - b n^-c by bounded least squares (Hestness et al. 2017; Viering & Loog 2023 on its limits).

    For a given c the law is linear in a and b, with bounded optima in closed form; c is searched among 200 values. So
    thousands of resampled curves are fitted at once, without local minima.

    Args:
        sizes: numbers of labels, shape (n,), at least three different ones.
        scores: shape (curves, n) or (n,), from 0 to 1.

    Raises:
        DataError: fewer than three sizes, one is not above 0, or the shapes do not match.
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
        # The tolerance gives a flat curve the same c whatever the rounding.
        better = errors < least - 1e-12
        least = np.where(better, errors, least)
        best = [np.where(better, new, old) for new, old in zip((a, b, np.full(len(y), c)), best, strict=True)]
    return PowerLaw(best[0], best[1], best[2], least)


def _lines(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The best a in [0, 1] and b >= 0 of y = a + b x, each of shape (curves,); x is below 0."""
    centered = x - x.mean()
    b = np.maximum(0.0, y @ centered / (centered @ centered))
    a = y.mean(axis=1) - b * x.mean()
    # The squared error is convex: where the unconstrained optimum is out of bounds, the best is on the bound.
    bounded = np.clip(a, 0.0, 1.0)
    b = np.where(a == bounded, b, np.maximum(0.0, (y - bounded[:, None]) @ x / (x @ x)))
    return np.where(b > 0, bounded, np.clip(y.mean(axis=1), 0.0, 1.0)), b


@dataclass(frozen=True, slots=True)
class LabelEquivalent:
    """Number of labels of one source that are equivalent to some labels of another."""

    labels: int
    """Labels of the other source."""
    equivalent: Interval
    """Labels of the first source; infinite beyond the largest size tried, 0 below the smallest."""
    smallest: int
    largest: int

    def __str__(self) -> str:
        interval = self.equivalent
        low, point, high = (self._text(value) for value in (interval.low, interval.estimate, interval.high))
        return f"{point} [{low}, {high}]"

    def _text(self, value: float) -> str:
        if math.isnan(value):
            return "undefined"
        if value > self.largest:
            return f"more than {self.largest:,}"
        return f"fewer than {self.smallest:,}" if value < self.smallest else f"{round(value):,}"


def label_equivalent(
    sizes: Sequence[float],
    curve: Floats,
    replicates: Floats,
    labels: int,
    score: float,
    score_replicates: Floats,
    *,
    level: float,
    n: int,
) -> LabelEquivalent:
    """The number of labels of one source that reach the score of some labels of another source.

    The power law is used within the tried sizes only; beyond them the result is "more than the largest" or "fewer than
    the smallest".

    Args:
        sizes: of the first source's curve, at least three.
        curve: its scores, shape (sizes,).
        replicates: bootstrap replicates of `curve`, shape (resamples, sizes).
        labels: number of labels of the other source.
        score: their score.
        score_replicates: bootstrap replicates of `score`, shape (resamples,).
        level: confidence level.
        n: test rows.
    """
    smallest, largest = min(sizes), max(sizes)
    point = float(_within(fit_power_law(sizes, curve).size(score), smallest, largest)[0])
    known = ~np.isnan(replicates).any(axis=1) & ~np.isnan(score_replicates)
    values = _within(fit_power_law(sizes, replicates[known]).size(score_replicates[known]), smallest, largest)
    # Percentiles between infinity and a number are undefined: use the replicate itself.
    low, high = (
        np.quantile(values, [(1 - level) / 2, (1 + level) / 2], method="nearest") if values.size else [math.nan] * 2
    )
    interval = Interval(point, min(float(low), point), max(float(high), point), level, "bootstrap: power law", n)
    return LabelEquivalent(labels, interval, math.floor(smallest), math.ceil(largest))


def _within(values: Floats, smallest: float, largest: float) -> Floats:
    """Sizes within the tried range; infinite above it, 0 below it."""
    return np.where(values > largest, np.inf, np.where(values < smallest, 0.0, values))


def change_point_brackets(
    x: Sequence[float] | Floats, y: Floats, shape: Shape, weights: Sequence[float] | Floats | None = None
) -> tuple[Floats, Floats]:
    """Limits of change points of piecewise lines by weighted least squares (Hinkley 1971), each of shape (curves,).

    `rise, then flat` fits y = p + q min(x, t) and `flat, then rise` y = p + q max(x, t), with q >= 0 and t among the
    x and 60 evenly spaced places. All t that fit equally well belong to the bracket. The bracket of a curve that does
    not rise is the whole range.

    Args:
        x: ascending, at least four different values; for numbers of rows use log(1 + n).
        y: shape (curves, n) or (n,).
        shape: direction of the change.
        weights: weight of each place, shape (n,); equal by default.
    """
    places, curves = np.asarray(x, dtype=np.float64), np.atleast_2d(np.asarray(y, dtype=np.float64))
    if places.ndim != 1 or places.size != curves.shape[-1] or np.unique(places).size < MIN_PLACES:
        raise DataError(
            f"`x` is {places.tolist()} and `y` has shape {curves.shape}: give a value for each of at least "
            f"{MIN_PLACES} different places."
        )
    masses = np.ones(places.size) if weights is None else np.asarray(weights, dtype=np.float64)
    masses = masses / masses.sum()
    rises_first = shape == "rise, then flat"
    grid = np.union1d(np.linspace(places[0], places[-1], PLACES + 1), places)
    # At the end of the range the rise has no length.
    grid = grid[1:] if rises_first else grid[:-1]
    errors, flat = _piecewise_errors(places, curves, masses, grid, rises_first=rises_first)
    tied = errors <= errors.min(axis=0) + TIE * flat
    low, high = grid[tied.argmax(axis=0)], grid[len(grid) - 1 - tied[::-1].argmax(axis=0)]
    level = errors.min(axis=0) >= flat * (1 - TIE)
    # The change point may be arbitrarily close to the first or the last x.
    low = np.where(level | (rises_first & (low <= places[1])), places[0], low)
    high = np.where(level | ((not rises_first) & (high >= places[-2])), places[-1], high)
    return low, high


def _piecewise_errors(
    places: Floats, curves: Floats, masses: Floats, grid: Floats, *, rises_first: bool
) -> tuple[Floats, Floats]:
    """Squared errors of each candidate change point, shape (grid, curves), and of a flat line, shape (curves,)."""
    around = curves - (curves @ masses)[:, None]
    errors = np.empty((len(grid), len(curves)))
    for step, place in enumerate(grid):
        bent = np.minimum(places, place) if rises_first else np.maximum(places, place)
        centered = bent - bent @ masses
        slope = np.maximum(0.0, around @ (masses * centered) / (masses @ centered**2))
        errors[step] = (around - slope[:, None] * centered) ** 2 @ masses
    return errors, around**2 @ masses


@dataclass(frozen=True, slots=True)
class PhaseTest:
    """Test whether the output format is learned before the task."""

    form: Interval
    """Latest number of rows, given the data, at which the proportion of well-formed answers stops rising."""
    task: Interval
    """Earliest number of rows, given the data, at which the score of well-formed answers begins to rise."""
    lag: Interval
    """log(1 + task) - log(1 + form), at the limits that make it smallest; above 0 if the format is learned first."""

    @property
    def ordered(self) -> bool:
        """Whether the whole interval of the lag is above 0."""
        return self.lag.low > 0


def phase_test(
    rows: Sequence[float], form: Floats, task: Floats, drawn_form: Floats, drawn_task: Floats, *, level: float, n: int
) -> PhaseTest:
    """Test whether the proportion of well-formed answers stops rising before their score begins to.

    Both change points are fitted over log(1 + rows), and again in every resample of seeds and test rows. Scores are
    weighted by the proportion of well-formed answers. Ties are resolved against "format before task".

    Args:
        rows: training rows, ascending, at least four different numbers.
        form: proportions of well-formed answers, shape (sizes,).
        task: scores of the well-formed answers, shape (sizes,).
        drawn_form: replicates of `form`, shape (resamples, sizes).
        drawn_task: replicates of `task`, shape (resamples, sizes).
        level: confidence level.
        n: test rows.
    """
    x = np.log1p(np.asarray(rows, dtype=np.float64))
    weights = form + 1e-6
    _, end = change_point_brackets(x, form, "rise, then flat")
    start, _ = change_point_brackets(x, task, "flat, then rise", weights)
    ends = change_point_brackets(x, drawn_form, "rise, then flat")
    starts = change_point_brackets(x, drawn_task, "flat, then rise", weights)

    def interval(brackets: tuple[Floats, Floats], point: float) -> Interval:
        low, high = (percentile_interval(np.expm1(each), point, level, METHOD, n) for each in brackets)
        return Interval(point, low.low, high.high, level, METHOD, n)

    lag = percentile_interval(starts[0] - ends[1], float(start[0] - end[0]), level, METHOD, n)
    return PhaseTest(interval(ends, float(np.expm1(end[0]))), interval(starts, float(np.expm1(start[0]))), lag)


def gain_p_value(condition: Sequence[float] | Floats, control: Sequence[float] | Floats) -> float:
    """One-sided p-value of "the condition gains no more than the control", by Fisher's randomization test.

    It is the proportion of the 2^seeds sign patterns whose mean difference is at least the observed one, never below
    2^-seeds. With more than 12 seeds, 4,096 random patterns are used.

    Args:
        condition: gain of each seed, shape (seeds,).
        control: gain of the control with the same seed.

    Raises:
        DataError: there is no seed, or the lengths differ.
    """
    gains = np.asarray(condition, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    if gains.ndim != 1 or gains.size == 0:
        raise DataError(f"`condition` less `control` has shape {gains.shape}: give one gain of each for every seed.")
    if gains.size <= MAX_SIGNS:
        signs = np.array(list(itertools.product((1, -1), repeat=gains.size)))
    else:
        signs = np.random.default_rng(0).choice((1, -1), size=(2**MAX_SIGNS, gains.size))
        signs[0] = 1
    return float(np.mean(signs @ gains >= gains.sum() - 1e-12))
