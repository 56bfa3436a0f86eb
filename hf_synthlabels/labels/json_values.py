"""JSON in an answer: bare, fenced, or with prose around it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["json_values", "last_value"]


def json_values(text: str, opening: str = "{[") -> Iterator[Any]:
    """The JSON values of a text that begin with one of the given brackets, in their order; none within another."""
    decoder = json.JSONDecoder(object_pairs_hook=_single_keys)
    position = _next(text, opening, 0)
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            yield value
        position = _next(text, opening, end)


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


def _next(text: str, opening: str, start: int) -> int:
    places = [place for bracket in opening if (place := text.find(bracket, start)) >= 0]
    return min(places, default=-1)


def _single_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which a key that is given two different values counts as contradictory."""
    out: dict[str, Any] = {}
    for key, value in pairs:
        out[key] = value if key not in out or out[key] == value else {"contradiction": [out[key], value]}
    return out
