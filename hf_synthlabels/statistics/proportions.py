"""Shares of rows, with Wilson intervals that respect weights, clusters and strata."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.statistics.agreement.classification import ClassAgreement, class_agreement
from hf_synthlabels.statistics.agreement.weighted import weighted_class, weighted_share
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.intervals import Interval, wilson

Mask = NDArray[np.bool_]


def share(hits: Mask, counted: Mask | None, design: SamplingDesign | None, level: float) -> Interval:
    """The share of rows that are hits, with the interval of `wilson` or of `weighted_share`.

    Args:
        hits: which rows are, shape (n,).
        counted: which rows count; None for all.
        design: weights, clusters and strata of the rows; None for a simple random sample.
        level: confidence level.
    """
    counted = np.ones(len(hits), dtype=np.bool_) if counted is None else counted
    if design is None or design.is_random:
        return wilson(int((hits & counted).sum()), int(counted.sum()), level)
    return weighted_share(hits, counted, design, level)


def name_agreement(name: str, truly: Mask, said: Mask, design: SamplingDesign | None, level: float) -> ClassAgreement:
    """Precision, recall and F1 of one name of which a row has it or not.

    Args:
        name: the name.
        truly: the rows to which humans gave it, shape (n,).
        said: those to which the LLM did.
        design: as in `share`.
        level: confidence level.
    """
    if design is None or design.is_random:
        counts = [int(each.sum()) for each in (truly & said, said, truly)]
        return class_agreement(name, counts[0], counts[1], counts[2], level=level)
    return weighted_class(name, truly, said, design, level)
