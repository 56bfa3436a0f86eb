"""Properties of one answer with several values: a JSON object, or lines of `name: value`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

Problem = Literal["missing", "given twice", "cut off", "two objects", "malformed"]
"""Why a property has no value. `malformed`: the object with the property is not JSON."""

_DECODER = json.JSONDecoder(strict=False)
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Properties:
    """The named properties of an answer; each name is in exactly one of the two mappings."""

    values: Mapping[str, str]
    """The JSON text of each complete property, or the text after `name:` in the line form."""
    problems: Mapping[str, Problem]
    """Why each other property has no value."""
    as_json: bool = False
    """Whether the answer is a JSON object."""
    before: str = ""
    """The text before the first property or the object, such as the reasoning."""
    others: Mapping[str, str] = field(default_factory=dict)
    """The JSON text of the object's other properties, such as `reason`; of a repeated one the last."""


def read_properties(text: str, names: Sequence[str], *, is_cut: bool = False) -> Properties:
    """Read the named properties of an answer, and never a value that may be incomplete or contradicted.

    Names match in any case. A property of a truncated object counts only if a comma or a closing brace follows its
    value. In the line form, a value extends to the next line that starts with one of the names.

    Args:
        text: the answer.
        names: names of the properties.
        is_cut: whether the answer was truncated, so that the last line may be incomplete.
    """
    # An object without any of the names, such as a quoted `{"x": 1}`, is part of the prose. A truncated one is not: it
    # may end before the names, and its strings may quote them.
    keys = {name.casefold() for name in names}
    objects = [each for each in _objects(text) if each.state == "cut off" or keys & {key for key, _ in each.members}]
    if not objects:
        return _from_lines(text, names, is_cut=is_cut)
    if len(objects) > 1:
        return Properties({}, dict.fromkeys(names, "two objects"), as_json=True)
    (only,) = objects
    outside = text[: only.start] + "\n" + text[only.end :]
    labels = [match["name"].casefold() for match in _label_pattern(tuple(names)).finditer(outside)]
    counts = Counter([key for key, _ in only.members] + labels)
    values: dict[str, str] = {}
    problems: dict[str, Problem] = {}
    members = dict(only.members)
    for name in names:
        key = name.casefold()
        value = members.get(key)
        if only.state == "malformed":
            problems[name] = "malformed"
        elif counts[key] > 1:
            problems[name] = "given twice"
        elif value is not None:
            values[name] = value
        else:
            problems[name] = "cut off" if only.state == "cut off" or key in members else "missing"
    others = {key: value for key, value in only.members if value is not None and key not in keys}
    return Properties(values, problems, as_json=True, before=text[: only.start].strip(), others=others)


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON object in a text, as far as it can be read."""

    start: int
    end: int
    members: tuple[tuple[str, str | None], ...]
    """Its keys in lower case with their JSON texts; None for a value that is cut off."""
    state: Literal["complete", "cut off", "malformed"]


def _objects(text: str) -> Iterator[_Object]:
    """The outermost objects of a text; an opening brace that no key follows is skipped."""
    position = text.find("{")
    while position >= 0:
        read = _read_object(text, position)
        if read.members or read.state == "complete":
            yield read
            position = text.find("{", max(read.end, position + 1))
        else:
            position = text.find("{", position + 1)


def _read_object(text: str, start: int) -> _Object:
    members: list[tuple[str, str | None]] = []
    position = _skip(text, start + 1)
    if text.startswith("}", position):
        return _Object(start, position + 1, (), "complete")
    while True:
        key, position, state = _read_key(text, position)
        if key is None:
            return _Object(start, position, tuple(members), state)
        value, end, state = _read_value(text, position)
        members.append((key, value))
        if value is None:
            return _Object(start, end, tuple(members), state)
        if text[end] == "}":
            return _Object(start, end + 1, tuple(members), "complete")
        position = _skip(text, end + 1)


_State = Literal["complete", "cut off", "malformed"]


def _read_key(text: str, position: int) -> tuple[str | None, int, _State]:
    """A key in lower case, and the position of its value."""
    if position >= len(text):
        return None, len(text), "cut off"
    if text[position] != '"':
        return None, position, "malformed"
    try:
        key, end = _DECODER.raw_decode(text, position)
    except ValueError:
        return None, len(text), "cut off"
    colon = _skip(text, end)
    if colon >= len(text):
        return None, len(text), "cut off"
    if text[colon] != ":":
        return None, colon, "malformed"
    return str(key).casefold().strip(), _skip(text, colon + 1), "complete"


def _read_value(text: str, position: int) -> tuple[str | None, int, _State]:
    """The JSON text of a value that a comma or a closing brace follows, and the position of that character."""
    try:
        _, end = _DECODER.raw_decode(text, position)
    except (ValueError, RecursionError) as error:
        is_open = isinstance(error, json.JSONDecodeError) and (
            error.msg.startswith("Unterminated string") or "}" not in text[error.pos :]
        )
        return None, len(text), "cut off" if is_open else "malformed"
    after = _skip(text, end)
    if after < len(text) and text[after] in ",}":
        return text[position:end], after, "complete"
    return None, len(text), "cut off" if "}" not in text[after:] else "malformed"


def _skip(text: str, position: int) -> int:
    """The next position that is not white space."""
    match = _SPACE.match(text, position)
    return position if match is None else match.end()


def _from_lines(text: str, names: Sequence[str], *, is_cut: bool) -> Properties:
    labels = list(_label_pattern(tuple(names)).finditer(text))
    ends = [*(label.start() for label in labels[1:]), len(text)]
    by_key = {
        label["name"].casefold(): text[label.end() : end].strip() for label, end in zip(labels, ends, strict=False)
    }
    counts = Counter(label["name"].casefold() for label in labels)
    last = labels[-1]["name"].casefold() if labels and is_cut else None
    values: dict[str, str] = {}
    problems: dict[str, Problem] = {}
    for name in names:
        key = name.casefold()
        if counts[key] > 1:
            problems[name] = "given twice"
        elif key == last or (is_cut and key not in by_key):
            problems[name] = "cut off"
        elif key not in by_key:
            problems[name] = "missing"
        else:
            values[name] = by_key[key]
    before = text[: labels[0].start()] if labels else text
    return Properties(values, problems, before=before.strip())


@lru_cache(maxsize=256)
def _label_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """A name with a colon at the start of a line, with any Markdown decoration and a scale, as in `**Tone** (1-5):`."""
    # The longest name first: one may be the start of another.
    choices = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(
        rf"^[ \t*_#•–—-]*+(?P<name>{choices})[ \t*_`]*+(?:\([^)\n]*+\)|\[[^\]\n]*+\])?[ \t*_`]*+[:：][ \t*_]*+",
        re.I | re.M,
    )
