"""Strategy: how the annotator is led to a label, and how its answer is read then."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hf_synthlabels.annotation.prompting.answer_reading import final_json, label_line, label_start, named_lines
from hf_synthlabels.annotation.prompting.stated_confidence import Elicitation, confidence_schema, split_confidence
from hf_synthlabels.labels import Answer, Kind, LabelSchema, Token, parse
from hf_synthlabels.labels.parsing.answer import bare_lines
from hf_synthlabels.labels.parsing.names import read_name

LONG_LABELS: tuple[Kind, ...] = ("multi-label", "token-classification", "text-generation")
"""Kinds whose label may stand on several lines."""

CHOICES: tuple[Kind, ...] = ("text-classification", "text-pair")
"""Kinds whose label is one name."""

QUOTING = re.compile(r"[\"“«„(\[{]")


@dataclass(frozen=True, slots=True)
class Question:
    """A subquestion, with its possible answers."""

    name: str
    ask: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, read, and how the annotator spread its belief where it said so."""

    answer: Answer
    probabilities: Mapping[str, float] | None = None
    confidence: float | None = None
    """The stated confidence, from 0 to 1."""
    note: str = ""
    """Why no confidence could be read where one was requested."""


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
    confidence: Elicitation | None = None
    """Whether the annotator states its confidence after the label, and in which form."""

    @property
    def has_label_line(self) -> bool:
        """Whether a text answer has more lines than the label, which begins with `label:`."""
        return bool(self.reasoning or self.questions or self.confidence)

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
        if self.confidence:
            properties["confidence"] = confidence_schema(self.confidence)
        if self.rows_per_call > 1:
            item = _closed({"row": {"type": "integer"}, **properties})
            return _closed({"answers": {"type": "array", "items": item}})
        return _closed(properties)

    def read(self, schema: LabelSchema, text: str, context: str = "", question: str = "") -> Reading:
        """Read the answer to one row."""
        if self.confidence is not None:
            stated = split_confidence(self.confidence, text)
            reading = replace(self, confidence=None)._read_stated(schema, stated.text, context, question)
            return replace(reading, confidence=stated.confidence, note=stated.note)
        return self._read_label(schema, text, context, question)

    def _read_stated(self, schema: LabelSchema, text: str, context: str, question: str) -> Reading:
        """Read the label of an answer without its confidence: after `label:`, or alone."""
        if self.reasoning or self.questions or (label := _stated_label(schema, text)) is None:
            return self._read_label(schema, text, context, question)
        return self._read_label(schema, label, context, question)

    def _read_label(self, schema: LabelSchema, text: str, context: str, question: str) -> Reading:
        if self.candidates:
            return self._read_candidates(schema, text)
        if self.decide:
            return self._decided(text)
        if self.questions:
            trouble = self._answers(text)[1]
            if trouble is not None:
                return Reading(trouble)
        if self.reasoning or self.questions:
            label = _stated_label(schema, text)
            if label is None:
                return Reading(Answer("unparsed", reason="the answer has no line that begins with `label:`"))
            text = label
        return Reading(parse(schema, text, context, question))

    def label_tokens(self, schema: LabelSchema, tokens: Sequence[Token]) -> Sequence[Token]:
        """The tokens of an answer from the label on; none where they spell anything but one name."""
        if self.rows_per_call > 1 or self.candidates or self.decide:
            return ()
        text = "".join(token.text for token in tokens)
        value = final_json(text)
        if isinstance(value, dict) and "label" in value:
            return tokens if text.count('"label"') == 1 else ()
        start = label_start(text) if self.has_label_line else 0
        if start is None:
            return ()
        spelled = text[start:].strip()
        if self.confidence:
            spelled = spelled.partition("\n")[0].strip()
        if spelled not in schema.choices and (schema.scale is not None or read_name(schema, spelled) is None):
            return ()
        place = 0
        for number, token in enumerate(tokens):
            if place >= start:
                return tokens[number:]
            place += len(token.text)
        return ()

    def _read_candidates(self, schema: LabelSchema, text: str) -> Reading:
        items = _stated_candidates(schema, text, reasoned=self.reasoning)
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

    def _decided(self, text: str) -> Reading:
        given, trouble = self._answers(text)
        if trouble is not None:
            return Reading(trouble)
        for label, conditions in self.decide:
            if all(given[name] == wanted for name, wanted in conditions):
                if label == "abstain":
                    return Reading(Answer("abstained", reason="the answers to the questions decide on no label"))
                return Reading(Answer("labelled", label=label))
        return Reading(Answer("unparsed", reason=f"no line of `task.decide` fits the answers {given}"))

    def _answers(self, text: str) -> tuple[dict[str, str], Answer | None]:
        """What the questions are answered with, and what is wrong with it."""
        value = final_json(text)
        names = [question.name for question in self.questions]
        said = value if isinstance(value, dict) else named_lines(text, names)
        given: dict[str, str] = {}
        for question in self.questions:
            got = said.get(question.name)
            answer = read_name(LabelSchema(kind="multi-label", names=question.answers), got)
            if answer is None or answer.label is None:
                return given, Answer("unparsed", reason=f"question {question.name!r} is answered with {got!r}")
            given[question.name] = str(answer.label)
        return given, None


PLAIN = Strategy()


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _stated_label(schema: LabelSchema, text: str) -> str | None:
    """The label at the end of an answer, as a text to be parsed."""
    value = final_json(text)
    if isinstance(value, dict) and "label" in value:
        return json.dumps({"label": value["label"]}, ensure_ascii=False)
    line = label_line(text, whole=schema.kind in LONG_LABELS)
    if line is None or schema.kind not in CHOICES or read_name(schema, line):
        return line
    # What is quoted behind a label is no label.
    return QUOTING.split(line)[0]


def _stated_candidates(schema: LabelSchema, text: str, *, reasoned: bool) -> list[Any]:
    value = final_json(text)
    if isinstance(value, dict):
        value = next((value[key] for key in ("candidates", "labels", "label") if key in value), None)
    if value is not None:
        return value if isinstance(value, list) else [value]
    said = label_line(text, whole=True)
    if said is None:
        said = "" if reasoned else text
    items: list[Any] = []
    for line in bare_lines(said):
        # A name may have a comma in it.
        items += [line] if read_name(schema, line) else [part for part in re.split(r"\s*[,;]\s*", line) if part]
    return items
