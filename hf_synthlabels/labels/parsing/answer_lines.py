"""The lines and items of an answer, without what models put before them."""

from __future__ import annotations

import re

BULLET = re.compile(r"^\s*(?:[-*•–—]|\(?\d{1,4}[.):]|\(\d{1,4}\))\s+")
FENCE = re.compile(r"^\s*```\w*\s*$")
NOTHING = frozenset(
    {"none", "none of them", "none of these", "none of the above", "no label", "no labels", "nothing", "[]", "{}"}
    | {"no entities", "no entity", "no named entities", "n/a", "empty"}
)


def bare_lines(text: str) -> list[str]:
    """The lines that say something, without bullets, numbers and fences."""
    lines = (BULLET.sub("", line).strip() for line in text.splitlines() if not FENCE.match(line))
    return [line for line in lines if line]


def said_nothing(text: str) -> bool:
    """Whether an answer says that there is nothing to name."""
    return text.strip(" \t\r\n\"'`*_.()").casefold() in NOTHING or text.strip() in ("[]", "{}")
