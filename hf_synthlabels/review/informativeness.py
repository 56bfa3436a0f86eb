"""Teaching: which disagreements are worth looking at first, because the guideline or the prompt learns most from them.

A row's worth is `share x bits / rank`. `bits` says how surprising people's labels are to the LLM: the mean of
-log2 p(label) over annotators, p being the LLM's own probability, plus the entropy of people's labels in bits where
they differ. `share` is the part of all disagreement that rows with the same mistake make up, each row counted with
1 / chance, so that a mistake which stands for many rows comes before a rare one. `rank` is the row's place among those
of the same mistake, most surprising first: the second example of a mistake teaches half of what the first does.
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

LEAST = 0.01
"""No LLM is surer of itself than this: a probability of 0 would make one row teach more than all others."""

UNKNOWN_CONFIDENCE = 0.9


def surprise_bits(rows: ReviewRows, row: int, labels: Sequence[Any]) -> float:
    """How surprising people's labels of a row are to the LLM, in bits: see the module."""
    if not labels:
        return 0.0
    groups = Counter(identity(rows.schema, label) for label in labels)
    entropy = -sum(count / len(labels) * math.log2(count / len(labels)) for count in groups.values())
    return entropy - sum(math.log2(_probability(rows, row, label)) for label in labels) / len(labels)


def worth(bits: NDArray[np.float64], patterns: NDArray[np.int64], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row teaches: see the module.

    Args:
        bits: of the rows, shape (n,).
        patterns: what differs, as codes from 0; shape (n,).
        chances: with which they were drawn, shape (n,).
    """
    if not len(bits):
        return np.zeros(0)
    weights = 1 / chances
    shares = np.bincount(patterns, weights=weights) / weights.sum()
    order = np.lexsort((np.arange(len(bits)), -bits, patterns))
    mine = patterns[order]
    starts = np.flatnonzero(np.r_[True, mine[1:] != mine[:-1]])
    ranks = np.empty(len(bits))
    ranks[order] = np.arange(len(bits)) - np.repeat(starts, np.diff(np.r_[starts, len(bits)])) + 1
    found: NDArray[np.float64] = shares[patterns] * bits / ranks
    return found


def _probability(rows: ReviewRows, row: int, label: Any) -> float:
    names = rows.schema.names
    probabilities = rows.probabilities[row] if rows.probabilities is not None else None
    if probabilities is not None and isinstance(label, str) and len(probabilities) == len(names):
        known = probabilities[names.index(label)]
        return min(1.0, max(LEAST, known if known is not None else LEAST))
    sure = rows.confidence[row]
    sure = UNKNOWN_CONFIDENCE if math.isnan(sure) else float(sure)
    llm = rows.llm_labels[row]
    if llm is not None and identity(rows.schema, label) == identity(rows.schema, llm):
        return min(1.0, max(LEAST, sure))
    others = max(len(names) - 1, 1) if isinstance(label, str) and names else 1
    return max(LEAST, (1 - sure) / others)
