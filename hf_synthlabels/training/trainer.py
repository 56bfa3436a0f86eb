"""StudentTrainer: transformers' Trainer with an exact loss and predictions in row order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Sampler
from transformers import EarlyStoppingCallback, EvalPrediction, Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import EvalLoopOutput, TrainOutput, has_length

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.callbacks.non_finite_loss import NonFiniteLossCheck
from hf_synthlabels.training.config import StudentConfig
from hf_synthlabels.training.data.features import row_lengths
from hf_synthlabels.training.data.samplers import LongestFirstSampler, bucketed
from hf_synthlabels.training.data.token_budget import budget_loader
from hf_synthlabels.training.distributed.gradient_sync import LateExchange, exchange_gradients, late
from hf_synthlabels.training.distributed.main_process import main_process_only
from hf_synthlabels.training.distributed.micro_batches import ROW, MicroBatches, predicted_in_pieces, without_rows
from hf_synthlabels.training.evaluation.best_evaluation import unknown_metric
from hf_synthlabels.training.evaluation.row_order import (
    every_row,
    in_row_order,
    index_select,
    mean_of_terms,
    reading_order,
)
from hf_synthlabels.training.evaluation.search_objective import best_of_trial, searched_by
from hf_synthlabels.training.saving.checkpoints import checkpoint_to_resume, saved_whole
from hf_synthlabels.training.speed import check_some_batch, prepare_run
from hf_synthlabels.training.tasks.default_objective import check_fits, default_objective, for_labels, items_of
from hf_synthlabels.training.tasks.objectives import Objective, row_terms


class StudentTrainer(Trainer):
    """A Trainer with an exact loss; it takes Trainer's arguments and an `objective`, and `args` is a StudentConfig.

    The loss of an update is Σ loss / Σ items over all its rows, however they are spread over accumulation steps and
    processes; plain Trainer multiplies it by steps × processes for most heads (huggingface/transformers#47688). The
    evaluation loss is the same quotient over the whole data set. Predictions are in row order.

    Without an `objective`, heads of transformers for classes, tags, answers and the next token get the objective that
    equals their own loss. Any other model, a `compute_loss_func` and a subclass with its own `compute_loss` keep
    their loss, as in Trainer. A row may have a `label_weight` and, with one class per row, a soft label `label_probs`.

    Raises:
        ConfigError: `args` is not a StudentConfig, or there are an `objective` and a `compute_loss_func`.
    """

    # Trainer sets these without saying their types.
    compute_metrics: Callable[[EvalPrediction], dict[str, Any]] | None
    preprocess_logits_for_metrics: Callable[[Any, Any], Any] | None
    label_names: list[str]
    objective: Any
    train_dataset: Any
    _signature_columns: list[str] | None

    def __init__(
        self, model: Any = None, args: Any = None, *rest: Any, objective: Objective | None = None, **options: Any
    ) -> None:
        self._search_direction: Any = None
        self._terms: Tensor | None = None
        self._row_terms: list[Tensor] | None = None
        # `objective` is what Trainer calls the number that a search of hyperparameters looks for.
        self.learns: Objective | None = objective
        super().__init__(model, StudentConfig() if args is None else args, *rest, **options)
        if not isinstance(self.args, StudentConfig):
            raise ConfigError(
                f"`args` is a {type(self.args).__name__}. Pass a StudentConfig; it takes the same options."
            )
        if objective is not None and self.compute_loss_func is not None:
            raise ConfigError("`compute_loss_func` and `objective` both define the loss. Pass one of them.")
        self._chosen = objective is not None
        self._own_loss = type(self).compute_loss is not StudentTrainer.compute_loss
        if not self._chosen and self.compute_loss_func is None:
            self.learns = default_objective(self.model)
        self._batches = MicroBatches(
            self.args.per_device_train_batch_size, additive=self.learns is not None and not self._own_loss
        )
        self._exchange = LateExchange()
        self._finite = NonFiniteLossCheck(self.compute_loss, self.args.learning_rate, sharded=self._sharded)
        if self.args.early_stopping is not None:
            self.add_callback(EarlyStoppingCallback(self.args.early_stopping))
        prepare_run(self)

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Trainer's training; True resumes from the last complete checkpoint, or starts if there is none.

        Raises:
            ConfigError: the checkpoint cannot be resumed, `metric_for_best_model` is unknown, or there is no whole
                batch and `dataloader_drop_last` drops the others.
            TrainingError: the loss became NaN or infinite, one row does not fit into memory, or a checkpoint could
                not be written.
        """
        check_some_batch(self)
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
        """Trainer's step, split into micro-batches after memory ran out.

        Raises:
            DivergedError: the loss is NaN or infinite.
        """
        # `compute_loss` sets it when the objective, and not a subclass or the model, computes the loss.
        self.__dict__.pop("loss_is_scaled_for_ga", None)
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
            own = () if self.learns is None else self.learns.columns
            self._signature_columns = [*(self._signature_columns or ()), *own, ROW]

    def _get_num_items_in_batch(
        self, batch_samples: list[Mapping[str, Tensor]], device: torch.device
    ) -> Tensor | int | None:
        """The items of an update, over its accumulation steps and processes."""
        if not batch_samples or not set(self.label_names) & set(batch_samples[0]):
            return None
        self._settle(batch_samples[0])
        if self.learns is None:
            items: Tensor | int | None = super()._get_num_items_in_batch(batch_samples, device)
            return items
        total = items_of(self.learns, batch_samples, strict=not self._own_loss)
        if total is not None and self.args.average_tokens_across_devices and self.args.world_size > 1:
            total = self.accelerator.gather(total.to(device)).sum()
        return None if total is None else total.to(device)

    def _settle(self, batch: Mapping[str, Any]) -> None:
        if not self._chosen:
            self.learns, self._chosen = for_labels(self.learns, batch), True

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """The objective's loss of these rows, divided by the items of the whole update; or the model's own loss."""
        self._settle(inputs)
        if self.learns is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        kept = (name for name in inputs if name not in (*self.learns.columns, "skip_logits"))
        outputs = model(**{name: inputs[name] for name in kept})
        check_fits(self.learns, outputs, inputs)
        smoothing = self.args.label_smoothing_factor
        loss = self.learns.loss(outputs, inputs, label_smoothing=smoothing)
        if return_outputs:
            self._terms = row_terms(self.learns, outputs, inputs, label_smoothing=smoothing).detach()
        # A loss over the items of the update must not be divided by the accumulation steps as well.
        self.loss_is_scaled_for_ga = num_items_in_batch is not None
        total = self.learns.items(inputs) if num_items_in_batch is None else num_items_in_batch.to(loss)
        # The loss of an update without any items is 0, not 0/0.
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
        """Trainer's step; where memory runs out, the rows are read in halves."""

        def predicted(piece: dict[str, Any]) -> tuple[Any, ...]:
            self._terms = None
            step = super(StudentTrainer, self).prediction_step(model, piece, prediction_loss_only, ignore_keys)
            return (*step, self._terms)

        inputs = without_rows(inputs)
        loss, logits, labels, terms = predicted(inputs) if self._sharded else predicted_in_pieces(predicted, inputs)
        if terms is not None and self._row_terms is not None:
            # Gathering drops rows that were read twice, which one process never does.
            self._row_terms.append(terms if self.args.world_size == 1 else self.gather_function(terms))
        return loss, logits, labels

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Trainer's loader; with a token budget its batches have as many rows as fit into it."""
        if self.args.token_budget is None or self.train_dataset is None or not has_length(self.train_dataset):
            loader: DataLoader[Any] = super().get_train_dataloader()
            return loader
        return budget_loader(self, self.train_dataset)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Trainer's loader, which never drops rows."""
        with every_row(self.args):
            loader: DataLoader[Any] = super().get_eval_dataloader(eval_dataset)
        return loader

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """Trainer's loader, which never drops rows."""
        with every_row(self.args):
            loader: DataLoader[Any] = super().get_test_dataloader(test_dataset)
        return loader

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        replaced = self.args.train_sampling_strategy in ("random", "group_by_length")
        lengths = row_lengths(dataset) if self.args.bucket and replaced and has_length(dataset) else None
        if lengths is None:
            sampler: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return sampler
        return bucketed(self, lengths)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int] | None:
        # Outputs and metrics of single batches cannot be put back into row order.
        whole = self.args.eval_do_concat_batches and not self.args.batch_eval_metrics
        lengths = row_lengths(eval_dataset) if whole and has_length(eval_dataset) else None
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
        order, metrics, outer = reading_order(dataloader), self.compute_metrics, self._row_terms
        if metrics is not None and not self.args.batch_eval_metrics:
            self.compute_metrics = main_process_only(in_row_order(metrics, order))
        terms: list[Tensor] = []
        self._row_terms = terms
        try:
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        finally:
            self.compute_metrics, self._row_terms = metrics, outer
        if terms and not self._own_loss:
            output.metrics[f"{metric_key_prefix}_loss"] = mean_of_terms(terms)
        return output._replace(
            predictions=index_select(output.predictions, order), label_ids=index_select(output.label_ids, order)
        )

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            # A pickle of StudentConfig would need this package to be read.
            torch.save(self.args.plain(), Path(output_dir or self.args.output_dir) / TRAINING_ARGS_NAME)
