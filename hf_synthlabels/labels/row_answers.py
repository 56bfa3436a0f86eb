"""Splitting of one answer about several rows."""

from __future__ import annotations

import json
import re
from typing import Any

from hf_synthlabels.labels.parsing.json_values import final_value, json_values
from hf_synthlabels.labels.schema import visible

ITEM = re.compile(
    r"^[ \t>*_]*(?:(?:row|text|item|answer|title|question|label|sentence|no\.?)\s*)?"
    # No digit may follow: the 1 of '1.5' is not a row number.
    r"(?:[\[(](\d{1,4})[\])][ \t]*[.:\-–]?|#?(\d{1,4})[ \t*_]*(?:[.\-–](?!\d)|[):]))[ \t*_]*",
    re.I | re.M,
)
BLANK_LINE = re.compile(r"\n\s*\n")
REMARK = re.compile(r"\n(?=[^\s\-*•])")
LIST_KEYS = ("answers", "labels", "rows", "results", "items")
NUMBER_KEYS = ("row", "number", "id", "index", "text_number")


def split_row_answers(text: str, count: int) -> list[str] | None:
    """Split an answer about `count` rows into one text per row, in row order; None if their number differs.

    A JSON answer is a list, bare or under a key such as `answers`, in order or by the `row` of each item, or an object
    with row numbers as keys. Any other answer has lines that begin with the row numbers 1 to `count`, each once.
    Without such lines, JSON surrounded by prose is used. The answer about a single row may lack the list.
    """
    cleaned = visible(text)
    whole = final_value(cleaned)
    if whole is not None and not whole[1].strip(" \n`"):
        items = _items(whole[0])
        if items is None and count == 1:
            return [_answer(whole[0])]
        return None if items is None else _in_order(items, count)
    numbered = numbered_items(cleaned)
    if sorted(numbered) == list(range(1, count + 1)):
        return [numbered[number] for number in range(1, count + 1)]
    # JSON within a numbered item is not the list of rows.
    if numbered:
        return None
    lists = [items for value in json_values(cleaned) if (items := _items(value)) is not None]
    if lists:
        return _in_order(lists[-1], count)
    return [cleaned] if count == 1 and cleaned else None


def numbered_items(text: str) -> dict[int, str]:
    """Return the text after each number that begins a line; a repeated number is left out.

    An item continues over lines without a number. After the last item, a remark is cut off: the text after a blank line
    or a line without indentation, if no earlier item contains one.
    """
    starts = list(ITEM.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    bodies = [text[match.end() : end].strip() for match, end in zip(starts, ends[: len(starts)], strict=True)]
    if not any(BLANK_LINE.search(body) for body in bodies[:-1]):
        bodies[-1:] = [BLANK_LINE.split(body)[0].strip() for body in bodies[-1:]]
    if len(bodies) > 1 and not any("\n" in body for body in bodies[:-1]):
        bodies[-1:] = [REMARK.split(body)[0].strip() for body in bodies[-1:]]
    numbers = [int(match[1] or match[2]) for match in starts]
    return {number: body for number, body in zip(numbers, bodies, strict=True) if numbers.count(number) == 1}


def _items(value: Any) -> list[Any] | dict[str, Any] | None:
    """Return the answers in a JSON value; None if it is not a list or object of answers."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        listed = next((value[key] for key in LIST_KEYS if isinstance(value.get(key), list | dict)), None)
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
    for key in NUMBER_KEYS:
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
    return json.dumps({key: value for key, value in item.items() if key not in NUMBER_KEYS}, ensure_ascii=False)
