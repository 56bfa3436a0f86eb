"""The loss of a classification student: a sum over rows, so that whoever divides it knows by what."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100
"""The label code of a row that has no label; such a row weighs nothing."""


def row_weights(labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """What each row counts, as float32: its weight, 1 where there is no weight column, 0 without a label.

    The sum of this is what a loss of the same rows has to be divided by.

    Args:
        labels: label codes, shape (rows,); `IGNORED` marks a row without a label.
        weight: non-negative weights, shape (rows,).
    """
    counted = labels.ne(IGNORED).float()
    return counted if weight is None else counted * weight.to(counted)


def cross_entropies(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """CE(logitsᵢ, targetᵢ) of each row in float32, shape (rows,); 0 for a row without a label.

    Args:
        logits: shape (rows, classes), any float type.
        target: label codes, shape (rows,), or probabilities, shape (rows, classes).
        label_smoothing: share of the target that is spread evenly over the classes, 0 to 1.
    """
    logits = logits.float()
    if target.is_floating_point():
        target = target.to(logits)
    return functional.cross_entropy(
        logits, target, reduction="none", ignore_index=IGNORED, label_smoothing=label_smoothing
    )


def weighted_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Σ wᵢ·CE(logitsᵢ, targetᵢ) in float32, a scalar: the sum, not the mean.

    Args:
        logits: shape (rows, classes), any float type.
        target: label codes, shape (rows,), or probabilities, shape (rows, classes).
        weight: what each row counts, shape (rows,); see `row_weights`.
        label_smoothing: share of the target that is spread evenly over the classes, 0 to 1.
    """
    return torch.sum(cross_entropies(logits, target, label_smoothing=label_smoothing) * weight)
