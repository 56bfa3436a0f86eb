"""Words of a text with their positions, normalized for comparison."""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from hf_synthlabels.labels.schema import INVISIBLE

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese, Japanese
)
HANGUL = "\uac00-\ud7a3"
UNSPACED_CHARACTER = re.compile(f"[{UNSPACED}{HANGUL}]")

PUNCTUATION = frozenset(string.punctuation) | set("“”‘’„‚«»‹›–—―…‐‑−·•")
ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = (
    *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
DIGITS = {word: str(number) for number, word in enumerate(NUMBERS, 2)}
"""'one' is left out: it is mostly a pronoun, as in 'one of them'."""

_FILLERS = (
    "in on at of to by from for with as and or that this these those was is were are be been has have had which who "
    "there he she it they his her its their during after before because when while since until year years"
)
FILLERS = frozenset(_FILLERS.split())
"""English words that a `closest` span neither begins nor ends with."""

POSSESSIVE = re.compile(r"['’][sS]$")
ENDING = re.compile(r"(?:ing|ed|es|s|d|e)$")


@dataclass(frozen=True, slots=True)
class Word:
    """One word: its position (the end is exclusive) and its normalized forms."""

    start: int
    end: int
    folded: str
    """In lower case, without punctuation."""
    plain: str
    """Also without accents, and two to twenty as digits."""


@lru_cache(maxsize=256)
def split_words(text: str) -> tuple[Word, ...]:
    """Return the words of a text except articles; in scripts without spaces, each character is a word."""
    words = []
    for match in _pattern().finditer(text):
        # A possessive 's does not belong to the word or to a span that ends with it.
        word = POSSESSIVE.sub("", match[0])
        folded = _folded(word)
        if folded and folded not in ARTICLES:
            words.append(Word(match.start(), match.start() + len(word), folded, _plain(folded)))
    return tuple(words)


def normalized_words(text: str) -> list[str]:
    """Return the words of a text without case, punctuation and articles."""
    return [word.folded for word in split_words(text)]


def stem(word: str) -> str:
    """Remove the ending of an English word, so that 'ruled' matches 'rule'."""
    return ENDING.sub("", word) if len(word) > 4 and not word.isdigit() else word


def is_unspaced(text: str) -> bool:
    """Whether a text uses a script without spaces, or one that joins particles to words, as Korean does."""
    return UNSPACED_CHARACTER.search(text) is not None


def splits_word(text: str, position: int) -> bool:
    """Whether a cut before the character at `position` divides a word or a number such as 1.5."""
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    if unicodedata.category(after).startswith("M"):
        return True
    if is_unspaced(before) or is_unspaced(after):
        return False
    if _in_word(before) and _in_word(after):
        return True
    if before in ".,":
        return after.isdigit() and text[max(0, position - 2)].isdigit()
    return after in ".," and before.isdigit() and text[position + 1 : position + 2].isdigit()


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
    joined = rf"[^\W{UNSPACED}]|[{marks}]|{INVISIBLE.pattern}"
    # 10,000 and 1.5, U.S. and it's are one word each.
    inner = r"(?<=\d)[.,](?=\d)|(?<=\b\w)\.(?=\w\b)|(?<=\w)['’](?=\w)"
    return re.compile(rf"[{UNSPACED}][{marks}]*|[^\W{UNSPACED}](?:{joined}|{inner})*|[^\w\s]")


def _folded(word: str) -> str:
    # Most words are ASCII and need no Unicode normalization.
    folded = word.lower() if word.isascii() else unicodedata.normalize("NFKC", INVISIBLE.sub("", word)).casefold()
    if folded.isalnum():
        return folded
    # As in the SQuAD metric, '10,000' becomes '10000' and 'U.S.' becomes 'us'.
    return "".join(character for character in folded if character not in PUNCTUATION)


def _plain(folded: str) -> str:
    if not folded.isascii():
        parts = unicodedata.normalize("NFKD", folded)
        folded = unicodedata.normalize("NFKC", "".join(part for part in parts if not "\u0300" <= part <= "\u036f"))
    return DIGITS.get(folded, folded)
