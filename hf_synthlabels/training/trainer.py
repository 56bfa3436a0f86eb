"""StudentTrainer: transformers' Trainer with an exact loss and predictions in row order."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import EarlyStoppingCallback, EvalPrediction, Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import EvalLoopOutput, TrainOutput, has_length

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.base_model import prepare_model
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.batches import without_row_ids
from hf_synthlabels.training.data.features import ROW, row_lengths
from hf_synthlabels.training.data.samplers import (
    LongestFirstSampler,
    bucketed_sampler,
    check_full_batch,
    token_budget_loader,
)
from hf_synthlabels.training.evaluation import (
    best_of_trial,
    main_process_only,
    mean_loss,
    metrics_in_row_order,
    reading_order,
    search_options,
    to_row_order,
    unknown_metric,
)
from hf_synthlabels.training.failures import NonFiniteLossCheck, explain_out_of_memory, predict_in_halves
from hf_synthlabels.training.saving.checkpoints import atomic_checkpoint, checkpoint_to_resume
from hf_synthlabels.training.tasks.default_objective import (
    check_shapes,
    default_objective,
    objective_for_labels,
    total_weight,
)
from hf_synthlabels.training.tasks.objectives import Objective


class StudentTrainer(Trainer):
    """A Trainer with an exact loss; it takes Trainer's arguments and an `objective`, and `args` is a StudentConfig.

    The loss of an update is Σ loss / Σ weight over all its rows, for any number of accumulation steps and processes;
    Trainer multiplies it by steps × processes for most heads (huggingface/transformers#47688). The evaluation loss is
    the same quotient over the whole data set. Predictions are in row order.

    Without an `objective`, the classification, tagging, question-answering and causal language model heads of
    transformers get the objective that equals their own loss. Any other model, a `compute_loss_func` and a subclass
    with its own `compute_loss` keep their loss, as in Trainer. A row may have a `label_weight` and, in single-label
    classification, a soft label `label_probs`.

    Raises:
        ConfigError: `args` is not a StudentConfig, or there are an `objective` and a `compute_loss_func`.
    """

    # Trainer sets these without type annotations.
    compute_metrics: Callable[[EvalPrediction], dict[str, Any]] | None
    label_names: list[str]
    train_dataset: Any
    _signature_columns: list[str] | None

    def __init__(
        self, model: Any = None, args: Any = None, *rest: Any, objective: Objective | None = None, **options: Any
    ) -> None:
        self._batch_terms: Tensor | None = None
        self._eval_terms: list[Tensor] | None = None
        # Trainer uses `self.objective` for the value that a hyperparameter search optimizes.
        self.training_objective: Objective | None = objective
        args = StudentConfig() if args is None else args
        if args.push_to_hub:
            # A student is pushed once, when it is finished; Trainer would push at every save.
            args = copy.copy(args)
            args.push_to_hub = False
        super().__init__(model, args, *rest, **options)
        if not isinstance(self.args, StudentConfig):
            raise ConfigError(f"`args` is a {type(self.args).__name__}. Pass a StudentConfig with the same options.")
        if objective is not None and self.compute_loss_func is not None:
            raise ConfigError("`compute_loss_func` and `objective` both define the loss. Pass one of them.")
        self._objective_is_final = objective is not None
        self._overrides_loss = type(self).compute_loss is not StudentTrainer.compute_loss
        if objective is None and self.compute_loss_func is None:
            self.training_objective = default_objective(self.model)
        self._sharded = bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)
        self._loss_check = NonFiniteLossCheck(self.compute_loss, self.args.learning_rate, sharded=self._sharded)
        if self.args.early_stopping is not None:
            self.add_callback(EarlyStoppingCallback(self.args.early_stopping))
        prepare_model(self)

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Train; True resumes from the last complete checkpoint, or starts from the beginning if there is none.

        Raises:
            ConfigError: the checkpoint cannot be resumed, `metric_for_best_model` is unknown, or `dataloader_drop_last`
                drops all rows.
            TrainingError: the loss became NaN or infinite, a batch does not fit into memory, or a checkpoint could not
                be written.
        """
        check_full_batch(self)
        checkpoint = checkpoint_to_resume(self.args, resume_from_checkpoint, self.train_dataset)
        with explain_out_of_memory(self.args):
            output = super().train(checkpoint, trial, ignore_keys_for_eval)
        self._loss_check.finish(self.model)
        return output

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Not supported: the model card needs information that the trainer does not have.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "`push_to_hub` would push a model without its card. Use `push_student` of hf_synthlabels.publishing."
        )

    def hyperparameter_search(self, hp_space: Any = None, **options: Any) -> Any:
        """Trainer's search, which here uses the best evaluation of a trial instead of the last.

        Without `compute_objective`, it optimizes `metric_for_best_model` or the loss; see `search_options`.
        """
        options = search_options(self.args, options)
        compute, direction = options["compute_objective"], options.get("direction") or "minimize"

        def best_so_far(metrics: dict[str, float]) -> Any:
            # Trainer sets `self.objective` to None when a trial begins.
            return best_of_trial(getattr(self, "objective", None), compute(metrics), direction)

        return super().hyperparameter_search(hp_space, **{**options, "compute_objective": best_so_far})

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Trainer's step.

        Raises:
            DivergedError: the loss is NaN or infinite.
        """
        # `compute_loss` sets it if the objective computes the loss, and not a subclass or the model.
        self.__dict__.pop("loss_is_scaled_for_ga", None)
        loss: Tensor = super().training_step(model, without_row_ids(inputs), num_items_in_batch)
        self._loss_check.record(loss, model, inputs, self.state.global_step + 1)
        return loss

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._loss_check.finish(model)
        with atomic_checkpoint(self, self._get_output_dir(trial=trial)):
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
            own = () if self.training_objective is None else self.training_objective.columns
            self._signature_columns = [*(self._signature_columns or ()), *own, ROW]

    def _get_num_items_in_batch(
        self, batch_samples: list[Mapping[str, Tensor]], device: torch.device
    ) -> Tensor | int | None:
        """The total weight of an update, over its accumulation steps and processes."""
        if not batch_samples or not set(self.label_names) & set(batch_samples[0]):
            return None
        self._finalize_objective(batch_samples[0])
        if self.training_objective is None:
            items: Tensor | int | None = super()._get_num_items_in_batch(batch_samples, device)
            return items
        total = total_weight(self.training_objective, batch_samples, strict=not self._overrides_loss)
        if total is not None and self.args.average_tokens_across_devices and self.args.world_size > 1:
            total = self.accelerator.gather(total.to(device)).sum()
        return None if total is None else total.to(device)

    def _finalize_objective(self, batch: Mapping[str, Any]) -> None:
        if not self._objective_is_final:
            self.training_objective = objective_for_labels(self.training_objective, batch)
            self._objective_is_final = True

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """The objective's loss of these rows, divided by the total weight of the update; or the model's own loss."""
        self._finalize_objective(inputs)
        objective = self.training_objective
        if objective is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outputs = model(**{name: inputs[name] for name in inputs if name not in (*objective.columns, "skip_logits")})
        check_shapes(objective, outputs, inputs)
        losses = objective.row_losses(outputs, inputs, label_smoothing=self.args.label_smoothing_factor)
        if return_outputs:
            self._batch_terms = torch.stack([losses, objective.row_weights(inputs)], dim=-1).detach()
        loss = losses.sum()
        # Trainer must not divide this loss by the accumulation steps again.
        self.loss_is_scaled_for_ga = num_items_in_batch is not None
        total = objective.row_weights(inputs).sum() if num_items_in_batch is None else num_items_in_batch.to(loss)
        # The loss of an update with total weight 0 is 0, not NaN.
        loss = loss / total.clamp(min=torch.finfo(loss.dtype).tiny)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # Gradients and logged losses are averaged over processes, and the total already covers all of them.
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Any, Any]:
        """Trainer's step; a batch that does not fit into memory is predicted in halves."""

        def predict(part: dict[str, Any]) -> tuple[Any, ...]:
            self._batch_terms = None
            outputs = super(StudentTrainer, self).prediction_step(model, part, prediction_loss_only, ignore_keys)
            return (*outputs, self._batch_terms)

        inputs = without_row_ids(inputs)
        loss, logits, labels, terms = predict(inputs) if self._sharded else predict_in_halves(predict, inputs)
        if terms is not None and self._eval_terms is not None:
            # Gathering drops duplicate rows, which only several processes read.
            self._eval_terms.append(terms if self.args.world_size == 1 else self.gather_function(terms))
        return loss, logits, labels

    def _get_dataloader(self, dataset: Any, *args: Any, is_training: bool = False, **options: Any) -> Any:
        """Trainer's loader; training batches may have a token budget, and evaluation never drops rows."""
        if is_training and self.args.token_budget is not None and has_length(dataset):
            return token_budget_loader(self, dataset)
        drop_last = self.args.dataloader_drop_last
        self.args.dataloader_drop_last = drop_last and is_training
        try:
            return super()._get_dataloader(dataset, *args, is_training=is_training, **options)
        finally:
            self.args.dataloader_drop_last = drop_last

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        replaced = self.args.train_sampling_strategy in ("random", "group_by_length")
        lengths = row_lengths(dataset) if self.args.bucket and replaced and has_length(dataset) else None
        if lengths is None:
            sampler: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return sampler
        return bucketed_sampler(self, lengths)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int] | None:
        # Outputs and metrics of single batches cannot be sorted into row order.
        reorderable = self.args.eval_do_concat_batches and not self.args.batch_eval_metrics
        lengths = row_lengths(eval_dataset) if reorderable and has_length(eval_dataset) else None
        return None if lengths is None else LongestFirstSampler(lengths)

    def evaluation_loop(
        self,
        dataloader: DataLoader[Any],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Trainer's loop; everything it returns is in row order, and the loss is over all rows."""
        order, metrics, outer = reading_order(dataloader), self.compute_metrics, self._eval_terms
        if metrics is not None and not self.args.batch_eval_metrics:
            self.compute_metrics = main_process_only(metrics_in_row_order(metrics, order))
        terms: list[Tensor] = []
        self._eval_terms = terms
        try:
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        finally:
            self.compute_metrics, self._eval_terms = metrics, outer
        if terms and not self._overrides_loss:
            output.metrics[f"{metric_key_prefix}_loss"] = mean_loss(terms)
        return output._replace(
            predictions=to_row_order(output.predictions, order), label_ids=to_row_order(output.label_ids, order)
        )

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            # Unpickling a StudentConfig would need this package.
            torch.save(self.args.to_training_arguments(), Path(output_dir or self.args.output_dir) / TRAINING_ARGS_NAME)
