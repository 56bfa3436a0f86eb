"""JSON in an answer: bare, fenced, or with prose around it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["final_value", "json_values", "last_value"]

LAST_FENCE = re.compile(r"\s*```\s*$")


def json_values(text: str, opening: str = "{[") -> Iterator[Any]:
    """The JSON values of a text that begin with one of the given brackets, in their order; none within another."""
    for value, _, _ in _places(text, opening):
        yield value


def last_value(text: str, *keys: str) -> Any:
    """What stands under one of the keys in the last JSON object that has one, or the last bare list; else None.

    A null that was answered is an empty text, so that it can be told from no answer.
    """
    found: Any = None
    for value in json_values(text):
        if isinstance(value, list):
            found = value
        elif isinstance(value, dict):
            for key in keys:
                if key in value:
                    found = "" if value[key] is None else value[key]
                    break
    return found


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
