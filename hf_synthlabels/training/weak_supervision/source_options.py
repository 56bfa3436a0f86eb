"""SourceOptions: where labels come from, and what a student makes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hf_synthlabels.errors import ConfigError

HUMAN_STRATEGIES = ("mix", "finetune", "none")
CORRECTIONS = ("none", "forward")


@dataclass(repr=False)
class SourceOptions:
    """The options of StudentConfig that tell LLM labels from human ones; the help texts are the documentation."""

    human_column: str | None = field(
        default=None,
        metadata={
            "help": "The few human labels among the training rows, None in all other rows. They are what temperature "
            "and transition matrix are estimated from, they train as `human_strategy` says, and evaluation "
            "rows are compared with them. Where human labels are all there is, name them as `label_column`."
        },
    )
    human_strategy: str = field(
        default="mix",
        metadata={
            "help": "How rows with a human label train: 'mix', with it in place of the LLM's, among the other rows; "
            "'finetune', LLM labels first (also those of the human rows), then the human rows alone with a fresh "
            "optimiser; 'none', by their LLM labels."
        },
    )
    human_weight: float = field(
        default=1.0, metadata={"help": "How much a human row counts, of 'mix', where an LLM row counts 1."}
    )
    human_epochs: float | None = field(
        default=None, metadata={"help": "Epochs on the human rows, of 'finetune'; without it 2."}
    )
    human_learning_rate: float | None = field(
        default=None, metadata={"help": "Their learning rate, of 'finetune'; without it `learning_rate` / 5."}
    )
    correction: str = field(
        default="none",
        metadata={
            "help": "'forward': the loss of an LLM row is that of the LLM's label given the model's human one, by "
            "a transition matrix from the rows with both labels; 'none': as if LLM labels were human ones."
        },
    )
    confidence_column: str | None = field(
        default=None,
        metadata={"help": "How sure each LLM label is, 0 to 1, such as the share of draws that gave it."},
    )
    confidence_power: float = field(
        default=0.0, metadata={"help": "An LLM row counts confidence^power; 0 counts all alike."}
    )
    probs_draws: int | None = field(
        default=None,
        metadata={"help": "How many draws `probs_column` holds the shares of; they become (k·p + α) / (k + αK)."},
    )
    probs_alpha: float = field(default=0.5, metadata={"help": "The α of that smoothing: pseudo-draws of each label."})
    probs_temperature: float | str = field(
        default=1.0,
        metadata={
            "help": "What the logarithms of `probs_column` are divided by; 'fit' finds it from the rows with a human "
            "label."
        },
    )


def check_source_options(options: SourceOptions, *, label_column: str, probs_column: str | None) -> None:
    """Refuse values that can not be, and options that would do nothing beside the others.

    Raises:
        ConfigError: as said.
    """
    _check_values(options)
    _check_human_rows(options, label_column)
    soft = {
        "probs_draws": options.probs_draws is not None,
        "probs_temperature": options.probs_temperature != 1.0,
    }
    for name, asked in soft.items():
        if asked and probs_column is None:
            raise ConfigError(
                f"`{name}` is {getattr(options, name)!r}, but `probs_column` names no soft labels. Name their column."
            )
    if options.confidence_power and options.confidence_column is None:
        raise ConfigError(
            f"`confidence_power` is {options.confidence_power}, but `confidence_column` is not given. Name the column, "
            "such as 'llm_label_confidence'."
        )


def _check_human_rows(options: SourceOptions, label_column: str) -> None:
    if options.human_column is None:
        needs = {
            "human_strategy": options.human_strategy != "mix",
            "human_weight": options.human_weight != 1,
            "human_epochs": options.human_epochs is not None,
            "human_learning_rate": options.human_learning_rate is not None,
            "correction": options.correction != "none",
            "probs_temperature": options.probs_temperature == "fit",
        }
        for name, asked in needs.items():
            if asked:
                raise ConfigError(
                    f"`{name}` is {getattr(options, name)!r}, which needs human labels. Name the column with the few "
                    "that there are as `human_column`."
                )
        return
    if options.human_column == label_column:
        raise ConfigError(
            f"`human_column` is {label_column!r}, as is `label_column`. Name the LLM's labels as `label_column`; to "
            "train on human labels alone leave `human_column` out."
        )
    if options.human_weight != 1 and options.human_strategy != "mix":
        raise ConfigError(
            f"`human_weight` is {options.human_weight} and `human_strategy` {options.human_strategy!r}. It applies "
            "to 'mix' only: write 'mix', or leave the weight out."
        )
    for name in ("human_epochs", "human_learning_rate"):
        if getattr(options, name) is not None and options.human_strategy != "finetune":
            raise ConfigError(
                f"`{name}` is {getattr(options, name)} and `human_strategy` {options.human_strategy!r}. It applies "
                "to 'finetune' only: write 'finetune', or leave it out."
            )


def _check_values(options: SourceOptions) -> None:
    for name, valid in (("human_strategy", HUMAN_STRATEGIES), ("correction", CORRECTIONS)):
        if getattr(options, name) not in valid:
            raise ConfigError(f"`{name}` is {getattr(options, name)!r}. Give one of {', '.join(valid)}.")
    positive = ("human_weight", "human_epochs", "human_learning_rate", "probs_draws")
    for name in positive:
        value = getattr(options, name)
        if value is not None and not _number(value, above=True):
            raise ConfigError(f"`{name}` is {value!r}. Give a number above 0.")
    for name in ("confidence_power", "probs_alpha"):
        if not _number(getattr(options, name)):
            raise ConfigError(f"`{name}` is {getattr(options, name)!r}. Give a number of at least 0.")
    options.probs_temperature = _temperature(options.probs_temperature)


def _temperature(value: float | str) -> float | str:
    """The number that YAML may have read as text, or 'fit'."""
    if value == "fit":
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not _number(number, above=True):
        raise ConfigError(f"`probs_temperature` is {value!r}. Give a number above 0, or 'fit'.")
    return number


def _number(value: object, *, above: bool = False) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and (value > 0 if above else value >= 0)
