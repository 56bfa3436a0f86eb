"""Default objectives: the one that equals a transformers model's own loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.training.data.features import LABELS, PROBS
from hf_synthlabels.training.tasks.objectives import (
    AnswerSpan,
    Classification,
    Completion,
    MultiLabel,
    Objective,
    ScaleRegression,
    TokenTags,
)

# Endings of the class names of transformers' models.
TOKEN_HEADS = ("ForTokenClassification", "ForMaskedLM")
ANSWER_HEADS = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")
CAUSAL_HEADS = ("ForCausalLM", "LMHeadModel")
SEQUENCE_HEADS = (
    "ForSequenceClassification",
    "ForImageClassification",
    "ForVideoClassification",
    "ForAudioClassification",
)


def default_objective(model: Any) -> Objective | None:
    """The objective that equals the model's own loss; None keeps the loss that the model or the caller computes.

    Only heads of transformers are recognized: a model with a custom `forward`, or one that returns tuples, keeps its
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
    if _ends_with(ancestors, TOKEN_HEADS):
        return TokenTags()
    if _ends_with(ancestors, ANSWER_HEADS):
        return AnswerSpan()
    if _ends_with(ancestors, CAUSAL_HEADS):
        return Completion()
    return _sequence_objective(settings) if _ends_with(ancestors, SEQUENCE_HEADS) else None


def _sequence_objective(config: Any) -> Objective | None:
    """The objective that follows from `problem_type` and `num_labels`."""
    if config.problem_type == "multi_label_classification":
        return MultiLabel()
    if config.problem_type == "regression" or config.num_labels == 1:
        return ScaleRegression() if config.num_labels == 1 else None
    return Classification()


def _ends_with(names: list[str], endings: tuple[str, ...]) -> bool:
    return any(name.endswith(endings) for name in names)


def objective_for_labels(objective: Objective | None, batch: Mapping[str, Any]) -> Objective | None:
    """The default objective given a batch: float labels of several classes are multi-label, as in transformers."""
    labels = batch.get(LABELS)
    if not isinstance(objective, Classification) or not isinstance(labels, Tensor):
        return objective
    return MultiLabel() if labels.dim() == 2 and labels.is_floating_point() else objective


def total_weight(objective: Objective, batches: Sequence[Mapping[str, Any]], *, strict: bool) -> Tensor | None:
    """The total weight of an update, a scalar.

    Args:
        objective: the training objective.
        batches: all batches of the update.
        strict: False returns None for unexpected labels, which a subclass with its own loss may have.
    """
    try:
        return torch.stack([objective.row_weights(batch).sum() for batch in batches]).sum()
    except (TypeError, AttributeError, KeyError):
        if strict:
            raise
        return None


def check_shapes(objective: Objective, outputs: Any, batch: Mapping[str, Any]) -> None:
    """Reject outputs and labels whose shapes do not match the objective.

    Raises:
        ConfigError: the shapes do not match.
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
        f"`objective` is {type(objective).__name__}, which does not match logits of shape {tuple(logits.shape)} and "
        f"labels of shape {tuple(labels.shape)}. Pass the `objective` of this task to StudentTrainer, such as "
        "TokenTags(), Completion(), MultiLabel() or ScaleRegression()."
    )
