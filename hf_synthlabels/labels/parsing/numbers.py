"""Reading a number on a scale: the one that is said, or none."""

from __future__ import annotations

import re
from typing import Any

from hf_synthlabels.labels.digits import BOUND, DIGITS, WORDS, as_float, number_value
from hf_synthlabels.labels.parsing.answer import Answer, unparsed
from hf_synthlabels.labels.parsing.answer_lines import bare_lines
from hf_synthlabels.labels.parsing.json_values import stated, under
from hf_synthlabels.labels.parsing.names import ABSTENTION, without_quoted_verdicts
from hf_synthlabels.labels.schema import LabelSchema, visible

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
    """Read an answer for a number on the schema's scale; several different numbers are none.

    In this order: `label` in JSON; a number that is the whole answer, or `4/5` and `four out of five` where the
    second is the high end of the scale; the last verdict, `score: 4`; the only number that is said; the number on a
    line of its own, first or last. A bound such as `>= 4` or `4 or more` is no number.
    """
    assert schema.scale is not None
    cleaned = visible(text)
    if not cleaned:
        return unparsed("the answer is empty")
    in_json = stated(cleaned, under("label", "score", "rating"))
    if in_json is not None and not isinstance(in_json.value, str):
        answer = _on_scale(schema, in_json.value)
        verdicts = [] if in_json.final else VERDICT.findall(without_quoted_verdicts(in_json.prose))
        if answer.label is not None and any(_float(said, schema) != answer.label for said in verdicts[-1:]):
            return unparsed(f"the answer says {answer.label:g} in JSON and {verdicts[-1]} in words")
        return answer
    cleaned = without_quoted_verdicts(visible(in_json.value) if in_json else cleaned)
    if schema.abstain and cleaned.strip(" .\"'`*").casefold() == ABSTENTION:
        return Answer("abstained", reason="the annotator abstained")
    high = schema.scale.high
    # 'out of 5' names the scale, not the answer.
    said = OUT_OF.sub(lambda match: match[1] if _float(match[2], schema) == high else match[0], cleaned)
    whole = _alone(said, schema)
    return _from_words(schema, said) if whole is None else _on_scale(schema, whole)


def _from_words(schema: LabelSchema, said: str) -> Answer:
    """The number that an answer of several words gives."""
    bounds = list(BOUND.finditer(said))
    if verdicts := list(VERDICT.finditer(said)):
        last = verdicts[-1]
        if bound := next((each for each in bounds if each.start() <= last.start(1) < each.end()), None):
            return unparsed(f"{bound[0].strip()!r} is a bound, not a number")
        return _on_scale(schema, _float(last[1], schema))
    # A number within a bound is no candidate: 'not a 4 but a 3', '4, with more than 3 mistakes'.
    found = {_float(number, schema) for number in SINGLE.findall(BOUND.sub("\0", said))}
    if not found and bounds:
        return unparsed(f"{bounds[0][0].strip()!r} is a bound, not a number")
    if len(found) > 1 and (line := _own_line(said, schema)) is not None:
        return _on_scale(schema, line)
    if len(found) != 1:
        return unparsed("the answer has no number" if not found else f"the answer has several numbers: {sorted(found)}")
    return _on_scale(schema, found.pop())


def _alone(said: str, schema: LabelSchema) -> float | None:
    """The number that a text is, without markup and a final stop; None when there is more in it."""
    whole = said.strip(" \t\r\n\"'`*_()[]").rstrip(".")
    return _float(whole, schema) if re.fullmatch(NUMBER, whole, re.I) else None


def _own_line(said: str, schema: LabelSchema) -> float | None:
    """The number on a line of its own, first or last, when no other line is another number."""
    lines = bare_lines(said)
    numbers = {number for line in lines if (number := _alone(line, schema)) is not None}
    if len(numbers) != 1 or len(lines) < 2:
        return None
    return next((number for line in (lines[0], lines[-1]) if (number := _alone(line, schema)) is not None), None)


def _on_scale(schema: LabelSchema, value: Any) -> Answer:
    assert schema.scale is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return unparsed(f"`label` is {value!r}, not a number")
    number = as_float(value)
    if not schema.scale.holds(number):
        return unparsed(f"{number:g} is not on the scale {schema.scale}")
    return Answer("labelled", label=number)


def _float(said: str, schema: LabelSchema) -> float:
    folded = said.casefold().replace("−", "-")
    scale = schema.scale
    # A comma parts decimals in many languages, and thousands where the scale has such, or whole numbers only.
    if scale is not None and THOUSANDS.fullmatch(folded) and (scale.high >= 1000 or (scale.step or 0.5) % 1 == 0):
        return float(folded.replace(",", ""))
    return number_value(folded)
