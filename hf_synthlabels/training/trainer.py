"""StudentTrainer: transformers' Trainer with an exact loss for every head and predictions in row order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import EvalPrediction, Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput, has_length

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data import row_lengths
from hf_synthlabels.training.objective import Classification, Objective, row_terms
from hf_synthlabels.training.once import computed_once
from hf_synthlabels.training.sampler import LengthBucketedSampler, LongestFirstSampler

__all__ = ["StudentTrainer"]


class StudentTrainer(Trainer):
    """A Trainer called with Trainer's arguments and an objective; `args` is a StudentConfig.

    The loss of an update is Σ loss / Σ items over all its rows, however they are spread over accumulation steps and
    processes; plain Trainer multiplies it by steps × processes for most heads (huggingface/transformers#47688). The
    evaluation loss is the same quotient over the whole data set. Predictions come in row order.

    The default objective is the cross-entropy of one class per row; a row may bring `label_probs`, a soft label, and
    `label_weight`.

    Raises:
        ConfigError: `args` is not a StudentConfig, or a `compute_loss_func` was passed.
    """

    # The loss below is divided by all that counts in the update, so it must not be divided by the steps as well.
    loss_is_scaled_for_ga = True
    # Trainer sets these without saying their types.
    compute_metrics: Callable[[EvalPrediction], dict[str, Any]] | None
    preprocess_logits_for_metrics: Callable[[Any, Any], Any] | None
    label_names: list[str]
    _signature_columns: list[str] | None

    def __init__(self, *args: Any, objective: Objective | None = None, **kwargs: Any) -> None:
        self.objective: Objective = objective or Classification()
        self._terms: Tensor | None = None
        self._attached = False
        self._loss_only = False
        super().__init__(*args, **kwargs)
        if not isinstance(self.args, StudentConfig):
            raise ConfigError(
                f"`args` is a {type(self.args).__name__}. Pass a StudentConfig; it takes the same options."
            )
        if self.compute_loss_func is not None:
            raise ConfigError(
                "`compute_loss_func` would replace the objective. Pass `objective`, or use Trainer itself."
            )
        # transformers 5.17 has no `loss_is_scaled_for_ga` and decides by this. Remove when 5.17 is no longer supported.
        self.model_accepts_loss_kwargs = True

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            self._signature_columns = [*(self._signature_columns or ()), *self.objective.columns]

    def _get_num_items_in_batch(self, batch_samples: list[Mapping[str, Tensor]], device: torch.device) -> Tensor | None:
        """What counts in an update: in all its accumulation steps, and in all processes."""
        if not batch_samples or not set(self.label_names) & set(batch_samples[0]):
            return None
        total = torch.stack([self.objective.items(batch) for batch in batch_samples]).sum()
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
        """The objective's loss of these rows, over all that counts in the update."""
        outputs = model(**{name: value for name, value in inputs.items() if name not in self.objective.columns})
        smoothing = self.args.label_smoothing_factor
        loss = self.objective.loss(outputs, inputs, label_smoothing=smoothing)
        if return_outputs:
            self._terms = row_terms(self.objective, outputs, inputs, label_smoothing=smoothing).detach()
        total = self.objective.items(inputs) if num_items_in_batch is None else num_items_in_batch.to(loss)
        # An update in which nothing counts has the loss 0, not 0/0.
        loss = loss / total.clamp(min=torch.finfo(loss.dtype).tiny)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # Gradients and logged losses are averaged over processes; the total already covers all of them.
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Any, Any]:
        """Trainer's step; where there are labels, the loss and the items of each row stand behind the outputs."""
        self._forget_terms()
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        if self._terms is None or self.args.batch_eval_metrics:
            return loss, logits, labels
        self._attached = True
        if self._loss_only:
            # Outputs may be as large as the vocabulary for each token: they are not kept where nobody asks for them.
            return loss, (self._terms,), None
        return loss, (*(logits if isinstance(logits, tuple) else (logits,)), self._terms), labels

    def _forget_terms(self) -> None:
        self._terms, self._attached = None, False

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
        metrics, preprocess = self.compute_metrics, self.preprocess_logits_for_metrics
        self._loss_only = bool(loss_only)
        if metrics is not None and not self.args.batch_eval_metrics:
            # On the loss alone there is nothing to compute them from.
            self.compute_metrics = None if loss_only else computed_once(_in_row_order(metrics, positions))
        if preprocess is not None:
            self.preprocess_logits_for_metrics = _before_terms(preprocess)
        try:
            # Never the loss only for Trainer: it would drop the losses of the rows as well.
            output = super().evaluation_loop(dataloader, description, False, ignore_keys, metric_key_prefix)
        finally:
            self.compute_metrics, self.preprocess_logits_for_metrics = metrics, preprocess
            self._loss_only = False
        outputs, terms = _apart(output.predictions, attached=self._attached)
        if terms is not None:
            # Trainer's mean over batches is off when batches differ in what counts.
            total = terms.astype(np.float64).sum(axis=0)
            output.metrics[f"{metric_key_prefix}_loss"] = float(total[0] / total[1]) if total[1] else 0.0
        if loss_only:
            return output._replace(predictions=None, label_ids=None)
        return output._replace(predictions=_take(outputs, positions), label_ids=_take(output.label_ids, positions))


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


class _Evaluated(NamedTuple):
    """The outputs of an evaluation as Trainer gives them, and the loss and items of each row, shape (rows, 2)."""

    outputs: Any
    terms: NDArray[np.float32] | None


def _apart(predictions: Any, *, attached: bool) -> _Evaluated:
    """Takes off what stands behind the outputs: of all rows, or of each batch where they are not concatenated."""
    if not attached or predictions is None:
        return _Evaluated(predictions, None)
    if isinstance(predictions, list):
        parts = [_apart(batch, attached=True) for batch in predictions]
        return _Evaluated([part.outputs for part in parts], np.concatenate([part.terms for part in parts]))
    *outputs, terms = predictions
    return _Evaluated(outputs[0] if len(outputs) == 1 else tuple(outputs), terms)


def _before_terms(preprocess: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A user's preprocessing of outputs that have losses and items behind them."""

    def preprocessed(logits: Any, labels: Any) -> Any:
        outputs, terms = _apart(logits, attached=True)
        made = preprocess(outputs, labels)
        return (*(made if isinstance(made, tuple) else (made,)), terms)

    return preprocessed


def _take(values: Any, positions: NDArray[np.int64] | None) -> Any:
    """The rows at `positions` of an array, or of each array of a tuple or list of them."""
    if values is None or positions is None:
        return values
    if isinstance(values, tuple | list):
        return type(values)(_take(value, positions) for value in values)
    return values[positions]


def _in_row_order(
    metrics: Callable[[EvalPrediction], dict[str, Any]], positions: NDArray[np.int64] | None
) -> Callable[[EvalPrediction], dict[str, Any]]:
    """Metrics that may rely on row order, for instance to look up another column."""

    def ordered(prediction: EvalPrediction) -> dict[str, Any]:
        return metrics(
            EvalPrediction(
                predictions=_take(_apart(prediction.predictions, attached=True).outputs, positions),
                label_ids=_take(prediction.label_ids, positions),
                inputs=_take(prediction.inputs, positions),
                losses=_take(prediction.losses, positions),
            )
        )

    return ordered
