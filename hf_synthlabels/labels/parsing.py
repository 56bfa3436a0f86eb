"""Reading an answer into a schema: exactly, or not at all.

The ladder, from the strictest rung down; the first rung that finds anything decides:

1. a JSON object (bare, fenced, or with prose around it) whose `label` is a label name; the last one wins;
2. the whole answer is a label name, once quotes, markup and the final stop are taken off;
3. a verdict, `label: X` or `answer is X`; the last one wins;
4. exactly one label name occurs in the answer (after the last `answer:`, where there is one), as a whole word,
   and nothing there negates.

Names are compared exactly, then without regard to case. There is no "nearest" label: what does not match is
`unparsed`, which the caller counts and shows.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from hf_synthlabels.labels.schema import LabelSchema

__all__ = ["PARSER_VERSION", "Answer", "parse"]

PARSER_VERSION = 1
"""Rises with every change that can read an answer differently: tables made by another version are made anew."""

ABSTENTION = "abstain"

WRAPPERS = " \t\r\n\"'`*_#“”‘’«»„‚‹›「」『』()[]{}<>.,;:!?。、-"
"""What may stand around a label without being part of the answer."""

INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad]")

VERDICT = re.compile(r"\b(?:label|answer|class|category|classification|verdict)\b\W{0,6}(?:is|are|=|:)?\s*", re.I)
EXPLICIT = re.compile(r"\b(?:label|answer|class|category|classification|verdict)\b\W{0,4}[:=]", re.I)
NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|none|cannot|unlikely|except|without|rather than|instead of)\b|n['’]t\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read: a label, or why there is none."""

    status: Literal["labelled", "abstained", "unparsed"]
    label: str | None = None
    reason: str = ""


def parse(schema: LabelSchema, text: str) -> Answer:
    """Read one answer for a label chosen from a list of names; never guesses.

    Args:
        schema: a schema of kind `text-classification` or `text-pair`.
        text: the answer as it came from the annotator.
    """
    cleaned = INVISIBLE.sub("", unicodedata.normalize("NFC", text)).strip()
    if not cleaned:
        return Answer("unparsed", reason="the answer is empty")
    if (value := _last_json_label(cleaned)) is not None:
        # A JSON verdict that is off the menu is not rescued by the prose around it.
        return _read(schema, value) or Answer("unparsed", reason=f"`label` is {value!r}, not in the schema")
    for candidate in (cleaned, _last_verdict(schema, cleaned)):
        if candidate is not None and (answer := _read(schema, candidate)):
            return answer
    # After 'Answer:' only what follows can be the answer: 'a VLDB topic. Answer: SIGMOD' names no label.
    return _only_mention(schema, EXPLICIT.split(cleaned)[-1])


def _read(schema: LabelSchema, value: Any) -> Answer | None:
    """The label that a value names exactly or but for case and wrapping."""
    if not isinstance(value, str):
        return None
    for candidate in (value, value.strip(), value.strip(WRAPPERS)):
        for name in schema.names:
            if name == candidate:
                return Answer("labelled", label=name)
        for name in schema.names:
            if name.casefold() == candidate.casefold() or (
                # A name may itself end in a wrapping character, as 'C++ (core)' does.
                candidate and name.strip(WRAPPERS).casefold() == candidate.casefold()
            ):
                return Answer("labelled", label=name)
        if schema.abstain and candidate.casefold() == ABSTENTION:
            return Answer("abstained", reason="the annotator abstained")
    return None


def _last_json_label(text: str) -> Any:
    """The `label` of the last JSON object in the text that has one, else None."""
    found = None
    for candidate in _json_objects(text):
        if "label" in candidate:
            found = candidate["label"]
            if found is None:
                found = ""
    return found


def _json_objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_single_keys)
    position = text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            if isinstance(value, dict):
                yield value
        position = text.find("{", end)


def _single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which a key that is given two different values counts as contradictory."""
    out: dict[str, Any] = {}
    for key, value in pairs:
        out[key] = value if key not in out or out[key] == value else {"contradiction": [out[key], value]}
    return out


def _last_verdict(schema: LabelSchema, text: str) -> str | None:
    """What the last `label: X` of the text names, when X is followed by nothing but the end of its clause."""
    found = None
    longest_first = sorted([*schema.names, *([ABSTENTION] if schema.abstain else [])], key=len, reverse=True)
    for match in VERDICT.finditer(text):
        rest = text[match.end() :].lstrip(WRAPPERS)
        for name in longest_first:
            after = rest[len(name) :]
            if rest.casefold().startswith(name.casefold()) and re.match(r"[\"'`*_)\]}]*\s*(?:[.;,\n]|$)", after):
                found = name
                break
    return found


def _only_mention(schema: LabelSchema, text: str) -> Answer:
    """The one label name that occurs in the text as a whole word, unless the text negates anything."""
    remaining = text
    mentioned = []
    # Longest names first, and each mention is cut out, so that 'very good' is not also a mention of 'good'.
    for name in sorted(schema.names, key=len, reverse=True):
        pattern = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.I)
        if pattern.search(remaining):
            mentioned.append(name)
            remaining = pattern.sub("\0", remaining)
    if len(mentioned) != 1:
        said = "no label of the schema" if not mentioned else f"several labels: {', '.join(sorted(mentioned))}"
        return Answer("unparsed", reason=f"the answer names {said}")
    if NEGATION.search(remaining):
        return Answer("unparsed", reason=f"the answer names {mentioned[0]!r} but negates something")
    return Answer("labelled", label=mentioned[0])
