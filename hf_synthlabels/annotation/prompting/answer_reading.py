"""Finds the label in an answer with reasoning: at its end, on a separate line or in JSON.

What stands before may quote the row, and a row may hold anything: lines, labels, JSON. So nothing before is read.
"""

from __future__ import annotations

import re
from typing import Any

from hf_synthlabels.labels.parsing.answer import bare_lines
from hf_synthlabels.labels.parsing.json_values import final_value
from hf_synthlabels.labels.schema import visible

# No quotation mark or bracket may lead: such a line quotes.
LABEL_LINE = re.compile(
    r"^[ \t*_#>•-]*(?:(?:final|my|the)[ \t]+)?(?:labels?|answer|candidates)\b[ \t*_]*[:=：][ \t*_]*", re.I | re.M
)


def final_json(text: str) -> Any:
    """The JSON value at the end of an answer, on a separate line or after `label:`; None if there is none."""
    found = final_value(visible(text))
    if found is None:
        return None
    value, before = found
    line = before.rpartition("\n")[2].strip(" `")
    return value if not line or LABEL_LINE.fullmatch(line) else None


def label_line(text: str, *, whole: bool = False) -> str | None:
    """What follows the last `label:` at the beginning of a line; None when there is none.

    Args:
        text: an answer.
        whole: all that follows, for labels of several lines; else the first line of it that says something.
    """
    cleaned = visible(text)
    starts = list(LABEL_LINE.finditer(cleaned))
    if not starts:
        return None
    rest = cleaned[starts[-1].end() :].strip()
    return rest if whole else next(iter(rest.splitlines()), "")


def label_start(text: str) -> int | None:
    """The character behind the last `label:` at the beginning of a line; None when there is none."""
    starts = list(LABEL_LINE.finditer(text))
    return starts[-1].start() + len(starts[-1][0].rstrip(" \t*_")) if starts else None


def named_lines(text: str, names: list[str]) -> dict[str, str]:
    """What lines such as `name: answer` say under each name; the last line of a name counts."""
    known = {name.casefold(): name for name in names}
    found = {}
    for line in bare_lines(visible(text)):
        name, colon, rest = line.partition(":")
        key = known.get(name.strip(" *_`").casefold())
        if colon and key is not None:
            found[key] = rest.strip()
    return found
