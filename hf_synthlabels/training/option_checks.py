"""Checks of the options of `StudentConfig`, and the defaults that follow from other options."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import KINDS

CHOICES = {
    "task": tuple(KINDS),
    "scale_loss": ("mse", "ordinal"),
    "human_strategy": ("mix", "finetune", "none"),
    "correction": ("none", "forward"),
    "save": ("adapter", "merged"),
}
POSITIVE = ("human_weight", "human_epochs", "human_learning_rate", "probs_draws", "lora_alpha")
NON_NEGATIVE = ("confidence_power", "probs_alpha", "usd_per_hour", "doc_stride")
COUNTS = ("max_length", "max_answer_length", "n_best", "max_new_tokens", "token_budget", "early_stopping")
REQUIRED_COLUMNS = {
    "human_strategy": "human_column",
    "human_weight": "human_column",
    "human_epochs": "human_column",
    "human_learning_rate": "human_column",
    "correction": "human_column",
    "probs_draws": "probs_column",
    "probs_temperature": "probs_column",
    "confidence_power": "confidence_column",
}
REQUIRED_STRATEGIES = {"human_weight": "mix", "human_epochs": "finetune", "human_learning_rate": "finetune"}
LORA_ONLY = {"lora_head": None, "lora_alpha": None, "load_in_4bit": False}

HIDDEN_TOKEN = "<HUB_TOKEN>"
"""What `TrainingArguments.to_dict` writes for the Hub token, set or not."""


def checked_values(cls: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options by name with the types of their fields, numbers parsed where YAML reads them as text.

    Raises:
        ConfigError: an unknown option, or a number of the wrong type.
    """
    hints = typing.get_type_hints(cls)
    valid = sorted(option.name for option in fields(cls) if option.init)
    for key in values:
        if key not in valid:
            raise ConfigError(f"{where}: `{key}` is not an option. {_suggestion(cls, str(key), valid)}")
    return {key: _checked_value(key, value, hints[key], where) for key, value in values.items()}


def check_options(config: Any) -> None:
    """Normalize the options, fill in those that follow from others, and reject contradictions.

    Raises:
        ConfigError: an option is out of range, or requires or excludes another one.
    """
    _check_ranges(config)
    _check_task(config)
    _check_lora(config)
    _check_run(config)
    _check_hub(config)
    _check_human_labels(config)


def _check_ranges(config: Any) -> None:
    for name, valid in CHOICES.items():
        if getattr(config, name) not in valid:
            raise ConfigError(f"`{name}` is {getattr(config, name)!r}. Choose one of: {', '.join(valid)}.")
    for name in COUNTS:
        value = getattr(config, name)
        if value is not None and not _is_count(value):
            raise ConfigError(f"`{name}` is {value!r}. Give an integer of at least 1.")
    for names, minimum in ((POSITIVE, "above 0"), (NON_NEGATIVE, "of at least 0")):
        for name in names:
            value = getattr(config, name)
            if value is not None and not _is_number(value, positive=names is POSITIVE):
                raise ConfigError(f"`{name}` is {value!r}. Give a number {minimum}.")
    if not 0 < config.threshold < 1:
        raise ConfigError(f"`threshold` is {config.threshold}. Give a probability between 0 and 1.")
    if not 0 <= config.lora_dropout < 1:
        raise ConfigError(f"`lora_dropout` is {config.lora_dropout}. Give a share from 0 to below 1.")


def _check_task(config: Any) -> None:
    if isinstance(config.text_columns, str):
        config.text_columns = [config.text_columns]
    n_columns = len(config.text_columns)
    allowed = {"question-answering": (2,), "text-pair": (2,), "token-classification": (1,)}.get(config.task, (1, 2))
    if n_columns not in allowed:
        raise ConfigError(
            f"`text_columns` is {list(config.text_columns)!r}. Task {config.task!r} takes "
            f"{' or '.join(map(str, allowed))} text column{'s' if allowed != (1,) else ''}."
        )
    if (config.task == "text-scale") != (config.scale is not None):
        raise ConfigError(
            f"`task` is {config.task!r} and `scale` {config.scale!r}. Task text-scale requires a scale such as [1, 5]; "
            "other tasks have none."
        )
    if config.scale is not None:
        config.scale = _scale(config.scale)
    for option in ("probs_column", "human_column", "confidence_column"):
        if config.task not in ("text-classification", "text-pair") and getattr(config, option) is not None:
            raise ConfigError(
                f"`{option}` is {getattr(config, option)!r}, but it requires a single-label task and `task` is "
                f"{config.task!r}. Leave it out."
            )


def _scale(scale: Any) -> list[float]:
    """Lowest number, highest number and step, from a list or from a mapping as in recipes."""
    error = ConfigError(
        f"`scale` is {scale!r}. Give the lowest number, the highest number and, if not 1, the step: [1, 5], "
        "[0, 100, 0] or {low: 1, high: 5}."
    )
    if isinstance(scale, Mapping):
        if not {"low", "high"} <= set(scale) <= {"low", "high", "step"}:
            raise error
        # In a recipe, a step of null allows any number.
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


def _check_lora(config: Any) -> None:
    if config.lora_r != 0 and not _is_count(config.lora_r):
        raise ConfigError(f"`lora_r` is {config.lora_r!r}. Give a rank such as 8, or 0 to train all weights.")
    if isinstance(config.lora_targets, str):
        config.lora_targets = [config.lora_targets]
    if isinstance(config.lora_head, str):
        config.lora_head = [config.lora_head]
    if not config.lora_targets:
        raise ConfigError("`lora_targets` is empty. Give 'all-linear', or endings of layer names.")
    for option, default in LORA_ONLY.items():
        if config.lora_r == 0 and getattr(config, option) != default:
            raise ConfigError(
                f"`{option}` is {getattr(config, option)!r}, but `lora_r` is 0, which trains all weights. Set "
                "`lora_r: 8`, for example, or leave it out."
            )
    if config.load_in_4bit and config.save == "merged":
        raise ConfigError(
            "`save` is 'merged', but 4-bit weights cannot be merged without loss. Save the adapter, and merge it into "
            "the base model in full precision."
        )


def _check_run(config: Any) -> None:
    # TrainingArguments turns "not given" into False.
    config.checkpointing_is_automatic = (
        config.activation_checkpointing is None and config.gradient_checkpointing is None
    )
    if config.token_budget is not None and config.auto_find_batch_size:
        raise ConfigError("`auto_find_batch_size` does not apply with a `token_budget`. Lower the budget instead.")
    if config.pad_lengths is not None:
        lengths = config.pad_lengths
        if not isinstance(lengths, list | tuple) or not lengths or not all(map(_is_count, lengths)):
            raise ConfigError(f"`pad_lengths` is {lengths!r}. Give lengths in tokens, for example [32, 64, 128].")
        # No row is longer than max_length, so the last length always fits.
        config.pad_lengths = sorted({min(length, config.max_length) for length in lengths} | {config.max_length})
    if config.early_stopping is not None:
        config.load_best_model_at_end = True
        # Otherwise a resumed run starts to count again.
        config.restore_callback_states_from_checkpoint = True
    if config.load_best_model_at_end:
        _set_evaluation_defaults(config)


def _set_evaluation_defaults(config: Any) -> None:
    """Evaluate and save at every epoch unless configured otherwise; keep the best and the last checkpoint."""
    if str(getattr(config.eval_strategy, "value", config.eval_strategy)) == "no":
        config.eval_strategy = "epoch"
    if str(getattr(config.save_strategy, "value", config.save_strategy)) == "no":
        config.save_strategy = config.eval_strategy
        config.save_steps = config.eval_steps or config.save_steps
    if config.save_total_limit is None:
        config.save_total_limit = 1


def _check_hub(config: Any) -> None:
    """Reject options that contradict a single commit of the finished student."""
    if config.hub_token == HIDDEN_TOKEN:
        config.hub_token = None
    if config.hub_token is not None:
        raise ConfigError("`hub_token` must not be in the options. Set HF_TOKEN, or run `hf auth login`.")
    if not config.push_to_hub:
        return
    strategy = str(getattr(config.hub_strategy, "value", config.hub_strategy))
    values = {"hub_strategy": strategy if "checkpoint" in strategy else None}
    values |= {option: getattr(config, option, None) for option in ("hub_always_push", "hub_revision")}
    for option, value in values.items():
        if value:
            raise ConfigError(
                f"`{option}` is {value!r}, but a student is pushed once, to `main`, when it is finished. Leave it out."
            )


def _check_human_labels(config: Any) -> None:
    if config.probs_temperature != "fit":
        config.probs_temperature = _temperature(config.probs_temperature)
    defaults = {option.name: option.default for option in fields(config)}
    for option, column in REQUIRED_COLUMNS.items():
        value = getattr(config, option)
        columns = (column, "human_column") if value == "fit" else (column,)
        for required in columns:
            if value != defaults[option] and getattr(config, required) is None:
                raise ConfigError(f"`{option}` is {value!r}, which requires `{required}`. Name that column.")
    if config.human_column is not None and config.human_column == config.label_column:
        raise ConfigError(
            f"`human_column` is {config.human_column!r}, as is `label_column`. Name the LLM labels as `label_column`; "
            "to train on human labels only, leave `human_column` out."
        )
    for option, strategy in REQUIRED_STRATEGIES.items():
        value = getattr(config, option)
        if value != defaults[option] and config.human_strategy != strategy:
            raise ConfigError(
                f"`{option}` is {value!r} and `human_strategy` {config.human_strategy!r}. The option requires "
                f"{strategy!r}."
            )


def _temperature(value: Any) -> float:
    """The number that YAML may have read as text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not _is_number(number, positive=True):
        raise ConfigError(f"`probs_temperature` is {value!r}. Give a number above 0, or 'fit'.")
    return number


def _suggestion(cls: type[Any], key: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(key, valid, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(f'`{name}`' for name in close)}?"
    return f"Valid options: {', '.join(cls.__annotations__)}, and every option of transformers.TrainingArguments."


def _checked_value(key: str, value: Any, hint: Any, where: str) -> Any:
    """The value as the option's type; types other than bool, int and float are left to TrainingArguments."""
    allowed = set(typing.get_args(hint)) if isinstance(hint, types.UnionType) else {hint}
    if value is None and type(None) not in allowed:
        raise ConfigError(f"{where}: `{key}` is empty. Give a value, or leave the key out.")
    numbers = allowed - {type(None)}
    if value is None or not numbers <= {bool, int, float}:
        return value
    if isinstance(value, bool) and bool in numbers:
        return value
    if float in numbers and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (float in numbers or (int in numbers and isinstance(value, int))):
        return value
    expected = " or ".join(sorted(kind.__name__ for kind in numbers))
    raise ConfigError(f"{where}: `{key}` is {value!r}. It must be {expected}.")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any, *, positive: bool = False) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and (value > 0 if positive else value >= 0)
