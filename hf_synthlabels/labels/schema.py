"""LabelSchema: the closed description of a label, and the one source of all that depends on it."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels.digits import number_text

if TYPE_CHECKING:
    import datasets

INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]")


def visible(text: str) -> str:
    """The text as a reader sees it: composed characters, nothing of no width, no white space around it."""
    return unicodedata.normalize("NFC", INVISIBLE.sub("", text)).strip()


Kind = Literal[
    "text-classification",
    "multi-label",
    "text-pair",
    "text-scale",
    "token-classification",
    "question-answering",
    "text-generation",
]
"""The Hub's task names; a kind fixes the type of the label column."""

KINDS: tuple[Kind, ...] = get_args(Kind)

CLOSED_KINDS = frozenset({"text-classification", "multi-label", "text-pair", "token-classification"})
"""Kinds whose label is chosen from a list of names."""


MAX_GRID_NUMBERS = 100
"""A scale with more numbers stands in a JSON schema by its ends: servers bound the length of an enumeration."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The numbers that a `text-scale` label may take, both ends included."""

    low: float
    high: float
    step: float | None = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(f"`scale` runs from {self.low!r} to {self.high!r}. Give a low end below the high end.")
        if self.step is not None and self.step <= 0:
            raise ConfigError(f"`scale.step` is {self.step!r}. Give a positive step, or null for any number.")

    def holds(self, number: float) -> bool:
        """Whether a number is on the scale: between its ends, and a whole number of steps from the low one."""
        if not self.low <= number <= self.high:
            return False
        if self.step is None:
            return True
        steps = (number - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    def grid(self) -> tuple[float, ...] | None:
        """All numbers on the scale in their order; None when it has no steps."""
        if self.step is None:
            return None
        return tuple(
            self.low + number * self.step for number in range(int((self.high - self.low) / self.step + 1e-9) + 1)
        )

    def __str__(self) -> str:
        steps = "" if self.step is None else f" in steps of {number_text(self.step)}"
        return f"{number_text(self.low)} to {number_text(self.high)}{steps}"


@dataclass(frozen=True, slots=True)
class LabelSchema:
    """A closed description of the label: what may be answered, and what each answer means.

    The `datasets` feature, the JSON schema that a model is held to, the prompt's list of labels, the parser and
    a student's `id2label` are all made from it, so that they can not disagree.

    Raises:
        ConfigError: no names where the kind needs them, an empty or duplicate name, definitions that do not
            match the names, or a scale where there should be none.
    """

    kind: Kind = "text-classification"
    names: tuple[str, ...] = ()
    """Label names in the order of their codes."""
    definitions: tuple[str, ...] = ()
    """One sentence for each name, or nothing at all."""
    guidelines: str = ""
    """The codebook: free text for the annotator."""
    abstain: bool = False
    """Whether the annotator may answer that it can not tell."""
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"`kind` is {self.kind!r}. Choose one of: {', '.join(KINDS)}.")
        if self.kind in CLOSED_KINDS:
            _check_names(self.names)
            if self.kind in ("text-classification", "text-pair") and len(self.names) < 2:
                raise ConfigError(f"`labels` has one name only: {list(self.names)}. Give at least two labels.")
        elif self.names:
            raise ConfigError(f"`labels` is given, but kind {self.kind!r} has no label names. Remove it.")
        if self.definitions and len(self.definitions) != len(self.names):
            raise ConfigError(
                f"`labels` has {len(self.names)} names and {len(self.definitions)} definitions. "
                "Define each label, or none."
            )
        if (self.kind == "text-scale") != (self.scale is not None):
            raise ConfigError(f"`scale` belongs to kind 'text-scale' and to no other; kind is {self.kind!r}.")

    @classmethod
    def from_labels(
        cls,
        labels: Mapping[str, str | None] | Sequence[str],
        *,
        kind: Kind = "text-classification",
        guidelines: str = "",
        abstain: bool = False,
    ) -> LabelSchema:
        """Make a schema from names, or from a mapping of names to definitions."""
        names = tuple(labels)
        definitions: tuple[str, ...] = ()
        if isinstance(labels, Mapping) and any(labels.values()):
            definitions = tuple(str(definition or "") for definition in labels.values())
        return cls(kind=kind, names=names, definitions=definitions, guidelines=guidelines, abstain=abstain)

    def code(self, name: str) -> int:
        """The integer that stands for a label name in a `ClassLabel` column.

        Raises:
            ConfigError: the name is not in the schema.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise ConfigError(f"`label` {name!r} is not one of the schema's: {', '.join(self.names)}.") from None

    def describe(self, name: str) -> str:
        """The name with its definition, the way that an annotator reads it."""
        definition = self.definitions[self.names.index(name)] if self.definitions else ""
        return f"{name}: {definition}" if definition else name

    def feature(self) -> datasets.features.features.FeatureType:
        """The type of a label column; every type stores None where there is no label."""
        from datasets import ClassLabel, List, Value

        match self.kind:
            case "text-classification" | "text-pair":
                return ClassLabel(names=list(self.names))
            case "multi-label":
                return List(ClassLabel(names=list(self.names)))
            case "text-scale":
                return Value("float64")
            case "token-classification":
                span = {"start": Value("int32"), "end": Value("int32"), "text": Value("string")}
                return List({**span, "label": ClassLabel(names=list(self.names))})
            case "question-answering":
                return {"text": Value("string"), "start": Value("int32")}
            case "text-generation":
                return Value("string")

    def response_schema(self) -> dict[str, Any]:
        """The JSON schema of one answer, with the label names as its enumeration.

        It keeps to what servers that hold a model to a schema strictly have in common: all fields required, no others,
        no `uniqueItems`, no lengths or patterns. The parser checks the rest.
        """
        choices: dict[str, Any] = {"type": "string", "enum": [*self.names, *self._abstention()]}
        value: dict[str, Any]
        match self.kind:
            case "text-classification" | "text-pair":
                value = choices
            case "multi-label":
                value = {"type": "array", "items": choices}
            case "text-scale":
                value = self._or_abstain(self._number())
            case "token-classification":
                span = {"text": {"type": "string"}, "label": {"type": "string", "enum": list(self.names)}}
                value = self._or_abstain({"type": "array", "items": _closed_object(span)})
            case "question-answering" | "text-generation":
                value = {"type": "string"}
        return _closed_object({"label": value})

    def _number(self) -> dict[str, Any]:
        assert self.scale is not None
        grid = self.scale.grid()
        if grid is None or len(grid) > MAX_GRID_NUMBERS:
            return {"type": "number", "minimum": self.scale.low, "maximum": self.scale.high}
        if all(float(number).is_integer() for number in grid):
            return {"type": "integer", "enum": [int(number) for number in grid]}
        return {"type": "number", "enum": [round(number, 10) for number in grid]}

    def _or_abstain(self, value: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [value, {"type": "string", "enum": self._abstention()}]} if self.abstain else value

    def fingerprint(self) -> str:
        """A hash of all that can change what a label means; 16 hexadecimal digits."""
        content = {
            "kind": self.kind,
            "names": self.names,
            "definitions": self.definitions,
            "guidelines": self.guidelines,
            "abstain": self.abstain,
            "scale": None if self.scale is None else [self.scale.low, self.scale.high, self.scale.step],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def _abstention(self) -> list[str]:
        return ["abstain"] if self.abstain else []


def _closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _check_names(names: Sequence[str]) -> None:
    """Names must be there, not empty, and different from each other even when case is ignored."""
    if not names:
        raise ConfigError("`labels` is empty. Give each label a name, and best a definition.")
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(
                f"`labels` has the name {name!r}, which YAML reads as {type(name).__name__}. "
                f'Put it in quotes: "{str(name).lower()}".'
            )
        if not visible(name):
            raise ConfigError(f"`labels` has an empty name: {name!r}. Give each label a name.")
        if name != name.strip() or "\n" in name:
            raise ConfigError(f"`labels` has {name!r}. Remove the white space around it and line breaks.")
    folded = [visible(name).casefold() for name in names]
    twice = [name for name, fold in zip(names, folded, strict=True) if folded.count(fold) > 1]
    if twice:
        # An answer is matched without regard to case, so 'Pos' and 'pos' could not be told apart.
        raise ConfigError(f"`labels` has duplicate names: {twice}. Give each label a distinct name.")
    if "abstain" in folded:
        raise ConfigError("`labels` has the name 'abstain', which means no label. Name it otherwise.")
