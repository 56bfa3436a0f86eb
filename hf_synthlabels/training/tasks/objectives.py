"""Objective: what a student learns, as a sum over what counts, and the ways to learn a class or a number per row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from hf_synthlabels.training.data.features import LABELS, PROBS, WEIGHT
from hf_synthlabels.training.tasks.losses import IGNORED, cross_entropies, row_weights


@runtime_checkable
class Objective(Protocol):
    """What a student learns: which features a row has, what the loss sums, what it is divided by.

    The loss of an update is Σ `loss` / Σ `items` over all its batches, whatever accumulation step and process they
    are in, so that it is that of one big batch.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Features beside the tokens that reach the loss; the model does not see them."""
        ...

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the batch counts in the loss (rows, tokens, their weights), a scalar in float32."""
        ...

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """The sum over all items, a scalar in float32: not the mean.

        Args:
            outputs: of the model, `logits` among them.
            batch: everything that the collator made, with the model's inputs.
            label_smoothing: share of a target that is spread evenly over the classes, 0 to 1.
        """
        ...


@runtime_checkable
class RowObjective(Objective, Protocol):
    """An objective that tells what each row gives, which makes evaluation faster."""

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """The loss and the items of each row, shape (rows, 2), in float32; their sums are `loss` and `items`."""
        ...


def row_terms(
    objective: Objective, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0
) -> Tensor:
    """The loss and the items of each row, shape (rows, 2), whether or not the objective tells them itself."""
    if isinstance(objective, RowObjective):
        return objective.terms(outputs, batch, label_smoothing=label_smoothing)
    rows = []
    for row in range(len(outputs["logits"])):
        one = {name: value[row : row + 1] for name, value in batch.items()}
        said = {name: value[row : row + 1] for name, value in outputs.items() if isinstance(value, Tensor)}
        rows.append(torch.stack([objective.loss(said, one, label_smoothing=label_smoothing), objective.items(one)]))
    return torch.stack(rows)


@dataclass(frozen=True, slots=True)
class Classification:
    """One class per row: weighted cross-entropy with the label, or with its probabilities where the row has them."""

    columns: tuple[str, ...] = (LABELS, PROBS, WEIGHT)

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The total weight of the rows that have a label."""
        return row_weights(_column(batch[LABELS]), batch.get(WEIGHT)).sum()

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Weight times cross-entropy, and weight, of each row."""
        target = batch[PROBS] if PROBS in batch else _column(batch[LABELS])
        weight = row_weights(_column(batch[LABELS]), batch.get(WEIGHT))
        losses = cross_entropies(outputs["logits"], target, label_smoothing=label_smoothing)
        return torch.stack([losses * weight, weight], dim=-1)

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Σ weight · cross-entropy."""
        return self.terms(outputs, batch, label_smoothing=label_smoothing)[:, 0].sum()


@dataclass(frozen=True, slots=True)
class MultiLabel:
    """Any number of classes per row: the mean over the classes of the binary cross-entropy, times the row's weight.

    `labels` are whole numbers, shape (rows, classes): 1 where a row has the class, 0 where not. `label_probs` may
    stand beside them, with the probability of each class.
    """

    columns: tuple[str, ...] = (LABELS, PROBS, WEIGHT)
    class_weights: tuple[float, ...] | None = None
    """How much more a row that has the class counts in it (`pos_weight` of BCE); None counts all alike."""

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The total weight of the rows, however many classes there are."""
        return self._weight(batch).sum()

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Weight times mean binary cross-entropy, and weight, of each row."""
        logits = outputs["logits"].float()
        target = (batch[PROBS] if PROBS in batch else batch[LABELS]).to(logits)
        target = target * (1 - label_smoothing) + label_smoothing / 2
        positive = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=positive)
        weight = self._weight(batch)
        return torch.stack([losses.mean(dim=-1) * weight, weight], dim=-1)

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Σ weight · mean binary cross-entropy."""
        return self.terms(outputs, batch, label_smoothing=label_smoothing)[:, 0].sum()

    def _weight(self, batch: Mapping[str, Tensor]) -> Tensor:
        return row_weights(batch[LABELS][:, 0], batch.get(WEIGHT))


@dataclass(frozen=True, slots=True)
class ScaleRegression:
    """A number per row: squared error on a scale from 0 to 1. `labels` are such numbers; NaN is none."""

    columns: tuple[str, ...] = (LABELS, WEIGHT)

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The total weight of the rows that have a number."""
        return self._weight(batch).sum()

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:  # noqa: ARG002
        """Weight times squared error, and weight, of each row; there is no class to smooth."""
        weight = self._weight(batch)
        errors = outputs["logits"].float().squeeze(-1) - _column(batch[LABELS]).float().nan_to_num()
        return torch.stack([errors.square() * weight, weight], dim=-1)

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Σ weight · squared error."""
        return self.terms(outputs, batch, label_smoothing=label_smoothing)[:, 0].sum()

    def _weight(self, batch: Mapping[str, Tensor]) -> Tensor:
        return row_weights(torch.where(_column(batch[LABELS]).isnan(), IGNORED, 0), batch.get(WEIGHT))


@dataclass(frozen=True, slots=True)
class OrdinalScale:
    """A step of a scale per row, by one question for each step but the first: is it at least this one?

    The loss of a row is the mean binary cross-entropy of the questions (Frank and Hall 2001, as one network); `labels`
    are the numbers of the steps, from 0. A mistake costs the more the more steps it is off.
    """

    columns: tuple[str, ...] = (LABELS, WEIGHT)

    def items(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The total weight of the rows that have a label."""
        return row_weights(batch[LABELS], batch.get(WEIGHT)).sum()

    def terms(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Weight times mean binary cross-entropy, and weight, of each row."""
        logits = outputs["logits"].float()
        steps = torch.arange(1, logits.shape[-1] + 1, device=logits.device)
        reached = batch[LABELS][:, None].ge(steps).to(logits)
        reached = reached * (1 - label_smoothing) + label_smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits, reached, reduction="none").mean(dim=-1)
        weight = row_weights(batch[LABELS], batch.get(WEIGHT))
        return torch.stack([losses * weight, weight], dim=-1)

    def loss(self, outputs: Mapping[str, Any], batch: Mapping[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Σ weight · mean binary cross-entropy."""
        return self.terms(outputs, batch, label_smoothing=label_smoothing)[:, 0].sum()


def _column(labels: Tensor) -> Tensor:
    """One label per row; some collators give them the shape (rows, 1)."""
    return labels.squeeze(-1) if labels.dim() == 2 and labels.shape[-1] == 1 else labels
