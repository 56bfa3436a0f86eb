"""The result of parsing an answer, and the line handling that parsers share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from hf_synthlabels.labels.values import Label

BULLET = re.compile(r"^\s*(?:[-*•–—]|\(?\d{1,4}[.):]|\(\d{1,4}\))\s+")
FENCE = re.compile(r"^\s*```\w*\s*$")
EMPTY_ANSWERS = frozenset(
    {"none", "none of them", "none of these", "none of the above", "no label", "no labels", "nothing", "[]", "{}"}
    | {"no entities", "no entity", "no named entities", "n/a", "empty"}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer: a label, or the reason why there is none."""

    status: Literal["labelled", "abstained", "unparsed"]
    label: Label | None = None
    reason: str = ""
    match_type: str = ""
    """How a span was located in its context, as `Projection.match_type`."""


def unparsed(reason: str) -> Answer:
    """Return an answer without a label."""
    return Answer("unparsed", reason=reason)


def abstained() -> Answer:
    """Return the answer of an annotator that abstained."""
    return Answer("abstained", reason="the annotator abstained")


def bare_lines(text: str) -> list[str]:
    """Return the non-empty lines without bullets, item numbers and code fences."""
    lines = (BULLET.sub("", line).strip() for line in text.splitlines() if not FENCE.match(line))
    return [line for line in lines if line]


def is_empty_answer(text: str) -> bool:
    """Whether an answer states that there is no label or entity."""
    return text.strip(" \t\r\n\"'`*_.()").casefold() in EMPTY_ANSWERS or text.strip() in ("[]", "{}")
