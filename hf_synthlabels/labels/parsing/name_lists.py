"""Reading several names of labels: all of them, or none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hf_synthlabels.labels.parsing.answer import Answer, unparsed
from hf_synthlabels.labels.parsing.answer_lines import bare_lines, said_nothing
from hf_synthlabels.labels.parsing.json_values import stated, under
from hf_synthlabels.labels.parsing.names import ABSTENTION, WRAPPERS, menu, read_name, without_quoted_verdicts
from hf_synthlabels.labels.schema import LabelSchema, visible

HEADING = re.compile(r"^(?:the\s+)?(?:labels?|answers?|class(?:es)?|categor(?:y|ies))\b\s*(?:are|is)?\s*[:=]\s*", re.I)
BETWEEN = re.compile(rf"^(?:[{re.escape(WRAPPERS)}/|&+\0]|\band\b|\bor\b)*$")


def parse_names(schema: LabelSchema, text: str) -> Answer:
    """Read an answer for any number of labels; one item that is no label name makes the whole answer unparsed.

    A JSON list (under `label` or `labels`, or bare) decides, unless a line of words beside it lists others; without
    one, the answer must be a list of names in words, on one line or several, perhaps after `labels:`. `none` and an
    empty list are the empty set.
    """
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    in_json = stated(cleaned, under("label", "labels"))
    if in_json is None or isinstance(in_json.value, str):
        return _from_words(schema, in_json.value if in_json else cleaned)
    if not isinstance(in_json.value, list):
        return unparsed(f"`label` is {in_json.value!r}, not a list of names")
    answer = _from_items(schema, in_json.value)
    for line in [] if in_json.final else in_json.prose.splitlines():
        in_words = _from_words(schema, line) if line.strip(WRAPPERS) else answer
        if in_words.status == "labelled" and answer.status == "labelled" and in_words.label != answer.label:
            return unparsed(f"the answer says {answer.label!r} in JSON and {in_words.label!r} in words")
    return answer


def _from_items(schema: LabelSchema, items: Sequence[Any]) -> Answer:
    found = [read_name(schema, item) for item in items]
    for item, answer in zip(items, found, strict=True):
        if answer is None:
            return unparsed(f"`label` holds {item!r}, not in the schema")
    return _chosen(schema, [str(answer.label or ABSTENTION) for answer in found if answer is not None])


def _from_words(schema: LabelSchema, text: str) -> Answer:
    lines = bare_lines(without_quoted_verdicts(text))
    # After a heading only what follows can be the answer.
    starts = [number for number, line in enumerate(lines) if HEADING.match(line)]
    if starts:
        lines = [HEADING.sub("", lines[starts[-1]]), *lines[starts[-1] + 1 :]]
    said = "\n".join(line for line in lines if line)
    folded = said.casefold()
    names = []
    # Longest names first, and each is cut out, so that 'very good' is not also 'good'.
    for compared, name in menu(schema).items():
        pattern = re.compile(rf"(?<![\w-]){re.escape(compared)}(?![\w-])")
        if pattern.search(folded):
            names.append(name)
            folded = pattern.sub("\0", folded)
    if not names and said_nothing(said):
        return Answer("labelled", label=())
    if not names or not BETWEEN.match(folded):
        return unparsed(f"the answer is no list of labels: {said[:60]!r}")
    return _chosen(schema, names)


def _chosen(schema: LabelSchema, names: Sequence[str]) -> Answer:
    if ABSTENTION in names:
        if len(set(names)) > 1:
            return unparsed("the answer abstains and names labels")
        return Answer("abstained", reason="the annotator abstained")
    return Answer("labelled", label=tuple(name for name in schema.names if name in names))
