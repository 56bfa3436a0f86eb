"""Several answers for one row become one label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Vote", "aggregate"]


@dataclass(frozen=True, slots=True)
class Vote:
    """The label that most draws gave, and how many of all draws gave it."""

    label: str | None
    consistency: float
    """Share of all draws, answered or not, that gave the label; 0 when there is none."""


def aggregate(votes: Sequence[str | None], names: Sequence[str]) -> Vote:
    """The modal label of several draws; a tie goes to the label that was drawn first.

    A draw without a label counts in the denominator: silence is not agreement.

    Args:
        votes: the label of each draw in the order of the draws, None for a draw without one.
        names: the schema's label names; only they are counted.
    """
    allowed = set(names)
    counts = Counter(vote for vote in votes if vote in allowed)
    if not counts:
        return Vote(None, 0.0)
    # Counter keeps the order of first occurrence and max() the first of equals.
    label = max(counts, key=lambda name: counts[name])
    return Vote(label, counts[label] / len(votes))
