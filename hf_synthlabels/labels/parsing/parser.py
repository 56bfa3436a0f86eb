"""Reading an answer into a schema: exactly, or not at all."""

from __future__ import annotations

import re

from hf_synthlabels.labels.digits import number_text
from hf_synthlabels.labels.parsing.answer import Answer, unparsed
from hf_synthlabels.labels.parsing.entities import parse_entities
from hf_synthlabels.labels.parsing.json_values import final_value, json_values, stated, under
from hf_synthlabels.labels.parsing.name_lists import parse_names
from hf_synthlabels.labels.parsing.names import parse_name
from hf_synthlabels.labels.parsing.numbers import parse_number
from hf_synthlabels.labels.parsing.reasoning import split_reasoning
from hf_synthlabels.labels.parsing.spans import project
from hf_synthlabels.labels.schema import INVISIBLE, LabelSchema, visible
from hf_synthlabels.labels.values import Span

PARSER_VERSION = 6
"""Rises with every change that can read an answer differently: tables made by another version are made anew."""

HEADING = re.compile(r"^(?:the\s+)?(?:answer|label|response|output)\s*(?:is)?\s*[:=：]\s*", re.I)
EDGES = re.compile(rf"^(?:\s|{INVISIBLE.pattern})+|(?:\s|{INVISIBLE.pattern})+$")
ANSWER_LINE = re.compile(r"^[ \t*_>-]*(?:(?:the|final|my)[ \t]+)*(?:answer|label)[ \t*_]*[:=：][ \t*_]*", re.I | re.M)
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“"), ("「", "」"), ("`", "`"))
NO_ANSWER = frozenset(
    {"abstain", "unanswerable", "not answerable", "no answer", "the question is unanswerable"}
    | {"the question might be unanswerable", "cannot be answered", "n/a", "not applicable"}
)
PASSAGE = r"(?:context|passage|text|paragraph|article)"
GIVEN = r"(?:specified|mentioned|stated|given|provided|found|answered)"
GIVES = r"(?:specify|mention|state|give|provide|say)"
SAYS_NOTHING = re.compile(
    rf"\bunanswerable\b|^(?:it (?:is|was) )?not {GIVEN}\b"
    rf"|\bnot (?:[\w-]+ )?{GIVEN}\b[^.]*\b(?:in|by) the \w* ?{PASSAGE}\b"
    rf"|\b(?:{PASSAGE}|it) (?:does not|doesn['’]t|did not|didn['’]t) (?:[\w-]+ )?{GIVES}\b",
    re.I,
)
"""How models say in a sentence that a passage does not answer a question."""


def parse(schema: LabelSchema, text: str, context: str = "", question: str = "") -> Answer:
    """Read one answer; never guesses.

    Args:
        schema: what may be answered.
        text: the answer as it came from the annotator.
        context: the row's text, where entities are named in it, or the passage, where a question is answered from
            it; unused by the other kinds.
        question: what was asked of the passage; it helps to tell an answer from the words around it.
    """
    split = split_reasoning(text)
    if not split.complete:
        return unparsed("the answer ends within the reasoning")
    text = split.answer
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
            return _written(text)


def _parse_span(schema: LabelSchema, text: str, context: str, question: str) -> Answer:
    placed = _placed_answer(text)
    if placed is not None and placed.text and context.startswith(placed.text, placed.start):
        return Answer("labelled", label=placed, rung="exact")
    said = plain_answer(text) if placed is None else placed.text.strip()
    if not said:
        return unparsed("the answer says nothing, or several things")
    if said.strip(" .").casefold() in NO_ANSWER:
        return _no_answer(schema)
    found = project(context, said, question)
    if SAYS_NOTHING.search(said) and (found is None or not found.rung.startswith("exact")):
        return _no_answer(schema)
    if found is None:
        return unparsed(f"{said[:60]!r} does not stand in the context")
    return Answer("labelled", label=found.span, rung=found.rung)


def _placed_answer(text: str) -> Span | None:
    """The only JSON object of an answer, if it gives a text and the character where it begins."""
    # Not normalised: the place counts the characters of the passage as it is.
    values = list(json_values(text, "{")) if "{" in text else []
    value = values[0] if len(values) == 1 else None
    for key in ("label", "answer"):
        value = value.get(key, value) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return None
    start = value.get("start")
    if isinstance(start, bool) or not isinstance(start, int):
        return None
    return Span(start, start + len(value["text"]), value["text"]) if start >= 0 else None


def _no_answer(schema: LabelSchema) -> Answer:
    if schema.abstain:
        return Answer("abstained", reason="the annotator found no answer")
    return unparsed("the answer says that there is none, and `abstain` is false")


def plain_answer(text: str) -> str:
    """What an answer in words says, out of its JSON, heading and quotes; empty when JSON states several things."""
    cleaned = visible(text)
    in_json = stated(cleaned, under("label", "answer", "text", lists=False), "{") if "{" in cleaned else None
    if in_json is not None:
        value = in_json.value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return ""
        return _unquoted(visible(value if isinstance(value, str) else number_text(value)))
    lines = list(ANSWER_LINE.finditer(cleaned))
    cleaned = cleaned[lines[-1].end() :].strip() if lines else cleaned
    return _unquoted(HEADING.sub("", cleaned))


def _written(text: str) -> Answer:
    """A text that was asked for; all of it, but for a JSON object around it, a heading and quotes.

    What is within it is its own: JSON, joined emoji, quotes.
    """
    said = EDGES.sub("", text)
    in_json = final_value(said) if said.endswith(("}", "```")) else None
    if in_json is not None and not in_json[1].strip(" \n`") and isinstance(in_json[0], dict) and "label" in in_json[0]:
        value = in_json[0]["label"]
        if len(in_json[0]) > 1 or not isinstance(value, str):
            # It may be the text itself or a wrapping of it: that can not be told.
            return unparsed("the answer is a JSON object with more in it than a text under `label`")
        said = EDGES.sub("", value)
    else:
        said = _unquoted(HEADING.sub("", said))
    return Answer("labelled", label=said) if said else unparsed("the answer is empty")


def _unquoted(text: str) -> str:
    """A text without the quotes around the whole of it."""
    for opening, closing in QUOTES:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            inner = text[len(opening) : -len(closing)]
            if opening not in inner and closing not in inner:
                return EDGES.sub("", inner)
    return text
