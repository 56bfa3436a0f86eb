"""The heads of a multi-head student: one per label variable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import Kind, LabelSchema
from hf_synthlabels.training.data.label_names import check_names, label_names
from hf_synthlabels.training.data.recorded_variables import Records, recorded_variable

HEAD_KINDS = ("text-classification", "text-pair", "multi-label")
"""Task types that a head may have."""

HEAD_OPTIONS = ("kind", "names", "human", "probs", "weight", "class_weights", "ask_if")

ONE_HEAD_OPTIONS = {
    "label_column": "label",
    **dict.fromkeys(("scale", "probs_column", "human_column", "confidence_column", "class_weights")),
}
"""Options of a student with one label column, with their defaults."""


@dataclass(frozen=True, slots=True)
class VariableHead:
    """The head of one variable."""

    variable: str
    """Name of the variable and of its label column."""
    schema: LabelSchema
    human: str | None = None
    """Column with human labels, which replace the LLM labels of their rows."""
    probs: str | None = None
    """Column with soft labels."""
    weight: float = 1.0
    """Weight of this head's loss."""
    class_weights: tuple[float, ...] | None = None
    """multi-label: weight of the positive rows of each label."""

    ask_if: tuple[str, tuple[str, ...]] | None = None
    """The variable that decides whether this one has a label, and the labels with which it has one."""

    @property
    def is_multi_label(self) -> bool:
        """Whether a row may have several labels."""
        return self.schema.kind == "multi-label"

    @property
    def label_width(self) -> int:
        """Number of label values of a row: a code, or an indicator for each name."""
        return len(self.schema.names) if self.is_multi_label else 1


def read_heads(heads: Any) -> dict[str, dict[str, Any]] | None:
    """The option `heads` as a mapping of variables to the options of their heads.

    Raises:
        ConfigError: it has another form, or an option of a head is unknown.
    """
    if isinstance(heads, str):
        try:
            heads = json.loads(heads)
        except ValueError:
            heads = [heads]
    if isinstance(heads, Sequence):
        if len(set(heads)) < len(heads):
            raise ConfigError(f"`heads` is {list(heads)!r}. Name each variable once.")
        heads = dict.fromkeys(heads)
    if heads is None:
        return None
    if not isinstance(heads, Mapping) or not heads or not all(isinstance(name, str) for name in heads):
        raise ConfigError(f"`heads` is {heads!r}. Give a list of variables, or a mapping such as {{tone: {{}}}}.")
    checked = {}
    for name, options in heads.items():
        options = {} if options is None else options
        if not isinstance(options, Mapping) or (unknown := [key for key in options if key not in HEAD_OPTIONS]):
            wrong = unknown[0] if isinstance(options, Mapping) else options
            raise ConfigError(
                f"`heads.{name}` has {wrong!r}, which is not an option of a head. Valid: {', '.join(HEAD_OPTIONS)}."
            )
        weight = options.get("weight", 1.0)
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 < weight < float("inf"):
            raise ConfigError(f"`heads.{name}.weight` is {weight!r}. Give a number above 0.")
        checked[name] = dict(options)
    return checked


def check_heads(config: Any) -> None:
    """Read the option `heads`, and reject the options of a student with one label column.

    Raises:
        ConfigError: `heads` is invalid, or contradicts another option.
    """
    config.heads = read_heads(config.heads)
    if config.heads is None:
        return
    if config.task not in ("text-classification", "text-pair"):
        raise ConfigError(
            f"`task` is {config.task!r}, but `heads` have separate task types. Leave `task` out, and write `kind` "
            "into a head."
        )
    for option, default in ONE_HEAD_OPTIONS.items():
        if getattr(config, option) != default:
            raise ConfigError(
                f"`{option}` is {getattr(config, option)!r}, but the student has `heads`. Leave it out; the options of "
                f"a head are {', '.join(HEAD_OPTIONS)}."
            )


def complete_heads(
    heads: Mapping[str, Mapping[str, Any]], rows: Dataset, records: Records = ()
) -> dict[str, dict[str, Any]]:
    """The options of all heads with kind, label names and human labels, from the provenance or else from the column.

    Args:
        heads: options by variable; given options are kept.
        rows: the training rows.
        records: provenance of the rows.

    Raises:
        ConfigError: a variable is not a column, or has a kind that is not a classification.
        DataError: a variable has fewer than two classes.
    """
    complete = {}
    for name, options in heads.items():
        recorded = recorded_variable(name, rows.column_names, records)
        kind = options.get("kind") or recorded.kind or _kind_of_column(rows, name)
        if kind not in HEAD_KINDS:
            raise ConfigError(
                f"`variable` {name!r} has {kind} labels, but a multi-head student learns only {', '.join(HEAD_KINDS)}. "
                f"Train a separate student: --variable {name}."
            )
        names = tuple(options.get("names") or recorded.names or label_names(rows, name, kind))
        if kind != "multi-label":
            check_names(names, rows, name)
        human = options.get("human", recorded.human)
        if "human" not in options and human is not None and not has_labels(rows, human):
            human = None
        ask_if = options.get("ask_if", recorded.ask_if)
        if "ask_if" not in options and (ask_if is None or ask_if["variable"] not in heads):
            ask_if = None
        complete[name] = {**options, "kind": kind, "names": list(names), "human": human, "ask_if": ask_if}
    return complete


def variable_heads(heads: Mapping[str, Mapping[str, Any]]) -> tuple[VariableHead, ...]:
    """The heads of complete options.

    Raises:
        ConfigError: the kind or the names are missing, or the number of class weights differs from that of the names.
    """
    parsed = []
    for name, options in heads.items():
        if not {"kind", "names"} <= set(options):
            raise ConfigError(f"`heads.{name}` is {options!r}. Give `kind` and `names`.")
        weights = options.get("class_weights")
        if weights is not None and (
            options["kind"] != "multi-label" or len(weights) != len(options["names"]) or min(weights) <= 0
        ):
            raise ConfigError(
                f"`heads.{name}.class_weights` is {weights!r}. Give a multi-label head one number above 0 for each of "
                "its labels."
            )
        parsed.append(
            VariableHead(
                name,
                LabelSchema(kind=cast("Kind", options["kind"]), names=tuple(options["names"])),
                options.get("human"),
                options.get("probs"),
                float(options.get("weight", 1.0)),
                None if weights is None else tuple(map(float, weights)),
                _condition(name, heads),
            )
        )
    return tuple(parsed)


def _condition(name: str, heads: Mapping[str, Mapping[str, Any]]) -> tuple[str, tuple[str, ...]] | None:
    """The condition of a head.

    Raises:
        ConfigError: it is incomplete, names no other head, or is part of a circle.
    """
    ask_if = heads[name].get("ask_if")
    if ask_if is None:
        return None
    error = f"`heads.{name}.ask_if` is {ask_if!r}. Give the `variable` of another head, and its labels under `is`."
    if not isinstance(ask_if, Mapping) or set(ask_if) != {"variable", "is"} or isinstance(ask_if["is"], str):
        raise ConfigError(error)
    seen, parent = [name], ask_if["variable"]
    while parent is not None:
        if parent in seen or parent not in heads:
            raise ConfigError(error)
        seen.append(parent)
        parent = (heads[parent].get("ask_if") or {}).get("variable")
    return ask_if["variable"], tuple(ask_if["is"])


def output_names(heads: Sequence[VariableHead]) -> tuple[str, ...]:
    """A name for each output of the model, such as `tone: positive`."""
    return tuple(f"{head.variable}: {name}" for head in heads for name in head.schema.names)


def has_labels(rows: Dataset, column: str) -> bool:
    """Whether any row has a value in a column."""
    return any(value is not None for value in rows.with_format(None)[column][:])


def _kind_of_column(rows: Dataset, column: str) -> str:
    """The task type that a column's type suggests."""
    feature = rows.features[column]
    if str(getattr(feature, "dtype", "")).startswith(("float", "decimal")):
        return "text-scale"
    values = rows.with_format(None)[column][:]
    first = next((value for value in values if value is not None), None)
    if isinstance(first, list):
        if any(isinstance(item, Mapping) for item in first):
            return "token-classification"
        return "multi-label"
    if first is None:
        raise DataError(f"`{column}` has no label in any of {len(rows)} rows. Annotate the rows first.")
    return "question-answering" if isinstance(first, Mapping) else "text-classification"
