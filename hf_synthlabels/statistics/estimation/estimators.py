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

from hf_synthlabels.statistics.arrays import Floats
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Term, inverse, slope_of, solve
from hf_synthlabels.statistics.estimation.label_rows import Inference, LabelRows
from hf_synthlabels.statistics.estimation.variance import estimate_interval, influences, spread_of, with_pseudo_errors
from hf_synthlabels.statistics.intervals import Interval


@dataclass(frozen=True, slots=True)
class PointEstimate:
    """One quantity by one estimator."""

    interval: Interval
    variance: float
    lam: float = math.nan


def naive(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[PointEstimate]:
    """The LLM's labels as if humans had given them; rows without one are left out."""
    weights = rows.scored / rows.scored.sum()
    theta = solve(estimand, [(weights, rows.llm)])
    influence = influences(estimand, [(weights, rows.llm)], theta, weights[:, None] * estimand.moments(theta, rows.llm))
    found = []
    for each in estimand.quantities:
        spread = spread_of(influence @ each.weights, rows, estimand.size, mask=rows.scored)
        point = float(theta @ each.weights)
        method = "LLM labels as they are"
        found.append(
            PointEstimate(
                estimate_interval(each, point, spread, rows, inference, method, mask=rows.scored), spread.variance
            )
        )
    return found


def classical(estimand: Estimand, rows: LabelRows, inference: Inference) -> list[PointEstimate]:
    """The human labels, each with one over its chance."""
    terms = [(rows.weights, rows.human)]
    theta = solve(estimand, terms)
    influence = influences(estimand, terms, theta, rows.weights[:, None] * estimand.moments(theta, rows.human))
    found = []
    for each in estimand.quantities:
        spread = spread_of(influence @ each.weights, rows, estimand.size)
        spread = with_pseudo_errors(spread, each, estimand, theta, rows, terms, inference, judged=False)
        point = float(theta @ each.weights)
        found.append(
            PointEstimate(estimate_interval(each, point, spread, rows, inference, "human labels"), spread.total)
        )
    return found


def ppi_plus_plus(
    estimand: Estimand, rows: LabelRows, inference: Inference, *, lam: float | None = None
) -> list[PointEstimate]:
    """PPI++, with `lam` tuned for each quantity unless it is given."""
    start = solve(estimand, [(rows.weights, rows.human)])
    return [_ppi(each, estimand, rows, inference, start, lam) for each in estimand.quantities]


def _ppi(
    quantity: Quantity, estimand: Estimand, rows: LabelRows, inference: Inference, start: Floats, given: float | None
) -> PointEstimate:
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
    influence = influences(estimand, slope_terms, theta, sums)
    method = "PPI++" if lam else "PPI++ without use of the LLM"
    spent = estimand.size + (tuned and _llm_helps(rows))
    spread = spread_of(influence @ quantity.weights, rows, estimand.size, spent=spent)
    spread = with_pseudo_errors(spread, quantity, estimand, theta, rows, slope_terms, inference, judged=bool(lam))
    point = float(theta @ quantity.weights)
    return PointEstimate(estimate_interval(quantity, point, spread, rows, inference, method), spread.total, lam)


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
