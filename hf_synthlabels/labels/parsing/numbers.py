"""Numbers on a scale in answers."""

from __future__ import annotations

import re
from typing import Any

from hf_synthlabels.labels.digits import BOUND, DIGITS, WORDS, as_float, number_value
from hf_synthlabels.labels.parsing.answer import Answer, abstained, bare_lines, unparsed
from hf_synthlabels.labels.parsing.json_values import json_answer, key_reader
from hf_synthlabels.labels.parsing.names import without_quoted_verdicts
from hf_synthlabels.labels.schema import ABSTAIN, LabelSchema, visible

NUMBER = rf"[-+−]?{DIGITS}|\b(?:{'|'.join(WORDS)})\b"
OUT_OF = re.compile(
    rf"(?<!\d)(?<!\d[.,])({NUMBER})(?:\s+(?:stars?|points?))?\s*(?:/|out of|of|von|sur|de)\s*({NUMBER})", re.I
)
SINGLE = re.compile(rf"(?<![\w.,/])(?:{NUMBER})(?![\w/]|[.,]\d)", re.I)
RANGE = rf"\d|[.,]\d|[eE][-+−]?\d|\s*(?:[-–—/]|to\b|or\b|and\b)\s*(?:{NUMBER})"
VERDICT = re.compile(
    r"\b(?:(?:score|rating|grade)\b\W{0,6}(?:is|of|=|:)?|(?:label|answer|value|number)\b\W{0,6}(?:is|=|:))"
    rf"\W{{0,6}}?({NUMBER})(?!{RANGE})",
    re.I,
)
THOUSANDS = re.compile(r"[-+−]?\d{1,3}(?:,\d{3})+")


def parse_number(schema: LabelSchema, text: str) -> Answer:
    """Parse an answer that gives a number on the schema's scale.

    The first that applies decides: `label` in JSON; a number alone, or `4/5` and `four out of five` if the second
    number is the top of the scale; the last verdict, `score: 4`; the only number; the number alone on
    the first or last line. A bound such as `>= 4` or `4 or more` does not count as a number.
    """
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    in_json = json_answer(cleaned, key_reader("label", "score", "rating"))
    if in_json is not None and not isinstance(in_json.value, str):
        answer = _on_scale(schema, in_json.value)
        verdicts = [] if in_json.final else VERDICT.findall(without_quoted_verdicts(in_json.prose))
        if answer.label is not None and any(_float(verdict, schema) != answer.label for verdict in verdicts[-1:]):
            return unparsed(f"the answer says {answer.label:g} in JSON and {verdicts[-1]} in words")
        return answer
    cleaned = without_quoted_verdicts(visible(in_json.value) if in_json else cleaned)
    if schema.abstain and cleaned.strip(" .\"'`*").casefold() == ABSTAIN:
        return abstained()
    assert schema.scale is not None
    high = schema.scale.high
    # 'out of 5' gives the scale, not the answer.
    prose = OUT_OF.sub(lambda match: match[1] if _float(match[2], schema) == high else match[0], cleaned)
    number = _only_number(prose, schema)
    return _from_prose(schema, prose) if number is None else _on_scale(schema, number)


def _from_prose(schema: LabelSchema, prose: str) -> Answer:
    bounds = list(BOUND.finditer(prose))
    if verdicts := list(VERDICT.finditer(prose)):
        last = verdicts[-1]
        if bound := next((each for each in bounds if each.start() <= last.start(1) < each.end()), None):
            return unparsed(f"{bound[0].strip()!r} is a bound, not a number")
        return _on_scale(schema, _float(last[1], schema))
    # Numbers within a bound do not count: 'not a 4 but a 3', '4, with more than 3 mistakes'.
    numbers = {_float(number, schema) for number in SINGLE.findall(BOUND.sub("\0", prose))}
    if not numbers and bounds:
        return unparsed(f"{bounds[0][0].strip()!r} is a bound, not a number")
    if len(numbers) > 1 and (number := _number_on_own_line(prose, schema)) is not None:
        return _on_scale(schema, number)
    if len(numbers) != 1:
        return unparsed(
            f"the answer has several numbers: {sorted(numbers)}" if numbers else "the answer contains no numbers"
        )
    return _on_scale(schema, numbers.pop())


def _only_number(text: str, schema: LabelSchema) -> float | None:
    """Return the number that a text consists of, apart from markup and a final period."""
    whole = text.strip(" \t\r\n\"'`*_()[]").rstrip(".")
    return _float(whole, schema) if re.fullmatch(NUMBER, whole, re.I) else None


def _number_on_own_line(text: str, schema: LabelSchema) -> float | None:
    """Return the number alone on the first or last line, if no other line is another number."""
    lines = bare_lines(text)
    numbers = {number for line in lines if (number := _only_number(line, schema)) is not None}
    if len(numbers) != 1 or len(lines) < 2:
        return None
    return next((number for line in (lines[0], lines[-1]) if (number := _only_number(line, schema)) is not None), None)


def _on_scale(schema: LabelSchema, value: Any) -> Answer:
    assert schema.scale is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return unparsed(f"`label` is {value!r}, not a number")
    number = as_float(value)
    if not schema.scale.holds(number):
        return unparsed(f"{number:g} is not on the scale {schema.scale}")
    return Answer("labelled", label=number)


def _float(text: str, schema: LabelSchema) -> float:
    folded = text.casefold().replace("−", "-")
    scale = schema.scale
    # A comma is a decimal separator in many languages. It separates thousands if the scale reaches 1000 or is integer.
    if scale is not None and THOUSANDS.fullmatch(folded) and (scale.high >= 1000 or (scale.step or 0.5) % 1 == 0):
        return float(folded.replace(",", ""))
    return number_value(folded)
