"""Named entities in answers, located in the row's text."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.labels.parsing.answer import Answer, abstained, bare_lines, is_empty_answer, unparsed
from hf_synthlabels.labels.parsing.json_values import NO_VALUE, json_answer, json_values
from hf_synthlabels.labels.parsing.names import read_name
from hf_synthlabels.labels.parsing.spans import Location, locate, project
from hf_synthlabels.labels.schema import ABSTAIN, LabelSchema, visible
from hf_synthlabels.labels.text import splits_word
from hf_synthlabels.labels.values import Entity

PAIR = re.compile(
    r"^[\"'“‘«`]?(?P<text>.+?)[\"'”’»`]?\s*(?:=>|->|→|\||:|\(|\[|\s[-–—]\s)\s*(?P<label>[^:|()\[\]]+?)[)\]]?[.;,]?$"
)
GROUP = re.compile(r"^[*_`]*(?P<label>[^:]+?)[*_`]*\s*[:=]\s*(?P<texts>.+)$")
LIST_KEYS = ("label", "labels", "entities")
TEXT_KEYS = ("text", "entity", "word", "name")
LABEL_KEYS = ("label", "type", "tag")


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity as the answer names it, perhaps with its position."""

    text: str
    label: str
    start: int | None = None
    end: int | None = None


def parse_entities(schema: LabelSchema, text: str, context: str) -> Answer:
    """Parse an answer that lists entities, and locate each in the row's text.

    Accepted are a JSON list of `{"text", "label"}` objects (or one object per line, with an optional `start`, or with
    `start` and `end` only), a JSON object of labels with lists of texts, and lines such as `Paris: location` or
    `location: Paris, Rome`. The k-th mention of a text is its k-th occurrence, preferring those outside longer
    entities. A position counts only if the text is found there; without a text it must cover whole words.

    An unknown label, a text that does not occur, or two labels for one position make the whole answer unparsed:
    a partial list would teach that the rest is not an entity.
    """
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    try:
        mentions = _mentions(schema, cleaned)
        if mentions is None:
            return abstained()
        return Answer("labelled", label=_located_entities(mentions, context))
    except _UnparsedError as error:
        return unparsed(str(error))


class _UnparsedError(Exception):
    """The answer does not list entities that can be located."""


def _mentions(schema: LabelSchema, text: str) -> list[Mention] | None:
    """Return the entities that an answer names; None if it abstains."""
    value = _entities_in_json(schema, text)
    if value is NO_VALUE or isinstance(value, str):
        prose = value if isinstance(value, str) else text
        if schema.abstain and prose.strip(" .\"'`*").casefold() == ABSTAIN:
            return None
        return _from_lines(schema, prose)
    if isinstance(value, Mapping):
        return _from_groups(schema, value)
    if not isinstance(value, list):
        raise _UnparsedError(f"`label` is {value!r}, not a list of entities")
    return [_from_item(schema, item) for item in value]


def _entities_in_json(schema: LabelSchema, text: str) -> Any:
    """Return the list of entities in JSON, or the object of labels with texts; else `NO_VALUE`."""
    values = list(json_values(text))
    if values and all(isinstance(value, dict) and _first(value, TEXT_KEYS) is not None for value in values):
        return values
    in_json = json_answer(text, lambda value: _list_or_groups(schema, value))
    return NO_VALUE if in_json is None else in_json.value


def _list_or_groups(schema: LabelSchema, value: Any) -> Any:
    if isinstance(value, list):
        return value
    for key in LIST_KEYS:
        if key in value:
            return "" if value[key] is None else value[key]
    return value if value and all(read_name(schema, key) for key in value) else NO_VALUE


def _first(item: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _from_item(schema: LabelSchema, item: Any) -> Mention:
    if isinstance(item, list) and len(item) == 2:
        return Mention(_text(item[0]), _label(schema, item[1]))
    label = _first(item, LABEL_KEYS) if isinstance(item, dict) else None
    if label is None:
        raise _UnparsedError(f"`label` holds {item!r}, which has no text and label")
    start, end = _offset(item.get("start")), _offset(item.get("end"))
    text = _first(item, TEXT_KEYS)
    if text is None and start is not None and end is not None:
        return Mention("", _label(schema, label), start, end)
    return Mention(_text(text), _label(schema, label), start)


def _offset(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _from_groups(schema: LabelSchema, groups: Mapping[str, Any]) -> list[Mention]:
    mentions = []
    for label, texts in groups.items():
        if texts is None or (isinstance(texts, str) and is_empty_answer(texts)):
            continue
        for item in texts if isinstance(texts, list) else [texts]:
            mentions.append(Mention(_text(item), _label(schema, label)))
    return mentions


def _from_lines(schema: LabelSchema, text: str) -> list[Mention]:
    lines = bare_lines(text)
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    if len(lines) == 1 and is_empty_answer(lines[0].split(":")[-1]):
        return []
    if not lines:
        raise _UnparsedError("the answer names no entity and does not say that there is none")
    return [mention for line in lines for mention in _from_line(schema, line)]


def _from_line(schema: LabelSchema, line: str) -> list[Mention]:
    pair, group = PAIR.match(line), GROUP.match(line)
    if pair is not None and (group is None or read_name(schema, pair["label"])):
        return [Mention(pair["text"].strip(), _label(schema, pair["label"]))]
    if group is None:
        raise _UnparsedError(f"the answer is not a list of entities: {line[:60]!r}")
    if pair is not None and not read_name(schema, group["label"]):
        return [Mention(pair["text"].strip(), _label(schema, pair["label"]))]
    label = _label(schema, group["label"])
    if is_empty_answer(group["texts"]):
        return []
    return [Mention(_text(item.strip(" \"'“”`")), label) for item in re.split(r"[,;]\s+", group["texts"])]


def _label(schema: LabelSchema, value: Any) -> str:
    answer = read_name(schema, value)
    if answer is None or answer.label is None:
        raise _UnparsedError(f"an entity has the label {value!r}, not in the schema")
    return str(answer.label)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _UnparsedError(f"an entity has the text {value!r}")
    return value.strip()


def _located_entities(mentions: Sequence[Mention], context: str) -> tuple[Entity, ...]:
    labels: dict[Location, str] = {}
    taken = _TakenLocations()
    occurrences: dict[str, _Occurrences] = {}
    # Given positions first, then longer texts, so that 'York' is not located within 'New York'.
    for mention in sorted(mentions, key=lambda mention: (mention.start is None, -len(mention.text))):
        location = _given_location(mention, context)
        if location is None:
            if mention.text not in occurrences:
                occurrences[mention.text] = _Occurrences(_locations(mention.text, context))
            location = occurrences[mention.text].next_free(taken)
        if labels.setdefault(location, mention.label) != mention.label:
            text = context[location[0] : location[1]]
            raise _UnparsedError(f"{text!r} is named as {labels[location]!r} and as {mention.label!r}")
        taken.add(location)
    return tuple(Entity(start, end, context[start:end], label) for (start, end), label in sorted(labels.items()))


def _given_location(mention: Mention, context: str) -> Location | None:
    """Return the location that the answer gives, if the text is found there."""
    start = mention.start
    if start is None:
        return None
    end = start + len(mention.text) if mention.text else mention.end
    if mention.text:
        return (start, end) if end is not None and context[start:end] == mention.text else None
    if end is None or not start < end <= len(context) or splits_word(context, start) or splits_word(context, end):
        raise _UnparsedError(f"an entity from {start} to {end} is empty, outside the text, or splits a word")
    return start, end


def _locations(text: str, context: str) -> list[Location]:
    locations, _ = locate(context, text)
    if locations:
        return locations
    projection = project(context, text)
    if projection is None:
        raise _UnparsedError(f"{text!r} does not occur in the text")
    return [(projection.span.start, projection.span.end)]


class _TakenLocations:
    """The locations with an entity, sorted for fast look-ups."""

    def __init__(self) -> None:
        self.locations: set[Location] = set()
        self._ordered: list[Location] = []
        self._longest = 0

    def add(self, location: Location) -> None:
        if location not in self.locations:
            self.locations.add(location)
            insort(self._ordered, location)
            self._longest = max(self._longest, location[1] - location[0])

    def overlaps(self, location: Location) -> bool:
        number = bisect_left(self._ordered, (location[0] - self._longest, 0))
        while number < len(self._ordered) and self._ordered[number][0] < location[1]:
            if self._ordered[number][1] > location[0]:
                return True
            number += 1
        return False


class _Occurrences:
    """Assigns the occurrences of one text to its mentions, in order."""

    def __init__(self, locations: list[Location]) -> None:
        self._locations = locations
        self._separate = 0
        self._untaken = 0

    def next_free(self, taken: _TakenLocations) -> Location:
        """Return the first free location, preferably one that overlaps no entity; the last one if all are taken."""
        # Taken locations stay taken, so both counters only grow.
        while self._separate < len(self._locations) and taken.overlaps(self._locations[self._separate]):
            self._separate += 1
        if self._separate < len(self._locations):
            return self._locations[self._separate]
        while self._untaken < len(self._locations) and self._locations[self._untaken] in taken.locations:
            self._untaken += 1
        return self._locations[min(self._untaken, len(self._locations) - 1)]
