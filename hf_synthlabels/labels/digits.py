"""Numbers as answers write them: the one place that says what a number in a text is, and what a bound is."""

from __future__ import annotations

import math
import re

UP_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
WORDS = {word: float(number) for number, word in enumerate(UP_TO_TEN)}

DIGITS = r"(?<!\d[eE][-+−])(?:\d++(?:[.,]\d++)?+|\.\d++)(?:[eE][-+−]?\d++)?+"
"""A number in digits without its sign, perhaps in scientific notation. Nothing that repeats is given back, so that a
search takes time in proportion to the text."""

_WORD = rf"\b(?:{'|'.join(WORDS)})\b"
_COMPARED = (
    # Behind a tag such as <b> or a quoted attribute, '>' compares nothing.
    r"(?:(?<![\w\"'/>=-])>=?|<=?|[≥≤≠]"
    r"|\b(?:at least|at most|more than|less than|fewer than|greater than|higher than|lower than|not|isn['’]t|never)\b)"
)
BOUND = re.compile(
    rf"{_COMPARED}\s*(?:an?\s+)?[-+−]?(?:{DIGITS}|{_WORD})(?!\s*>)"
    rf"|(?:(?<![\d.,]){DIGITS}|{_WORD})\s*(?:\+(?!\s*\w)|\bor\s+(?:more|higher|above|greater|less|lower|fewer|below|better|worse)\b)",
    re.I,
)
"""A comparison with a number, which is no number: '>= 5', 'at least 5', 'not a 5', '5 or more', '5+'."""


def number_value(word: str) -> float:
    """The value of a number in digits or in a word; a comma separates decimals, as in many languages."""
    folded = word.casefold().replace("−", "-")
    return WORDS[folded] if folded in WORDS else float(folded.replace(",", "."))


def as_float(value: float) -> float:
    """A number of JSON as a float; infinite where an integer is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number_text(value: float) -> str:
    """A number as people write it: 12 significant digits, without the noise of binary fractions."""
    return f"{value:.12g}"
