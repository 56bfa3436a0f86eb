"""Reading the name of a label: exactly, or not at all.

The ladder, from the strictest rung down; the first rung that finds anything decides:

1. a JSON object (bare, fenced, or with prose around it) whose `label` is a label name; of several the one that the
   answer ends with; where it does not end the answer, no other label may stand in the prose as a verdict;
2. the whole answer is a label name, once quotes, markup and the final stop are taken off;
3. a verdict, `label: X` or `answer is X`; the last one wins, and an off-menu `label: X` takes back those before it;
   a verdict within quotation marks is what the text says, not the annotator;
4. a label name alone in the first line, first sentence or last line, or at the beginning of a line before a reason, as
   in `X because ...`; another label alone in a line, or a verdict for another label, contradicts it;
5. exactly one label name occurs in the answer (after the last `answer:`, where there is one), as a whole word,
   and no negation concerns it.

Names are compared without regard to case and to characters of no width. There is no "nearest" label: what does not
match is `unparsed`, which the caller counts and shows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from hf_synthlabels.labels.digits import BOUND
from hf_synthlabels.labels.parsing.answer import Answer, unparsed
from hf_synthlabels.labels.parsing.answer_lines import BULLET
from hf_synthlabels.labels.parsing.json_values import stated, under
from hf_synthlabels.labels.parsing.mentions import (
    CLAUSE_END,
    NEGATION,
    ONLY_NO,
    REVISION,
    is_numeric,
    mentions,
    only_mention,
    segments,
)
from hf_synthlabels.labels.schema import LabelSchema, visible

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
REASON = r"(?:\s+[-–—]+\s+|\s*,?\s+(?:because|since|as|due to|given)\b)"
"""What separates a label from its reason on the same line."""
MAX_CLAUSE = 500
"""Characters before a verdict in which a negation concerns it."""
MAX_WRAPPING = 12
"""Characters of markup around a label that is alone on its line."""
CONTINUES = re.compile(
    r"^\W*(?:is|are|was|were|isn|does|do|would|can|could|should|seems?|might|may|or|and|nor|but|not)\b"
)
"""A line that goes on with the sentence of the line before."""


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
    if answer := read_name(schema, cleaned):
        return answer
    spoken = without_quoted_verdicts(cleaned.casefold())
    if any(map(is_numeric, choices)):
        # 'label: >= 5' does not name 5.
        spoken = BOUND.sub("…", spoken)
    names = {name for name in (_last_verdict(choices, spoken), _alone(schema, spoken)) if name}
    if len(names) > 1:
        return unparsed(f"the answer says {' and '.join(repr(name) for name in sorted(names))}")
    # After 'Answer:' only what follows can be the answer: 'a VLDB topic. Answer: SIGMOD' names no label.
    found = names.pop() if names else only_mention(choices, EXPLICIT.split(spoken)[-1])
    return found if isinstance(found, Answer) else _answer(found)


def _alone(schema: LabelSchema, text: str) -> str | None:
    """The label that is alone in the first line, first sentence or last line, or begins a line before a reason."""
    parts = segments(text)
    named = [_own_label(schema, part) for part in parts]
    names = {name for name in named if name is not None}
    if len(names) != 1 or not _ends(parts, named, text.rstrip().rpartition("\n")[2]):
        return None
    name = names.pop()
    others = [other for other in mentions(menu(schema), text)[0] if other != name]
    return None if others and REVISION.search(text) else name


def _own_label(schema: LabelSchema, part: str) -> str | None:
    """The label that a line or sentence is, or begins with before a reason; a question names none."""
    if part.endswith("?"):
        return None
    if len(part) <= max(map(len, menu(schema))) + MAX_WRAPPING and (answer := read_name(schema, part)):
        return _name(answer)
    reasoned = _reasoned(schema).match(part)
    return menu(schema)[reasoned[1]] if reasoned else None


@lru_cache(maxsize=64)
def _reasoned(schema: LabelSchema) -> re.Pattern[str]:
    names = tuple(menu(schema))
    return re.compile(rf"[{LEADING}]*({_either(names)})[\"'`*_)\]}}]*{_reason_of(names)}")


def _reason_of(names: tuple[str, ...]) -> str:
    """The expression of what separates a label from its reason, when neither another label nor a doubt follows."""
    return rf"{REASON}(?!\W*(?:or|and|but|maybe|perhaps|possibly|{_either(names)})\b)"


def _ends(parts: Sequence[str], named: Sequence[str | None], last_line: str) -> bool:
    """Whether a part that names a label begins the answer, is its last line, or follows a heading."""
    for place, name in enumerate(named):
        if name is None:
            continue
        before = parts[place - 1] if place else ""
        after = parts[place + 1] if place + 1 < len(parts) else ""
        if (
            CONTINUES.match(after)
            or (ONLY_NO.match(after) and not ONLY_NO.match(name))
            or (before and before[-1] not in ".!:;)]}\"'”*_`")
        ):
            return False
        is_last = place == len(parts) - 1 and BULLET.sub("", last_line).strip() == parts[place]
        if place == 0 or is_last or before.rstrip("*_ ").endswith(":"):
            return True
    return False


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
    wrapped = _wrapped(schema).fullmatch(folded)
    if wrapped is None or (is_numeric(wrapped[1]) and BOUND.search(folded)):
        return None
    return _answer(menu(schema)[wrapped[1]])


@lru_cache(maxsize=64)
def _wrapped(schema: LabelSchema) -> re.Pattern[str]:
    # Longest names first: '"C#"' is C# in wrapping, not C.
    return re.compile(f"[{LEADING}]*({_either(tuple(menu(schema)))})[{TRAILING}]*")


def _either(names: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, names))


def _last_verdict(menu: Mapping[str, str], text: str) -> str | None:
    """What the last `label: X` of the text names, when X is followed by nothing but the end of its clause."""
    named = _named_verdict(tuple(menu))
    clauses = [0, *(end.end() for end in CLAUSE_END.finditer(text))]
    for match in reversed(list(VERDICT.finditer(text))):
        clause = clauses[bisect_right(clauses, match.start()) - 1]
        if NEGATION.search(text, max(clause, match.start() - MAX_CLAUSE), match.start()):
            # 'I do not think the answer is good' gives no verdict.
            continue
        if said := named.match(text, match.end()):
            return menu[said[1]]
        if EXPLICIT.search(match[0]):
            return None
    return None


@lru_cache(maxsize=64)
def _named_verdict(names: tuple[str, ...]) -> re.Pattern[str]:
    end = rf"(?:\s*(?:[.;,](?!\d)|\n|$)|{_reason_of(names)})"
    return re.compile(rf"\W{{0,12}}?({_either(names)})[\"'`*_)\]}}]*{end}")
