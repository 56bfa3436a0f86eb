"""The reading of an answer with several variables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from hf_synthlabels.annotation.codebook.groups import Condition, Group
from hf_synthlabels.annotation.prompting.prompt import Prompt
from hf_synthlabels.annotation.prompting.row_inputs import RowText
from hf_synthlabels.annotation.prompting.stated_confidence import Elicitation, read_confidence
from hf_synthlabels.annotation.run.samples import as_annotation, missing_sample, with_stated
from hf_synthlabels.clients import Completion
from hf_synthlabels.labels import Annotation, Answer, LabelSchema, Status, Token, label_probabilities, parse
from hf_synthlabels.labels.parsing.properties import read_properties

NOTHING = "skip"
"""In a text answer: the variable is not coded, as its condition does not hold."""

NULL = "null"

REPEATING_KINDS = ("text-classification", "text-pair")
"""Kinds whose answers repeat, and are parsed without the row."""

MAX_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class VariablePrompt:
    """What a joint prompt says about one variable."""

    name: str
    prompt: Prompt
    """The prompt that asks for the variable alone."""
    condition: Condition | None = None
    reasoning: bool = False

    @property
    def schema(self) -> LabelSchema:
        """The labels of the variable."""
        return self.prompt.schema

    @property
    def reasoning_name(self) -> str:
        """The property with the reasoning."""
        return f"{self.name}_reasoning"

    @property
    def elicitation(self) -> Elicitation | None:
        """How the confidence in the value is stated; None if it is not."""
        return self.prompt.strategy.confidence

    @property
    def confidence_name(self) -> str:
        """The property with the confidence."""
        return f"{self.name}_confidence"


@dataclass(frozen=True)
class JointReader:
    """Reads the answers to a request for several variables."""

    variables: tuple[VariablePrompt, ...]

    def read(self, completion: Completion, row: RowText) -> dict[str, Annotation]:
        """The annotation of each variable from one completion."""
        text = completion.text
        missing = missing_sample(completion, text)
        if missing is not None and missing.status != "truncated":
            return dict.fromkeys(self._names, missing)
        if missing is None and not completion.tokens and (values := _whole_object(text, self._names)) is not None:
            return self._of_object(values, row)
        properties = read_properties(text, self._read_names, is_cut=missing is not None)
        annotations: dict[str, Annotation] = {}
        for variable in self.variables:
            name = variable.name
            if name not in properties.values:
                annotations[name] = _without_value(name, properties.problems[name], text)
                continue
            value = properties.values[name]
            answer = _parsed(variable, value, row, as_json=properties.as_json)
            probabilities = _probabilities(variable, answer, completion.tokens, as_json=properties.as_json)
            annotation = as_annotation(variable.schema, answer, probabilities, value)
            given = properties.values.get(variable.confidence_name)
            if properties.as_json and given is not None:
                given = json.loads(given)
            annotations[name] = _with_confidence(variable, annotation, given)
        return annotations

    def _of_object(self, values: Mapping[str, Any], row: RowText) -> dict[str, Annotation]:
        """The annotations of an answer that is one JSON object, as nearly all are; answers that repeat are kept."""
        annotations: dict[str, Annotation] = {}
        for name, variable, known in self._known:
            value = values[name]
            annotation = None if known is None or type(value) is not str else known.get(value)
            if annotation is None:
                annotation = _annotated(variable, json.dumps(value, ensure_ascii=False), row)
                if known is not None and type(value) is str and len(known) < MAX_KNOWN:
                    known[value] = annotation
            annotations[name] = _with_confidence(variable, annotation, values.get(variable.confidence_name))
        return annotations

    @cached_property
    def _known(self) -> list[tuple[str, VariablePrompt, dict[str, Annotation] | None]]:
        """The variables with the annotations of answers that were read before; None for kinds that need the row."""
        return [
            (variable.name, variable, {} if variable.schema.kind in REPEATING_KINDS else None)
            for variable in self.variables
        ]

    @cached_property
    def _read_names(self) -> Group:
        """With the names of reasoning and confidence, which end the value before them where answers are lines."""
        reasoning = [each.reasoning_name for each in self.variables if each.reasoning]
        return (*self._names, *reasoning, *(each.confidence_name for each in self.variables if each.elicitation))

    @cached_property
    def _names(self) -> Group:
        return tuple(variable.name for variable in self.variables)


def _whole_object(text: str, names: Group) -> Mapping[str, Any] | None:
    """The properties of an answer that is one JSON object and nothing else, each given once; None for another one."""
    if not text.startswith("{") or not text.endswith("}"):
        return None
    try:
        pairs = PAIRS.decode(text)
    except (ValueError, RecursionError):
        return None
    # The strict reader reports repeated names, of which case does not count, and knows where each value stands.
    if not _are_complete(tuple([name for name, _ in pairs]), names):
        return None
    return values if all(map(_is_plain, (values := dict(pairs)).values())) else None


@lru_cache(maxsize=256)
def _are_complete(given: Group, names: Group) -> bool:
    """Whether the names of an answer are those of the variables, and perhaps of reasoning, each once."""
    return set(names) <= set(given) and len({name.casefold() for name in given}) == len(given)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind in PLAIN or (kind is list and all(type(item) is str for item in value))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all its properties."""


PAIRS = json.JSONDecoder(object_pairs_hook=_Pairs)

PLAIN = frozenset({str, int, float, bool, type(None)})


def _without_value(name: str, problem: str, raw: str) -> Annotation:
    status: Status = "truncated" if problem == "cut off" else "unparsed"
    return Annotation(status, votes=(None,), raw=raw, reason=f"the value of `{name}` is {problem}")


def _with_confidence(variable: VariablePrompt, annotation: Annotation, value: Any) -> Annotation:
    """The annotation with the stated confidence, where one was requested."""
    if variable.elicitation is None:
        return annotation
    return with_stated(annotation, *read_confidence(variable.elicitation, value))


def _annotated(variable: VariablePrompt, value: str, row: RowText) -> Annotation:
    """The annotation of one value, given as JSON."""
    return as_annotation(variable.schema, _parsed(variable, value, row, as_json=True), None, value)


def _parsed(variable: VariablePrompt, value: str, row: RowText, *, as_json: bool) -> Answer:
    """One value of a joint answer, parsed like the answer to a request for the variable alone."""
    schema = variable.schema
    plain = value.strip().casefold()
    is_null = plain == NULL if as_json else plain in (NULL, NOTHING) and value.strip() not in schema.names
    if is_null:
        if schema.abstain:
            return Answer("abstained", reason="the annotator cannot determine the label")
        return Answer("unparsed", reason="the value is null")
    return parse(schema, f'{{"label": {value}}}' if as_json else value, row.context)


def _probabilities(
    variable: VariablePrompt, answer: Answer, tokens: Sequence[Token], *, as_json: bool
) -> Mapping[str, float] | None:
    """The probability of each label of a variable, from the tokens of a joint answer."""
    choices = variable.schema.choices
    if not tokens or not choices or not isinstance(answer.label, str | float):
        return None
    text = "".join(token.text for token in tokens)
    starts = [match.end() for match in _value_start(variable.name, as_json).finditer(text)]
    # A name that occurs twice may be part of another value.
    return label_probabilities(choices, tokens, starts[0]) if len(starts) == 1 else None


@lru_cache(maxsize=512)
def _value_start(name: str, as_json: bool) -> re.Pattern[str]:
    escaped = re.escape(name)
    if as_json:
        return re.compile(rf'"{escaped}"\s*:\s*"?')
    return re.compile(rf"^[ \t*]*{escaped}[ \t*]*:[ \t*]*", re.I | re.M)
