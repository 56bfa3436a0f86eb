"""StudentTrainer: transformers' Trainer with an exact loss for every head and predictions in row order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Sampler
from transformers import EarlyStoppingCallback, EvalPrediction, Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput, TrainOutput, has_length

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.best import unknown_metric
from hf_synthlabels.training.checkpoints import checkpoint_to_resume, saved_whole
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data import row_lengths
from hf_synthlabels.training.evaluation import apart, before_terms, in_row_order, row_positions, take
from hf_synthlabels.training.exchange import LateExchange, exchange_gradients, late
from hf_synthlabels.training.finite import FiniteLosses
from hf_synthlabels.training.micro_batches import ROW, MicroBatches, numbered, predicted_in_pieces, without_rows
from hf_synthlabels.training.objective import Classification, Objective, row_terms
from hf_synthlabels.training.once import computed_once
from hf_synthlabels.training.sampler import LengthBucketedSampler, LongestFirstSampler
from hf_synthlabels.training.search_objective import best_of_trial, searched_by
from hf_synthlabels.training.speed import prepare_run
from hf_synthlabels.training.token_budget import TokenBudgetSampler, budget_loader

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
    objective: Any
    train_dataset: Any
    _signature_columns: list[str] | None

    def __init__(self, *args: Any, objective: Objective | None = None, **kwargs: Any) -> None:
        # `objective` is what Trainer calls the number that a search of hyperparameters looks for.
        self.learns: Objective = objective or Classification()
        self._search_direction: Any = None
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
        self.train_dataset = numbered(self.train_dataset)
        self._batches = MicroBatches(self.args.per_device_train_batch_size)
        self._exchange = LateExchange()
        self._finite = FiniteLosses(
            self.compute_loss,
            self.args.learning_rate,
            sharded=self._sharded,
        )
        if self.args.early_stopping is not None:
            self.add_callback(EarlyStoppingCallback(self.args.early_stopping))
        prepare_run(self)

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Trainer's training; with True it goes on from the last whole checkpoint, or begins where there is none.

        Raises:
            ConfigError: the checkpoint can not be gone on from, or `metric_for_best_model` is unknown.
            TrainingError: a loss became infinite or no number, one row does not fit into memory, or a checkpoint
                could not be written.
        """
        checkpoint = checkpoint_to_resume(self.args, resume_from_checkpoint, self.train_dataset)
        self._exchange.begin_run(several=self.args.world_size > 1 and not self._sharded)
        try:
            output = super().train(checkpoint, trial, ignore_keys_for_eval)
        finally:
            self._exchange.end_run()
        self._finite.finish(self.model)
        return output

    @property
    def _sharded(self) -> bool:
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Nothing: with `push_to_hub` a repository is made when there is a finished student to put into it."""

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Nothing: half a run is not published."""

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Not done here: the card needs what only publishing knows.

        Raises:
            ConfigError: always, with the way to publish.
        """
        raise ConfigError(
            "`push_to_hub` of the trainer would publish a model without its card. Use `push_student` or "
            "`StudentPublisher` of hf_synthlabels.publishing."
        )

    def hyperparameter_search(self, hp_space: Any = None, **options: Any) -> Any:
        """Trainer's search for the best evaluation of a trial, not its last one.

        Without `compute_objective` it is by `metric_for_best_model`, or by the loss; see `searched_by`.
        """
        found = searched_by(self.args, options)
        self._search_direction = found.get("direction") or "minimize"
        try:
            return super().hyperparameter_search(hp_space, **found)
        finally:
            self._search_direction = None

    def _report_to_hp_search(self, trial: Any, step: int, metrics: dict[str, float]) -> None:
        before = getattr(self, "objective", None)
        super()._report_to_hp_search(trial, step, metrics)
        if self._search_direction is not None and trial is not None:
            self.objective = best_of_trial(before, self.objective, self._search_direction)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Trainer's saving, which publishes nothing."""
        # Trainer pushes what is not saved by itself.
        super().save_model(output_dir, _internal_call=True)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], Tensor | int | None]:
        """Trainer's batches of the next update."""
        samples, items = super().get_batch_samples(*args, **kwargs)
        self._batches.begin(samples)
        self._exchange.begin_update(samples)
        return samples, items

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Trainer's step, in pieces since memory ran out; a loss that is not finite ends the training."""
        afterwards = self._exchange.now and isinstance(model, DistributedDataParallel)
        with late(model, active=afterwards):
            loss = self._batches.take(
                super().training_step,
                model,
                without_rows(inputs),
                num_items_in_batch,
                alone=afterwards or self.args.world_size == 1,
            )
        if afterwards and self._batches.ended:
            exchange_gradients(model)
        self._finite.see(loss, model, inputs, self.state.global_step + 1)
        return loss

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._finite.finish(model)
        with saved_whole(self, self._get_output_dir(trial=trial)):
            super()._save_checkpoint(model, trial)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        try:
            better: bool = super()._determine_best_metric(metrics, trial)
        except KeyError as error:
            raise unknown_metric(str(self.args.metric_for_best_model), metrics) from error
        return better

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            self._signature_columns = [*(self._signature_columns or ()), *self.learns.columns, ROW]

    def _get_num_items_in_batch(self, batch_samples: list[Mapping[str, Tensor]], device: torch.device) -> Tensor | None:
        """What counts in an update: in all its accumulation steps, and in all processes."""
        if not batch_samples or not set(self.label_names) & set(batch_samples[0]):
            return None
        total = torch.stack([self.learns.items(batch) for batch in batch_samples]).sum()
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
        outputs = model(**{name: value for name, value in inputs.items() if name not in self.learns.columns})
        smoothing = self.args.label_smoothing_factor
        loss = self.learns.loss(outputs, inputs, label_smoothing=smoothing)
        if return_outputs:
            self._terms = row_terms(self.learns, outputs, inputs, label_smoothing=smoothing).detach()
        total = self.learns.items(inputs) if num_items_in_batch is None else num_items_in_batch.to(loss)
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
        inputs = without_rows(inputs)
        if not self._sharded:
            pieces: tuple[Tensor | None, Any, Any] = predicted_in_pieces(
                lambda piece: self._predicted(model, piece, prediction_loss_only, ignore_keys), inputs
            )
            return pieces
        return self._predicted(model, inputs, prediction_loss_only, ignore_keys)

    def _predicted(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None
    ) -> tuple[Tensor | None, Any, Any]:
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

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Trainer's loader; with a token budget its batches have as many rows as fit into it."""
        budget, dataset = self.args.token_budget, self.train_dataset
        if budget is None or dataset is None or not has_length(dataset):
            loader: DataLoader[Any] = super().get_train_dataloader()
            return loader
        batches = TokenBudgetSampler(
            row_lengths(dataset),
            budget,
            seed=self.args.seed if self.args.data_seed is None else self.args.data_seed,
            processes=self.args.world_size,
        )
        self._follow_epochs(batches)
        return budget_loader(self, dataset, batches)

    def _follow_epochs(self, sampler: LengthBucketedSampler | TokenBudgetSampler) -> None:
        self.remove_callback(_SetEpoch)
        self.add_callback(_SetEpoch(sampler))

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
        self._follow_epochs(bucketed)
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
        positions = row_positions(dataloader)
        metrics, preprocess = self.compute_metrics, self.preprocess_logits_for_metrics
        self._loss_only = bool(loss_only)
        if metrics is not None and not self.args.batch_eval_metrics:
            # On the loss alone there is nothing to compute them from.
            self.compute_metrics = None if loss_only else computed_once(in_row_order(metrics, positions))
        if preprocess is not None:
            self.preprocess_logits_for_metrics = before_terms(preprocess)
        try:
            # Never the loss only for Trainer: it would drop the losses of the rows as well.
            output = super().evaluation_loop(dataloader, description, False, ignore_keys, metric_key_prefix)
        finally:
            self.compute_metrics, self.preprocess_logits_for_metrics = metrics, preprocess
            self._loss_only = False
        outputs, terms = apart(output.predictions, attached=self._attached)
        if terms is not None:
            # Trainer's mean over batches is off when batches differ in what counts.
            total = terms.astype(np.float64).sum(axis=0)
            output.metrics[f"{metric_key_prefix}_loss"] = float(total[0] / total[1]) if total[1] else 0.0
        if loss_only:
            return output._replace(predictions=None, label_ids=None)
        return output._replace(predictions=take(outputs, positions), label_ids=take(output.label_ids, positions))


@dataclass
class _SetEpoch(TrainerCallback):
    """Tells the sampler the epoch also after resuming on several processes, where accelerate does not reach it.

    `DataLoaderShard.set_epoch` looks two wrappers deep; `skip_first_batches` adds a third (accelerate 1.15). Remove
    when it looks through `SkipBatchSampler`.
    """

    sampler: LengthBucketedSampler | TokenBudgetSampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.sampler.set_epoch(int(state.epoch or 0))
