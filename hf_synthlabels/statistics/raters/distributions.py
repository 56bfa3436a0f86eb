"""The LLM's distribution over classes against the raters' votes, and the same distances between raters.

Each vote of a row is left out in turn. The rater's label and the LLM's distribution are both compared with the shares
of the other votes, so that the distance between raters is the yardstick of the LLM's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hf_synthlabels.statistics.arrays import Floats, Ints
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, subset_design
from hf_synthlabels.statistics.raters.reliability import RaterComparison
from hf_synthlabels.statistics.raters.row_means import row_difference, row_mean, row_ratio

SMOOTHING = (
    "Cross-entropy is smoothed: one pseudo-vote, spread over the classes, is added to the votes of the others, and to "
    "the LLM's distribution counted as equally many votes."
)

Distance = Callable[[Floats, Floats], Floats]
"""Distances of distributions in the last axis, shape (rows, labels), to shape (rows,)."""


def total_variation(p: Floats, q: Floats) -> Floats:
    """Half the sum of absolute differences, from 0 to 1."""
    distance: Floats = 0.5 * np.abs(p - q).sum(axis=-1)
    return distance


def jensen_shannon(p: Floats, q: Floats) -> Floats:
    """The Jensen-Shannon divergence in bits, from 0 to 1 (Lin 1991)."""
    middle = (p + q) / 2
    return 0.5 * (_divergence(p, middle) + _divergence(q, middle))


def distribution_distances(
    counts: Ints, llm: Floats, design: SamplingDesign | None = None, level: float = 0.95
) -> tuple[RaterComparison, ...]:
    """Total variation, Jensen-Shannon divergence and cross-entropy of the left-out votes, in bits.

    Args:
        counts: votes for each label, shape (rows, labels); rows with fewer than two votes are left out.
        llm: the LLM's distribution, nan where it gave no label, shape (rows, labels).
        design: of the rows.
        level: confidence level.
    """
    used = (counts.sum(axis=1) > 1) & ~np.isnan(llm).any(axis=1)
    table, own, design = counts[used].astype(np.float64), llm[used], subset_design(design, used)
    if not len(table):
        return ()
    measures: tuple[tuple[str, Distance], ...] = (
        ("total variation to the votes of the others", total_variation),
        ("Jensen-Shannon divergence to them", jensen_shannon),
    )
    lines = []
    for name, distance in measures:
        raters, model = _left_out(table, own, distance)
        intervals = (row_mean(raters, design, level), row_mean(model, design, level))
        ratio = row_ratio(model, raters, design, level)
        lines.append(RaterComparison(name, *intervals, row_difference(model - raters, design, level), ratio))
    raters, model = _cross_entropies(table, own)
    first, second, difference = (row_mean(values, design, level) for values in (raters, model, model - raters))
    ratio = row_ratio(model, raters, design, level)
    return (*lines, RaterComparison("cross-entropy of a vote, bits", first, second, difference, ratio))


def _left_out(counts: Floats, llm: Floats, distance: Distance) -> tuple[Floats, Floats]:
    """Mean distances over the left-out votes of each row: of the vote, and of the LLM, to the shares of the others."""
    given = counts.sum(axis=1)
    raters, model = np.zeros(len(counts)), np.zeros(len(counts))
    for label in range(counts.shape[1]):
        shares, weight = _others(counts, label) / (given - 1)[:, None], counts[:, label] / given
        vote = np.broadcast_to(np.eye(counts.shape[1])[label], counts.shape)
        raters += weight * distance(vote, shares)
        model += weight * distance(llm, shares)
    return raters, model


def _cross_entropies(counts: Floats, llm: Floats) -> tuple[Floats, Floats]:
    """Mean surprise of a left-out vote under the smoothed shares of the others, and under the LLM's distribution."""
    given, size = counts.sum(axis=1), counts.shape[1]
    raters, model = np.zeros(len(counts)), np.zeros(len(counts))
    for label in range(size):
        weight = counts[:, label] / given
        by_others = (_others(counts, label)[:, label] + 1 / size) / given
        by_llm = ((given - 1) * llm[:, label] + 1 / size) / given
        raters -= weight * np.log2(by_others)
        model -= weight * np.log2(by_llm)
    return raters, model


def _others(counts: Floats, label: int) -> Floats:
    """The counts without one vote for a label; rows without such a vote have weight 0."""
    others = counts.copy()
    others[:, label] = np.maximum(0, others[:, label] - 1)
    return others


def _divergence(p: Floats, q: Floats) -> Floats:
    """The Kullback-Leibler divergence in bits; q is positive where p is."""
    terms = np.zeros(np.broadcast_shapes(p.shape, q.shape))
    p, q = np.broadcast_to(p, terms.shape), np.broadcast_to(q, terms.shape)
    positive = p > 0
    terms[positive] = p[positive] * np.log2(p[positive] / q[positive])
    divergence: Floats = terms.sum(axis=-1)
    return divergence
