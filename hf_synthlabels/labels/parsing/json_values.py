"""JSON in an answer: bare, fenced, or with prose around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

LAST_FENCE = re.compile(r"\s*```\s*$")
HEADING = re.compile(
    r"[\s`*_#>•-]*(?:json|(?:(?:final|my|the)\s+)*(?:labels?|answers?|output|result|response|entities)[\s*_]*[:=：])?[\s`*_]*",
    re.I,
)


def json_values(text: str, opening: str = "{[") -> Iterator[Any]:
    """The JSON values of a text that begin with one of the given brackets, in their order; none within another."""
    for value, _, _ in _places(text, opening):
        yield value


NOTHING = object()
"""What a JSON value states that states nothing."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What an answer states in JSON."""

    value: Any
    final: bool
    """Whether it ends the answer, on lines of its own or behind a heading such as `label:`."""
    prose: str
    """The answer without the JSON that states something."""


def stated(text: str, read: Callable[[Any], Any], opening: str = "{[") -> Stated | None:
    """What the JSON values of a text state; None when none states anything.

    Of several that differ the last one counts if the text ends with it. Otherwise what they state is a contradiction,
    which is in no schema: which of them is the answer, and which one is quoted, can not be told.

    Args:
        text: an answer.
        read: what one JSON value states, or NOTHING.
        opening: the brackets that JSON values may begin with.
    """
    found: list[tuple[Any, int, int]] = []
    for value, start, end in _places(text, opening):
        said = read(value)
        if said is not NOTHING:
            found.append((said, start, end))
    if not found:
        return None
    value, start, end = found[-1]
    last = not LAST_FENCE.sub("", text[end:]).strip()
    if not last and any(other != value for other, _, _ in found):
        value = {"contradiction": [said for said, _, _ in found]}
    prose, position = [], 0
    for _, first, after in found:
        prose.append(text[position:first])
        position = after
    line = text[:start].rpartition("\n")[2]
    return Stated(value, last and HEADING.fullmatch(line) is not None, "".join([*prose, text[position:]]))


def under(*keys: str, lists: bool = True) -> Callable[[Any], Any]:
    """A reader for `stated`: what stands under the first of the keys that an object has; a bare list, if `lists`.

    A null that was answered is an empty text, so that it can be told from no answer.
    """

    def read(value: Any) -> Any:
        if isinstance(value, list):
            return value if lists else NOTHING
        for key in keys:
            if isinstance(value, dict) and key in value:
                return "" if value[key] is None else value[key]
        return NOTHING

    return read


def final_value(text: str) -> tuple[Any, str] | None:
    """The JSON value that a text ends with, perhaps in a fence, and what stands before it; None when it ends otherwise.

    What an answer quotes on the way is no end of it.
    """
    text = LAST_FENCE.sub("", text).rstrip()
    for value, start, end in _places(text, "{["):
        if end == len(text):
            return value, text[:start].removesuffix("```json\n").removesuffix("```\n")
    return None


def _places(text: str, opening: str) -> Iterator[tuple[Any, int, int]]:
    """JSON values with their first character and the one after their last."""
    decoder = json.JSONDecoder(object_pairs_hook=_single_keys)
    position = _next(text, opening, 0)
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            yield value, position, end
        position = _next(text, opening, end)


def _next(text: str, opening: str, start: int) -> int:
    places = [place for bracket in opening if (place := text.find(bracket, start)) >= 0]
    return min(places, default=-1)


def _single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which a key that is given two different values counts as contradictory."""
    out: dict[str, Any] = {}
    for key, value in pairs:
        out[key] = value if key not in out or out[key] == value else {"contradiction": [out[key], value]}
    return out
