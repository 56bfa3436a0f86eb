"""Forward correction: the student learns the human label, and its loss is that of the LLM's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hf_synthlabels.training.data.features import LABELS, PROBS, WEIGHT
from hf_synthlabels.training.tasks.losses import row_weights

SOURCE = "label_source"
"""Feature that says who labelled a row; without it all rows count as labelled by humans."""
LLM, HUMAN = 0, 1


def corrected_log_probabilities(logits: Tensor, transition: Tensor) -> Tensor:
    """log(softmax(logits)·T): how likely the annotator says each label, shape (rows, classes), in float32.

    Args:
        logits: of the human label, shape (rows, classes).
        transition: T[i, j] = P(annotator says j | human says i), shape (classes, classes); zeros are allowed.
    """
    ours = functional.log_softmax(logits.float(), dim=-1)
    return torch.logsumexp(ours[:, :, None] + transition.to(ours).log(), dim=1)


@dataclass(frozen=True, slots=True)
class ForwardCorrection:
    """One class per row: −log((softmax(f)·T)[label]) of LLM rows (Patrini et al. 2017), −log softmax(f)[label] of
    human ones (T = I), so that the model's own probabilities are of the human label.

    A soft label counts as the mean over its probabilities, and label smoothing spreads the target before that.
    """

    transition: tuple[tuple[float, ...], ...]
    """Rows are human labels, columns LLM labels."""
    columns: tuple[str, ...] = (LABELS, PROBS, WEIGHT, SOURCE)

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The total weight of the rows that have a label."""
        return row_weights(batch[LABELS], batch.get(WEIGHT)).sum()

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Weight times corrected cross-entropy, and weight, of each row."""
        logits = outputs["logits"].float()
        said = functional.log_softmax(logits, dim=-1)
        if SOURCE in batch:
            matrix = torch.tensor(self.transition, dtype=torch.float32, device=logits.device)
            corrected = corrected_log_probabilities(logits, matrix)
            said = torch.where(batch[SOURCE].eq(LLM)[:, None], corrected, said)
        classes = logits.shape[-1]
        if PROBS in batch:
            target = batch[PROBS].to(said)
        else:
            # A row without a label weighs 0, whatever class stands in for it.
            target = functional.one_hot(batch[LABELS].clamp(min=0), classes).to(said)
        target = target * (1 - label_smoothing) + label_smoothing / classes
        # A label that the matrix makes impossible and nobody gave counts 0, not 0 times infinity.
        losses = -torch.where(target > 0, target * said, 0.0).sum(dim=-1)
        weight = row_weights(batch[LABELS], batch.get(WEIGHT))
        return torch.stack([losses * weight, weight], dim=-1)

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Σ weight · corrected cross-entropy."""
        return self.terms(outputs, batch, label_smoothing=label_smoothing)[:, 0].sum()
