"""Reading the name of a label: exactly, or not at all.

The ladder, from the strictest rung down; the first rung that finds anything decides:

1. a JSON object (bare, fenced, or with prose around it) whose `label` is a label name; of several the one that the
   answer ends with; where it does not end the answer, no other label may stand in the prose as a verdict;
2. the whole answer is a label name, once quotes, markup and the final stop are taken off;
3. a verdict, `label: X` or `answer is X`; the last one wins, and an off-menu `label: X` takes back those before it;
   a verdict within quotation marks is what the text says, not the annotator;
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

from hf_synthlabels.labels.answer import Answer, unparsed
from hf_synthlabels.labels.json_values import stated, under
from hf_synthlabels.labels.schema import LabelSchema, visible

__all__ = ["ABSTENTION", "WRAPPERS", "menu", "parse_name", "read_name", "without_quoted_verdicts"]

ABSTENTION = "abstain"

WRAPPERS = " \t\r\n\"'`*_#“”‘’«»„‚‹›「」『』()[]{}<>.,;:!?。、-"
"""What may stand around a label without being part of the answer."""

LEADING = re.escape(WRAPPERS)
TRAILING = re.escape(WRAPPERS.replace("#", ""))
"""As regular expressions; a heading begins with '#', but 'C#' is not C."""

VERDICT_NAMES = r"(?:label|answer|class|category|classification|verdict)"
# In the middle of a line 'answer X' may be the order that a text gives, so that there 'is' or a colon must follow.
VERDICT = re.compile(
    rf"\b{VERDICT_NAMES}\b\W{{0,6}}(?:is|are|=|:)"
    rf"|^\W*(?:(?:the|my|final)\W+)*{VERDICT_NAMES}\b(?:\W{{0,6}}(?:is|are|=|:))?",
    re.I | re.M,
)
EXPLICIT = re.compile(rf"\b{VERDICT_NAMES}\b\W{{0,4}}[:=]", re.I)
STATEMENT = re.compile(
    r"\b(?:labels?|answer|class|category|classification|verdict|score|rating|grade)\b\W{0,6}(?:is|are|of|=|:)", re.I
)
QUOTED = re.compile(r"\"[^\"\n]*\"|“[^“”\n]*”|«[^«»\n]*»|„[^„“”\n]*[“”]")
CLAUSE_END = re.compile(r"[.!?;:,\n]")
NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|none|cannot|unlikely|except|without|rather than|instead of)\b|n['’]t\b",
    re.I,
)


LABEL_OF_OBJECT = under("label", lists=False)


def parse_name(schema: LabelSchema, text: str) -> Answer:
    """Read one answer for a label chosen from a list of names; never guesses.

    Args:
        schema: a schema of kind `text-classification` or `text-pair`.
        text: the answer as it came from the annotator.
    """
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    choices = menu(schema)
    json_label = stated(cleaned, LABEL_OF_OBJECT, "{")
    if json_label is not None:
        # A JSON verdict that is off the menu is not rescued by the prose around it.
        answer = read_name(schema, json_label.value)
        if answer is None:
            return unparsed(f"`label` is {json_label.value!r}, not in the schema")
        others = set() if json_label.final else _said_in_prose(schema, json_label.prose) - {_name(answer)}
        return unparsed(f"the answer says {_name(answer)!r} and {min(others)!r}") if others else answer
    spoken = without_quoted_verdicts(cleaned.casefold())
    name = _last_verdict(choices, spoken)
    if answer := read_name(schema, cleaned) or (_answer(name) if name else None):
        return answer
    # After 'Answer:' only what follows can be the answer: 'a VLDB topic. Answer: SIGMOD' names no label.
    return _only_mention(choices, EXPLICIT.split(spoken)[-1])


def without_quoted_verdicts(text: str) -> str:
    """A text without the verdicts that it quotes, as in: the text says "the answer is X"."""
    whole = text.strip(" .")
    return QUOTED.sub(lambda quoted: " " if STATEMENT.search(quoted[0]) and quoted[0] != whole else quoted[0], text)


def _said_in_prose(schema: LabelSchema, prose: str) -> set[str]:
    """The labels that words beside a JSON object give as the answer: in a verdict, or alone on a line."""
    said = [_last_verdict(menu(schema), without_quoted_verdicts(prose.casefold()))]
    for line in prose.splitlines():
        if line.strip(WRAPPERS) and (answer := read_name(schema, line)):
            said.append(_name(answer))
    return {name for name in said if name}


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


def _name(answer: Answer) -> str:
    return ABSTENTION if answer.label is None else str(answer.label)


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
            if EXPLICIT.search(match[0]):
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
