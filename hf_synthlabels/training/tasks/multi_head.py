"""Several variables of the same texts: one encoder with one classification head per variable.

The heads are the blocks of a single output layer, so the model is an ordinary sequence classifier of transformers:
adapters, sharding, export and `from_pretrained` work as for one head. An architecture with a dense layer before its
outputs, such as RoBERTa, shares it among the heads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import EvalPrediction, PreTrainedTokenizerBase, Trainer

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import Kind, LabelSchema
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.features import IGNORED, LABELS, PROBS, WEIGHT
from hf_synthlabels.training.data.head_rows import evaluation_columns, evaluation_rows, multi_head_rows
from hf_synthlabels.training.data.training_rows import TrainingRows
from hf_synthlabels.training.data.variable_heads import VariableHead, output_names
from hf_synthlabels.training.prediction import Prediction
from hf_synthlabels.training.tasks.base import Head, Metrics, class_head, first_output
from hf_synthlabels.training.tasks.objectives import Batch, Classification, MultiLabel, Objective, Outputs
from hf_synthlabels.training.tasks.sequence import (
    MultiLabelTask,
    SingleLabelTask,
    check_varied,
    classification_metrics,
    row_features,
    row_logits,
)


@dataclass(frozen=True, slots=True)
class _Block:
    """A head and its places among the outputs of the model and among the label values of a row."""

    head: VariableHead
    outputs: slice
    labels: slice

    def objective(self) -> Objective:
        """The objective of a student with this head only."""
        return MultiLabel(class_weights=self.head.class_weights) if self.head.is_multi_label else Classification()

    def batch(self, batch: Batch) -> dict[str, Tensor]:
        """The labels, soft labels and weights of this head."""
        part = {LABELS: batch[LABELS][:, self.labels]}
        if PROBS in batch and not self.head.is_multi_label:
            part[PROBS] = batch[PROBS][:, self.outputs]
        if WEIGHT in batch:
            part[WEIGHT] = batch[WEIGHT]
        return part


def blocks(heads: Sequence[VariableHead]) -> Iterator[_Block]:
    """Each head with its outputs and its label values, in order."""
    output = label = 0
    for head in heads:
        width = len(head.schema.names)
        yield _Block(head, slice(output, output + width), slice(label, label + head.label_width))
        output, label = output + width, label + head.label_width


@dataclass(frozen=True, slots=True)
class MultiHead:
    """The losses of all heads: each label of a row counts once, times the weight of its head and of the row.

    `labels` has shape (rows, label values): for each head a code, or an indicator for each name; -100 where the row has
    no label for the head, which then adds neither to the loss nor to its denominator.
    """

    heads: tuple[VariableHead, ...]
    columns: tuple[str, ...] = (LABELS, PROBS, WEIGHT)

    def row_weights(self, batch: Batch) -> Tensor:
        """The total weight of each row's labels."""
        weights = [
            block.head.weight * block.objective().row_weights(block.batch(batch)) for block in blocks(self.heads)
        ]
        return torch.stack(weights).sum(dim=0)

    def row_losses(self, outputs: Outputs, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """The weighted loss of each row, summed over its labels."""
        losses = [
            block.head.weight
            * block.objective().row_losses(
                {"logits": outputs["logits"][:, block.outputs]}, block.batch(batch), label_smoothing=label_smoothing
            )
            for block in blocks(self.heads)
        ]
        return torch.stack(losses).sum(dim=0)


@dataclass(frozen=True, slots=True)
class MultiHeadTask:
    """A class, or several classes, of each variable."""

    config: StudentConfig
    heads: tuple[VariableHead, ...]

    @property
    def schema(self) -> LabelSchema:
        """All outputs of the model, for its configuration."""
        return LabelSchema(kind=cast("Kind", self.config.task), names=output_names(self.heads))

    @property
    def objective(self) -> Objective:
        """Cross-entropy of each head, over the rows that have its label."""
        return MultiHead(self.heads)

    @property
    def head(self) -> Head:
        """One block of outputs per variable; `heads` in the configuration has their codes."""
        heads = {
            block.head.variable: {
                "kind": block.head.schema.kind,
                "outputs": [block.outputs.start, block.outputs.stop],
                "label2id": {name: code for code, name in enumerate(block.head.schema.names)},
            }
            for block in blocks(self.heads)
        }
        head = class_head(output_names(self.heads))
        return Head(head.auto, head.settings, head.purpose, {"heads": heads})

    def rows(self, dataset: Dataset) -> TrainingRows:
        """The rows with a label of any variable."""
        return multi_head_rows(dataset, self.heads, weight_column=self.config.weight_column)

    def evaluation_rows(self, dataset: Dataset) -> TrainingRows:
        """The rows with a label to evaluate on: the human ones of each variable that has some."""
        return evaluation_rows(dataset, self.heads, weight_column=self.config.weight_column)

    def evaluation_columns(self, dataset: Dataset) -> list[str]:
        """The label column that each variable is evaluated on."""
        return evaluation_columns(dataset, self.heads)

    def learnable(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> TrainingRows:  # noqa: ARG002
        """All rows; each variable must have two different labels."""
        for place, head in enumerate(self.heads):
            labels = [label[place] for label in rows.labels if label[place] is not None]
            named = labels if head.is_multi_label else [head.schema.names[code] for code in labels]
            check_varied(self._head_config(head), named)
        return rows

    def collator(self, tokenizer: PreTrainedTokenizerBase) -> Callable[..., Any] | None:  # noqa: ARG002
        """Trainer's padding."""
        return None

    def features(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        """Tokens, the label values of all heads, probabilities and weight."""
        labels = [
            [value for head, label in zip(self.heads, row, strict=True) for value in _label_values(head, label)]
            for row in rows.labels
        ]
        probs = None if rows.probs is None else rows.probs.tolist()
        return row_features(dataset, rows, tokenizer, self.config, labels, probs)

    def metrics(self, dataset: Dataset, rows: TrainingRows, tokenizer: PreTrainedTokenizerBase) -> Metrics | None:
        """The scores of each head, prefixed with its variable, and the means of those that all heads have."""

        def compute(prediction: EvalPrediction) -> dict[str, float]:
            logits, labels = first_output(prediction.predictions), np.asarray(prediction.label_ids)
            scores: dict[str, dict[str, float]] = {}
            for block in blocks(self.heads):
                labelled = labels[:, block.labels.start] != IGNORED
                if not labelled.any():
                    continue
                human = labels[labelled, block.labels]
                part = EvalPrediction(logits[labelled, block.outputs], human)
                if block.head.is_multi_label:
                    of_head = self._head_task(block.head).metrics(dataset, rows, tokenizer)
                    assert of_head is not None
                    scores[block.head.variable] = of_head(part)
                else:
                    part = EvalPrediction(part.predictions, human[:, 0])
                    scores[block.head.variable] = classification_metrics(part)
            shared = set.intersection(*(set(values) for values in scores.values())) if scores else set()
            means = {name: float(np.mean([values[name] for values in scores.values()])) for name in sorted(shared)}
            return means | {f"{name}_{key}": value for name, values in scores.items() for key, value in values.items()}

        return compute

    def predict(self, trainer: Trainer, dataset: Dataset) -> Prediction:  # noqa: ARG002
        """Not supported: the student has several heads.

        Raises:
            ConfigError: always.
        """
        names = ", ".join(head.variable for head in self.heads)
        raise ConfigError(f"`predict` needs a student with one head; this one has {names}. Use `predict_variables`.")

    def predict_variables(
        self, trainer: Trainer, dataset: Dataset, variables: Sequence[str] = ()
    ) -> dict[str, Prediction]:
        """The prediction of each variable, from one pass over the rows.

        Args:
            trainer: the student's trainer.
            dataset: rows; a missing text counts as an empty one.
            variables: variables to predict; default: all.

        Raises:
            DataError: a text column is missing or does not contain text.
        """
        logits = row_logits(trainer, dataset, self.config, len(output_names(self.heads)))
        return {
            block.head.variable: self._head_task(block.head).prediction(logits[:, block.outputs])
            for block in blocks(self.heads)
            if not variables or block.head.variable in variables
        }

    def _head_task(self, head: VariableHead) -> SingleLabelTask | MultiLabelTask:
        """The task of a student with this head only."""
        kind = MultiLabelTask if head.is_multi_label else SingleLabelTask
        return kind(self.config, head.schema)

    def _head_config(self, head: VariableHead) -> StudentConfig:
        config = copy.copy(self.config)
        config.label_column = head.variable
        return config


def _label_values(head: VariableHead, label: Any) -> list[int]:
    """The label of a row as values of the feature `labels`."""
    if label is None:
        return [IGNORED] * head.label_width
    return [int(name in label) for name in head.schema.names] if head.is_multi_label else [label]
