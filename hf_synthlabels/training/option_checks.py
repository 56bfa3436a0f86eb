"""Checks of the options of `StudentConfig`, and the defaults that follow from other options."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import KINDS
from hf_synthlabels.training.data.variable_heads import check_heads

HIDDEN_TOKEN = "<HUB_TOKEN>"
"""What `TrainingArguments.to_dict` writes for the Hub token, set or not."""


def is_count(value: Any) -> bool:
    """Whether a value is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


RANGES: dict[str, tuple[Callable[[Any], bool], tuple[str, ...]]] = {
    "an integer of at least 1": (
        is_count,
        ("max_length", "max_answer_length", "max_new_tokens", "token_budget", "early_stopping", "probs_draws"),
    ),
    "an integer of at least 0": (lambda value: value == 0 or is_count(value), ("lora_r", "doc_stride")),
    "a number above 0": (
        lambda value: is_number(value) and value > 0,
        ("human_weight", "human_epochs", "human_learning_rate", "lora_alpha"),
    ),
    "a number of at least 0": (
        lambda value: is_number(value) and value >= 0,
        ("confidence_power", "probs_alpha", "usd_per_hour"),
    ),
    "a number between 0 and 1": (lambda value: is_number(value) and 0 < value < 1, ("threshold",)),
    "a number from 0 to below 1": (lambda value: is_number(value) and 0 <= value < 1, ("lora_dropout",)),
}
"""Valid values of numeric options, which may be None where that is the default."""

CHOICES = {
    "task": tuple(KINDS),
    "scale_loss": ("mse", "ordinal"),
    "human_strategy": ("mix", "finetune", "none"),
    "correction": ("none", "forward"),
    "save": ("adapter", "merged"),
}

REQUIREMENTS: dict[str, dict[str, str | None]] = {
    "human_strategy": {"human_column": None},
    "human_weight": {"human_column": None, "human_strategy": "mix"},
    "human_epochs": {"human_column": None, "human_strategy": "finetune"},
    "human_learning_rate": {"human_column": None, "human_strategy": "finetune"},
    "correction": {"human_column": None},
    "probs_draws": {"probs_column": None},
    "probs_temperature": {"probs_column": None},
    "confidence_power": {"confidence_column": None},
    "lora_head": {"lora_r": None},
    "lora_alpha": {"lora_r": None},
    "load_in_4bit": {"lora_r": None},
}
"""Options that an option needs to have an effect, with the value that they must have; None is any value."""


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
    for name, valid in CHOICES.items():
        if getattr(config, name) not in valid:
            raise ConfigError(f"`{name}` is {getattr(config, name)!r}. Choose one of: {', '.join(valid)}.")
    for expected, (is_valid, names) in RANGES.items():
        for name in names:
            value = getattr(config, name)
            if value is not None and not is_valid(value):
                raise ConfigError(f"`{name}` is {value!r}. Give {expected}.")
    defaults = {option.name: option.default for option in fields(config)}
    for name, requirements in REQUIREMENTS.items():
        if getattr(config, name) != defaults[name]:
            _check_requirements(config, name, requirements)
    check_task(config)
    check_heads(config)
    _check_lora(config)
    _check_run(config)
    _check_hub(config)
    _check_human_labels(config)


def _check_requirements(config: Any, name: str, requirements: Mapping[str, str | None]) -> None:
    """Reject an option that has no effect without another one."""
    for required, needed in requirements.items():
        value = getattr(config, required)
        if not value if needed is None else value != needed:
            setting = f"`{required}`" if needed is None else f"`{required}: {needed}`"
            raise ConfigError(
                f"`{name}` is {getattr(config, name)!r} and requires {setting}, which is {value!r}. Set it, or leave "
                f"`{name}` out."
            )


def check_task(config: Any) -> None:
    """Check the options that depend on the task type.

    Raises:
        ConfigError: an option does not fit `task`.
    """
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
    if isinstance(config.lora_targets, str):
        config.lora_targets = [config.lora_targets]
    if isinstance(config.lora_head, str):
        config.lora_head = [config.lora_head]
    if not config.lora_targets:
        raise ConfigError("`lora_targets` is empty. Give 'all-linear', or endings of layer names.")
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
        if not isinstance(lengths, list | tuple) or not lengths or not all(map(is_count, lengths)):
            raise ConfigError(f"`pad_lengths` is {lengths!r}. Give lengths in tokens, for example [32, 64, 128].")
        # No row is longer than max_length, so the last length always fits.
        config.pad_lengths = sorted({min(length, config.max_length) for length in lengths} | {config.max_length})
    if config.early_stopping is not None:
        config.load_best_model_at_end = True
        # Otherwise a resumed run starts to count again.
        config.restore_callback_states_from_checkpoint = True
    if config.load_best_model_at_end:
        # Evaluate and save at every epoch unless configured otherwise; keep the best and the last checkpoint.
        if _plain(config.eval_strategy) == "no":
            config.eval_strategy = "epoch"
        if _plain(config.save_strategy) == "no":
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
    strategy = _plain(config.hub_strategy)
    values = {"hub_strategy": strategy if "checkpoint" in strategy else None}
    values |= {option: getattr(config, option, None) for option in ("hub_always_push", "hub_revision")}
    for option, value in values.items():
        if value:
            raise ConfigError(
                f"`{option}` is {value!r}, but a student is pushed once, to `main`, when it is finished. Leave it out."
            )


def _check_human_labels(config: Any) -> None:
    if config.probs_temperature == "fit":
        _check_requirements(config, "probs_temperature", {"human_column": None})
    else:
        config.probs_temperature = _temperature(config.probs_temperature)
    if config.human_column is not None and config.human_column == config.label_column:
        raise ConfigError(
            f"`human_column` is {config.human_column!r}, as is `label_column`. Name the LLM labels as `label_column`; "
            "to train on human labels only, leave `human_column` out."
        )


def _temperature(value: Any) -> float:
    """The number that YAML may have read as text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (is_number(number) and number > 0):
        raise ConfigError(f"`probs_temperature` is {value!r}. Give a number above 0, or 'fit'.")
    return number


def _plain(strategy: Any) -> str:
    """The value of a strategy that may be an enum of transformers."""
    return str(getattr(strategy, "value", strategy))


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
    if float in numbers and isinstance(value, str):
        # YAML reads 5e-5 as text.
        try:
            return float(value)
        except ValueError:
            pass
    is_bool = isinstance(value, bool)
    if bool in numbers if is_bool else float in numbers and isinstance(value, int | float):
        return value
    if int in numbers and isinstance(value, int) and not is_bool:
        return value
    expected = " or ".join(sorted(kind.__name__ for kind in numbers))
    raise ConfigError(f"{where}: `{key}` is {value!r}. It must be {expected}.")
