"""Options of what a student is trained for: the kind of label, its scale, windows, answers, written texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import KINDS

SCALE_LOSSES = ("mse", "ordinal")


@dataclass(repr=False)
class TaskOptions:
    """The part of StudentConfig that says what a student is trained for; the help texts are the documentation."""

    task: str = field(
        default="text-classification",
        metadata={
            "help": "The kind of label: text-classification, text-pair, multi-label, text-scale, token-classification, "
            "question-answering or text-generation. For question-answering `text_columns` are the question and its "
            "context, for token-classification a text or a list of tokens, for text-generation an instruction and, "
            "if there is one, its input."
        },
    )
    scale: list[float] | None = field(
        default=None,
        metadata={
            "help": "Of task text-scale: the lowest number, the highest, and the step (1; 0 for any number). In Python "
            "and YAML also a mapping as in recipes: {low: 1, high: 5, step: 1}."
        },
    )
    scale_loss: str = field(
        default="mse",
        metadata={
            "help": "Of task text-scale: 'mse' learns a number, 'ordinal' whether each step of the scale is reached."
        },
    )
    class_weights: list[float] | None = field(
        default=None,
        metadata={
            "help": "Of task multi-label: for each label, how much more a row that has it counts than one that has not."
        },
    )
    threshold: float = field(
        default=0.5, metadata={"help": "Of task multi-label: the probability from which on a row gets a label."}
    )
    doc_stride: int | None = field(
        default=None,
        metadata={
            "help": "Of question-answering and token-classification: tokens that neighbouring windows of a long text "
            "share. By default a quarter of `max_length`, at most 128."
        },
    )
    max_answer_length: int = field(
        default=30, metadata={"help": "Of question-answering: the longest answer in tokens that is predicted."}
    )
    n_best: int = field(
        default=20,
        metadata={"help": "Of question-answering: likeliest starts and ends that are paired in each window."},
    )
    null_answers: bool = field(
        default=False,
        metadata={
            "help": "Of question-answering: a question may have no answer in its context. Then an empty answer is "
            "learnt and may be predicted; otherwise rows with one are left out and counted."
        },
    )
    packing: bool = field(
        default=True,
        metadata={"help": "Of text-generation: put several examples, which do not see each other, into one row."},
    )
    max_new_tokens: int = field(
        default=128, metadata={"help": "Of text-generation: the longest text in tokens that is predicted."}
    )
    token_budget: int | None = field(
        default=None,
        metadata={
            "help": "Fill each training batch of a process with rows of similar length up to so many tokens, padding "
            "included, in place of `per_device_train_batch_size` rows."
        },
    )


def check_task_options(config: Any) -> None:
    """Refuse what contradicts itself.

    Args:
        config: a StudentConfig.

    Raises:
        ConfigError: an option has a value that it can not have.
    """
    if config.task not in KINDS:
        raise ConfigError(f"`task` is {config.task!r}. Choose one of: {', '.join(KINDS)}.")
    if config.scale_loss not in SCALE_LOSSES:
        raise ConfigError(f"`scale_loss` is {config.scale_loss!r}. Choose one of: {', '.join(SCALE_LOSSES)}.")
    if (config.task == "text-scale") != (config.scale is not None):
        raise ConfigError(
            f"`task` is {config.task!r} and `scale` {config.scale!r}: text-scale needs a scale such as [1, 5], other "
            "kinds have none."
        )
    if config.scale is not None:
        config.scale = _scale(config.scale)
    _check_columns(config)
    for option in ("max_answer_length", "n_best", "max_new_tokens", "token_budget"):
        value = getattr(config, option)
        if value is not None and value < 1:
            raise ConfigError(f"`{option}` is {value}. Give 1 or more.")
    if config.doc_stride is not None and config.doc_stride < 0:
        raise ConfigError(f"`doc_stride` is {config.doc_stride}. Give 0 or more.")
    if not 0 < config.threshold < 1:
        raise ConfigError(f"`threshold` is {config.threshold}. Give a probability between 0 and 1.")


def _scale(scale: Any) -> list[float]:
    """Lowest number, highest and step, from a list or from a mapping as recipes have it."""
    error = ConfigError(
        f"`scale` is {scale!r}. Give the lowest number, the highest and, if not 1, the step: [1, 5], [0, 100, 0] or "
        "{low: 1, high: 5}."
    )
    if isinstance(scale, Mapping):
        if not {"low", "high"} <= set(scale) <= {"low", "high", "step"}:
            raise error
        # A recipe writes null for any number.
        scale = [scale["low"], scale["high"], scale.get("step", 1) or 0]
    if not isinstance(scale, Sequence) or isinstance(scale, str) or len(scale) not in (2, 3):
        raise error
    try:
        low, high, *step = map(float, scale)
    except (TypeError, ValueError):
        raise error from None
    # NaN fails both comparisons.
    if not low < high or not all(0 <= size < math.inf for size in step):
        raise error
    return [low, high, *step]


def _check_columns(config: Any) -> None:
    """The columns that the kind of label has, and no others."""
    pair = config.task in ("question-answering", "text-pair")
    if (pair and len(config.text_columns) != 2) or (
        config.task == "token-classification" and len(config.text_columns) != 1
    ):
        wanted = "two: of question and context, or of both texts" if pair else "one: of the text or its tokens"
        raise ConfigError(f"`text_columns` is {list(config.text_columns)!r}. Task {config.task!r} has {wanted}.")
    for option in ("probs_column", "human_column", "confidence_column"):
        if config.task not in ("text-classification", "text-pair") and getattr(config, option) is not None:
            raise ConfigError(
                f"`{option}` is {getattr(config, option)!r}, which only one name per row can have; `task` is "
                f"{config.task!r}. Leave it out."
            )
