"""Reading named entities and placing them in the text: each where it stands, or the whole answer not at all."""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.labels.parsing.answer import Answer, unparsed
from hf_synthlabels.labels.parsing.answer_lines import bare_lines, said_nothing
from hf_synthlabels.labels.parsing.json_values import NOTHING, json_values, stated
from hf_synthlabels.labels.parsing.names import ABSTENTION, read_name
from hf_synthlabels.labels.parsing.spans import project, standing
from hf_synthlabels.labels.schema import LabelSchema, visible
from hf_synthlabels.labels.text import splits_word
from hf_synthlabels.labels.values import Entity

PAIR = re.compile(
    r"^[\"'“‘«`]?(?P<text>.+?)[\"'”’»`]?\s*(?:=>|->|→|\||:|\(|\[|\s[-–—]\s)\s*(?P<label>[^:|()\[\]]+?)[)\]]?[.;,]?$"
)
GROUP = re.compile(r"^[*_`]*(?P<label>[^:]+?)[*_`]*\s*[:=]\s*(?P<texts>.+)$")
LISTS = ("label", "labels", "entities")
TEXTS = ("text", "entity", "word", "name")
LABELS = ("label", "type", "tag")


Place = tuple[int, int]
"""First character, and the one after the last."""


@dataclass(frozen=True, slots=True)
class Mention:
    """What was named, and where the answer says that it stands."""

    text: str
    label: str
    start: int | None = None
    end: int | None = None


def parse_entities(schema: LabelSchema, text: str, context: str) -> Answer:
    """Read an answer that lists entities, and find each in the row's text.

    Read are a JSON list of `{"text", "label"}` (or one such object on each line, with `start` where the model counts,
    or with `start` and `end` alone), a JSON object of label names with lists of texts, and lines such as
    `Paris: location` or `location: Paris, Rome`. The k-th mention of a text is its k-th occurrence, leaving out what
    stands within longer entities where there is a choice; offsets are believed only where the text stands there, and
    without a text only where they cut out whole words. A label outside the schema, a text that is not in the row, or
    two labels for one place make the answer unparsed: half an answer would teach that the rest is no entity.
    """
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    try:
        mentions = _mentions(schema, cleaned)
        if mentions is None:
            return Answer("abstained", reason="the annotator abstained")
        return Answer("labelled", label=_placed(mentions, context))
    except _UnreadableError as error:
        return unparsed(str(error))


class _UnreadableError(Exception):
    """Why an answer is none."""


def _mentions(schema: LabelSchema, text: str) -> list[Mention] | None:
    """What an answer names; None when it abstains."""
    value = _in_json(schema, text)
    if value is NOTHING or isinstance(value, str):
        said = value if isinstance(value, str) else text
        if schema.abstain and said.strip(" .\"'`*").casefold() == ABSTENTION:
            return None
        return _from_lines(schema, said)
    if isinstance(value, Mapping):
        return _from_groups(schema, value)
    if not isinstance(value, list):
        raise _UnreadableError(f"`label` is {value!r}, not a list of entities")
    return [_from_item(schema, item) for item in value]


def _in_json(schema: LabelSchema, text: str) -> Any:
    """The list of entities that an answer states in JSON, or the object of names with texts; else NOTHING."""
    values = list(json_values(text))
    if values and all(isinstance(value, dict) and _under(value, TEXTS) is not None for value in values):
        return values
    found = stated(text, lambda value: _list_or_groups(schema, value))
    return NOTHING if found is None else found.value


def _list_or_groups(schema: LabelSchema, value: Any) -> Any:
    if isinstance(value, list):
        return value
    for key in LISTS:
        if key in value:
            return "" if value[key] is None else value[key]
    return value if value and all(read_name(schema, key) for key in value) else NOTHING


def _under(item: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _from_item(schema: LabelSchema, item: Any) -> Mention:
    if isinstance(item, list) and len(item) == 2:
        return Mention(_text(item[0]), _label(schema, item[1]))
    label = _under(item, LABELS) if isinstance(item, dict) else None
    if label is None:
        raise _UnreadableError(f"`label` holds {item!r}, which has no text and label")
    start, end = _offset(item.get("start")), _offset(item.get("end"))
    said = _under(item, TEXTS)
    if said is None and start is not None and end is not None:
        return Mention("", _label(schema, label), start, end)
    return Mention(_text(said), _label(schema, label), start)


def _offset(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _from_groups(schema: LabelSchema, groups: Mapping[str, Any]) -> list[Mention]:
    mentions = []
    for label, texts in groups.items():
        if texts is None or (isinstance(texts, str) and said_nothing(texts)):
            continue
        for item in texts if isinstance(texts, list) else [texts]:
            mentions.append(Mention(_text(item), _label(schema, label)))
    return mentions


def _from_lines(schema: LabelSchema, text: str) -> list[Mention]:
    lines = bare_lines(text)
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    if len(lines) == 1 and said_nothing(lines[0].split(":")[-1]):
        return []
    mentions: list[Mention] = []
    for line in lines:
        mentions += _from_line(schema, line)
    if not lines:
        raise _UnreadableError("the answer names no entity and does not say that there is none")
    return mentions


def _from_line(schema: LabelSchema, line: str) -> list[Mention]:
    pair, group = PAIR.match(line), GROUP.match(line)
    if pair is not None and (group is None or read_name(schema, pair["label"])):
        return [Mention(pair["text"].strip(), _label(schema, pair["label"]))]
    if group is None:
        raise _UnreadableError(f"the answer is no list of entities: {line[:60]!r}")
    if pair is not None and not read_name(schema, group["label"]):
        return [Mention(pair["text"].strip(), _label(schema, pair["label"]))]
    label = _label(schema, group["label"])
    if said_nothing(group["texts"]):
        return []
    return [Mention(_text(item.strip(" \"'“”`")), label) for item in re.split(r"[,;]\s+", group["texts"])]


def _label(schema: LabelSchema, value: Any) -> str:
    answer = read_name(schema, value)
    if answer is None or answer.label is None:
        raise _UnreadableError(f"an entity has the label {value!r}, not in the schema")
    return str(answer.label)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _UnreadableError(f"an entity has the text {value!r}")
    return value.strip()


def _placed(mentions: Sequence[Mention], context: str) -> tuple[Entity, ...]:
    labels: dict[Place, str] = {}
    taken = _Taken()
    texts: dict[str, _Occurrences] = {}
    # What is certain first, and the longer of two, so that York is not looked for within New York.
    for mention in sorted(mentions, key=lambda mention: (mention.start is None, -len(mention.text))):
        place = _counted(mention, context)
        if place is None:
            if mention.text not in texts:
                texts[mention.text] = _Occurrences(_standing(mention.text, context))
            place = texts[mention.text].following(taken)
        if labels.setdefault(place, mention.label) != mention.label:
            text = context[place[0] : place[1]]
            raise _UnreadableError(f"{text!r} is named as {labels[place]!r} and as {mention.label!r}")
        taken.add(place)
    return tuple(Entity(start, end, context[start:end], label) for (start, end), label in sorted(labels.items()))


def _counted(mention: Mention, context: str) -> Place | None:
    """Where the answer says that an entity stands, if it does stand there."""
    start = mention.start
    if start is None:
        return None
    end = start + len(mention.text) if mention.text else mention.end
    if mention.text:
        return (start, end) if end is not None and context[start:end] == mention.text else None
    if end is None or not start < end <= len(context) or splits_word(context, start) or splits_word(context, end):
        raise _UnreadableError(f"an entity from {start} to {end} cuts through words of the text")
    return start, end


def _standing(text: str, context: str) -> list[Place]:
    """The places of an entity's text."""
    places, _ = standing(context, text)
    if not places:
        projection = project(context, text)
        if projection is None:
            raise _UnreadableError(f"{text!r} does not stand in the text")
        places = [(projection.span.start, projection.span.end)]
    return places


class _Taken:
    """The places that have an entity, ordered, so that a look at one costs little however many there are."""

    def __init__(self) -> None:
        self.places: set[Place] = set()
        self._ordered: list[Place] = []
        self._longest = 0

    def add(self, place: Place) -> None:
        """Take a place."""
        if place not in self.places:
            self.places.add(place)
            insort(self._ordered, place)
            self._longest = max(self._longest, place[1] - place[0])

    def overlaps(self, place: Place) -> bool:
        """Whether a place shares a character with one that is taken."""
        number = bisect_left(self._ordered, (place[0] - self._longest, 0))
        while number < len(self._ordered) and self._ordered[number][0] < place[1]:
            if self._ordered[number][1] > place[0]:
                return True
            number += 1
        return False


class _Occurrences:
    """The places of one text, given out one after the other."""

    def __init__(self, places: list[Place]) -> None:
        self._places = places
        self._apart = 0
        self._untaken = 0

    def following(self, taken: _Taken) -> Place:
        """The first place that is free; one that lies across another entity only if there is no other.

        A mention beyond the last place is the last one once more.
        """
        # What is taken once stays taken, so both numbers only grow.
        while self._apart < len(self._places) and taken.overlaps(self._places[self._apart]):
            self._apart += 1
        if self._apart < len(self._places):
            return self._places[self._apart]
        while self._untaken < len(self._places) and self._places[self._untaken] in taken.places:
            self._untaken += 1
        return self._places[min(self._untaken, len(self._places) - 1)]
