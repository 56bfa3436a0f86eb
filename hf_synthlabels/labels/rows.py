"""The answers of one call that asked for several rows, taken apart."""

from __future__ import annotations

import json
import re
from typing import Any

from hf_synthlabels.labels.json_values import json_values
from hf_synthlabels.labels.schema import visible

__all__ = ["numbered_items", "split_rows"]

ITEM = re.compile(
    r"^[ \t>*_]*(?:(?:row|text|item|answer|title|no\.?)\s*)?"
    r"(?:[\[(](\d{1,4})[\])][ \t]*[.:\-–]?|#?(\d{1,4})[ \t*_]*[.):\-–])[ \t*_]*",
    re.I | re.M,
)
LISTS = ("answers", "labels", "rows", "results", "items")
NUMBERS = ("row", "number", "id", "index", "text_number")


def split_rows(text: str, count: int) -> list[str] | None:
    """The answers to `count` rows in the order of the rows, each as a text to be parsed; None if they are not so many.

    A JSON list, bare or under `answers`, is taken in order, or by the `row` that each item names; a JSON object may
    have the numbers of the rows as keys; otherwise lines that begin with the rows' numbers, from 1 on, each once.
    """
    cleaned = visible(text)
    items = _json_items(cleaned)
    if items is not None and (rows := _in_order(items, count)) is not None:
        return rows
    numbered = numbered_items(cleaned)
    if sorted(numbered) != list(range(1, count + 1)):
        return None
    return [numbered[number] for number in range(1, count + 1)]


def numbered_items(text: str) -> dict[int, str]:
    """What stands behind each number that begins a line; a number that comes twice has no item at all.

    An item goes on over following lines that begin with no number; what follows a blank line after the last item is
    a remark, not part of it.
    """
    starts = list(ITEM.finditer(text))
    found: dict[int, str] = {}
    twice = set()
    ends = [match.start() for match in starts[1:]] + [len(text)]
    for match, end in zip(starts, ends[: len(starts)], strict=True):
        body = text[match.end() : end]
        number = int(match[1] or match[2])
        if number in found:
            twice.add(number)
        found[number] = re.split(r"\n\s*\n", body)[0].strip()
    return {number: item for number, item in found.items() if number not in twice}


def _json_items(text: str) -> list[Any] | dict[str, Any] | None:
    found: list[Any] | dict[str, Any] | None = None
    for value in json_values(text):
        if isinstance(value, list):
            found = value
        elif isinstance(value, dict):
            listed = next((value[key] for key in LISTS if isinstance(value.get(key), list | dict)), None)
            if listed is not None:
                found = listed
            elif value and all(str(key).strip().isdigit() for key in value):
                found = value
    return found


def _in_order(items: list[Any] | dict[str, Any], count: int) -> list[str] | None:
    if isinstance(items, dict):
        items = [{"row": key, "label": value} for key, value in items.items()]
    if len(items) != count:
        return None
    numbers = [_number(item) for item in items]
    if any(number is not None for number in numbers):
        if sorted(number or 0 for number in numbers) != list(range(1, count + 1)):
            return None
        items = [item for _, item in sorted(zip(numbers, items, strict=True), key=lambda pair: pair[0] or 0)]
    return [_answer(item) for item in items]


def _number(item: Any) -> int | None:
    if not isinstance(item, dict):
        return None
    for key in NUMBERS:
        try:
            return int(item[key])
        except (KeyError, TypeError, ValueError):
            continue
    return None


def _answer(item: Any) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        return json.dumps({"label": item}, ensure_ascii=False)
    return json.dumps({key: value for key, value in item.items() if key not in NUMBERS}, ensure_ascii=False)
