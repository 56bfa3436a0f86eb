"""Pair counts: how often scores order pairs of rows as humans do, summed by cluster for the bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_synthlabels.judging.audit.rows import Floats, Ints
from hf_synthlabels.statistics.arrays import divided

MAX_PAIRS = 4_000_000
"""Maximum number of pairs in memory."""


@dataclass(frozen=True, slots=True)
class Side:
    """The rows of a task, as one side of the pairs."""

    scores: Floats
    human: Floats
    groups: Ints

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over all pairs of a row of one side with a row of the other, in each resample; each of shape (R,)."""

    agreement: Floats
    """Concordant minus discordant pairs."""
    scores_differ: Floats
    human_differ: Floats
    scores_sign: Floats
    human_sign: Floats
    pairs: Floats
    same_order: Floats
    """Pairs with the same order or tie; nan without a tie width."""

    @property
    def kendall(self) -> Floats:
        """Kendall's tau-b; nan if all scores, or all human scores, are tied."""
        return divided(self.agreement, np.sqrt(self.scores_differ * self.human_differ))

    @property
    def concordance(self) -> Floats:
        """Proportion of the pairs ordered by humans that scores order in the same way; ties count one half."""
        return (divided(self.agreement, self.human_differ) + 1) / 2

    @property
    def concordance_by_chance(self) -> Floats:
        """The exact expected concordance if the scores of each side are shuffled among its rows.

        Shuffled scores are independent of human ones, so E[sign x sign] is the product of the two means.
        """
        return (divided(self.scores_sign * self.human_sign, self.pairs * self.human_differ) + 1) / 2

    @property
    def accuracy(self) -> Floats:
        """Proportion of all pairs with the same order or tie (Deutsch et al. 2023, arXiv:2305.14324)."""
        return divided(self.same_order, self.pairs)


def pair_sums(weights: Floats, first: Side, second: Side | None = None, *, tie: float | None = None) -> PairSums:
    """Count pairs of rows: of two sides, or of one with itself.

    Args:
        weights: bootstrap weights of the groups, shape (R, G).
        first: rows of the first side.
        second: rows of the second side; None for all pairs of two different rows of the first.
        tie: maximum difference of tied scores, for `same_order`.
    """
    other = first if second is None else second
    first_present, first_groups = np.unique(first.groups, return_inverse=True)
    other_present, other_groups = np.unique(other.groups, return_inverse=True)
    by_group = _by_group(first, first_groups, len(first_present), other, other_groups, len(other_present), tie)
    first_weights, other_weights = weights[:, first_present], weights[:, other_present]
    sums = [((first_weights @ matrix) * other_weights).sum(axis=1) for matrix in by_group]
    if second is None:
        # A row and its copies in a resample are not pairs; they tie on both sides.
        copies = (first_weights**2) @ np.bincount(first_groups, minlength=len(first_present))
        sums[5] -= copies
        sums[6] -= copies
    if tie is None:
        sums[6] = np.full(len(weights), np.nan)
    return PairSums(*sums)


def tie_width(side: Side, *, seed: int = 0) -> float:
    """Tie threshold with the highest pairwise accuracy (Deutsch et al. 2023); 0 without pairs.

    At most `MAX_PAIRS` pairs are sampled at random.
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
    # A pair further apart than the tie width is correct if the order agrees; any other pair if humans tie.
    gain = np.where(human == 0, 1.0, 0.0) - (np.sign(scores) == np.sign(human)) * (scores != 0) * (human != 0)
    # Equal scores are ties even at width 0.
    order = np.argsort(apart, kind="stable")
    widths, gains = apart[order], np.cumsum(gain[order])
    last = np.flatnonzero(np.append(np.diff(widths) > 0, True))
    widths, gains = widths[last], gains[last]
    if widths[0] > 0:
        widths, gains = np.insert(widths, 0, 0.0), np.insert(gains, 0, 0.0)
    return float(widths[int(np.argmax(gains))])


def _by_group(
    first: Side, first_groups: Ints, n_first: int, second: Side, second_groups: Ints, n_second: int, tie: float | None
) -> Floats:
    """Sums over the pairs of each pair of groups, shape (7, groups of first, groups of second)."""
    sums = np.zeros((7, n_first, n_second))
    columns = np.argsort(second_groups, kind="stable")
    starts = np.flatnonzero(np.diff(second_groups[columns], prepend=-1))
    size = max(1, MAX_PAIRS // max(len(second), 1))
    for start in range(0, len(first), size):
        rows = slice(start, start + size)
        apart = first.scores[rows, None] - second.scores[columns]
        scores = np.sign(apart)
        human = np.sign(first.human[rows, None] - second.human[columns])
        parts = [scores * human, np.abs(scores), np.abs(human), scores, human, np.ones_like(scores)]
        wide = scores if tie is None else scores * (np.abs(apart) > tie)
        parts.append((wide == human).astype(np.float64))
        for place, part in enumerate(parts):
            np.add.at(sums[place], first_groups[rows], np.add.reduceat(part, starts, axis=1))
    return sums
