"""Reading the name of a label: exactly, or not at all.

The ladder, from the strictest rung down; the first rung that finds anything decides:

1. a JSON object (bare, fenced, or with prose around it) whose `label` is a label name; the last one wins;
2. the whole answer is a label name, once quotes, markup and the final stop are taken off;
3. a verdict, `label: X` or `answer is X`; the last one wins, and an off-menu `label: X` takes back those before it;
4. exactly one label name occurs in the answer (after the last `answer:`, where there is one), as a whole word,
   and nothing there negates.

Names are compared without regard to case and to characters of no width. There is no "nearest" label: what does not
match is `unparsed`, which the caller counts and shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from hf_synthlabels.labels.answer import Answer
from hf_synthlabels.labels.json_values import json_values
from hf_synthlabels.labels.schema import LabelSchema, visible

__all__ = ["ABSTENTION", "EXPLICIT", "WRAPPERS", "menu", "parse_name", "read_name"]

ABSTENTION = "abstain"

WRAPPERS = " \t\r\n\"'`*_#“”‘’«»„‚‹›「」『』()[]{}<>.,;:!?。、-"
"""What may stand around a label without being part of the answer."""

LEADING = re.escape(WRAPPERS)
TRAILING = re.escape(WRAPPERS.replace("#", ""))
"""As regular expressions; a heading begins with '#', but 'C#' is not C."""

VERDICT = re.compile(r"\b(?:label|answer|class|category|classification|verdict)\b(?:\W{0,6}(?:is|are|=|:))?", re.I)
EXPLICIT = re.compile(r"\b(?:label|answer|class|category|classification|verdict)\b\W{0,4}[:=]", re.I)
CLAUSE_END = re.compile(r"[.!?;:,\n]")
NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|none|cannot|unlikely|except|without|rather than|instead of)\b|n['’]t\b",
    re.I,
)


def parse_name(schema: LabelSchema, text: str) -> Answer:
    """Read one answer for a label chosen from a list of names; never guesses.

    Args:
        schema: a schema of kind `text-classification` or `text-pair`.
        text: the answer as it came from the annotator.
    """
    cleaned = visible(text)
    if not cleaned:
        return Answer("unparsed", reason="the answer is empty")
    if (value := _last_json_label(cleaned)) is not None:
        # A JSON verdict that is off the menu is not rescued by the prose around it.
        return read_name(schema, value) or Answer("unparsed", reason=f"`label` is {value!r}, not in the schema")
    choices = menu(schema)
    name = _last_verdict(choices, cleaned.casefold())
    if answer := read_name(schema, cleaned) or (_answer(name) if name else None):
        return answer
    # After 'Answer:' only what follows can be the answer: 'a VLDB topic. Answer: SIGMOD' names no label.
    return _only_mention(choices, EXPLICIT.split(cleaned.casefold())[-1])


@lru_cache(maxsize=64)
def menu(schema: LabelSchema) -> Mapping[str, str]:
    """What may be answered, the longest first: as it is compared, and as it is written."""
    written = [*schema.names, *([ABSTENTION] if schema.abstain else [])]
    choices = {visible(name).casefold(): name for name in written}
    return MappingProxyType(dict(sorted(choices.items(), key=lambda item: len(item[0]), reverse=True)))


def _answer(name: str) -> Answer:
    # No label may be named so: the schema refuses it.
    if name == ABSTENTION:
        return Answer("abstained", reason="the annotator abstained")
    return Answer("labelled", label=name)


def read_name(schema: LabelSchema, value: Any) -> Answer | None:
    """The label that a value names but for case and wrapping."""
    if not isinstance(value, str):
        return None
    folded = visible(value).casefold()
    if name := menu(schema).get(folded):
        return _answer(name)
    # Longest names first: '"C#"' is C# in wrapping, not C.
    for compared, name in menu(schema).items():
        if re.fullmatch(f"[{LEADING}]*{re.escape(compared)}[{TRAILING}]*", folded):
            return _answer(name)
    return None


def _last_json_label(text: str) -> Any:
    """The `label` of the last JSON object in the text that has one, else None."""
    found = None
    for candidate in json_values(text, "{"):
        if isinstance(candidate, dict) and "label" in candidate:
            found = candidate["label"]
            if found is None:
                found = ""
    return found


def _last_verdict(menu: Mapping[str, str], text: str) -> str | None:
    """What the last `label: X` of the text names, when X is followed by nothing but the end of its clause."""
    found = None
    for match in VERDICT.finditer(text):
        if NEGATION.search(CLAUSE_END.split(text[: match.start()])[-1]):
            # 'I do not think the answer is good' gives no verdict.
            continue
        rest = text[match.end() :]
        for compared, name in menu.items():
            if re.match(rf"\W{{0,12}}?{re.escape(compared)}[\"'`*_)\]}}]*\s*(?:[.;,](?!\d)|\n|$)", rest):
                found = name
                break
        else:
            if EXPLICIT.match(text, match.start()):
                found = None
    return found


def _only_mention(menu: Mapping[str, str], text: str) -> Answer:
    """The one label name that occurs in the text as a whole word, unless the text negates anything."""
    mentioned = []
    # Longest names first, and each mention is cut out, so that 'very good' is not also a mention of 'good'.
    for compared, name in menu.items():
        # 'non-toxic' is no mention of toxic, 'C++' none of C, and '4.5' none of 4 or 5.
        pattern = re.compile(rf"(?<!\w)(?<!\w-)(?<!\d[.,]){re.escape(compared)}(?![\w+#]|-\w|[.,]\d)")
        if pattern.search(text):
            mentioned.append(name)
            text = pattern.sub("\0", text)
    if len(mentioned) != 1:
        said = "no label of the schema" if not mentioned else f"several labels: {', '.join(sorted(mentioned))}"
        return Answer("unparsed", reason=f"the answer names {said}")
    if NEGATION.search(text):
        return Answer("unparsed", reason=f"the answer names {mentioned[0]!r} but negates something")
    return _answer(mentioned[0])
