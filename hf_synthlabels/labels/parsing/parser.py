"""Entry point of the parsers: one answer to a label of the schema."""

from __future__ import annotations

import re

from hf_synthlabels.labels.digits import number_text
from hf_synthlabels.labels.parsing.answer import Answer, unparsed
from hf_synthlabels.labels.parsing.entities import parse_entities
from hf_synthlabels.labels.parsing.json_values import final_value, json_answer, json_values, key_reader
from hf_synthlabels.labels.parsing.names import parse_name, parse_names
from hf_synthlabels.labels.parsing.numbers import parse_number
from hf_synthlabels.labels.parsing.reasoning import split_reasoning
from hf_synthlabels.labels.parsing.spans import project
from hf_synthlabels.labels.schema import INVISIBLE, LabelSchema, visible
from hf_synthlabels.labels.values import Span

PARSER_VERSION = 7
"""Raised with every change that can parse an answer differently or adds a column, so that cached tables are rebuilt."""

HEADING = re.compile(r"^(?:the\s+)?(?:answer|label|response|output)\s*(?:is)?\s*[:=：]\s*", re.I)
EDGES = re.compile(rf"^(?:\s|{INVISIBLE.pattern})+|(?:\s|{INVISIBLE.pattern})+$")
ANSWER_LINE = re.compile(r"^[ \t*_>-]*(?:(?:the|final|my)[ \t]+)*(?:answer|label)[ \t*_]*[:=：][ \t*_]*", re.I | re.M)
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“"), ("「", "」"), ("`", "`"))
NO_ANSWER = frozenset(
    {"abstain", "unanswerable", "not answerable", "no answer", "the question is unanswerable"}
    | {"the question might be unanswerable", "cannot be answered", "n/a", "not applicable"}
)
PLAIN_VALUE = key_reader("label", "answer", "text", lists=False)
PASSAGE = r"(?:context|passage|text|paragraph|article)"
GIVEN = r"(?:specified|mentioned|stated|given|provided|found|answered)"
GIVES = r"(?:specify|mention|state|give|provide|say)"
SAYS_NOTHING = re.compile(
    rf"\bunanswerable\b|^(?:it (?:is|was) )?not {GIVEN}\b"
    rf"|\bnot (?:[\w-]+ )?{GIVEN}\b[^.]*\b(?:in|by) the \w* ?{PASSAGE}\b"
    rf"|\b(?:{PASSAGE}|it) (?:does not|doesn['’]t|did not|didn['’]t) (?:[\w-]+ )?{GIVES}\b",
    re.I,
)
"""A sentence stating that a passage does not answer the question."""


def parse(schema: LabelSchema, text: str, context: str = "", question: str = "") -> Answer:
    """Parse one answer without guessing.

    Args:
        schema: Schema of the label.
        text: The annotator's raw answer.
        context: Text with the entities, or passage with the answer; unused for other kinds.
        question: Question about the passage. Its words in an answer are not part of the span.
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
            return _parse_text(text)


def _parse_span(schema: LabelSchema, text: str, context: str, question: str) -> Answer:
    span = _span_in_json(text)
    if span is not None and span.text and context.startswith(span.text, span.start):
        return Answer("labelled", label=span, match_type="exact")
    answer = plain_answer(text) if span is None else span.text.strip()
    if not answer:
        return unparsed("the answer is empty or contradictory")
    if answer.strip(" .").casefold() in NO_ANSWER:
        return _no_answer(schema)
    projection = project(context, answer, question)
    if SAYS_NOTHING.search(answer) and (projection is None or not projection.match_type.startswith("exact")):
        return _no_answer(schema)
    if projection is None:
        return unparsed(f"{answer[:60]!r} does not occur in the context")
    return Answer("labelled", label=projection.span, match_type=projection.match_type)


def _span_in_json(text: str) -> Span | None:
    """Return the span in the only JSON object of an answer, if it gives a text and its start."""
    # The text is not normalized: the start refers to the original passage.
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
    return unparsed("the answer says that there is no answer, and `abstain` is false")


def plain_answer(text: str) -> str:
    """Return an answer without JSON, heading and quotes; empty if its JSON is contradictory."""
    cleaned = visible(text)
    in_json = json_answer(cleaned, PLAIN_VALUE, "{") if "{" in cleaned else None
    if in_json is not None:
        value = in_json.value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return ""
        return _unquoted(visible(value if isinstance(value, str) else number_text(value)))
    lines = list(ANSWER_LINE.finditer(cleaned))
    cleaned = cleaned[lines[-1].end() :].strip() if lines else cleaned
    return _unquoted(HEADING.sub("", cleaned))


def _parse_text(text: str) -> Answer:
    """Return a generated text without the JSON object, heading or quotes around the whole of it."""
    written = EDGES.sub("", text)
    in_json = final_value(written) if written.endswith(("}", "```")) else None
    if in_json is not None and not in_json[1].strip(" \n`") and isinstance(in_json[0], dict) and "label" in in_json[0]:
        value = in_json[0]["label"]
        if len(in_json[0]) > 1 or not isinstance(value, str):
            # The object may be the text itself.
            return unparsed("the answer is a JSON object with more than a text under `label`")
        written = EDGES.sub("", value)
    else:
        written = _unquoted(HEADING.sub("", written))
    return Answer("labelled", label=written) if written else unparsed("the answer is empty")


def _unquoted(text: str) -> str:
    """Remove quotes around the whole text."""
    for opening, closing in QUOTES:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            inner = text[len(opening) : -len(closing)]
            if opening not in inner and closing not in inner:
                return EDGES.sub("", inner)
    return text
