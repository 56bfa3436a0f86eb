"""Objectives of heads that say something of each token: tags, the ends of an answer, the next token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hf_synthlabels.training.data.features import LABELS, WEIGHT
from hf_synthlabels.training.tasks.losses import IGNORED

START = "start_positions"
"""Feature with the token that an answer begins with."""
END = "end_positions"
"""Feature with the token that an answer ends with, that token included."""


@dataclass(frozen=True, slots=True)
class TokenTags:
    """A class for each token that has a label: cross-entropy, summed over tokens. `labels` has shape (rows, tokens).

    A row's weight is that of each of its tokens. Special tokens, and all but the first token of a word, have the label
    -100 and count nothing.
    """

    columns: tuple[str, ...] = (LABELS, WEIGHT)

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The total weight of the tokens that have a label."""
        return _token_weights(batch[LABELS], batch.get(WEIGHT)).sum()

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Weighted cross-entropy and weight of each row's tokens, summed."""
        weight = _token_weights(batch[LABELS], batch.get(WEIGHT))
        losses = _token_losses(outputs["logits"], batch[LABELS], label_smoothing)
        return torch.stack([(losses * weight).sum(dim=-1), weight.sum(dim=-1)], dim=-1)

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Σ weight · cross-entropy over all labelled tokens."""
        return self.terms(outputs, batch, label_smoothing=label_smoothing)[:, 0].sum()


@dataclass(frozen=True, slots=True)
class Completion:
    """The next token, of those that have a label: cross-entropy, summed over tokens.

    `labels` has shape (rows, tokens) and is not shifted: position t is learnt from what stands before it. Tokens of the
    prompt have the label -100, as has the first token of each example where several stand in one row. Weights may be
    those of the tokens, in the same shape.
    """

    columns: tuple[str, ...] = (LABELS, WEIGHT)

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The total weight of the tokens to be learnt."""
        return _token_weights(*_shifted(batch)).sum()

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Weighted cross-entropy and weight of each row's tokens, summed."""
        labels, given = _shifted(batch)
        weight = _token_weights(labels, given)
        losses = _token_losses(outputs["logits"][:, :-1], labels, label_smoothing)
        return torch.stack([(losses * weight).sum(dim=-1), weight.sum(dim=-1)], dim=-1)

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Σ weight · cross-entropy over all tokens to be learnt."""
        return self.terms(outputs, batch, label_smoothing=label_smoothing)[:, 0].sum()


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """First and last token of an answer: the mean of both cross-entropies, for each window of a text.

    Padding is no candidate: what a window costs does not depend on the batch that it is in.
    """

    columns: tuple[str, ...] = (START, END, WEIGHT)

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The total weight of the windows."""
        return self._weight(batch).sum()

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Weighted loss and weight of each window."""
        mask = batch.get("attention_mask")
        losses = []
        for logits, target in ((outputs["start_logits"], batch[START]), (outputs["end_logits"], batch[END])):
            logits = logits.float()
            if mask is not None:
                logits = logits.masked_fill(mask.eq(0), float("-inf"))
            losses.append(_smoothed(logits, target, label_smoothing))
        weight = self._weight(batch)
        return torch.stack([(losses[0] + losses[1]) / 2 * weight, weight], dim=-1)

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Σ weight · mean of both cross-entropies."""
        return self.terms(outputs, batch, label_smoothing=label_smoothing)[:, 0].sum()

    def _weight(self, batch: Mapping[str, Tensor]) -> Tensor:
        counted = torch.ones_like(batch[START], dtype=torch.float32)
        return counted * batch[WEIGHT].to(counted) if WEIGHT in batch else counted


def _shifted(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """Labels and weights of all positions but the first."""
    weight = batch.get(WEIGHT)
    return batch[LABELS][:, 1:], weight[:, 1:] if weight is not None and weight.dim() == 2 else weight


def _token_weights(labels: Tensor, weight: Tensor | None) -> Tensor:
    """What each token counts, shape (rows, tokens), in float32."""
    counted = labels.ne(IGNORED).float()
    if weight is None:
        return counted
    return counted * (weight if weight.dim() == 2 else weight[:, None]).to(counted)


def _token_losses(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    """The cross-entropy of each token, shape (rows, tokens), 0 where there is no label."""
    rows, tokens = labels.shape
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        reduction="none",
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
    )
    return flat.view(rows, tokens)


def _smoothed(logits: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy over the positions that may be chosen; what is smoothed is spread over these alone."""
    log_probs = logits.log_softmax(dim=-1)
    losses = -log_probs.gather(-1, target[:, None]).squeeze(-1)
    if not label_smoothing:
        return losses
    possible = log_probs.isfinite()
    even = -log_probs.masked_fill(~possible, 0).sum(dim=-1) / possible.sum(dim=-1)
    return (1 - label_smoothing) * losses + label_smoothing * even
