"""Finding an answer in its context: what a model says in its own words becomes a stretch of the text, or nothing.

The ladder, from the strictest rung down; the first that finds anything decides:

1. `exact`: the answer stands in the context, best as whole words; of several places the first is taken, as SQuAD does;
2. `normalised`: its words stand there in order, without regard to case, punctuation, articles and the form of quotes;
3. `closest`: of the answer's words, those that the question does not have already stand in one place of the context
   in order; or one window of the context shares enough words with them, by F1 (SQuAD, Rajpurkar et al. 2016) at
   least `CLOSEST_F1`, and no other window comes as close.

There is no span for what is not found.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hf_synthlabels.labels.values import Span

__all__ = ["CLOSEST_F1", "Projection", "normalised_words", "project"]

CLOSEST_F1 = 0.6
"""Least F1 of shared words for the `closest` rung: half of one side's words, when all of the other's are shared."""

MOST_WINDOW_WORDS = 60
WORD = re.compile(r"\w+(?:[.,'’]\w+)*|[^\w\s]")
ARTICLES = frozenset({"a", "an", "the"})
FILLERS = frozenset(
    (
        *(
            "in",
            "on",
            "at",
            "of",
            "to",
            "by",
            "from",
            "for",
            "with",
            "as",
            "and",
            "or",
            "that",
            "this",
            "these",
            "those",
        ),
        *("was", "is", "were", "are", "be", "been", "has", "have", "had", "which", "who", "there"),
        *("he", "she", "it", "they", "his", "her", "its", "their"),
    )
)
"""Words that no span found by closeness begins or ends with: they are what a model wraps an answer in."""

PUNCTUATION = frozenset(string.punctuation) | set("“”‘’«»–—…")


@dataclass(frozen=True, slots=True)
class Projection:
    """Where an answer stands in its context, and how it was found."""

    span: Span
    rung: Literal["exact", "normalised", "closest"]
    f1: float = 1.0
    """Of the words that answer and span share."""


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    end: int
    folded: str


def project(context: str, answer: str, question: str = "") -> Projection | None:
    """Where an answer stands in its context; None when it does not, or in several places equally nearly.

    Args:
        context: the text that the span is cut from.
        answer: what the annotator said.
        question: what was asked; a whole sentence of an answer repeats its words, and they are not the answer.
    """
    answer = answer.strip()
    if not answer or not context:
        return None
    if (start := _exact(context, answer)) >= 0:
        return Projection(Span(start, start + len(answer), answer), "exact")
    words = _words(context)
    wanted = [word.folded for word in _words(answer)]
    if not wanted:
        return None
    if places := _places(words, wanted):
        return _projection(context, words, places[0], len(wanted), "normalised")
    asked = {word.folded for word in _words(question)}
    novel = _without_fillers([word for word in wanted if word not in asked])
    if novel and novel != wanted and len(places := _places(words, novel)) == 1:
        return _projection(context, words, places[0], len(novel), "closest")
    return _closest(context, words, novel or wanted)


def normalised_words(text: str) -> list[str]:
    """The words of a text as answers are compared: no case, no punctuation, no articles, plain quotes."""
    return [word.folded for word in _words(text)]


def _exact(context: str, answer: str) -> int:
    whole = re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", context)
    return whole.start() if whole else context.find(answer)


def _words(text: str) -> list[_Word]:
    words = []
    for match in WORD.finditer(text):
        folded = unicodedata.normalize("NFKC", match[0]).replace("’", "'").casefold()
        if folded.endswith("'s"):
            folded = folded[:-2]
        # So '10,000' is 10000 and 'U.S.' is us, as in the scores of SQuAD.
        folded = "".join(character for character in folded if character not in PUNCTUATION)
        if folded and folded not in ARTICLES:
            words.append(_Word(match.start(), match.end(), folded))
    return words


def _places(words: Sequence[_Word], wanted: Sequence[str]) -> list[int]:
    """The words that the wanted ones begin at, where they stand in order."""
    folded = [word.folded for word in words]
    length = len(wanted)
    return [first for first in range(len(words) - length + 1) if folded[first : first + length] == list(wanted)]


def _projection(
    context: str, words: Sequence[_Word], first: int, length: int, rung: Literal["normalised", "closest"]
) -> Projection:
    return Projection(_span(context, words[first], words[first + length - 1]), rung)


def _without_fillers(words: list[str]) -> list[str]:
    """Words without the fillers at both ends."""
    while words and words[0] in FILLERS:
        words = words[1:]
    while words and words[-1] in FILLERS:
        words = words[:-1]
    return words


def _closest(context: str, words: Sequence[_Word], wanted: list[str]) -> Projection | None:
    """The one window with the most shared words; it begins and ends with a shared one that is no filler."""
    counts = Counter(wanted)
    places = [place for place, word in enumerate(words) if word.folded in counts and word.folded not in FILLERS]
    best_f1, best = 0.0, []
    for first in places:
        left, shared = Counter(counts), 0
        for last in range(first, min(len(words), first + min(MOST_WINDOW_WORDS, 3 * len(wanted)))):
            folded = words[last].folded
            if left[folded] <= 0:
                continue
            left[folded] -= 1
            shared += 1
            if folded in FILLERS:
                continue
            f1 = 2 * shared / (len(wanted) + last - first + 1)
            if f1 > best_f1 + 1e-9:
                best_f1, best = f1, [(first, last)]
            elif abs(f1 - best_f1) <= 1e-9:
                best.append((first, last))
    if best_f1 < CLOSEST_F1 or len(best) != 1:
        return None
    first, last = best[0]
    return Projection(_span(context, words[first], words[last]), "closest", best_f1)


def _span(context: str, first: _Word, last: _Word) -> Span:
    return Span(first.start, last.end, context[first.start : last.end])
