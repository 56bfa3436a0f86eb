"""Shares of rows: each row counted once, or with one over the chance with which it was drawn for people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics.agreement import ClassAgreement, class_agreement
from hf_synthlabels.statistics.codes import Floats
from hf_synthlabels.statistics.intervals import Interval, wilson
from hf_synthlabels.statistics.weighted import weighted_class, weighted_share

__all__ = ["Mask", "among", "name_agreement", "share"]

Mask = NDArray[np.bool_]


def among(weights: Floats | None, kept: Mask) -> Floats | None:
    """The weights of some rows, with the mean 1; None where there are none."""
    if weights is None or not kept.any():
        return None if weights is None else weights[kept]
    mine: Floats = weights[kept]
    scaled: Floats = mine / mine.mean()
    return scaled


def share(hits: Mask, counted: Mask | None, weights: Floats | None, level: float) -> Interval:
    """The share of rows that are hits, with Wilson's interval, or that of `weighted_agreement`.

    Args:
        hits: which rows are, shape (n,).
        counted: which rows count; None for all.
        weights: 1 / chance of each row, above 0; None where all rows had the same.
        level: of confidence.
    """
    counted = np.ones(len(hits), dtype=np.bool_) if counted is None else counted
    if weights is None:
        return wilson(int((hits & counted).sum()), int(counted.sum()), level)
    return weighted_share(hits, counted, weights, level)


def name_agreement(name: str, truly: Mask, said: Mask, weights: Floats | None, level: float) -> ClassAgreement:
    """Precision, recall and F1 of one name of which a row has it or not.

    Args:
        name: the name.
        truly: the rows to which people gave it, shape (n,).
        said: those to which the LLM did.
        weights: as in `share`.
        level: of confidence.
    """
    if weights is None:
        counts = [int(each.sum()) for each in (truly & said, said, truly)]
        return class_agreement(name, counts[0], counts[1], counts[2], level=level)
    return weighted_class(name, truly, said, weights, level)
