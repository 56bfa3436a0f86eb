"""Strategy: how the annotator is led to a label, and how its answer is read then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hf_synthlabels.labels import Answer, LabelSchema, parse, read_name
from hf_synthlabels.labels.answer_lines import bare_lines
from hf_synthlabels.labels.json_values import json_values, last_value

__all__ = ["PLAIN", "Question", "Reading", "Strategy"]

LABEL_LINE = re.compile(r"^[\W_]*(?:(?:final|my|the)\s+)?(?:label|answer)\b[\W_]*?[:=]", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Question:
    """A smaller question on the way to the label, with the answers that it may have."""

    name: str
    ask: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, read, and how the annotator spread its belief where it said so."""

    answer: Answer
    probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Strategy:
    """How the annotator is led to a label; the plain strategy asks for it at once."""

    reasoning: bool = False
    """Reasons in a few sentences, then the label."""
    rows_per_call: int = 1
    questions: tuple[Question, ...] = ()
    """Answered before the label."""
    decide: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """Label, and the answers that make it; the first that fits decides. Without any the annotator says the label."""
    candidates: int = 0
    """Up to so many labels that may be right, the likeliest first (candidate annotation: CanDist, ACL 2025)."""

    def response_schema(self, schema: LabelSchema) -> dict[str, Any]:
        """The JSON schema of one call's answer."""
        properties: dict[str, Any] = {}
        if self.reasoning:
            properties["reasoning"] = {"type": "string"}
        for question in self.questions:
            properties[question.name] = {"type": "string", "enum": list(question.answers)}
        label = schema.response_schema()["properties"]["label"]
        if self.candidates:
            properties["candidates"] = {"type": "array", "items": label}
        elif not self.decide:
            properties["label"] = label
        if self.rows_per_call > 1:
            item = _closed({"row": {"type": "integer"}, **properties})
            return _closed({"answers": {"type": "array", "items": item}})
        return _closed(properties)

    def read(self, schema: LabelSchema, text: str, context: str = "", question: str = "") -> Reading:
        """Read the answer to one row."""
        if self.candidates:
            return self._read_candidates(schema, text)
        if self.questions:
            return self._read_questions(schema, text, context)
        if self.reasoning and not _has_label(text):
            lines = list(LABEL_LINE.finditer(text))
            if not lines:
                return Reading(Answer("unparsed", reason="the answer has no line that begins with `label:`"))
            text = text[lines[-1].start() :] if schema.names else text[lines[-1].end() :]
        return Reading(parse(schema, text, context, question))

    def _read_candidates(self, schema: LabelSchema, text: str) -> Reading:
        value = last_value(text, "candidates", "label", "labels")
        if value is None:
            after = LABEL_LINE.split(text)[-1]
            value = [part for line in bare_lines(after) for part in re.split(r"\s*[,;]\s*", line) if part]
        items = value if isinstance(value, list) else [value]
        found = [read_name(schema, item) for item in items]
        if not found or None in found:
            return Reading(Answer("unparsed", reason=f"the candidates {items!r} are not all in the schema"))
        answers = [answer for answer in found if answer is not None]
        if answers[0].label is None:
            return Reading(answers[0])
        names = list(dict.fromkeys(str(answer.label) for answer in answers if answer.label is not None))
        names = names[: self.candidates]
        # The annotator gave an order, but no measure: all candidates count alike.
        shares = {name: 1 / len(names) if name in names else 0.0 for name in schema.names}
        return Reading(Answer("labelled", label=names[0]), shares)

    def _read_questions(self, schema: LabelSchema, text: str, context: str) -> Reading:
        said = _said(text, [question.name for question in self.questions])
        given: dict[str, str] = {}
        for question in self.questions:
            answer = read_name(LabelSchema(kind="multi-label", names=question.answers), said.get(question.name))
            if answer is None or answer.label is None:
                got = said.get(question.name)
                return Reading(Answer("unparsed", reason=f"question {question.name!r} is answered with {got!r}"))
            given[question.name] = str(answer.label)
        if not self.decide:
            plain = replace(self, questions=(), reasoning=not _has_label(text))
            return plain.read(schema, text, context)
        for label, conditions in self.decide:
            if all(given[name] == wanted for name, wanted in conditions):
                if label == "abstain":
                    return Reading(Answer("abstained", reason="the answers to the questions decide on no label"))
                return Reading(Answer("labelled", label=label))
        return Reading(Answer("unparsed", reason=f"no line of `task.decide` fits the answers {given}"))


PLAIN = Strategy()


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _has_label(text: str) -> bool:
    return any(isinstance(value, dict) and "label" in value for value in json_values(text, "{"))


def _said(text: str, names: list[str]) -> dict[str, Any]:
    """What an answer says under each name: in its last JSON object with one of them, or on lines `name: answer`."""
    found: dict[str, Any] = {}
    for value in json_values(text, "{"):
        if isinstance(value, dict) and any(name in value for name in names):
            found = value
    if found:
        return found
    for line in bare_lines(text):
        name, colon, rest = line.partition(":")
        if colon and name.strip(" *_`\"'").casefold() in {known.casefold() for known in names}:
            key = next(known for known in names if known.casefold() == name.strip(" *_`\"'").casefold())
            found[key] = rest.strip()
    return found
