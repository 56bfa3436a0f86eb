"""Patterns and conversions for numbers in text."""

from __future__ import annotations

import math
import re

UP_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
WORDS = {word: float(number) for number, word in enumerate(UP_TO_TEN)}

DIGITS = r"(?<!\d[eE][-+−])(?:\d++(?:[.,]\d++)?+|\.\d++)(?:[eE][-+−]?\d++)?+"
"""An unsigned number in digits, perhaps in scientific notation. Possessive quantifiers keep a search linear."""

_WORD = rf"\b(?:{'|'.join(WORDS)})\b"
_COMPARED = (
    # After a tag such as <b> or a quoted attribute, '>' is not a comparison.
    r"(?:(?<![\w\"'/>=-])>=?|<=?|[≥≤≠]"
    r"|\b(?:at least|at most|more than|less than|fewer than|greater than|higher than|lower than|not|isn['’]t|never)\b)"
)
BOUND = re.compile(
    rf"{_COMPARED}\s*(?:an?\s+)?[-+−]?(?:{DIGITS}|{_WORD})(?!\s*>)"
    rf"|(?:(?<![\d.,]){DIGITS}|{_WORD})\s*(?:\+(?!\s*\w)|\bor\s+(?:more|higher|above|greater|less|lower|fewer|below|better|worse)\b)",
    re.I,
)
"""A comparison with a number: '>= 5', 'at least 5', 'not a 5', '5 or more', '5+'."""


def number_value(word: str) -> float:
    """Convert a number in digits or words; a comma is a decimal separator."""
    folded = word.casefold().replace("−", "-")
    return WORDS[folded] if folded in WORDS else float(folded.replace(",", "."))


def as_float(value: float) -> float:
    """Convert a JSON number; an integer too large for a float becomes infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def number_text(value: float) -> str:
    """Format a number with up to 12 significant digits."""
    return f"{value:.12g}"
