"""Change points: where one curve stops rising and another starts to, and whether the first comes before the second."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.intervals import Interval, percentile_interval
from hf_synthlabels.statistics.label_ids import Floats

Shape = Literal["rise, then flat", "flat, then rise"]

METHOD = "bootstrap: rows and seeds"

PLACES = 60
TIE = 1e-9
"""Share of the variance by which two fits may differ and still count as equally good."""

MIN_SIZES = 4
MAX_SIGNS = 12
"""Seeds whose 2^n signs are all tried; of more, 4,096 are drawn."""


def change_point_brackets(
    x: Sequence[float] | Floats, y: Floats, shape: Shape, weights: Sequence[float] | Floats | None = None
) -> tuple[Floats, Floats]:
    """Where piecewise lines may bend, by weighted least squares (Hinkley 1971): lower and upper ends, (curves,) each.

    `rise, then flat` fits y = p + q min(x, t) and `flat, then rise` y = p + q max(x, t), with q >= 0 and t among the
    x and 60 evenly spaced places. All t that fit equally well belong to the bracket: without a point between two x, a
    curve that has stopped to rise at the second x may have done so anywhere between them. A curve that does not rise
    says nothing of its bend, so that its bracket is the whole range.

    Args:
        x: ascending, at least four different ones; for numbers of rows take log(1 + n).
        y: shape (curves, n) or (n,).
        shape: which way it bends.
        weights: how much each place counts, such as the answers that it rests on, shape (n,); all the same by default.

    Raises:
        DataError: there are too few places, or the shapes do not fit.
    """
    places, curves = np.asarray(x, dtype=np.float64), np.atleast_2d(np.asarray(y, dtype=np.float64))
    if places.ndim != 1 or places.size != curves.shape[-1] or np.unique(places).size < MIN_SIZES:
        raise DataError(
            f"`x` is {places.tolist()} and `y` has shape {curves.shape}: give a value for each of at least "
            f"{MIN_SIZES} different places."
        )
    counts = np.ones(places.size) if weights is None else np.asarray(weights, dtype=np.float64)
    counts = counts / counts.sum()
    first, last = places[0], places[-1]
    rises_first = shape == "rise, then flat"
    grid = np.union1d(np.linspace(first, last, PLACES + 1), places)
    # At the end of the range the rise has no length.
    grid = grid[1:] if rises_first else grid[:-1]
    around = curves - (curves @ counts)[:, None]
    flat = around**2 @ counts
    errors = np.empty((len(grid), len(curves)))
    for step, place in enumerate(grid):
        bent = np.minimum(places, place) if rises_first else np.maximum(places, place)
        centred = bent - bent @ counts
        slope = np.maximum(0.0, around @ (counts * centred) / (counts @ centred**2))
        errors[step] = (around - slope[:, None] * centred) ** 2 @ counts
    tied = errors <= errors.min(axis=0) + TIE * flat
    low, high = grid[tied.argmax(axis=0)], grid[len(grid) - 1 - tied[::-1].argmax(axis=0)]
    level = errors.min(axis=0) >= flat * (1 - TIE)
    # The bend may be as near to the first or the last x as one likes.
    low = np.where(level | (rises_first & (low <= places[1])), first, low)
    high = np.where(level | ((not rises_first) & (high >= places[-2])), last, high)
    return low, high


def change_points(
    x: Sequence[float] | Floats, y: Floats, shape: Shape, weights: Sequence[float] | Floats | None = None
) -> Floats:
    """Where piecewise lines bend, shape (curves,): the end of each bracket that speaks against "form before task".

    It is the upper end where a curve rises first, and the lower end where it is flat first. See
    `change_point_brackets` for the arguments and errors.
    """
    low, high = change_point_brackets(x, y, shape, weights)
    return high if shape == "rise, then flat" else low


@dataclass(frozen=True, slots=True)
class PhaseTest:
    """Whether the output format is learned before the task."""

    form: Interval
    """Rows at which the share of well-formed answers stops to rise: the latest that the data allow, and between which
    numbers of rows it lies."""
    task: Interval
    """Rows at which the score of the well-formed answers begins to rise: the earliest that the data allow, and between
    which numbers of rows it lies."""
    lag: Interval
    """log(1 + task) - log(1 + form), both at the end that makes it smaller; above 0 where the form is first."""

    @property
    def ordered(self) -> bool:
        """Whether the whole interval of the lag is above 0."""
        return self.lag.low > 0


def phase_test(
    rows: Sequence[float], form: Floats, task: Floats, drawn_form: Floats, drawn_task: Floats, *, level: float, n: int
) -> PhaseTest:
    """Whether the share of well-formed answers stops to rise before the score of those answers begins to.

    Both bends are fitted to the curves over log(1 + rows), and again in every resample of seeds and test rows, both
    curves from the same draws. Scores count as much as the share of answers that they rest on. Where several bends fit
    equally well, the form counts as learned at the last of them and the task as begun at the first.

    Args:
        rows: training rows, ascending, at least four different numbers.
        form: shares, shape (sizes,).
        task: scores of the well-formed answers, shape (sizes,).
        drawn_form: shape (resamples, sizes).
        drawn_task: shape (resamples, sizes).
        level: confidence level.
        n: test rows.

    Raises:
        DataError: as in `change_points`.
    """
    x = np.log1p(np.asarray(rows, dtype=np.float64))
    weights = form + 1e-6
    _, end = change_point_brackets(x, form, "rise, then flat")
    start, _ = change_point_brackets(x, task, "flat, then rise", weights)
    ends = change_point_brackets(x, drawn_form, "rise, then flat")
    starts = change_point_brackets(x, drawn_task, "flat, then rise", weights)

    def bend(brackets: tuple[Floats, Floats], point: float) -> Interval:
        low, high = (percentile_interval(np.expm1(each), point, level, METHOD, n) for each in brackets)
        return Interval(point, low.low, high.high, level, METHOD, n)

    lag = percentile_interval(starts[0] - ends[1], float(start[0] - end[0]), level, METHOD, n)
    return PhaseTest(bend(ends, float(np.expm1(end[0]))), bend(starts, float(np.expm1(start[0]))), lag)


def gain_p_value(arm: Sequence[float] | Floats, control: Sequence[float] | Floats) -> float:
    """One-sided p-value of "the arm gains no more than the control", by exchanging the two within each seed.

    Under the null the label "arm" or "control" says nothing, so all 2^seeds ways to deal them are as likely (Fisher's
    randomisation test); the p-value is the share of ways whose mean difference is at least that found, and never below
    2^-seeds: with three seeds .125, with five .031. More than 12 seeds: 4,096 drawn ways.

    Args:
        arm: the gain of each seed, shape (seeds,).
        control: that of the control with the same seed.

    Raises:
        DataError: there is no seed, or the lengths differ.
    """
    gains = np.asarray(arm, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    if gains.ndim != 1 or gains.size == 0:
        raise DataError(f"`arm` less `control` has shape {gains.shape}: give one gain of each for every seed.")
    if gains.size <= MAX_SIGNS:
        signs = np.array(list(itertools.product((1, -1), repeat=gains.size)))
    else:
        signs = np.random.default_rng(0).choice((1, -1), size=(2**MAX_SIGNS, gains.size))
        signs[0] = 1
    return float(np.mean(signs @ gains >= gains.sum() - 1e-12))
