"""Stated confidence: the annotator says how likely its label is correct, as a percentage or in words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from hf_synthlabels.annotation.prompting.answer_reading import final_json
from hf_synthlabels.labels.parsing.properties import read_properties
from hf_synthlabels.labels.schema import visible

Elicitation = Literal["elicited", "verbal"]
"""A whole number from 0 to 100, or one of five words."""

WORDS = {"very low": 0.1, "low": 0.3, "medium": 0.5, "high": 0.7, "very high": 0.9}
"""The words of a verbal confidence, and the probability that each represents."""

NUMBER = re.compile(r"(\d{1,3})(?:\.0+)?\s*%?")
LINE = re.compile(r"^[ \t*_>-]*confidence[ \t*_]*[:=：][ \t*_]*(.*?)[ \t*_.]*$", re.I)

MEANING: dict[Elicitation, str] = {
    "elicited": "the probability in percent that the label is correct, as a whole number from 0 to 100",
    "verbal": (
        "how likely the label is correct: "
        + ", ".join(f"{word} ({100 * share:.0f}%)" for word, share in WORDS.items())
        + ", as words without the number"
    ),
}
SHAPE: dict[Elicitation, str] = {"elicited": "0", "verbal": '"..."'}

MISSING_NOTE = "no confidence is stated"


@dataclass(frozen=True, slots=True)
class Stated:
    """What an answer says besides its confidence, and the confidence."""

    text: str
    """The answer without its confidence."""
    confidence: float | None
    """From 0 to 1; None if it is missing or not valid."""
    note: str = ""
    """Why there is none."""


def confidence_schema(elicitation: Elicitation) -> dict[str, Any]:
    """The JSON schema of a confidence."""
    # Bounds of numbers are not part of every server's strict schemas: the reader checks them.
    return {"type": "integer"} if elicitation == "elicited" else {"type": "string", "enum": list(WORDS)}


def read_confidence(elicitation: Elicitation, value: Any) -> tuple[float | None, str]:
    """The probability that a stated value means, and why there is none. Nothing is guessed.

    Args:
        elicitation: how the confidence was requested.
        value: a JSON value, or the text behind `confidence:`.
    """
    if value is None or value == "":
        return None, MISSING_NOTE
    if elicitation == "verbal":
        known = WORDS.get(" ".join(value.casefold().split())) if isinstance(value, str) else None
        return (known, "") if known is not None else (None, f"the confidence {value!r} is not one of the words")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match = NUMBER.fullmatch(str(value).strip()) if is_number or isinstance(value, str) else None
    if match is None or int(match[1]) > 100:
        return None, f"the confidence {value!r} is not a whole number from 0 to 100"
    return int(match[1]) / 100, ""


def split_confidence(elicitation: Elicitation, text: str) -> Stated:
    """Separate the confidence from an answer: a property of the JSON object at its end, or its last line."""
    value = final_json(text)
    if isinstance(value, dict):
        properties = read_properties(text, ["confidence"])
        if properties.problems.get("confidence") == "given twice":
            return Stated(_without(value), None, "the confidence is given twice")
        return Stated(_without(value), *read_confidence(elicitation, value.get("confidence")))
    lines = visible(text).rstrip().splitlines()
    match = LINE.fullmatch(lines[-1]) if lines else None
    if match is None:
        return Stated(text, None, MISSING_NOTE)
    return Stated("\n".join(lines[:-1]), *read_confidence(elicitation, match[1].strip(" \"'")))


def _without(value: dict[str, Any]) -> str:
    return json.dumps({key: each for key, each in value.items() if key != "confidence"}, ensure_ascii=False)
