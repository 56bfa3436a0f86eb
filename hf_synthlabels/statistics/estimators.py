"""Estimators: one estimand from the LLM's labels, from the human ones, by PPI++ and by DSL.

With moments m, weights w of the labelled rows that add up to 1 (one over their chances), and labels Y (human), F (LLM)
and G (guessed):

* naive: sum over rows of m(F);
* human: sum of w m(Y) (Horvitz & Thompson 1952; Hajek 1971);
* PPI++ (Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453): lam x mean m(F) over the other rows + sum of
  w (m(Y) - lam m(F)), lam tuned for each quantity; with unequal chances the first mean is over all rows;
* DSL (Egami, Hinck, Stewart & Wei 2023, arXiv 2306.04746): mean over rows of m(G) + R / chance (m(Y) - m(G)), with G
  learnt from rows of other parts.

Each is solved for its root, and its variance is the sandwich: what each row adds to the error, squared. The labelled
rows' part is multiplied by n / (n - k), as HC1 is (MacKinnon & White 1985); clusters are added up before squares are
taken, with G / (G - 1) x (n - 1) / (n - k) (Liang & Zeger 1986). Intervals take
Student's t on Welch's degrees of freedom.

Of these rows alone (`finite`) the LLM's labels and the guesses are known for sure, and only which rows got a human
label is by chance: all of the LLM's labels are averaged, and the square of a labelled row's error counts
1 - chance times (Hajek 1964; with equal chances 1 - n / N, Cochran 1977, theorem 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.statistics.codes import Floats
from hf_synthlabels.statistics.estimands import Estimand, Quantity, Term, inverse, slope_of, solve
from hf_synthlabels.statistics.inference import Inference
from hf_synthlabels.statistics.intervals import Interval, wilson
from hf_synthlabels.statistics.label_rows import FEWEST_TO_LEARN, LabelRows
from hf_synthlabels.statistics.surrogate import cross_fitted, fold_numbers

__all__ = ["Found", "dsl", "guesses", "human_only", "naive", "ppi_plus_plus"]


@dataclass(frozen=True, slots=True)
class Found:
    """One quantity by one estimator."""

    interval: Interval
    variance: float
    lam: float = math.nan


@dataclass(frozen=True, slots=True)
class _Spread:
    variance: float
    free: float


def naive(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[Found]:
    """The LLM's labels as if humans had given them; rows without one are left out."""
    weights = rows.scored / rows.scored.sum()
    theta = solve(estimand, [(weights, rows.llm)])
    influence = _influence(estimand, [(weights, rows.llm)], theta, weights[:, None] * estimand.moments(theta, rows.llm))
    return [
        _found(each, theta, influence, rows, inference, "LLM labels as they are", mask=rows.scored, size=estimand.size)
        for each in estimand.quantities
    ]


def human_only(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[Found]:
    """The human labels, each with one over its chance."""
    weights = rows.weights
    theta = solve(estimand, [(weights, rows.human)])
    influence = _influence(
        estimand, [(weights, rows.human)], theta, weights[:, None] * estimand.moments(theta, rows.human)
    )
    return [
        _found(each, theta, influence, rows, inference, "human labels", size=estimand.size)
        for each in estimand.quantities
    ]


def ppi_plus_plus(
    estimand: Estimand, rows: LabelRows, inference: Inference, *, lam: float | None = None
) -> list[Found]:
    """PPI++, with `lam` tuned for each quantity unless it is given."""
    start = solve(estimand, [(rows.weights, rows.human)])
    return [_ppi(each, estimand, rows, inference, start, lam) for each in estimand.quantities]


def _ppi(
    quantity: Quantity, estimand: Estimand, rows: LabelRows, inference: Inference, start: Floats, given: float | None
) -> Found:
    tuned = given is None
    lam = _tuned(quantity, estimand, rows, start) if given is None else given
    mine, theirs = rows.weights, _llm_weights(rows)
    terms = [(lam * (theirs - mine), rows.llm), (mine, rows.human)]
    theta = solve(estimand, terms, start)
    m, guessed = estimand.moments(theta, rows.human), estimand.moments(theta, rows.llm)
    residual = m - lam * guessed
    sums = mine[:, None] * (residual - mine @ residual)
    if not rows.finite:
        sums = sums + lam * theirs[:, None] * (guessed - theirs @ guessed)
    # Unused, the LLM's rows tell nothing, and this is the estimate from the human labels alone.
    influence = _influence(estimand, _for_slope(estimand, rows, terms) if lam else terms, theta, sums)
    method = "PPI++" if lam else "PPI++ without use of the LLM"
    size = estimand.size + (tuned and _llm_helps(rows))
    found = _found(quantity, theta, influence, rows, inference, method, size=estimand.size, spent=size)
    return Found(found.interval, found.variance, lam)


def _llm_weights(rows: LabelRows) -> Floats:
    """Over which rows the LLM's moments are averaged: those without a human label, or all if chances differ."""
    others = rows.chances is None and not rows.finite
    members = ~rows.labelled if others else np.ones(len(rows.labelled), dtype=np.bool_)
    total = members.sum()
    weights: Floats = members / max(1, total)
    return weights


def _llm_helps(rows: LabelRows) -> bool:
    """Whether there are other rows, and the LLM says not the same of all."""
    return not bool(rows.labelled.all()) and bool(np.ptp(rows.llm, axis=0).max() > 0)


def _tuned(quantity: Quantity, estimand: Estimand, rows: LabelRows, theta: Floats) -> float:
    """The lam with the least variance, between 0 and 1."""
    if not _llm_helps(rows) or np.isnan(theta).any():
        return 0.0
    mine, theirs = rows.weights, _llm_weights(rows)
    turn = -inverse(slope_of(estimand, _for_slope(estimand, rows, [(mine, rows.human)]), theta)).T @ np.array(
        quantity.weights
    )
    truth, guess = estimand.moments(theta, rows.human) @ turn, estimand.moments(theta, rows.llm) @ turn
    if rows.chances is None and not rows.finite:
        # Equation 7 of the paper; the variance is of all rows, as the authors' program has it.
        across = float(mine @ ((truth - mine @ truth) * guess))
        under = (1 + rows.n / (len(guess) - rows.n)) * float(guess.var(ddof=1))
    else:
        a = mine * (truth - mine @ truth)
        b = theirs * (guess - theirs @ guess) - mine * (guess - mine @ guess)
        across, under = -float(a @ b), float(b @ b)
    return min(1.0, max(0.0, across / under)) if under > 0 else 0.0


def _for_slope(estimand: Estimand, rows: LabelRows, terms: Sequence[Term]) -> Sequence[Term]:
    """All rows tell of a slope that no label enters; otherwise it is that of the equations themselves."""
    return [(np.full(len(rows.llm), 1 / len(rows.llm)), rows.llm)] if estimand.label_free else terms


def guesses(rows: LabelRows, inference: Inference) -> list[Floats]:
    """Human labels guessed for all rows, once for each cut into parts; none where there are too few to learn from."""
    if rows.units < FEWEST_TO_LEARN:
        return []
    made = []
    for split in range(inference.splits):
        rng = np.random.default_rng([inference.seed, split])
        parts = fold_numbers(rows.labelled, rows.clusters, min(inference.folds, rows.units // 2), rng)
        made.append(cross_fitted(rows.features, rows.human, rows.labelled, parts, inference.learner))
    return made


def dsl(estimand: Estimand, rows: LabelRows, inference: Inference, guessed: Sequence[Floats]) -> list[Found]:
    """Design-based supervised learning: the median over cuts, with what differs between them in the variance."""
    if not guessed:
        lost = Interval(math.nan, math.nan, math.nan, inference.level, "DSL", rows.n)
        return [Found(lost, math.nan) for _ in estimand.quantities]
    start = solve(estimand, [(rows.weights, rows.human)])
    stands = rows.inverse_chances / len(rows.llm)
    points, spreads = [], []
    for guess in guessed:
        terms = [(1 / len(rows.llm) - stands, guess), (stands, rows.human)]
        theta = solve(estimand, terms, start)
        m, g = estimand.moments(theta, rows.human), estimand.moments(theta, guess)
        if rows.finite:
            sums = stands[:, None] * (m - g - stands @ (m - g) / stands.sum())
        else:
            sums = g / len(rows.llm) + stands[:, None] * (m - g)
        influence = _influence(estimand, terms, theta, sums)
        points.append([float(theta @ each.weights) for each in estimand.quantities])
        spreads.append([_spread(influence @ each.weights, rows, estimand.size) for each in estimand.quantities])
    found = []
    for place, quantity in enumerate(estimand.quantities):
        values = np.array([point[place] for point in points])
        middle = float(np.median(values))
        variance = float(np.median([s[place].variance for s in spreads] + (values - middle) ** 2))
        free = float(np.median([s[place].free for s in spreads]))
        interval = _interval(quantity, middle, _Spread(variance, free), rows, inference, "DSL")
        found.append(Found(interval, variance))
    return found


def _influence(estimand: Estimand, terms: Sequence[Term], theta: Floats, sums: Floats) -> Floats:
    """What each row adds to the error of the parameters, shape (N, k); nan where there is no root."""
    if np.isnan(theta).any():
        return np.full(sums.shape, math.nan)
    found: Floats = -sums @ inverse(slope_of(estimand, terms, theta)).T
    return found


def _found(
    quantity: Quantity,
    theta: Floats,
    influence: Floats,
    rows: LabelRows,
    inference: Inference,
    method: str,
    *,
    size: int,
    spent: int | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Found:
    spread = _spread(influence @ quantity.weights, rows, size, spent=spent, mask=mask)
    point = float(theta @ quantity.weights)
    return Found(_interval(quantity, point, spread, rows, inference, method, mask=mask), spread.variance)


def _spread(
    errors: Floats,
    rows: LabelRows,
    size: int,
    *,
    spent: int | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> _Spread:
    """The variance of a quantity from what each row adds to its error, and on how many degrees of freedom it rests.

    Args:
        errors: shape (N,).
        rows: for clusters and chances.
        size: the number of parameters.
        spent: degrees of freedom that went into them, if more.
        mask: the rows whose labels are taken for human ones; by default those that are.
    """
    spent = size if spent is None else spent
    core = rows.labelled if mask is None else mask
    n = int(core.sum())
    if rows.finite and mask is not None:
        return _Spread(0.0, float(n))
    if rows.finite:
        errors = np.where(core, errors * np.sqrt(rows.undrawn), 0.0)
    if rows.clusters is not None:
        sums = np.bincount(rows.clusters, weights=errors)
        units = len(np.unique(rows.clusters[core]))
        left = units - 1 - (spent - size)
        if left <= 0 or n <= size:
            return _Spread(math.nan, 0)
        return _Spread(float(sums @ sums) * units / left * (n - 1) / (n - size), left)
    mine, others = errors[core], errors[~core]
    # Rows that count more leave fewer to learn the spread from.
    free = (rows.kish if mask is None and rows.chances is not None else n) - spent
    if free <= 0 or n <= spent:
        return _Spread(math.nan, 0)
    pieces = [(float(mine @ mine) * n / (n - spent), float(free))]
    if others.any():
        # With unequal chances the LLM's mean is over all rows and costs these none.
        rest = max(1, len(others) - (rows.chances is None))
        pieces.append((float(others @ others) * len(others) / rest, float(rest)))
    variance = sum(piece for piece, _ in pieces)
    under = sum(piece**2 / each for piece, each in pieces)
    return _Spread(variance, variance**2 / under if under > 0 else free)


def _interval(
    quantity: Quantity,
    point: float,
    spread: _Spread,
    rows: LabelRows,
    inference: Inference,
    method: str,
    *,
    mask: NDArray[np.bool_] | None = None,
) -> Interval:
    n = rows.n if mask is None else int(mask.sum())
    if rows.clusters is not None:
        method += ", clusters"
    if math.isnan(point) or math.isnan(spread.variance):
        return Interval(point, math.nan, math.nan, inference.level, method, n)
    half = float(stats.t.ppf((1 + inference.level) / 2, spread.free)) * math.sqrt(spread.variance)
    bounded = math.isfinite(quantity.low) and math.isfinite(quantity.high)
    if bounded and mask is None:
        # Where no labelled row differs from what was expected, as many may as n right out of n leave open.
        least = wilson(0, max(1, rows.units), inference.level).high
        least *= math.sqrt(1 - rows.n / len(rows.labelled)) if rows.finite else 1.0
        half = max(half, least) if spread.variance <= 1e-24 else half
    cut = [min(quantity.high, max(quantity.low, value)) for value in (point, point - half, point + half)]
    return Interval(cut[0], cut[1], cut[2], inference.level, method, n)
