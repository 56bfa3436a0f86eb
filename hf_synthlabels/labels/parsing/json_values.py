"""JSON values in answers: bare, fenced or surrounded by prose."""

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

NO_VALUE = object()
"""What a reader of `json_answer` returns for a JSON value without an answer."""


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The answer that a text gives in JSON."""

    value: Any
    final: bool
    """Whether it ends the text, on its own line or after a heading such as `label:`."""
    prose: str
    """The text without the JSON values that hold an answer."""


def json_values(text: str, opening: str = "{[") -> Iterator[Any]:
    """Yield the outermost JSON values of a text that begin with one of the brackets."""
    for value, _, _ in _located_values(text, opening):
        yield value


def json_answer(text: str, read: Callable[[Any], Any], opening: str = "{[") -> JsonAnswer | None:
    """Return the answer given in JSON; None without one.

    If the values differ, the last one counts only when it ends the text. Otherwise the value is a `contradiction`,
    which no schema accepts, because the answer cannot be distinguished from a quotation.

    Args:
        text: Answer text.
        read: Extracts the answer from one JSON value, or returns `NO_VALUE`.
        opening: Brackets that a JSON value may begin with.
    """
    answers = [(read(value), start, end) for value, start, end in _located_values(text, opening)]
    answers = [answer for answer in answers if answer[0] is not NO_VALUE]
    if not answers:
        return None
    value, start, end = answers[-1]
    is_last = not LAST_FENCE.sub("", text[end:]).strip()
    if not is_last and any(other != value for other, _, _ in answers):
        value = {"contradiction": [other for other, _, _ in answers]}
    prose, position = [], 0
    for _, first, after in answers:
        prose.append(text[position:first])
        position = after
    line = text[:start].rpartition("\n")[2]
    return JsonAnswer(value, is_last and HEADING.fullmatch(line) is not None, "".join([*prose, text[position:]]))


def key_reader(*keys: str, lists: bool = True) -> Callable[[Any], Any]:
    """Return a reader for `json_answer`: the value under the first key present, or a bare list if `lists`.

    A null becomes an empty string, to distinguish it from a missing answer.
    """

    def read(value: Any) -> Any:
        if isinstance(value, list):
            return value if lists else NO_VALUE
        for key in keys:
            if isinstance(value, dict) and key in value:
                return "" if value[key] is None else value[key]
        return NO_VALUE

    return read


def final_value(text: str) -> tuple[Any, str] | None:
    """Return the JSON value that ends a text, perhaps in a fence, and the text before it; None without one."""
    text = LAST_FENCE.sub("", text).rstrip()
    for value, start, end in _located_values(text, "{["):
        if end == len(text):
            return value, text[:start].removesuffix("```json\n").removesuffix("```\n")
    return None


def _located_values(text: str, opening: str) -> Iterator[tuple[Any, int, int]]:
    """Yield JSON values with their start and end."""
    position = _next_bracket(text, opening, 0)
    while position >= 0:
        try:
            value, end = DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            yield value, position, end
        position = _next_bracket(text, opening, end)


def _next_bracket(text: str, opening: str, start: int) -> int:
    positions = [position for bracket in opening if (position := text.find(bracket, start)) >= 0]
    return min(positions, default=-1)


def _checked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object; a key with two different values becomes a contradiction."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        repeated = key in content and content[key] != value
        content[key] = {"contradiction": [content[key], value]} if repeated else value
    return content


DECODER = json.JSONDecoder(object_pairs_hook=_checked_object)
