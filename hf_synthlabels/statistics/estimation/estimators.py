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
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hf_synthlabels.statistics.design.small_samples import own_rows, pseudo_error_variance, score_interval
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Term, inverse, slope_of, solve
from hf_synthlabels.statistics.estimation.inference import Inference
from hf_synthlabels.statistics.estimation.label_rows import MIN_TO_LEARN, LabelRows
from hf_synthlabels.statistics.estimation.surrogate import cross_fitted, fold_numbers
from hf_synthlabels.statistics.intervals import Interval, normal_quantile
from hf_synthlabels.statistics.label_ids import Floats


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
    added: float = 0.0
    """What pseudo-errors add to the variance."""
    judged: bool = False
    """Whether the LLM's labels are used."""

    @property
    def total(self) -> float:
        """The variance with pseudo-errors."""
        return self.variance + self.added


def naive(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[Found]:
    """The LLM's labels as if humans had given them; rows without one are left out."""
    weights = rows.scored / rows.scored.sum()
    theta = solve(estimand, [(weights, rows.llm)])
    influence = _influence(estimand, [(weights, rows.llm)], theta, weights[:, None] * estimand.moments(theta, rows.llm))
    found = []
    for each in estimand.quantities:
        spread = _spread(influence @ each.weights, rows, estimand.size, mask=rows.scored)
        point = float(theta @ each.weights)
        method = "LLM labels as they are"
        found.append(Found(_interval(each, point, spread, rows, inference, method, mask=rows.scored), spread.variance))
    return found


def human_only(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[Found]:
    """The human labels, each with one over its chance."""
    terms = [(rows.weights, rows.human)]
    theta = solve(estimand, terms)
    influence = _influence(estimand, terms, theta, rows.weights[:, None] * estimand.moments(theta, rows.human))
    found = []
    for each in estimand.quantities:
        spread = _spread(influence @ each.weights, rows, estimand.size)
        spread = _with_pseudo_errors(spread, each, estimand, theta, rows, terms, inference, judged=False)
        point = float(theta @ each.weights)
        found.append(Found(_interval(each, point, spread, rows, inference, "human labels"), spread.total))
    return found


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
    slope_terms = _for_slope(estimand, rows, terms) if lam else terms
    influence = _influence(estimand, slope_terms, theta, sums)
    method = "PPI++" if lam else "PPI++ without use of the LLM"
    spent = estimand.size + (tuned and _llm_helps(rows))
    spread = _spread(influence @ quantity.weights, rows, estimand.size, spent=spent)
    spread = _with_pseudo_errors(spread, quantity, estimand, theta, rows, slope_terms, inference, judged=bool(lam))
    point = float(theta @ quantity.weights)
    return Found(_interval(quantity, point, spread, rows, inference, method), spread.total, lam)


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
    if rows.units < MIN_TO_LEARN:
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
    points: list[list[float]] = []
    spreads: list[list[_Spread]] = []
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
        spreads.append(
            [
                _with_pseudo_errors(
                    _spread(influence @ each.weights, rows, estimand.size),
                    *(each, estimand, theta, rows, terms, inference),
                    judged=True,
                )
                for each in estimand.quantities
            ]
        )
    found = []
    for place, quantity in enumerate(estimand.quantities):
        values = np.array([point[place] for point in points])
        middle = float(np.median(values))
        variance = float(np.median([s[place].variance for s in spreads] + (values - middle) ** 2))
        free, added = (float(np.median([getattr(s[place], key) for s in spreads])) for key in ("free", "added"))
        spread = _Spread(variance, free, added, judged=True)
        found.append(Found(_interval(quantity, middle, spread, rows, inference, "DSL"), spread.total))
    return found


def _influence(estimand: Estimand, terms: Sequence[Term], theta: Floats, sums: Floats) -> Floats:
    """What each row adds to the error of the parameters, shape (N, k); nan where there is no root."""
    if np.isnan(theta).any():
        return np.full(sums.shape, math.nan)
    found: Floats = -sums @ inverse(slope_of(estimand, terms, theta)).T
    return found


def _with_pseudo_errors(
    spread: _Spread,
    quantity: Quantity,
    estimand: Estimand,
    theta: Floats,
    rows: LabelRows,
    terms: Sequence[Term],
    inference: Inference,
    *,
    judged: bool,
) -> _Spread:
    """The spread with what pseudo-errors add.

    By human labels alone shares have a score interval and means Student's: neither needs any.
    """
    needed = judged or (math.isfinite(quantity.low) and not quantity.share)
    if math.isnan(spread.variance) or np.isnan(theta).any() or not needed:
        return replace(spread, judged=judged)
    turn = -inverse(slope_of(estimand, terms, theta)).T @ np.array(quantity.weights)
    added = pseudo_error_variance(quantity, estimand, theta, rows, turn, inference.level, judged=judged)
    return replace(spread, added=added, judged=judged)


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
    own = own_rows(quantity, rows) if mask is None else [mask & part for part in quantity.parts or (mask,)]
    n = int(sum(part.sum() for part in own))
    if rows.clusters is not None:
        method += ", clusters"
    if math.isnan(point) or math.isnan(spread.variance):
        return Interval(point, math.nan, math.nan, inference.level, method, n)
    quantile = float(stats.t.ppf((1 + inference.level) / 2, spread.free))
    half = quantile * math.sqrt(spread.total)
    low, high = point - half, point + half
    if quantity.share and mask is None:
        below, above = score_interval(point, *_effective_n(point, spread, own[0], rows, quantile, inference.level))
        # Without pseudo-errors the score interval is the better of the two.
        low, high = (min(low, below), max(high, above)) if spread.added else (below, above)
    cut = [min(quantity.high, max(quantity.low, value)) for value in (point, low, high)]
    return Interval(cut[0], cut[1], cut[2], inference.level, method, n)


def _effective_n(
    share: float, spread: _Spread, own: NDArray[np.bool_], rows: LabelRows, quantile: float, level: float
) -> tuple[float, float]:
    """How many independent rows would give a share the variance that the estimate has, and the quantile to use."""
    units = int(own.sum()) if rows.clusters is None else len(np.unique(rows.clusters[own]))
    if spread.variance <= 1e-24:
        # All labels are alike. Where the LLM is used, pseudo-errors tell what is open.
        open_part = float(rows.undrawn[own].mean()) if rows.finite and units else 1.0
        return math.inf if spread.judged or open_part == 0 else units / open_part, normal_quantile(level)
    # An estimate at or beyond the end of the scale has the spread of half a row.
    inside = min(1 - 1 / (2 * units), max(1 / (2 * units), share)) if units else 0.5
    return inside * (1 - inside) / spread.variance, quantile
