"""The answers of one call that asked for several rows, taken apart."""

from __future__ import annotations

import json
import re
from typing import Any

from hf_synthlabels.labels.json_values import final_value, json_values
from hf_synthlabels.labels.schema import visible

__all__ = ["numbered_items", "split_rows"]

ITEM = re.compile(
    r"^[ \t>*_]*(?:(?:row|text|item|answer|title|no\.?)\s*)?"
    # A digit may not follow: in '1.5' the 1 is no number of a row.
    r"(?:[\[(](\d{1,4})[\])][ \t]*[.:\-–]?|#?(\d{1,4})[ \t*_]*(?:[.\-–](?!\d)|[):]))[ \t*_]*",
    re.I | re.M,
)
LISTS = ("answers", "labels", "rows", "results", "items")
NUMBERS = ("row", "number", "id", "index", "text_number")


def split_rows(text: str, count: int) -> list[str] | None:
    """The answers to `count` rows in the order of the rows, each as a text to be parsed; None if they are not so many.

    An answer that is JSON as a whole is a list of answers, bare or under `answers`, in order or by the `row` that each
    names, or an object with the numbers of the rows as keys. Any other has lines that begin with the rows' numbers,
    from 1 on, each once; only without such lines is JSON with prose around it taken.
    """
    cleaned = visible(text)
    whole = final_value(cleaned)
    if whole is not None and not whole[1].strip(" \n`"):
        items = _items(whole[0])
        return None if items is None else _in_order(items, count)
    numbered = numbered_items(cleaned)
    if sorted(numbered) == list(range(1, count + 1)):
        return [numbered[number] for number in range(1, count + 1)]
    # An item of a numbered list may be JSON itself, so that a list in it is no list of rows.
    if numbered:
        return None
    listed = [items for value in json_values(cleaned) if (items := _items(value)) is not None]
    return _in_order(listed[-1], count) if listed else None


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


def _items(value: Any) -> list[Any] | dict[str, Any] | None:
    """The answers in a JSON value."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        listed = next((value[key] for key in LISTS if isinstance(value.get(key), list | dict)), None)
        if listed is not None or (value and all(str(key).strip().isdigit() for key in value)):
            return value if listed is None else listed
    return None


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
