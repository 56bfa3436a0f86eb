"""Reading a number on a scale: the one that is said, or none."""

from __future__ import annotations

import re
from typing import Any

from hf_synthlabels.labels.answer import Answer, unparsed
from hf_synthlabels.labels.json_values import last_value
from hf_synthlabels.labels.names import ABSTENTION
from hf_synthlabels.labels.schema import LabelSchema, visible

__all__ = ["parse_number"]

UP_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
WORDS = {word: float(number) for number, word in enumerate(UP_TO_TEN)}
NUMBER = rf"[-+−]?\d+(?:[.,]\d+)?|\b(?:{'|'.join(WORDS)})\b"
OUT_OF = re.compile(rf"({NUMBER})\s*(?:/|out of|of|von|sur|de)\s*({NUMBER})", re.I)
SINGLE = re.compile(rf"(?<![\w.,/])(?:{NUMBER})(?![\w/]|[.,]\d)", re.I)
VERDICT = re.compile(
    rf"\b(?:label|answer|score|rating|grade|value|number)\b\W{{0,6}}(?:is|of|=|:)?\W{{0,6}}({NUMBER})", re.I
)


def parse_number(schema: LabelSchema, text: str) -> Answer:
    """Read an answer for a number on the schema's scale; several different numbers are none.

    In this order: `label` in JSON; a number that is the whole answer, or `4/5` and `four out of five` where the
    second is the high end of the scale; the last verdict, `score: 4`; the only number that is said.
    """
    assert schema.scale is not None
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    value = last_value(cleaned, "label", "score", "rating")
    if isinstance(value, str):
        cleaned = visible(value)
    elif value is not None:
        return _on_scale(schema, value)
    if schema.abstain and cleaned.strip(" .\"'`*").casefold() == ABSTENTION:
        return Answer("abstained", reason="the annotator abstained")
    high = schema.scale.high
    # 'out of 5' names the scale, not the answer.
    said = OUT_OF.sub(lambda match: match[1] if _float(match[2]) == high else match[0], cleaned)
    whole = said.strip(" \t\r\n\"'`*_.()[]")
    if re.fullmatch(NUMBER, whole, re.I):
        return _on_scale(schema, _float(whole))
    if verdicts := VERDICT.findall(said):
        return _on_scale(schema, _float(verdicts[-1]))
    found = {_float(number) for number in SINGLE.findall(said)}
    if len(found) != 1:
        return unparsed("the answer has no number" if not found else f"the answer has several numbers: {sorted(found)}")
    return _on_scale(schema, found.pop())


def _on_scale(schema: LabelSchema, value: Any) -> Answer:
    assert schema.scale is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return unparsed(f"`label` is {value!r}, not a number")
    if not schema.scale.holds(float(value)):
        return unparsed(f"{value:g} is not on the scale {schema.scale}")
    return Answer("labelled", label=float(value))


def _float(said: str) -> float:
    folded = said.casefold()
    return WORDS[folded] if folded in WORDS else float(folded.replace("−", "-").replace(",", "."))
