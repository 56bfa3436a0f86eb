"""Finding an answer in its context: what a model says in its own words becomes a stretch of the text, or nothing.

The ladder, from the strictest rung down; the first that finds anything decides:

1. `exact`: the answer stands in the context, best as whole words; of several places the first is taken, as SQuAD does;
2. `normalised`: its words stand there in order, without regard to case, punctuation, articles and the form of quotes;
3. `closest`: the one window of the context that shares most words with the answer, when that is enough: the F1 of the
   shared words (SQuAD, Rajpurkar et al. 2016) is at least `CLOSEST_F1`, and no other window comes as close.

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


def project(context: str, answer: str) -> Projection | None:
    """Where an answer stands in its context; None when it does not, or in several places equally nearly."""
    answer = answer.strip()
    if not answer or not context:
        return None
    if (start := _exact(context, answer)) >= 0:
        return Projection(Span(start, start + len(answer), answer), "exact")
    words = _words(context)
    wanted = [word.folded for word in _words(answer)]
    if not wanted:
        return None
    for first in range(len(words) - len(wanted) + 1):
        if [word.folded for word in words[first : first + len(wanted)]] == wanted:
            return Projection(_span(context, words[first], words[first + len(wanted) - 1]), "normalised")
    return _closest(context, words, wanted)


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


def _closest(context: str, words: Sequence[_Word], wanted: list[str]) -> Projection | None:
    """The one window with the most shared words; it begins and ends with a shared one."""
    counts = Counter(wanted)
    places = [place for place, word in enumerate(words) if word.folded in counts]
    best_f1, best = 0.0, []
    for first in places:
        left, shared = Counter(counts), 0
        for last in range(first, min(len(words), first + min(MOST_WINDOW_WORDS, 3 * len(wanted)))):
            folded = words[last].folded
            if left[folded] <= 0:
                continue
            left[folded] -= 1
            shared += 1
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
