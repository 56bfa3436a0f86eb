"""Informativeness of disagreements: which rows to adjudicate first to improve guidelines or prompt.

The score of a row is `share x bits / rank`. `bits` is the surprise of human labels under the LLM: the mean of
-log2 p(label) over annotators, where p is the LLM's probability, plus the entropy of the human labels in bits.
`share` is the weight of all disagreements with the same (human, LLM) labels, where each row has weight
1 / inclusion probability. `rank` is the position of the row among those disagreements, most surprising first: the
second example of an error counts half as much as the first. This is a heuristic of this package.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.review.review_rows import ReviewRows
from hf_synthlabels.review.review_values import identity

MIN_PROBABILITY = 0.01
"""Lower bound of the LLM's probability, so that a probability of 0 does not dominate all other rows."""

UNKNOWN_CONFIDENCE = 0.9


def surprise_bits(rows: ReviewRows, row: int, labels: Sequence[Any]) -> float:
    """Surprise of a row's human labels under the LLM, in bits; see the module docstring."""
    if not labels:
        return 0.0
    groups = Counter(identity(rows.schema, label) for label in labels)
    entropy = -sum(count / len(labels) * math.log2(count / len(labels)) for count in groups.values())
    return entropy - sum(math.log2(_probability(rows, row, label)) for label in labels) / len(labels)


def informativeness(
    bits: NDArray[np.float64], patterns: NDArray[np.int64], inclusion_probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Score how much an adjudication of each row would teach; see the module docstring for the formula.

    Args:
        bits: surprise of each row, shape (n,).
        patterns: codes of the (human, LLM) label pairs, from 0; shape (n,).
        inclusion_probabilities: shape (n,).
    """
    if not len(bits):
        return np.zeros(0)
    weights = 1 / inclusion_probabilities
    shares = np.bincount(patterns, weights=weights) / weights.sum()
    order = np.lexsort((np.arange(len(bits)), -bits, patterns))
    sorted_patterns = patterns[order]
    starts = np.flatnonzero(np.r_[True, sorted_patterns[1:] != sorted_patterns[:-1]])
    ranks = np.empty(len(bits))
    ranks[order] = np.arange(len(bits)) - np.repeat(starts, np.diff(np.r_[starts, len(bits)])) + 1
    scores: NDArray[np.float64] = shares[patterns] * bits / ranks
    return scores


def _probability(rows: ReviewRows, row: int, label: Any) -> float:
    names = rows.schema.names
    probabilities = rows.probabilities[row] if rows.probabilities is not None else None
    if probabilities is not None and isinstance(label, str) and len(probabilities) == len(names):
        known = probabilities[names.index(label)]
        return min(1.0, max(MIN_PROBABILITY, known if known is not None else MIN_PROBABILITY))
    confidence = rows.llm_confidence(row)
    confidence = UNKNOWN_CONFIDENCE if confidence is None else confidence
    llm = rows.llm_labels[row]
    if llm is not None and identity(rows.schema, label) == identity(rows.schema, llm):
        return min(1.0, max(MIN_PROBABILITY, confidence))
    others = max(len(names) - 1, 1) if isinstance(label, str) and names else 1
    return max(MIN_PROBABILITY, (1 - confidence) / others)
