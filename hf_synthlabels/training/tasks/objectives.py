"""Training objectives: the weighted loss of each row, summed over an update and divided by the total weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from hf_synthlabels.training.data.features import IGNORED, LABELS, LLM, PROBS, SOURCE, WEIGHT

START = "start_positions"
"""Feature with the first token of an answer."""
END = "end_positions"
"""Feature with the last token of an answer, inclusive."""

Batch = Mapping[str, Tensor]
Outputs = Mapping[str, Any]


@runtime_checkable
class Objective(Protocol):
    """The loss of a student, row by row.

    The loss of an update is Σ `row_losses` / Σ `row_weights` over all its batches. It is the same for any number of
    accumulation steps and processes.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Features that the loss reads and the model does not."""
        ...

    def row_weights(self, batch: Batch) -> Tensor:
        """The weight of each row in the denominator, shape (rows,), in float32."""
        ...

    def row_losses(self, outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """The weighted loss of each row, shape (rows,), in float32.

        Args:
            outputs: of the model, with `logits`.
            batch: the output of the collator, model inputs included.
            label_smoothing: share of the target that is spread evenly over the classes, 0 to 1.
        """
        ...


def label_weights(labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """The weight of each row, as float32: 1 without a weight column, 0 without a label.

    Args:
        labels: label codes, shape (rows,); `IGNORED` marks a row without a label.
        weight: non-negative weights, shape (rows,).
    """
    counted = labels.ne(IGNORED).float()
    return counted if weight is None else counted * weight.to(counted)


@dataclass(frozen=True, slots=True)
class Classification:
    """One class per row: cross-entropy with the label, or with its probabilities where the batch has them."""

    transition: tuple[tuple[float, ...], ...] | None = None
    """Forward correction: T[i, j] = P(LLM label j | human label i); see `corrected_logits`."""
    columns: tuple[str, ...] = (LABELS, PROBS, WEIGHT, SOURCE)

    def row_weights(self, batch: Batch) -> Tensor:
        """The weight of each labeled row."""
        return label_weights(_flat_labels(batch[LABELS]), batch.get(WEIGHT))

    def row_losses(self, outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Weight times cross-entropy."""
        logits = outputs["logits"].float()
        if self.transition is not None and SOURCE in batch:
            logits = corrected_logits(logits, logits.new_tensor(self.transition), batch[SOURCE])
        target = batch[PROBS].to(logits) if PROBS in batch else _flat_labels(batch[LABELS])
        losses = functional.cross_entropy(
            logits, target, reduction="none", ignore_index=IGNORED, label_smoothing=label_smoothing
        )
        return losses * self.row_weights(batch)


def corrected_logits(logits: Tensor, transition: Tensor, source: Tensor) -> Tensor:
    """The log-probabilities of the annotator's labels, log(softmax(logits)·T), for rows with an LLM label.

    Cross-entropy with them is the forward correction of Patrini et al. (2017): the model's own probabilities then refer
    to the human label.

    Args:
        logits: of the human label, shape (rows, classes), in float32.
        transition: T[i, j] = P(LLM label j | human label i), shape (classes, classes), all above 0.
        source: `LLM` or `HUMAN` for each row; rows with a human label keep their logits.
    """
    log_probs = functional.log_softmax(logits, dim=-1)
    corrected = torch.logsumexp(log_probs[:, :, None] + transition.log(), dim=1)
    return torch.where(source.eq(LLM)[:, None], corrected, logits)


@dataclass(frozen=True, slots=True)
class MultiLabel:
    """Any number of classes per row: the binary cross-entropy averaged over the classes, times the row's weight.

    `labels` are integers of shape (rows, classes), 1 where a row has the class. `label_probs`, if present, has the
    probability of each class.
    """

    columns: tuple[str, ...] = (LABELS, PROBS, WEIGHT)
    class_weights: tuple[float, ...] | None = None
    """Weight of the positive rows of each class (`pos_weight` of the BCE loss); None weights all equally."""

    def row_weights(self, batch: Batch) -> Tensor:
        """The weight of each row, independent of the number of classes."""
        return label_weights(batch[LABELS][:, 0], batch.get(WEIGHT))

    def row_losses(self, outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Weight times mean binary cross-entropy."""
        logits = outputs["logits"].float()
        target = (batch[PROBS] if PROBS in batch else batch[LABELS]).to(logits)
        target = target * (1 - label_smoothing) + label_smoothing / 2
        positive = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=positive)
        mean: Tensor = losses.mean(dim=-1)
        return mean * self.row_weights(batch)


@dataclass(frozen=True, slots=True)
class ScaleRegression:
    """One number per row: squared error on a scale from 0 to 1. NaN marks a row without a label."""

    columns: tuple[str, ...] = (LABELS, WEIGHT)

    def row_weights(self, batch: Batch) -> Tensor:
        """The weight of each row with a number."""
        return label_weights(torch.where(_flat_labels(batch[LABELS]).isnan(), IGNORED, 0), batch.get(WEIGHT))

    def row_losses(self, outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:  # noqa: ARG002
        """Weight times squared error; label smoothing does not apply."""
        errors = outputs["logits"].float().squeeze(-1) - _flat_labels(batch[LABELS]).float().nan_to_num()
        losses: Tensor = errors.square()
        return losses * self.row_weights(batch)


@dataclass(frozen=True, slots=True)
class TokenTags:
    """One class per labeled token: cross-entropy, summed over tokens. `labels` has shape (rows, tokens).

    Each token has its row's weight. Special tokens, and all but the first token of a word, have the label -100 and
    do not count.
    """

    columns: tuple[str, ...] = (LABELS, WEIGHT)

    def row_weights(self, batch: Batch) -> Tensor:
        """The total weight of each row's labeled tokens."""
        return _token_weights(batch[LABELS], batch.get(WEIGHT)).sum(dim=-1)

    def row_losses(self, outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Weighted cross-entropy, summed over each row's tokens."""
        losses = _token_losses(outputs["logits"], batch[LABELS], label_smoothing)
        return (losses * _token_weights(batch[LABELS], batch.get(WEIGHT))).sum(dim=-1)


@dataclass(frozen=True, slots=True)
class Completion:
    """Next-token prediction of the labeled tokens: cross-entropy, summed over tokens.

    `labels` has shape (rows, tokens) and is not shifted. Prompt tokens have the label -100, as does the first token of
    each example of a packed row. Weights may be given per token, in the same shape.
    """

    columns: tuple[str, ...] = (LABELS, WEIGHT)

    def row_weights(self, batch: Batch) -> Tensor:
        """The total weight of each row's target tokens."""
        return _token_weights(*_shifted(batch)).sum(dim=-1)

    def row_losses(self, outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Weighted cross-entropy, summed over each row's target tokens."""
        labels, weight = _shifted(batch)
        losses = _token_losses(outputs["logits"][:, :-1], labels, label_smoothing)
        return (losses * _token_weights(labels, weight)).sum(dim=-1)


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """First and last token of an answer: the mean of both cross-entropies, for each window of a text.

    Padding tokens are no candidates, so the loss of a window does not depend on the batch.
    """

    columns: tuple[str, ...] = (START, END, WEIGHT)

    def row_weights(self, batch: Batch) -> Tensor:
        """The weight of each window."""
        ones = torch.ones_like(batch[START], dtype=torch.float32)
        return ones * batch[WEIGHT].to(ones) if WEIGHT in batch else ones

    def row_losses(self, outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Weight times the mean of both cross-entropies."""
        mask = batch.get("attention_mask")
        losses = []
        for logits, target in ((outputs["start_logits"], batch[START]), (outputs["end_logits"], batch[END])):
            logits = logits.float()
            if mask is not None:
                logits = logits.masked_fill(mask.eq(0), float("-inf"))
            losses.append(_masked_cross_entropy(logits, target, label_smoothing))
        return (losses[0] + losses[1]) / 2 * self.row_weights(batch)


def _flat_labels(labels: Tensor) -> Tensor:
    """One label per row; some collators return the shape (rows, 1)."""
    return labels.squeeze(-1) if labels.dim() == 2 and labels.shape[-1] == 1 else labels


def _shifted(batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Labels and weights of all positions but the first."""
    weight = batch.get(WEIGHT)
    return batch[LABELS][:, 1:], weight[:, 1:] if weight is not None and weight.dim() == 2 else weight


def _token_weights(labels: Tensor, weight: Tensor | None) -> Tensor:
    """The weight of each token, shape (rows, tokens), in float32."""
    counted = labels.ne(IGNORED).float()
    if weight is None:
        return counted
    return counted * (weight if weight.dim() == 2 else weight[:, None]).to(counted)


def _token_losses(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """The cross-entropy of each token, shape (rows, tokens), 0 for an ignored token."""
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        reduction="none",
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )
    return flat.view(labels.shape)


def _masked_cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy over the unmasked positions; label smoothing is spread over these only."""
    log_probs = logits.log_softmax(dim=-1)
    losses = -log_probs.gather(-1, target[:, None]).squeeze(-1)
    if not label_smoothing:
        return losses
    possible = log_probs.isfinite()
    uniform = -log_probs.masked_fill(~possible, 0).sum(dim=-1) / possible.sum(dim=-1)
    return (1 - label_smoothing) * losses + label_smoothing * uniform
