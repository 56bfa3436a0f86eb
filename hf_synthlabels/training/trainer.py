"""StudentTrainer: transformers' Trainer with an exact loss for classification and predictions in row order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import EvalPrediction, Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput, has_length

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data import LABELS, PROBS, WEIGHT, optional_column, row_lengths
from hf_synthlabels.training.losses import row_weights, weighted_cross_entropy
from hf_synthlabels.training.once import computed_once
from hf_synthlabels.training.sampler import LengthBucketedSampler, LongestFirstSampler

__all__ = ["StudentTrainer"]


class StudentTrainer(Trainer):
    """A Trainer for sequence classification, called with Trainer's arguments; `args` is a StudentConfig.

    The loss of an update is Σ weight·cross-entropy / Σ weight over all its rows, however they are spread over
    accumulation steps and processes; plain Trainer multiplies it by steps × processes for classification heads
    (huggingface/transformers#47688). A row may bring `label_probs`, a soft label, and `label_weight`.
    The evaluation loss is the same quotient over the whole data set. Predictions come in row order.

    Raises:
        ConfigError: `args` is not a StudentConfig, or a `compute_loss_func` was passed.
    """

    # The loss below is divided by all that counts in the update, so it must not be divided by the steps as well.
    loss_is_scaled_for_ga = True
    # Trainer sets these without saying their types.
    compute_metrics: Callable[[EvalPrediction], dict[str, Any]] | None
    _signature_columns: list[str] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.args, StudentConfig):
            raise ConfigError(
                f"`args` is a {type(self.args).__name__}. Pass a StudentConfig; it takes the same options."
            )
        if self.compute_loss_func is not None:
            raise ConfigError(
                "`compute_loss_func` would replace the weighted loss. Leave it out or use Trainer itself."
            )
        # transformers 5.17 has no `loss_is_scaled_for_ga` and decides by this. Remove when 5.17 is no longer supported.
        self.model_accepts_loss_kwargs = True

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            self._signature_columns = [*(self._signature_columns or ()), PROBS, WEIGHT]

    def _get_num_items_in_batch(self, batch_samples: list[Mapping[str, Tensor]], device: torch.device) -> Tensor | None:
        """The total weight of an update: of all its accumulation steps, and of all processes."""
        if not batch_samples or LABELS not in batch_samples[0]:
            return None
        total = torch.stack([row_weights(batch[LABELS], batch.get(WEIGHT)).sum() for batch in batch_samples]).sum()
        total = total.to(device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            total = self.accelerator.gather(total).sum()
        return total

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Σ weight·cross-entropy of these rows, over the total weight of the update."""
        inputs = dict(inputs)
        labels, probs, weight = inputs.pop(LABELS), inputs.pop(PROBS, None), inputs.pop(WEIGHT, None)
        outputs = model(**inputs)
        counted = row_weights(labels, weight)
        loss = weighted_cross_entropy(
            outputs["logits"],
            labels if probs is None else probs,
            counted,
            label_smoothing=self.args.label_smoothing_factor,
        )
        total = counted.sum() if num_items_in_batch is None else num_items_in_batch.to(loss)
        # An update whose rows all weigh 0 has the loss 0, not 0/0.
        loss = loss / total.clamp(min=torch.finfo(loss.dtype).tiny)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # Gradients and logged losses are averaged over processes; the total already covers all of them.
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        replaced = self.args.train_sampling_strategy in ("random", "group_by_length")
        if not (self.args.bucket and replaced and has_length(dataset)):
            sampler: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return sampler
        bucketed = LengthBucketedSampler(
            row_lengths(dataset),
            self._train_batch_size,
            seed=self.args.seed if self.args.data_seed is None else self.args.data_seed,
            processes=self.args.world_size,
        )
        self.remove_callback(_SetEpoch)
        self.add_callback(_SetEpoch(bucketed))
        return bucketed

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int] | None:
        # Outputs that are not concatenated can not be put back into row order.
        if not has_length(eval_dataset) or not self.args.eval_do_concat_batches:
            return None
        return LongestFirstSampler(row_lengths(eval_dataset))

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Trainer's loop, with everything that it returns in row order and the loss over all rows."""
        loss_only = self.args.prediction_loss_only if prediction_loss_only is None else prediction_loss_only
        positions = _row_positions(dataloader)
        metrics = self.compute_metrics
        if loss_only or self.args.batch_eval_metrics or metrics is None or positions is None:
            ordered = None if loss_only else metrics
        else:
            ordered = computed_once(_in_row_order(metrics, positions))
        self.compute_metrics = ordered
        try:
            # Never the loss only: the loss over all rows is computed from their logits.
            output = super().evaluation_loop(dataloader, description, False, ignore_keys, metric_key_prefix)
        finally:
            self.compute_metrics = metrics
        if positions is not None:
            output = output._replace(
                predictions=_take(output.predictions, positions), label_ids=_take(output.label_ids, positions)
            )
            loss = self._loss_of(output, dataloader.dataset)
            if loss is not None:
                output.metrics[f"{metric_key_prefix}_loss"] = loss
        return output._replace(predictions=None, label_ids=None) if loss_only else output

    def _loss_of(self, output: EvalLoopOutput, dataset: Any) -> float | None:
        """The loss over a whole data set; Trainer's mean over batches is off when batches differ in weight."""
        if output.predictions is None or output.label_ids is None:
            return None
        logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
        labels = torch.as_tensor(output.label_ids)
        probs, weight = optional_column(dataset, PROBS), optional_column(dataset, WEIGHT)
        counted = row_weights(labels, None if weight is None else torch.tensor(weight))
        loss = weighted_cross_entropy(
            torch.as_tensor(logits),
            labels if probs is None else torch.tensor(probs),
            counted,
            label_smoothing=self.args.label_smoothing_factor,
        )
        return float(loss / counted.sum())


@dataclass
class _SetEpoch(TrainerCallback):
    """Tells the sampler the epoch also after resuming on several processes, where accelerate does not reach it.

    `DataLoaderShard.set_epoch` looks two wrappers deep; `skip_first_batches` adds a third (accelerate 1.15). Remove
    when it looks through `SkipBatchSampler`.
    """

    sampler: LengthBucketedSampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.sampler.set_epoch(int(state.epoch or 0))


def _row_positions(dataloader: DataLoader[Any]) -> NDArray[np.int64] | None:
    """Where each row stands in the output of a loader; None when the loader reads in an order of its own."""
    batch_sampler: Any = dataloader.batch_sampler
    # On several processes accelerate wraps the batch sampler in another one.
    while batch_sampler is not None and hasattr(batch_sampler, "batch_sampler"):
        batch_sampler = batch_sampler.batch_sampler
    sampler = None if batch_sampler is None else batch_sampler.sampler
    return np.argsort(sampler.order) if isinstance(sampler, LongestFirstSampler) else None


def _take(values: Any, positions: NDArray[np.int64]) -> Any:
    """The rows at `positions` of an array, or of each array of a tuple or list of them."""
    if values is None:
        return None
    if isinstance(values, tuple | list):
        return type(values)(_take(value, positions) for value in values)
    return values[positions]


def _in_row_order(
    metrics: Callable[[EvalPrediction], dict[str, Any]], positions: NDArray[np.int64]
) -> Callable[[EvalPrediction], dict[str, Any]]:
    """Metrics that may rely on row order, for instance to look up another column."""

    def ordered(prediction: EvalPrediction) -> dict[str, Any]:
        return metrics(
            EvalPrediction(
                predictions=_take(prediction.predictions, positions),
                label_ids=_take(prediction.label_ids, positions),
                inputs=_take(prediction.inputs, positions),
                losses=_take(prediction.losses, positions),
            )
        )

    return ordered
