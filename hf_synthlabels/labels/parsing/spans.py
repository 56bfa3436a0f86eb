"""Finding an answer in its context: what a model says in its own words becomes a stretch of the text, or nothing.

The ladder, from the strictest rung down; the first that finds anything decides:

1. `exact`: the answer stands in the context, as whole words;
2. `normalised`: its words stand there in order, without regard to case, punctuation, articles, accents, the form of
   quotes, and whether two to twenty are digits; or the answer does so, exactly or thus, without the remark in brackets
   that it ends with;
3. `closest`: of the words that the answer does not share with the question, all stand in one place in order; or one
   window of the context is closest to them, by the F1 of shared words (SQuAD, Rajpurkar et al. 2016) without fillers
   such as 'of', and that F1 is at least `CLOSEST_F1`. Windows with all of the words come before others, a window
   must have all of the answer's numbers, and, where the answer repeats nothing of the question, at least
   `MIN_SHARE` of its words. An answer that only repeats the question is none.

Of several places the one is taken whose sentence has most words of the question, of equals the first. The rung then
ends in `-ambiguous`, but for two closest windows with different words: they are none. There is no span for what is
not found.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hf_synthlabels.labels.text import FILLERS, Word, splits_word, stem, words_of
from hf_synthlabels.labels.values import Span

CLOSEST_F1 = 0.6
"""Least F1 of shared words for the `closest` rung."""

MIN_SHARE = 0.6
"""Least share of its words that the `closest` window has of an answer that repeats nothing of the question."""

MAX_WINDOW_WORDS = 60
REMARK = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])\s*[.;,]?$")
WRAPPING = " \t\r\n\"'“”‘’«»`*_.,;:!?"
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*\s|\n|[。！？]")

Place = tuple[int, int]
"""First character, and the one after the last."""

Step = Literal["exact", "normalised", "closest"]
Rung = Literal["exact", "exact-ambiguous", "normalised", "normalised-ambiguous", "closest", "closest-ambiguous"]
AMBIGUOUS: dict[Step, Rung] = {
    "exact": "exact-ambiguous",
    "normalised": "normalised-ambiguous",
    "closest": "closest-ambiguous",
}


@dataclass(frozen=True, slots=True)
class Projection:
    """Where an answer stands in its context, and how it was found."""

    span: Span
    rung: Rung
    f1: float = 1.0
    """Of the words that answer and span share."""


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
    passage = _Passage(context, question)
    places, rung = standing(context, answer)
    if places:
        return passage.projection(places, rung)
    return _closest(passage, words_of(answer))


def standing(context: str, answer: str) -> tuple[list[Place], Step]:
    """All places where an answer stands in a text, on the strictest rung that has any, and that rung."""
    if places := _exact(context, answer):
        return places, "exact"
    words = words_of(context)
    for said in dict.fromkeys((answer, REMARK.sub("", answer))):
        if places := _exact(context, said.strip(WRAPPING)):
            return places, "normalised"
        if runs := _in_order(words, words_of(said)):
            return [(words[first].start, words[last].end) for first, last in runs], "normalised"
    return [], "normalised"


def _exact(context: str, answer: str) -> list[Place]:
    """Where the answer stands as whole words."""
    places: list[Place] = []
    start = context.find(answer) if answer else -1
    while start >= 0:
        end = start + len(answer)
        if not splits_word(context, start) and not splits_word(context, end):
            places.append((start, end))
        start = context.find(answer, end if places and places[-1][1] == end else start + 1)
    return places


def _in_order(words: Sequence[Word], wanted: Sequence[Word]) -> list[tuple[int, int]]:
    """First and last words of the runs that are the wanted ones in order; where some are written alike, only those."""
    length = len(wanted)
    if not length:
        return []
    plain, spelled = [word.plain for word in words], [word.folded for word in words]
    keys, spelling = [word.plain for word in wanted], [word.folded for word in wanted]
    starts = [
        first
        for first in range(len(words) - length + 1)
        if plain[first] == keys[0] and plain[first : first + length] == keys
    ]
    # 'Three doctors' are not those of '3 December' where there are three.
    starts = [first for first in starts if spelled[first : first + length] == spelling] or starts
    return [(first, first + length - 1) for first in starts]


class _Passage:
    """A context with the question that is asked of it."""

    def __init__(self, context: str, question: str) -> None:
        self.context = context
        asked = words_of(question)
        self.asked = frozenset(stem(word.plain) for word in asked) | {word.plain for word in asked}
        self._topic = frozenset(stem(word.plain) for word in asked if word.plain not in FILLERS)
        self._topics: dict[tuple[int, int], Counter[str]] = {}

    @cached_property
    def words(self) -> tuple[Word, ...]:
        return words_of(self.context)

    def repeats(self, word: Word) -> bool:
        """Whether a word of the answer stands in the question."""
        return word.plain in self.asked or stem(word.plain) in self.asked

    def joins(self, at: int, beside: int, spoken: Word) -> bool:
        """Whether the word beside another one is the one that the answer has there, and makes one name with it."""
        word = self.words[beside]
        first, second = sorted((self.words[at], word), key=lambda each: each.start)
        hyphen = self.context[first.end : second.start] == "-"
        return word.plain == spoken.plain and (
            hyphen or (word.plain not in FILLERS and self.context[word.start].isupper())
        )

    def projection(self, places: Sequence[Place], step: Step, f1: float = 1.0) -> Projection:
        """The place whose sentence has most words of the question, of equals the first."""
        start, end = places[0] if len(places) == 1 else max(places, key=self.closeness)
        rung: Rung = step if len(places) == 1 else AMBIGUOUS[step]
        return Projection(Span(start, end, self.context[start:end]), rung, f1)

    def closeness(self, place: Place) -> int:
        """How many words of the question the sentence around a place has."""
        if not self._topic:
            return 0
        sentence = self._sentence(place)
        if sentence not in self._topics:
            self._topics[sentence] = self._topic_words(*sentence)
        within = self._topic_words(*place)
        return sum(count > within[topic] for topic, count in self._topics[sentence].items())

    def _sentence(self, place: Place) -> Place:
        """Where the sentence around a place begins and ends; looked up, since a frequent answer has many places."""
        before = bisect_right(self._ends, place[0])
        start = self._ends[before - 1] if before else 0
        after = bisect_left(self._starts, place[1])
        if after and place[1] < self._ends[after - 1]:
            # The end that goes across the end of the place may have one within it.
            within = SENTENCE_END.search(self.context, place[1], self._ends[after - 1])
            if within is not None:
                return start, within.end()
        return start, self._ends[after] if after < len(self._ends) else len(self.context)

    def _topic_words(self, start: int, end: int) -> Counter[str]:
        """The question's words that begin within a stretch of the context."""
        first, last = bisect_left(self._words_at, start), bisect_left(self._words_at, end)
        return Counter(topic for word in self.words[first:last] if (topic := stem(word.plain)) in self._topic)

    @cached_property
    def _words_at(self) -> list[int]:
        return [word.start for word in self.words]

    @cached_property
    def _sentence_ends(self) -> list[Place]:
        return [(end.start(), end.end()) for end in SENTENCE_END.finditer(self.context)]

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _ in self._sentence_ends]

    @cached_property
    def _ends(self) -> list[int]:
        return [end for _, end in self._sentence_ends]


def _closest(passage: _Passage, said: Sequence[Word]) -> Projection | None:
    own = [number for number, word in enumerate(said) if not passage.repeats(word)]
    while own and said[own[0]].plain in FILLERS:
        own = own[1:]
    while own and said[own[-1]].plain in FILLERS:
        own = own[:-1]
    novel = [said[number] for number in own]
    if not novel:
        return None
    if len(own) < len(said) and (runs := _in_order(passage.words, novel)):
        return passage.projection([_with_name(passage, said, own, run) for run in runs], "closest")
    wanted = [word.plain for word in novel if word.plain not in FILLERS]
    spoken = [word for word in said if word.plain not in FILLERS]
    least = MIN_SHARE if len(wanted) == len(spoken) else 0.0
    return _closest_window(passage, wanted, least)


def _with_name(passage: _Passage, said: Sequence[Word], own: Sequence[int], run: tuple[int, int]) -> Place:
    """The place of the answer's own words with the rest of their name, or of a word with hyphens, beside them.

    Of 'They played in the Horizon League', asked for a league, Horizon is the only word of its own.
    """
    words = passage.words
    first, last = run
    left, right = own[0], own[-1]
    if right - left + 1 == len(own):
        while right + 1 < len(said) and last + 1 < len(words) and passage.joins(last, last + 1, said[right + 1]):
            last, right = last + 1, right + 1
        while left > 0 and first > 0 and passage.joins(first, first - 1, said[left - 1]):
            first, left = first - 1, left - 1
    return words[first].start, words[last].end


@dataclass(frozen=True, slots=True)
class _Window:
    first: int
    last: int
    f1: float
    whole: bool
    """Whether all wanted words are in it."""


def _closest_window(passage: _Passage, wanted: Sequence[str], least: float) -> Projection | None:
    """The one window with the most shared words; it begins and ends with a shared one."""
    words = passage.words
    windows = [window for window in _windows(words, wanted, least) if window.f1 >= CLOSEST_F1 - 1e-9]
    if not windows:
        return None
    best = max((window.whole, window.f1) for window in windows)
    tied = [window for window in windows if (window.whole, window.f1) == best]
    places = [(words[window.first].start, words[window.last].end) for window in tied]
    order = sorted(places, key=passage.closeness, reverse=True)
    if len(order) > 1 and passage.closeness(order[0]) == passage.closeness(order[1]):
        return None
    return passage.projection(order[:1], "closest", best[1])


def _windows(words: Sequence[Word], wanted: Sequence[str], least: float) -> Iterator[_Window]:
    counts = Counter(wanted)
    numbers = {word for word in counts if any(character.isdigit() for character in word)}
    keys = [_key(word, counts) if len(wanted) > 1 else word.plain for word in words]
    for first in (number for number, key in enumerate(keys) if key in counts):
        left, missing = Counter(counts), set(numbers)
        shared = size = 0
        for last in range(first, min(len(words), first + min(MAX_WINDOW_WORDS, 3 * len(wanted)))):
            key = keys[last]
            if key in FILLERS:
                continue
            size += 1
            if left[key] <= 0:
                continue
            left[key] -= 1
            shared += 1
            missing.discard(key)
            if not missing and shared >= least * len(wanted):
                yield _Window(first, last, 2 * shared / (len(wanted) + size), shared == len(wanted))


def _key(word: Word, counts: Counter[str]) -> str:
    """A word as windows are compared: '17th' is the 17 of an answer such as 'May 17'."""
    ordinal = ORDINAL.fullmatch(word.plain)
    return ordinal[1] if ordinal and word.plain not in counts else word.plain
