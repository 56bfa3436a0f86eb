"""LabelSchema: the closed description of a label."""

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
    """Normalize a text to NFC, without zero-width characters and surrounding white space."""
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
"""Task types, named as on the Hub where possible; the kind fixes the type of the label column."""

KINDS: tuple[Kind, ...] = get_args(Kind)

CLOSED_KINDS = frozenset({"text-classification", "multi-label", "text-pair", "token-classification"})
"""Kinds with class names."""

ABSTAIN = "abstain"
"""The answer of an annotator that cannot determine the label."""

MAX_ENUM_NUMBERS = 100
"""A JSON schema gives longer scales by their bounds: servers limit the length of an `enum`."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The valid numbers of a `text-scale` label; both bounds are inclusive.

    Raises:
        ConfigError: The bounds are not in order, or the step is not positive.
    """

    low: float
    high: float
    step: float | None = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(f"`scale` must run from a lower to a higher number, got {self.low!r} to {self.high!r}.")
        if self.step is not None and self.step <= 0:
            raise ConfigError(f"`scale.step` must be positive, or null for any number, got {self.step!r}.")

    def holds(self, number: float) -> bool:
        """Whether a number is on the scale."""
        if not self.low <= number <= self.high:
            return False
        if self.step is None:
            return True
        steps = (number - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    @property
    def num_steps(self) -> int:
        """Number of whole steps from the lower bound; 0 without steps."""
        return 0 if self.step is None else int((self.high - self.low) / self.step + 1e-9)

    def grid(self) -> tuple[float, ...] | None:
        """Return all numbers on the scale in order; None if it has no steps."""
        if self.step is None:
            return None
        return tuple(self.low + number * self.step for number in range(self.num_steps + 1))

    def __str__(self) -> str:
        steps = "" if self.step is None else f" in steps of {number_text(self.step)}"
        return f"{number_text(self.low)} to {number_text(self.high)}{steps}"


@dataclass(frozen=True, slots=True)
class LabelSchema:
    """The closed description of a label: valid values and their meaning.

    It determines the `datasets` feature, the JSON schema of answers, the label list in the prompt, the parser and a
    student's `id2label`, so these are always consistent.

    Raises:
        ConfigError: The names are missing, empty or duplicate, the definitions do not match them, or the scale does not
            fit the kind.
    """

    kind: Kind = "text-classification"
    names: tuple[str, ...] = ()
    """Class names in the order of their codes."""
    definitions: tuple[str, ...] = ()
    """One sentence per name, or empty."""
    guidelines: str = ""
    """Free text for the annotator."""
    abstain: bool = False
    """Whether the annotator may answer `abstain`."""
    scale: Scale | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"`kind` must be one of {', '.join(KINDS)}, got {self.kind!r}.")
        if self.kind in CLOSED_KINDS:
            _check_names(self.names)
            if self.kind in ("text-classification", "text-pair") and len(self.names) < 2:
                raise ConfigError(f"`labels` must have at least two names, got {list(self.names)}.")
        elif self.names:
            raise ConfigError(f"`labels` must be empty for kind {self.kind!r}, got {list(self.names)}.")
        if self.definitions and len(self.definitions) != len(self.names):
            raise ConfigError(
                f"`labels` has {len(self.names)} names but {len(self.definitions)} definitions: define all or none."
            )
        if (self.kind == "text-scale") != (self.scale is not None):
            raise ConfigError(f"`scale` is required for kind 'text-scale' and no other kind, got kind {self.kind!r}.")

    @classmethod
    def from_labels(
        cls,
        labels: Mapping[str, str | None] | Sequence[str],
        *,
        kind: Kind = "text-classification",
        guidelines: str = "",
        abstain: bool = False,
    ) -> LabelSchema:
        """Create a schema from names, or from a mapping of names to definitions."""
        names = tuple(labels)
        definitions: tuple[str, ...] = ()
        if isinstance(labels, Mapping) and any(labels.values()):
            definitions = tuple(str(definition or "") for definition in labels.values())
        return cls(kind=kind, names=names, definitions=definitions, guidelines=guidelines, abstain=abstain)

    def code(self, name: str) -> int:
        """Return the `ClassLabel` code of a name.

        Raises:
            ConfigError: The name is not in the schema.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise ConfigError(f"`label` {name!r} is not in the schema. Use one of: {', '.join(self.names)}.") from None

    @property
    def choices(self) -> tuple[str, ...]:
        """Return the class names, or the numbers of a scale as text; empty if they cannot be listed."""
        if self.scale is None:
            return self.names
        grid = self.scale.grid() if self.scale.num_steps < MAX_ENUM_NUMBERS else None
        return tuple(number_text(round(number, 10)) for number in grid or ())

    def describe(self, name: str) -> str:
        """Return the name with its definition, as in the prompt."""
        definition = self.definitions[self.names.index(name)] if self.definitions else ""
        return f"{name}: {definition}" if definition else name

    def feature(self) -> datasets.features.features.FeatureType:
        """Return the type of the label column; every type can store None."""
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
        """Return the JSON schema of one answer, with the class names as an `enum`.

        It uses the subset that servers with strict schemas support: all fields are required, and there are no
        additional properties, `uniqueItems`, lengths or patterns. The parser checks the rest.
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
        if grid is None or len(grid) > MAX_ENUM_NUMBERS:
            return {"type": "number", "minimum": self.scale.low, "maximum": self.scale.high}
        if all(float(number).is_integer() for number in grid):
            return {"type": "integer", "enum": [int(number) for number in grid]}
        return {"type": "number", "enum": [round(number, 10) for number in grid]}

    def _or_abstain(self, value: dict[str, Any]) -> dict[str, Any]:
        return {"anyOf": [value, {"type": "string", "enum": self._abstention()}]} if self.abstain else value

    def fingerprint(self) -> str:
        """Return a hash of everything that defines the label; 16 hexadecimal digits."""
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
        return [ABSTAIN] if self.abstain else []


def _closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _check_names(names: Sequence[str]) -> None:
    """Require names that are not empty and differ even without case."""
    if not names:
        raise ConfigError("`labels` must not be empty: give each label a name, and preferably a definition.")
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(
                f"`labels` must be strings, got {name!r}, which YAML parses as {type(name).__name__}: "
                f'quote it as "{str(name).lower()}".'
            )
        if not visible(name):
            raise ConfigError(f"`labels` must not have an empty name, got {name!r}.")
        if name != name.strip() or "\n" in name:
            raise ConfigError(f"`labels` must not have line breaks or surrounding white space, got {name!r}.")
    folded = [visible(name).casefold() for name in names]
    duplicates = [name for name, fold in zip(names, folded, strict=True) if folded.count(fold) > 1]
    if duplicates:
        # Answers are compared without case, so 'Pos' and 'pos' are the same label.
        raise ConfigError(f"`labels` must be distinct, ignoring case, got {duplicates}.")
    if ABSTAIN in folded:
        raise ConfigError("`labels` must not contain 'abstain', which is reserved for a missing label.")
