"""Pairs: how far scores order pairs of rows as humans do, counted by cluster so that resamples are quadratic forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_synthlabels.judging.audit.audit_rows import Floats, Ints
from hf_synthlabels.statistics.arrays import divided

MAX_PAIRS = 4_000_000
"""Pairs that are held in memory at once."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the pairs: the rows of a task."""

    scores: Floats
    human: Floats
    groups: Ints

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over all pairs of a row of one side with a row of the other, in each resample; each of shape (R,)."""

    agreement: Floats
    """Of sign(difference of scores) x sign(difference of human scores): concordant less discordant pairs."""
    scores_differ: Floats
    human_differ: Floats
    scores_sign: Floats
    human_sign: Floats
    pairs: Floats
    same_order: Floats
    """Pairs whose order, or tie, is the same; nan unless a tie's width was given."""

    @property
    def kendall(self) -> Floats:
        """Kendall's tau-b: nan where all scores, or all human scores, are tied."""
        return divided(self.agreement, np.sqrt(self.scores_differ * self.human_differ))

    @property
    def concordance(self) -> Floats:
        """The share of pairs that humans order which scores order in the same way, ties counting one half."""
        return (divided(self.agreement, self.human_differ) + 1) / 2

    @property
    def concordance_by_chance(self) -> Floats:
        """The mean concordance when the scores of each side are shuffled among its rows, exactly.

        Shuffled scores are independent of human ones: E[sign x sign] is the product of the two means.
        """
        return (divided(self.scores_sign * self.human_sign, self.pairs * self.human_differ) + 1) / 2

    @property
    def accuracy(self) -> Floats:
        """The share of all pairs with the same order or tie (Deutsch et al. 2023, arXiv:2305.14324)."""
        return divided(self.same_order, self.pairs)


def pair_sums(weights: Floats, one: Side, other: Side | None = None, *, tie: float | None = None) -> PairSums:
    """Count pairs of rows: of two sides, or of one with itself.

    Args:
        weights: how often each group is drawn, shape (R, G).
        one: the rows of the first side.
        other: those of the second; None for all pairs of the first with itself, without pairs of a row with itself.
        tie: scores at most so far apart are tied, for `same_order`.
    """
    second = one if other is None else other
    here, ones = np.unique(one.groups, return_inverse=True)
    there, others = np.unique(second.groups, return_inverse=True)
    found = _by_group(one, ones, len(here), second, others, len(there), tie)
    left, right = weights[:, here], weights[:, there]
    sums = [((left @ matrix) * right).sum(axis=1) for matrix in found]
    if other is None:
        # A row and its copies in a resample are no pairs; they tie on both sides.
        copies = (left**2) @ np.bincount(ones, minlength=len(here))
        sums[5] -= copies
        sums[6] -= copies
    if tie is None:
        sums[6] = np.full(len(weights), np.nan)
    return PairSums(*sums)


def tie_width(side: Side, *, seed: int = 0) -> float:
    """The width of a tie with which most pairs get the order, or tie, that humans gave them (Deutsch et al. 2023).

    Of more than `MAX_PAIRS` pairs so many are drawn at random. 0 without pairs.
    """
    n = len(side)
    if n < 2:
        return 0.0
    if n * (n - 1) // 2 <= MAX_PAIRS:
        first, second = np.triu_indices(n, 1)
    else:
        rng = np.random.default_rng(seed)
        first = rng.integers(n, size=MAX_PAIRS)
        second = (first + rng.integers(1, n, size=MAX_PAIRS)) % n
    scores, human = side.scores[first] - side.scores[second], side.human[first] - side.human[second]
    apart = np.abs(scores)
    # A pair that is wider apart than the tie counts when the order agrees, another when humans tie.
    gain = np.where(human == 0, 1.0, 0.0) - (np.sign(scores) == np.sign(human)) * (scores != 0) * (human != 0)
    # At width 0 equal scores are ties already.
    order = np.argsort(apart, kind="stable")
    widths, gains = apart[order], np.cumsum(gain[order])
    last = np.flatnonzero(np.append(np.diff(widths) > 0, True))
    widths, gains = widths[last], gains[last]
    if widths[0] > 0:
        widths, gains = np.insert(widths, 0, 0.0), np.insert(gains, 0, 0.0)
    return float(widths[int(np.argmax(gains))])


def _by_group(
    one: Side, ones: Ints, n_ones: int, other: Side, others: Ints, n_others: int, tie: float | None
) -> Floats:
    """Sums over the pairs of each pair of groups, shape (7, G of one, G of other)."""
    out = np.zeros((7, n_ones, n_others))
    columns = np.argsort(others, kind="stable")
    starts = np.flatnonzero(np.diff(others[columns], prepend=-1))
    size = max(1, MAX_PAIRS // max(len(other), 1))
    for start in range(0, len(one), size):
        rows = slice(start, start + size)
        apart = one.scores[rows, None] - other.scores[columns]
        scores = np.sign(apart)
        human = np.sign(one.human[rows, None] - other.human[columns])
        parts = [scores * human, np.abs(scores), np.abs(human), scores, human, np.ones_like(scores)]
        wide = scores if tie is None else scores * (np.abs(apart) > tie)
        parts.append((wide == human).astype(np.float64))
        for place, part in enumerate(parts):
            np.add.at(out[place], ones[rows], np.add.reduceat(part, starts, axis=1))
    return out
