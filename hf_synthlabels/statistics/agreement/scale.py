"""Agreement of numbers on a scale: how often, how far and in which direction predicted ones miss human ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.base import KindAgreement, row_accuracy
from hf_synthlabels.statistics.agreement.correlation import MAX_PAIRS, PAIR_SCORES, PairScore
from hf_synthlabels.statistics.arrays import Floats, Ints, check_lengths, divided
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, RowContributions, RowScore, row_intervals
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, share_interval
from hf_synthlabels.statistics.estimation.variance import mean_square_change, missing_events
from hf_synthlabels.statistics.exhibits import Breakdown
from hf_synthlabels.statistics.intervals import Interval, normal_quantile

EQUAL = 1e-9
"""Numbers that differ by no more are equal: 0.1 + 0.2 is 0.3."""

MIN_PAIRS = 3
"""Answered rows that a correlation needs."""

MAX_LEVELS = 10
"""Values of a scale up to which a table shows each; of more, ranges."""

ANSWERED, HUMAN, LLM, ERROR, WORST = range(5)
"""Columns of a row's contribution: whether it is answered, both numbers, the error, the worst one if it is not."""

NOTE = (
    "A row without an LLM label is wrong; in MAE and RMSE it has the worst error that the scale ({}) allows. "
    "Bias and correlations are of answered rows: read them with coverage."
)


def scale_agreement(
    human: Sequence[float],
    llm: Sequence[float | None],
    *,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    bootstrap: BootstrapConfig | None = None,
    design: SamplingDesign | None = None,
) -> KindAgreement:
    """Agreement of predicted numbers with human numbers.

    A row without a prediction is never exact, and its error is the worst that the scale allows. So `mae` and `rmse` are
    upper bounds; `mae_answered` and `rmse_answered`, bias, correlations, quadratic weighted kappa and ICC(A,1) are over
    answered rows. With 30 rows, 95% intervals of correlations covered the true value in 85% to 95% of simulated
    samples, with 100 rows in 93% to 97%.

    Args:
        human: numbers, shape (rows,); means of several annotators may lie between the steps.
        llm: the same, None for no prediction.
        low: lower end of the scale; by default the smallest number that occurs.
        high: upper end.
        step: distance of neighboring values; without it there is no score "within one step".
        bootstrap: level, resamples and seed.
        design: weights (with the mean 1), clusters and strata of the rows; None for a simple random sample.

    Raises:
        DataError: the lengths differ, or a number is not on the scale.
        ConfigError: the scale is not given and all numbers are equal.
    """
    bootstrap = bootstrap or BootstrapConfig()
    check_lengths(human=human, llm=llm)
    x = np.array(human, dtype=np.float64)
    y = np.array([np.nan if value is None else value for value in llm], dtype=np.float64)
    low, high = _ends(x, y, low, high)
    notes = [NOTE.format(f"{low:g} to {high:g}")]
    if step is not None and _between_steps(x, low, step):
        notes.append("Human numbers between the steps of the scale, such as means, are never matched exactly.")
    return KindAgreement(
        _scores(x, y, (low, high, step), bootstrap, design),
        breakdowns=(_by_human_value(x, y, low, high, step),) if len(x) else (),
        notes=tuple(notes),
    )


def _scores(
    x: Floats,
    y: Floats,
    scale: tuple[float, float, float | None],
    bootstrap: BootstrapConfig,
    design: SamplingDesign | None,
) -> dict[str, Interval]:
    low, high, step = scale
    answered, level = ~np.isnan(y), bootstrap.level
    n, n_answered = len(x), int(answered.sum())
    distance = np.where(answered, np.abs(y - x), np.inf)
    rows = _contributions(x, y, scale, bootstrap.seed, design)
    near = {} if step is None else {"within_one": share_interval(distance <= step + EQUAL, None, design, level)}
    denominators = {"mae": n, "mae_answered": n_answered, "rmse": n, "rmse_answered": n_answered}
    return {
        **row_accuracy(answered, distance <= EQUAL, design, level),
        **near,
        **row_intervals(rows, ERROR_SCORES, bootstrap, denominators, highest=high - low),
        "bias": _bias(x[answered], y[answered], None if design is None else design.take(answered), level, (low, high)),
        **row_intervals(rows, _correlations(rows), bootstrap, n_answered, percentiles=True),
    }


def _mean_error(power: int, *, answered: bool) -> RowScore:
    """MAE (power 1) or RMSE (power 2), over answered or over all rows."""

    def scored(counts: Ints | Floats, cells: Floats) -> Floats:
        counted, error = (cells[:, ANSWERED], ERROR) if answered else (np.ones(len(cells)), WORST)
        mean = divided(counts @ (counted * cells[:, error] ** power), counts @ counted)
        return mean if power == 1 else np.sqrt(mean)

    return scored


ERROR_SCORES: dict[str, RowScore] = {
    "mae": _mean_error(1, answered=False),
    "mae_answered": _mean_error(1, answered=True),
    "rmse": _mean_error(2, answered=False),
    "rmse_answered": _mean_error(2, answered=True),
}


def _correlations(rows: RowContributions) -> dict[str, RowScore]:
    """Correlations of the answered rows; without Kendall's tau where weights and very many rows make it too slow."""
    many = rows.design is not None and 3 * len(rows.observed) > MAX_PAIRS
    weights = None if rows.design is None else rows.design.weights
    answered = rows.observed[:, ANSWERED] == 1
    mean_weight = 1.0 if weights is None or not answered.any() else float(weights[answered].mean())
    scores = {name: score for name, score in PAIR_SCORES.items() if not (many and name == "kendall")}
    return {name: _answered_score(score, mean_weight) for name, score in scores.items()}


def _answered_score(score: PairScore, mean_weight: float) -> RowScore:
    """A pair score of the answered rows, by whose mean weight counts are divided; nan for fewer than MIN_PAIRS."""

    def scored(counts: Ints | Floats, cells: Floats) -> Floats:
        kept = cells[:, ANSWERED] == 1
        answered = counts[:, kept] if mean_weight == 1 else counts[:, kept] / mean_weight
        values = score(answered, cells[kept, HUMAN], cells[kept, LLM])
        return np.where(answered.sum(axis=1) < MIN_PAIRS - EQUAL, np.nan, values)

    return scored


def _ends(x: Floats, y: Floats, low: float | None, high: float | None) -> tuple[float, float]:
    """The ends of the scale, those that are not given from the numbers that occur."""
    values = np.concatenate([x, y[~np.isnan(y)]])
    if values.size == 0:
        return (0.0 if low is None else low), (1.0 if high is None else high)
    least, most = float(values.min()), float(values.max())
    low, high = (least if low is None else low), (most if high is None else high)
    if least < low - EQUAL or most > high + EQUAL:
        raise DataError(
            f"`scale` is {low:g} to {high:g} and the numbers reach from {least:g} to {most:g}: correct one."
        )
    if low == high:
        raise ConfigError(f"`scale` is not given and every number is {low:g}: say from where to where it goes.")
    return low, high


def _contributions(
    x: Floats, y: Floats, scale: tuple[float, float, float | None], seed: int, design: SamplingDesign | None
) -> RowContributions:
    """Each row as observed, as if it were exact, and as if a number on the scale had been guessed."""
    low, high, step = scale
    answered = ~np.isnan(y)
    guesses = np.random.default_rng(seed).uniform(low, high, size=len(x))
    if step is not None:
        guesses = np.minimum(low + np.round((guesses - low) / step) * step, high)
    worst = np.maximum(x - low, high - x)
    ones = np.ones(len(x))
    error = np.where(answered, np.abs(y - x), 0)
    # Where an error is at its worst without a label, the wrong pseudo-row is one without a label.
    return RowContributions(
        np.column_stack([answered, x, np.where(answered, y, 0), error, np.where(answered, error, worst)]),
        np.column_stack([ones, x, x, 0 * ones, 0 * ones]),
        np.column_stack([ones, x, guesses, np.abs(guesses - x), worst]),
        np.full(len(x), 1 / max(len(x), 1)),
        design,
    )


def _bias(x: Floats, y: Floats, design: SamplingDesign | None, level: float, ends: tuple[float, float]) -> Interval:
    """The mean difference y - x with Student's interval (Bland & Altman 1986); nan for fewer than two rows.

    Where nearly all rows have the same difference, pseudo-errors are added (see `estimation.variance`). With a design
    it is a ratio of sums with its linearized variance (Hajek 1971), and the degrees of freedom of the clusters or of
    Kish's effective number of rows (1965).
    """
    differences, n = y - x, len(x)
    if n < 2:
        return Interval.undefined(level, "student", n)
    weights = np.ones(n) if design is None or design.weights is None else design.weights
    shares = weights / weights.sum()
    if design is not None and len(design.units(n)[1]) < 2:
        # One cluster does not show how clusters differ.
        return Interval(float(shares @ differences), math.nan, math.nan, level, "student", n)
    mean, free, method = float(shares @ differences), float(n - 1), "student"
    if design is None:
        variance = float(differences.var(ddof=1)) / n
    else:
        variance = design.variance_of_total(weights * (differences - mean)) / float(weights.sum()) ** 2
        effective = float(1 / (shares @ shares)) - 1
        free = max(1.0, effective if design.clusters is None else min(effective, design.degrees_of_freedom(n)))
        method = "student, design-based"
    if missing := missing_events(differences[:, None], None if design is None else design.clusters):
        variance += normal_quantile(level) ** 2 / 2 * missing * mean_square_change(x, shares, ends)
    half = float(stats.t.ppf((1 + level) / 2, free)) * math.sqrt(variance)
    return Interval(mean, mean - half, mean + half, level, method, n)


def _between_steps(x: Floats, low: float, step: float) -> bool:
    steps = (x - low) / step
    return bool((np.abs(steps - np.round(steps)) > 1e-6).any())


def _by_human_value(x: Floats, y: Floats, low: float, high: float, step: float | None) -> Breakdown:
    """Rows by human and predicted number, a line for each human one; of many values, by ranges of the scale."""
    answered = ~np.isnan(y)
    values = np.unique(np.concatenate([x, y[answered]])) if step is None else np.arange(low, high + step / 2, step)
    if len(values) <= MAX_LEVELS:
        titles = [f"{value:g}" for value in values]
        edges = (values[1:] + values[:-1]) / 2
    else:
        ends = np.linspace(low, high, 6)
        titles = [f"{start:.4g} to {end:.4g}" for start, end in itertools.pairwise(ends)]
        edges = ends[1:-1]
    row, column = np.digitize(x, edges), np.where(answered, np.digitize(np.nan_to_num(y), edges), len(titles))
    lines: list[tuple[str | int | float | None, ...]] = []
    for k in np.unique(row):
        here = row == k
        counts = np.bincount(column[here], minlength=len(titles) + 1)
        mean = float(y[here & answered].mean()) if (here & answered).any() else None
        lines.append((titles[k], *counts.tolist(), mean))
    return Breakdown(("human \\ LLM", *titles, "no label", "LLM mean"), tuple(lines))
