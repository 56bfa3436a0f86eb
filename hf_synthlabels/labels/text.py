"""The words of a text, with their places: what answers and contexts are compared by."""

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
"""One is missing: most often it counts nothing, as in 'one of them'."""

_FILLERS = (
    "in on at of to by from for with as and or that this these those was is were are be been has have had which who "
    "there he she it they his her its their during after before because when while since until year years"
)
FILLERS = frozenset(_FILLERS.split())
"""English words that a span found by closeness neither begins nor ends with: an answer is wrapped in them."""

POSSESSIVE = re.compile(r"['’][sS]$")
ENDING = re.compile(r"(?:ing|ed|es|s|d|e)$")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text: its characters, the end excluded, and how it is compared."""

    start: int
    end: int
    folded: str
    """Without case, and without punctuation in it."""
    plain: str
    """That without accents, and two to twenty in digits."""


@lru_cache(maxsize=256)
def words_of(text: str) -> tuple[Word, ...]:
    """The words of a text but for articles; in scripts without spaces each character is one."""
    words = []
    for match in _pattern().finditer(text):
        # A possessive 's is no part of the word, nor of a span that ends with it.
        said = POSSESSIVE.sub("", match[0])
        folded = _folded(said)
        if folded and folded not in ARTICLES:
            words.append(Word(match.start(), match.start() + len(said), folded, _plain(folded)))
    return tuple(words)


def normalized_words(text: str) -> list[str]:
    """The words of a text as answers are compared: no case, no punctuation, no articles, plain quotes."""
    return [word.folded for word in words_of(text)]


def stem(word: str) -> str:
    """An English word without its ending, so that a question's 'rule' is found again in 'ruled'."""
    return ENDING.sub("", word) if len(word) > 4 and not word.isdigit() else word


def is_unspaced(text: str) -> bool:
    """Whether a text has characters of a script that parts no words, or joins particles to them, as Korean does."""
    return UNSPACED_CHARACTER.search(text) is not None


def splits_word(text: str, place: int) -> bool:
    """Whether a cut before the character at `place` goes through a word or a number such as 1.5."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if unicodedata.category(after).startswith("M"):
        return True
    if is_unspaced(before) or is_unspaced(after):
        return False
    if _in_word(before) and _in_word(after):
        return True
    if before in ".,":
        return after.isdigit() and text[max(0, place - 2)].isdigit()
    return after in ".," and before.isdigit() and text[place + 1 : place + 2].isdigit()


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
    # Most words are plain ones, and need no look-up in the tables of Unicode.
    folded = word.lower() if word.isascii() else unicodedata.normalize("NFKC", INVISIBLE.sub("", word)).casefold()
    if folded.isalnum():
        return folded
    # So '10,000' is 10000 and 'U.S.' is us, as in the scores of SQuAD.
    return "".join(character for character in folded if character not in PUNCTUATION)


def _plain(folded: str) -> str:
    if not folded.isascii():
        parts = unicodedata.normalize("NFKD", folded)
        folded = unicodedata.normalize("NFKC", "".join(part for part in parts if not "\u0300" <= part <= "\u036f"))
    return DIGITS.get(folded, folded)
