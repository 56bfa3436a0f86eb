"""Reading an answer into a schema: exactly, or not at all."""

from __future__ import annotations

import re

from hf_synthlabels.labels.answer import Answer, unparsed
from hf_synthlabels.labels.entities import parse_entities
from hf_synthlabels.labels.json_values import last_value
from hf_synthlabels.labels.name_lists import parse_names
from hf_synthlabels.labels.names import parse_name
from hf_synthlabels.labels.numbers import parse_number
from hf_synthlabels.labels.schema import LabelSchema, visible
from hf_synthlabels.labels.spans import project

__all__ = ["PARSER_VERSION", "parse", "plain_answer"]

PARSER_VERSION = 4
"""Rises with every change that can read an answer differently: tables made by another version are made anew."""

HEADING = re.compile(r"^(?:the\s+)?(?:answer|label|response|output)\s*(?:is)?\s*[:=]\s*", re.I)
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“"), ("`", "`"))
NO_ANSWER = frozenset(
    {"abstain", "unanswerable", "not answerable", "no answer", "the question is unanswerable"}
    | {"the question might be unanswerable", "cannot be answered", "n/a", "not applicable"}
)


def parse(schema: LabelSchema, text: str, context: str = "", question: str = "") -> Answer:
    """Read one answer; never guesses.

    Args:
        schema: what may be answered.
        text: the answer as it came from the annotator.
        context: the row's text, where entities are named in it, or the passage, where a question is answered from
            it; unused by the other kinds.
        question: what was asked of the passage; it helps to tell an answer from the words around it.
    """
    match schema.kind:
        case "text-classification" | "text-pair":
            return parse_name(schema, text)
        case "multi-label":
            return parse_names(schema, text)
        case "text-scale":
            return parse_number(schema, text)
        case "token-classification":
            return parse_entities(schema, text, context)
        case "question-answering":
            return _parse_span(schema, text, context, question)
        case "text-generation":
            said = plain_answer(text)
            return Answer("labelled", label=said) if said else unparsed("the answer is empty")


def _parse_span(schema: LabelSchema, text: str, context: str, question: str) -> Answer:
    said = plain_answer(text)
    if not said:
        return unparsed("the answer is empty")
    if said.strip(" .").casefold() in NO_ANSWER:
        if schema.abstain:
            return Answer("abstained", reason="the annotator found no answer")
        return unparsed("the answer says that there is none, and `abstain` is false")
    found = project(context, said, question)
    if found is None:
        return unparsed(f"{said[:60]!r} does not stand in the context")
    return Answer("labelled", label=found.span, rung=found.rung)


def plain_answer(text: str) -> str:
    """What an answer in words says, out of its JSON, heading and quotes."""
    cleaned = visible(text)
    value = last_value(cleaned, "label", "answer", "text") if "{" in cleaned else None
    if isinstance(value, str):
        cleaned = visible(value)
    cleaned = HEADING.sub("", cleaned)
    for opening, closing in QUOTES:
        if len(cleaned) > 1 and cleaned.startswith(opening) and cleaned.endswith(closing):
            return cleaned[len(opening) : -len(closing)].strip()
    return cleaned
