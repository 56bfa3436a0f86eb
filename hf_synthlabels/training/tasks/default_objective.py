"""The objective of a model when the caller passes none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.data.features import LABELS, PROBS
from hf_synthlabels.training.tasks.objectives import Classification, MultiLabel, Objective, ScaleRegression
from hf_synthlabels.training.tasks.token_objectives import AnswerSpan, Completion, TokenTags

# Endings of the class names of transformers' models.
TOKENS = ("ForTokenClassification", "ForMaskedLM")
ANSWERS = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")
WRITERS = ("ForCausalLM", "LMHeadModel")
CLASSES = ("ForSequenceClassification", "ForImageClassification", "ForVideoClassification", "ForAudioClassification")


def default_objective(model: Any) -> Objective | None:
    """The objective that equals the model's own loss; None keeps the loss that the model or the caller computes.

    Only heads of transformers are recognised: a model with its own `forward`, or one that returns tuples, keeps its
    loss.
    """
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(model, PreTrainedModel) or not type(model).forward.__module__.startswith("transformers."):
        return None
    settings = model.config
    # The routers of a mixture of experts add a term to the model's own loss.
    if not getattr(settings, "return_dict", True) or getattr(settings, "output_router_logits", False):
        return None
    ancestors = [kind.__name__ for kind in type(model).__mro__]
    if _ends(ancestors, TOKENS):
        return TokenTags()
    if _ends(ancestors, ANSWERS):
        return AnswerSpan()
    if _ends(ancestors, WRITERS):
        return Completion()
    return _of_sequences(settings) if _ends(ancestors, CLASSES) else None


def _of_sequences(config: Any) -> Objective | None:
    """As transformers reads `problem_type` and `num_labels`."""
    if config.problem_type == "multi_label_classification":
        return MultiLabel()
    if config.problem_type == "regression" or config.num_labels == 1:
        return ScaleRegression() if config.num_labels == 1 else None
    return Classification()


def _ends(names: list[str], endings: tuple[str, ...]) -> bool:
    return any(name.endswith(endings) for name in names)


def for_labels(objective: Objective | None, batch: Mapping[str, Any]) -> Objective | None:
    """The default objective once labels are known: float labels of several classes are multi-label, as in transformers.

    Args:
        objective: what `default_objective` chose.
        batch: what the collator returned.
    """
    labels = batch.get(LABELS)
    if not isinstance(objective, Classification) or not isinstance(labels, Tensor):
        return objective
    return MultiLabel() if labels.dim() == 2 and labels.is_floating_point() else objective


def items_of(objective: Objective, batches: Sequence[Mapping[str, Any]], *, strict: bool) -> Tensor | None:
    """The items of an update, a scalar.

    Args:
        objective: what is learned.
        batches: those of the update.
        strict: False gives None for labels that it cannot count; a subclass with its own loss may have any.
    """
    try:
        return torch.stack([objective.items(batch) for batch in batches]).sum()
    except (TypeError, AttributeError, KeyError):
        if strict:
            raise
        return None


def check_fits(objective: Objective, outputs: Any, batch: Mapping[str, Any]) -> None:
    """Reject outputs and labels that the objective cannot read.

    Raises:
        ConfigError: their shapes do not fit; the message names `objective`.
    """
    if not isinstance(objective, Classification | MultiLabel | ScaleRegression | TokenTags):
        return
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else None
    labels = batch.get(LABELS)
    if not isinstance(logits, Tensor) or not isinstance(labels, Tensor):
        return
    expected: tuple[int, ...] = tuple(logits.shape)
    if isinstance(objective, Classification | TokenTags):
        expected = tuple(logits.shape[:-1]) if logits.dim() == (3 if isinstance(objective, TokenTags) else 2) else ()
    elif isinstance(objective, ScaleRegression):
        expected = tuple(logits.shape[:1])
    if tuple(labels.shape) in (expected, (*expected, 1)) or (PROBS in batch and isinstance(objective, Classification)):
        return
    raise ConfigError(
        f"`objective` is {type(objective).__name__}, which does not fit logits of shape {tuple(logits.shape)} with "
        f"labels of shape {tuple(labels.shape)}. Pass the `objective` of this task to StudentTrainer, such as "
        "TokenTags(), Completion(), MultiLabel() or ScaleRegression()."
    )
