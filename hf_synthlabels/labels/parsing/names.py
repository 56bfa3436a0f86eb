"""Class names in answers: matched exactly, or not at all.

The stages of `parse_name`; the first that finds a name decides:

1. A JSON object whose `label` is a name. If it does not end the answer, the prose must not state another name.
2. The whole answer is a name, apart from quotes, markup and the final period.
3. A verdict, `label: X` or `answer is X`. The last one counts, and an unknown `label: X` retracts those before it. A
   verdict within quotation marks belongs to the quoted text.
4. A name alone in the first line, first sentence or last line, or before a reason, as in `X because ...`. Another name
   alone in a line, or a verdict for one, contradicts it.
5. The answer mentions exactly one name as a whole word (after the last `answer:`, if any), and no negation concerns it.

Names are compared without case and zero-width characters. There is no nearest match.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from hf_synthlabels.labels.digits import BOUND
from hf_synthlabels.labels.parsing.answer import BULLET, Answer, abstained, bare_lines, is_empty_answer, unparsed
from hf_synthlabels.labels.parsing.json_values import json_answer, key_reader
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
from hf_synthlabels.labels.schema import ABSTAIN, LabelSchema, visible

WRAPPERS = " \t\r\n\"'`*_#“”‘’«»„‚‹›「」『』()[]{}<>.,;:!?。、-"
"""Characters that may surround a label."""

LEADING = re.escape(WRAPPERS)
TRAILING = re.escape(WRAPPERS.replace("#", ""))
"""A heading begins with '#', but 'C#' is not 'C'."""

VERDICT_NAMES = r"(?:label|answer|class|category|classification|verdict)"
# Within a line, 'answer X' may be an instruction in the text, so 'is' or a colon is required.
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
"""Separates a label from its reason on the same line."""
MAX_CLAUSE = 500
"""Characters before a verdict that are searched for a negation."""
MAX_WRAPPING = 12
"""Characters of markup around a label that is alone on its line."""
CONTINUES = re.compile(
    r"^\W*(?:is|are|was|were|isn|does|do|would|can|could|should|seems?|might|may|or|and|nor|but|not)\b"
)
"""Begins a line that continues the sentence of the line before."""
LIST_HEADING = re.compile(
    r"^(?:the\s+)?(?:labels?|answers?|class(?:es)?|categor(?:y|ies))\b\s*(?:are|is)?\s*[:=]\s*", re.I
)
LIST_SEPARATORS = re.compile(rf"^(?:[{re.escape(WRAPPERS)}/|&+\0]|\band\b|\bor\b)*$")

LABEL_OF_OBJECT = key_reader("label", lists=False)
LABELS_OF_VALUE = key_reader("label", "labels")


def parse_name(schema: LabelSchema, text: str) -> Answer:
    """Parse an answer that chooses one class."""
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    choices = menu(schema)
    in_json = json_answer(cleaned, LABEL_OF_OBJECT, "{")
    if in_json is not None:
        # Prose cannot replace an unknown label in JSON.
        answer = read_name(schema, in_json.value)
        if answer is None:
            return unparsed(f"`label` is {in_json.value!r}, not in the schema")
        others = set() if in_json.final else _names_in_prose(schema, in_json.prose) - {_name(answer)}
        return unparsed(f"the answer says {_name(answer)!r} and {min(others)!r}") if others else answer
    if answer := read_name(schema, cleaned):
        return answer
    prose = without_quoted_verdicts(cleaned.casefold())
    if any(map(is_numeric, choices)):
        # 'label: >= 5' does not name 5.
        prose = BOUND.sub("…", prose)
    names = {name for name in (_last_verdict(choices, prose), _standalone_name(schema, prose)) if name}
    if len(names) > 1:
        return unparsed(f"the answer says {' and '.join(repr(name) for name in sorted(names))}")
    # 'a VLDB topic. Answer: SIGMOD' names no label.
    name = names.pop() if names else only_mention(choices, EXPLICIT.split(prose)[-1])
    return name if isinstance(name, Answer) else _answer(name)


def parse_names(schema: LabelSchema, text: str) -> Answer:
    """Parse an answer with any number of classes; one unknown item makes the whole answer unparsed.

    A JSON list decides, unless a line of prose lists other names. Without one, the answer must be a list of names, on
    one or several lines, perhaps after `labels:`. `none` and an empty list are the empty set.
    """
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    in_json = json_answer(cleaned, LABELS_OF_VALUE)
    if in_json is None or isinstance(in_json.value, str):
        return _names_from_prose(schema, in_json.value if in_json else cleaned)
    if not isinstance(in_json.value, list):
        return unparsed(f"`label` is {in_json.value!r}, not a list of names")
    answer = _names_from_items(schema, in_json.value)
    for line in [] if in_json.final else in_json.prose.splitlines():
        in_prose = _names_from_prose(schema, line) if line.strip(WRAPPERS) else answer
        if in_prose.status == "labelled" and answer.status == "labelled" and in_prose.label != answer.label:
            return unparsed(f"the answer says {answer.label!r} in JSON and {in_prose.label!r} in words")
    return answer


def read_name(schema: LabelSchema, value: Any) -> Answer | None:
    """Return the class that a value names, ignoring case and surrounding markup; None if it names none."""
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
def menu(schema: LabelSchema) -> Mapping[str, str]:
    """Return the valid answers, longest first: folded to written form."""
    written = [*schema.names, *([ABSTAIN] if schema.abstain else [])]
    choices = {visible(name).casefold(): name for name in written}
    return MappingProxyType(dict(sorted(choices.items(), key=lambda item: len(item[0]), reverse=True)))


def without_quoted_verdicts(text: str) -> str:
    """Remove quoted verdicts, as in: the text says "the answer is X"."""
    whole = text.strip(" .")
    return QUOTED.sub(lambda quoted: " " if STATEMENT.search(quoted[0]) and quoted[0] != whole else quoted[0], text)


def _names_from_items(schema: LabelSchema, items: Sequence[Any]) -> Answer:
    answers = [read_name(schema, item) for item in items]
    for item, answer in zip(items, answers, strict=True):
        if answer is None:
            return unparsed(f"`label` holds {item!r}, not in the schema")
    return _name_set(schema, [_name(answer) for answer in answers if answer is not None])


def _names_from_prose(schema: LabelSchema, text: str) -> Answer:
    lines = bare_lines(without_quoted_verdicts(text))
    # The answer follows the last heading.
    headings = [number for number, line in enumerate(lines) if LIST_HEADING.match(line)]
    if headings:
        lines = [LIST_HEADING.sub("", lines[headings[-1]]), *lines[headings[-1] + 1 :]]
    listed = "\n".join(line for line in lines if line)
    folded = listed.casefold()
    names = []
    # Longest names first: 'very good' is not also 'good'.
    for choice, name in menu(schema).items():
        pattern = re.compile(rf"(?<![\w-]){re.escape(choice)}(?![\w-])")
        if pattern.search(folded):
            names.append(name)
            folded = pattern.sub("\0", folded)
    if not names and is_empty_answer(listed):
        return Answer("labelled", label=())
    if not names or not LIST_SEPARATORS.match(folded):
        return unparsed(f"the answer is not a list of labels: {listed[:60]!r}")
    return _name_set(schema, names)


def _name_set(schema: LabelSchema, names: Sequence[str]) -> Answer:
    if ABSTAIN not in names:
        return Answer("labelled", label=tuple(name for name in schema.names if name in names))
    return unparsed("the answer abstains and names labels") if len(set(names)) > 1 else abstained()


def _standalone_name(schema: LabelSchema, text: str) -> str | None:
    """Return the name alone in the first line, first sentence or last line, or at the start of a line with a reason."""
    parts = segments(text)
    named = [_name_of_part(schema, part) for part in parts]
    names = {name for name in named if name is not None}
    if len(names) != 1 or not _is_conclusion(parts, named, text.rstrip().rpartition("\n")[2]):
        return None
    name = names.pop()
    others = [other for other in mentions(menu(schema), text)[0] if other != name]
    return None if others and REVISION.search(text) else name


def _name_of_part(schema: LabelSchema, part: str) -> str | None:
    """Return the name that a line or sentence consists of, or begins with before a reason; None for a question."""
    if part.endswith("?"):
        return None
    if len(part) <= max(map(len, menu(schema))) + MAX_WRAPPING and (answer := read_name(schema, part)):
        return _name(answer)
    with_reason = _reasoned(schema).match(part)
    return menu(schema)[with_reason[1]] if with_reason else None


def _is_conclusion(parts: Sequence[str], named: Sequence[str | None], last_line: str) -> bool:
    """Whether a part that names a label begins the answer, is its last line, or follows a heading."""
    for position, name in enumerate(named):
        if name is None:
            continue
        before = parts[position - 1] if position else ""
        after = parts[position + 1] if position + 1 < len(parts) else ""
        if (
            CONTINUES.match(after)
            or (ONLY_NO.match(after) and not ONLY_NO.match(name))
            or (before and before[-1] not in ".!:;)]}\"'”*_`")
        ):
            return False
        is_last = position == len(parts) - 1 and BULLET.sub("", last_line).strip() == parts[position]
        if position == 0 or is_last or before.rstrip("*_ ").endswith(":"):
            return True
    return False


def _names_in_prose(schema: LabelSchema, prose: str) -> set[str]:
    """Return the names that prose next to a JSON object states in a verdict or alone on a line."""
    names = [_last_verdict(menu(schema), without_quoted_verdicts(prose.casefold()))]
    for line in prose.splitlines():
        if line.strip(WRAPPERS) and (answer := read_name(schema, line)):
            names.append(_name(answer))
    return {name for name in names if name}


def _last_verdict(menu: Mapping[str, str], text: str) -> str | None:
    """Return the name in the last `label: X`, if X ends its clause."""
    named = _named_verdict(tuple(menu))
    clauses = [0, *(end.end() for end in CLAUSE_END.finditer(text))]
    for match in reversed(list(VERDICT.finditer(text))):
        clause = clauses[bisect_right(clauses, match.start()) - 1]
        if NEGATION.search(text, max(clause, match.start() - MAX_CLAUSE), match.start()):
            # 'I do not think the answer is good' is not a verdict.
            continue
        if verdict := named.match(text, match.end()):
            return menu[verdict[1]]
        if EXPLICIT.search(match[0]):
            return None
    return None


def _answer(name: str) -> Answer:
    # The schema rejects a class named `abstain`.
    return abstained() if name == ABSTAIN else Answer("labelled", label=name)


def _name(answer: Answer) -> str:
    return ABSTAIN if answer.label is None else str(answer.label)


@lru_cache(maxsize=64)
def _wrapped(schema: LabelSchema) -> re.Pattern[str]:
    # Longest names first: '"C#"' is 'C#' in quotes, not 'C'.
    return re.compile(f"[{LEADING}]*({_any_of(tuple(menu(schema)))})[{TRAILING}]*")


@lru_cache(maxsize=64)
def _reasoned(schema: LabelSchema) -> re.Pattern[str]:
    names = tuple(menu(schema))
    return re.compile(rf"[{LEADING}]*({_any_of(names)})[\"'`*_)\]}}]*{_reason_after(names)}")


@lru_cache(maxsize=64)
def _named_verdict(names: tuple[str, ...]) -> re.Pattern[str]:
    end = rf"(?:\s*(?:[.;,](?!\d)|\n|$)|{_reason_after(names)})"
    return re.compile(rf"\W{{0,12}}?({_any_of(names)})[\"'`*_)\]}}]*{end}")


def _reason_after(names: tuple[str, ...]) -> str:
    """Return the pattern that separates a label from its reason, unless another label or a doubt follows."""
    return rf"{REASON}(?!\W*(?:or|and|but|maybe|perhaps|possibly|{_any_of(names)})\b)"


def _any_of(names: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, names))
