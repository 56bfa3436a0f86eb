"""Reading named entities and placing them in the text: each where it stands, or the whole answer not at all."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from hf_synthlabels.labels.answer import Answer, unparsed
from hf_synthlabels.labels.answer_lines import bare_lines, said_nothing
from hf_synthlabels.labels.json_values import json_values, last_value
from hf_synthlabels.labels.names import ABSTENTION, read_name
from hf_synthlabels.labels.schema import LabelSchema, visible
from hf_synthlabels.labels.spans import project
from hf_synthlabels.labels.values import Entity

__all__ = ["parse_entities"]

PAIR = re.compile(
    r"^[\"'“‘«`]?(?P<text>.+?)[\"'”’»`]?\s*(?:=>|->|→|\||:|\(|\[|\s[-–—]\s)\s*(?P<label>[^:|()\[\]]+?)[)\]]?[.;,]?$"
)

Mention = tuple[str, int | None, str]
"""What was named, where the answer says that it begins, and its label."""


def parse_entities(schema: LabelSchema, text: str, context: str) -> Answer:
    """Read an answer that lists entities, and find each in the row's text.

    Read are a JSON list of `{"text", "label"}` (with `start`, where the model counts), a JSON object of label names
    with lists of texts, and lines such as `Paris: location`. The k-th mention of a text is its k-th occurrence;
    offsets are believed only where that text stands. A label outside the schema, a text that is not in the row, or
    two labels for one place make the answer unparsed: half an answer would teach that the rest is no entity.
    """
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    if schema.abstain and cleaned.strip(" .\"'`*").casefold() == ABSTENTION:
        return Answer("abstained", reason="the annotator abstained")
    try:
        mentions = _mentions(schema, cleaned)
        return Answer("labelled", label=_placed(mentions, context))
    except _UnreadableError as error:
        return unparsed(str(error))


class _UnreadableError(Exception):
    """Why an answer is none."""


def _mentions(schema: LabelSchema, text: str) -> list[Mention]:
    value = last_value(text, "label", "labels", "entities", *schema.names)
    if isinstance(value, str):
        text, value = value, None
    if value is None:
        return _from_lines(schema, text)
    if isinstance(value, list) and not any(isinstance(item, str) for item in value):
        return [_from_item(schema, item) for item in value]
    # {"person": ["A", "B"], "location": []}: the last object as a whole, or what stood under `label`.
    grouped = value if isinstance(value, dict) else _last_object(text)
    mentions: list[Mention] = []
    for label, texts in grouped.items():
        for item in texts if isinstance(texts, list) else [texts]:
            mentions.append((_text(item), None, _label(schema, label)))
    return mentions


def _last_object(text: str) -> dict[str, Any]:
    objects = [value for value in json_values(text) if isinstance(value, dict)]
    if not objects:
        raise _UnreadableError(f"the answer is no list of entities: {text[:60]!r}")
    return objects[-1]


def _from_item(schema: LabelSchema, item: Any) -> Mention:
    if isinstance(item, list) and len(item) == 2:
        return _text(item[0]), None, _label(schema, item[1])
    if not isinstance(item, dict) or "label" not in item:
        raise _UnreadableError(f"`label` holds {item!r}, which has no text and label")
    start = item.get("start")
    known = start if isinstance(start, int) and not isinstance(start, bool) else None
    return _text(item.get("text", "")), known, _label(schema, item["label"])


def _from_lines(schema: LabelSchema, text: str) -> list[Mention]:
    lines = bare_lines(text)
    if len(lines) == 1 and said_nothing(lines[0].split(":")[-1]):
        return []
    mentions: list[Mention] = []
    for line in lines:
        match = PAIR.match(line)
        if match is None:
            raise _UnreadableError(f"the answer is no list of entities: {line[:60]!r}")
        mentions.append((match["text"].strip(), None, _label(schema, match["label"])))
    if not mentions:
        raise _UnreadableError("the answer names no entity and does not say that there is none")
    return mentions


def _label(schema: LabelSchema, value: Any) -> str:
    answer = read_name(schema, value)
    if answer is None or answer.label is None:
        raise _UnreadableError(f"an entity has the label {value!r}, not in the schema")
    return str(answer.label)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _UnreadableError(f"an entity has the text {value!r}")
    return value.strip()


def _placed(mentions: list[Mention], context: str) -> tuple[Entity, ...]:
    taken: Counter[str] = Counter()
    labels: dict[tuple[int, int], str] = {}
    for text, start, label in mentions:
        if start is not None and context[start : start + len(text)] == text:
            place = (start, start + len(text))
        else:
            place = _occurrence(context, text, taken[text])
            taken[text] += 1
        if labels.setdefault(place, label) != label:
            raise _UnreadableError(f"{text!r} is named as {labels[place]!r} and as {label!r}")
    return tuple(Entity(start, end, context[start:end], label) for (start, end), label in sorted(labels.items()))


def _occurrence(context: str, text: str, number: int) -> tuple[int, int]:
    """Where a text stands for the so manieth time; a mention beyond the last is the last once more."""
    places = [match.start() for match in re.finditer(rf"(?<!\w){re.escape(text)}(?!\w)", context)]
    places = places or [match.start() for match in re.finditer(re.escape(text), context)]
    if places:
        start = places[min(number, len(places) - 1)]
        return start, start + len(text)
    found = project(context, text)
    if found is None:
        raise _UnreadableError(f"{text!r} does not stand in the text")
    return found.span.start, found.span.end
