"""Change points: where a curve stops to rise and where another begins, and whether the one is before the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.codes import Floats
from hf_synthlabels.statistics.intervals import Interval, percentile_interval

__all__ = ["PhaseTest", "change_points", "gain_p_value", "phase_test"]

Shape = Literal["rise, then flat", "flat, then rise"]

PLACES = 60
LEAST_SIZES = 4
MOST_SIGNS = 12
"""Seeds whose 2^n signs are all tried; of more, 4,096 are drawn."""


def change_points(
    x: Sequence[float] | Floats, y: Floats, shape: Shape, weights: Sequence[float] | Floats | None = None
) -> Floats:
    """Where piecewise lines bend, by weighted least squares (Hinkley 1971), shape (curves,).

    `rise, then flat` fits y = p + q min(x, t) and `flat, then rise` y = p + q max(x, t), with q >= 0 and t among 60
    places from the first x to the last but none at which the rise has no length. A curve that does not rise has
    stopped at the first x, or begins at the last: it is the most cautious place for "this one is later".

    Args:
        x: ascending, at least four different ones; for numbers of rows take log(1 + n).
        y: shape (curves, n) or (n,).
        shape: which way it bends.
        weights: how much each place counts, such as the answers that it rests on, shape (n,); all the same by default.

    Raises:
        DataError: there are too few places, or the shapes do not fit.
    """
    places, curves = np.asarray(x, dtype=np.float64), np.atleast_2d(np.asarray(y, dtype=np.float64))
    if places.ndim != 1 or places.size != curves.shape[-1] or np.unique(places).size < LEAST_SIZES:
        raise DataError(
            f"`x` is {places.tolist()} and `y` has shape {curves.shape}: give a value for each of at least "
            f"{LEAST_SIZES} different places."
        )
    counts = np.ones(places.size) if weights is None else np.asarray(weights, dtype=np.float64)
    counts = counts / counts.sum()
    first, last = places[0], places[-1]
    rises_first = shape == "rise, then flat"
    grid = np.linspace(first, last, PLACES + 1)[1:] if rises_first else np.linspace(first, last, PLACES + 1)[:-1]
    found = np.full(len(curves), first if rises_first else last)
    around = curves - (curves @ counts)[:, None]
    least = around**2 @ counts
    for place in grid:
        bent = np.minimum(places, place) if rises_first else np.maximum(places, place)
        centred = bent - bent @ counts
        slope = np.maximum(0.0, around @ (counts * centred) / (counts @ centred**2))
        errors = (around - slope[:, None] * centred) ** 2 @ counts
        better = errors < least - 1e-12
        found, least = np.where(better, place, found), np.where(better, errors, least)
    return found


@dataclass(frozen=True, slots=True)
class PhaseTest:
    """Whether the form is learnt before the task."""

    form: Interval
    """Rows at which the share of well-formed answers stops to rise."""
    task: Interval
    """Rows at which the score of the well-formed answers begins to rise."""
    lag: Interval
    """log(1 + task) - log(1 + form); above 0 where the form is first."""

    @property
    def ordered(self) -> bool:
        """Whether the whole interval of the lag is above 0."""
        return self.lag.low > 0


def phase_test(
    rows: Sequence[float], form: Floats, task: Floats, drawn_form: Floats, drawn_task: Floats, *, level: float, n: int
) -> PhaseTest:
    """Whether the share of well-formed answers stops to rise before the score of those answers begins to.

    Both bends are fitted to the curves over log(1 + rows), and again in every resample of seeds and test rows, both
    curves from the same draws. Scores count as much as the share of answers that they rest on.

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
    ends = [change_points(x, curves, "rise, then flat") for curves in (form, drawn_form)]
    begins = [change_points(x, curves, "flat, then rise", form + 1e-6) for curves in (task, drawn_task)]

    def interval(values: Floats, point: float) -> Interval:
        return percentile_interval(values, point, level, "bootstrap: rows and seeds", n)

    return PhaseTest(
        interval(np.expm1(ends[1]), float(np.expm1(ends[0][0]))),
        interval(np.expm1(begins[1]), float(np.expm1(begins[0][0]))),
        interval(begins[1] - ends[1], float(begins[0][0] - ends[0][0])),
    )


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
    if gains.size <= MOST_SIGNS:
        signs = np.array(list(itertools.product((1, -1), repeat=gains.size)))
    else:
        signs = np.random.default_rng(0).choice((1, -1), size=(2**MOST_SIGNS, gains.size))
        signs[0] = 1
    return float(np.mean(signs @ gains >= gains.sum() - 1e-12))
