"""Projection of an answer onto its context: a span of the text, or nothing.

The match types, from strict to lenient; the first that matches decides:

1. `exact`: the answer occurs in the context as whole words.
2. `normalized`: its words occur in order, ignoring case, punctuation, articles, accents, quote style and whether two to
   twenty are written as digits. A remark in brackets at the end of the answer may be left out.
3. `closest`: the words that the answer does not share with the question occur in one place in order. Otherwise, the
   window of the context with the highest F1 of shared words (as in SQuAD, Rajpurkar et al. 2016), without fillers such
   as 'of', if it is at least `CLOSEST_F1`. Windows with all words precede others. A window must have all numbers of the
   answer, and `MIN_SHARE` of its words if the answer repeats nothing of the question. An answer that only repeats the
   question matches nothing.

Of several matches, the one whose sentence shares most words with the question is returned, or the first of them. Its
match type ends in `-ambiguous`. Two closest windows with different words match nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hf_synthlabels.labels.text import FILLERS, Word, split_words, splits_word, stem
from hf_synthlabels.labels.values import Span

CLOSEST_F1 = 0.6
"""Minimum F1 of shared words for a `closest` match."""

MIN_SHARE = 0.6
"""Minimum share of the answer's words in a `closest` window if the answer repeats nothing of the question."""

MAX_WINDOW_WORDS = 60
REMARK = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])\s*[.;,]?$")
WRAPPING = " \t\r\n\"'“”‘’«»`*_.,;:!?"
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*\s|\n|[。！？]")

Location = tuple[int, int]
"""Start and exclusive end, in characters."""

Stage = Literal["exact", "normalized", "closest"]
MatchType = Literal["exact", "exact-ambiguous", "normalized", "normalized-ambiguous", "closest", "closest-ambiguous"]
AMBIGUOUS: dict[Stage, MatchType] = {
    "exact": "exact-ambiguous",
    "normalized": "normalized-ambiguous",
    "closest": "closest-ambiguous",
}


@dataclass(frozen=True, slots=True)
class Projection:
    """The span of an answer in its context, and how it was matched."""

    span: Span
    match_type: MatchType
    f1: float = 1.0
    """F1 of the words shared by answer and span."""


def project(context: str, answer: str, question: str = "") -> Projection | None:
    """Locate an answer in its context; None if it does not occur, or equally well in several places.

    Args:
        context: Text that the span is cut from.
        answer: The annotator's answer.
        question: The question; its words in the answer are not part of the span.
    """
    answer = answer.strip()
    if not answer or not context:
        return None
    passage = _Passage(context, question)
    locations, stage = locate(context, answer)
    if locations:
        return passage.projection(locations, stage)
    return _closest(passage, split_words(answer))


def locate(context: str, answer: str) -> tuple[list[Location], Stage]:
    """Return all occurrences of an answer at the strictest stage that has any, and that stage."""
    if locations := _exact(context, answer):
        return locations, "exact"
    words = split_words(context)
    for text in dict.fromkeys((answer, REMARK.sub("", answer))):
        if locations := _exact(context, text.strip(WRAPPING)):
            return locations, "normalized"
        if runs := _in_order(words, split_words(text)):
            return [(words[first].start, words[last].end) for first, last in runs], "normalized"
    return [], "normalized"


def _exact(context: str, answer: str) -> list[Location]:
    """Return the occurrences of an answer as whole words."""
    locations: list[Location] = []
    start = context.find(answer) if answer else -1
    while start >= 0:
        end = start + len(answer)
        if not splits_word(context, start) and not splits_word(context, end):
            locations.append((start, end))
        start = context.find(answer, end if locations and locations[-1][1] == end else start + 1)
    return locations


def _in_order(words: Sequence[Word], targets: Sequence[Word]) -> list[tuple[int, int]]:
    """Return first and last word of each run of the target words, preferring runs with the same spelling."""
    length = len(targets)
    if not length:
        return []
    plain, spelled = [word.plain for word in words], [word.folded for word in words]
    keys, spelling = [word.plain for word in targets], [word.folded for word in targets]
    starts = [
        first
        for first in range(len(words) - length + 1)
        if plain[first] == keys[0] and plain[first : first + length] == keys
    ]
    # 'Three' must not match the 3 of '3 December' if 'three' occurs.
    starts = [first for first in starts if spelled[first : first + length] == spelling] or starts
    return [(first, first + length - 1) for first in starts]


class _Passage:
    """A context with its question."""

    def __init__(self, context: str, question: str) -> None:
        self.context = context
        words = split_words(question)
        self._question_words = frozenset(stem(word.plain) for word in words) | {word.plain for word in words}
        self._topic = frozenset(stem(word.plain) for word in words if word.plain not in FILLERS)
        self._topics: dict[tuple[int, int], Counter[str]] = {}

    @cached_property
    def words(self) -> tuple[Word, ...]:
        return split_words(self.context)

    def repeats(self, word: Word) -> bool:
        """Whether a word of the answer occurs in the question."""
        return word.plain in self._question_words or stem(word.plain) in self._question_words

    def joins(self, at: int, adjacent: int, expected: Word) -> bool:
        """Whether an adjacent word is the expected one and forms one name with the word at `at`."""
        word = self.words[adjacent]
        first, second = sorted((self.words[at], word), key=lambda each: each.start)
        hyphen = self.context[first.end : second.start] == "-"
        return word.plain == expected.plain and (
            hyphen or (word.plain not in FILLERS and self.context[word.start].isupper())
        )

    def projection(self, locations: Sequence[Location], stage: Stage, f1: float = 1.0) -> Projection:
        """Project onto the location whose sentence shares the most words with the question."""
        start, end = locations[0] if len(locations) == 1 else max(locations, key=self.relevance)
        match_type: MatchType = stage if len(locations) == 1 else AMBIGUOUS[stage]
        return Projection(Span(start, end, self.context[start:end]), match_type, f1)

    def relevance(self, location: Location) -> int:
        """Count the words of the question in the sentence around a location."""
        if not self._topic:
            return 0
        sentence = self._sentence(location)
        if sentence not in self._topics:
            self._topics[sentence] = self._topic_words(*sentence)
        within = self._topic_words(*location)
        return sum(count > within[topic] for topic, count in self._topics[sentence].items())

    def _sentence(self, location: Location) -> Location:
        """Return the sentence around a location, by binary search: a frequent answer has many locations."""
        before = bisect_right(self._ends, location[0])
        start = self._ends[before - 1] if before else 0
        after = bisect_left(self._starts, location[1])
        if after and location[1] < self._ends[after - 1]:
            # A sentence end that crosses the end of the location may contain another one.
            within = SENTENCE_END.search(self.context, location[1], self._ends[after - 1])
            if within is not None:
                return start, within.end()
        return start, self._ends[after] if after < len(self._ends) else len(self.context)

    def _topic_words(self, start: int, end: int) -> Counter[str]:
        """Count the words of the question that begin within a range of the context."""
        first, last = bisect_left(self._word_starts, start), bisect_left(self._word_starts, end)
        return Counter(topic for word in self.words[first:last] if (topic := stem(word.plain)) in self._topic)

    @cached_property
    def _word_starts(self) -> list[int]:
        return [word.start for word in self.words]

    @cached_property
    def _sentence_ends(self) -> list[Location]:
        return [(end.start(), end.end()) for end in SENTENCE_END.finditer(self.context)]

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _ in self._sentence_ends]

    @cached_property
    def _ends(self) -> list[int]:
        return [end for _, end in self._sentence_ends]


def _closest(passage: _Passage, answer: Sequence[Word]) -> Projection | None:
    new = [number for number, word in enumerate(answer) if not passage.repeats(word)]
    while new and answer[new[0]].plain in FILLERS:
        new = new[1:]
    while new and answer[new[-1]].plain in FILLERS:
        new = new[:-1]
    if not new:
        return None
    new_words = [answer[number] for number in new]
    if len(new) < len(answer) and (runs := _in_order(passage.words, new_words)):
        return passage.projection([_with_name(passage, answer, new, run) for run in runs], "closest")
    targets = [word.plain for word in new_words if word.plain not in FILLERS]
    content_words = [word for word in answer if word.plain not in FILLERS]
    min_share = MIN_SHARE if len(targets) == len(content_words) else 0.0
    return _closest_window(passage, targets, min_share)


def _with_name(passage: _Passage, answer: Sequence[Word], new: Sequence[int], run: tuple[int, int]) -> Location:
    """Return the location of the answer's new words, extended to the rest of their name or hyphenated word.

    In 'They played in the Horizon League', asked for a league, Horizon is the only new word.
    """
    words = passage.words
    first, last = run
    start, end = new[0], new[-1]
    if end - start + 1 == len(new):
        while end + 1 < len(answer) and last + 1 < len(words) and passage.joins(last, last + 1, answer[end + 1]):
            last, end = last + 1, end + 1
        while start > 0 and first > 0 and passage.joins(first, first - 1, answer[start - 1]):
            first, start = first - 1, start - 1
    return words[first].start, words[last].end


@dataclass(frozen=True, slots=True)
class _Window:
    first: int
    last: int
    f1: float
    complete: bool
    """Whether it has all target words."""


def _closest_window(passage: _Passage, targets: Sequence[str], min_share: float) -> Projection | None:
    """Project onto the window that shares most words; it begins and ends with a shared one."""
    words = passage.words
    windows = [window for window in _windows(words, targets, min_share) if window.f1 >= CLOSEST_F1 - 1e-9]
    if not windows:
        return None
    best = max((window.complete, window.f1) for window in windows)
    tied = [window for window in windows if (window.complete, window.f1) == best]
    locations = [(words[window.first].start, words[window.last].end) for window in tied]
    ranked = sorted(locations, key=passage.relevance, reverse=True)
    if len(ranked) > 1 and passage.relevance(ranked[0]) == passage.relevance(ranked[1]):
        return None
    return passage.projection(ranked[:1], "closest", best[1])


def _windows(words: Sequence[Word], targets: Sequence[str], min_share: float) -> Iterator[_Window]:
    counts = Counter(targets)
    numbers = {word for word in counts if any(character.isdigit() for character in word)}
    keys = [_key(word, counts) if len(targets) > 1 else word.plain for word in words]
    for first in (number for number, key in enumerate(keys) if key in counts):
        unmatched, missing = Counter(counts), set(numbers)
        shared = size = 0
        for last in range(first, min(len(words), first + min(MAX_WINDOW_WORDS, 3 * len(targets)))):
            key = keys[last]
            if key in FILLERS:
                continue
            size += 1
            if unmatched[key] <= 0:
                continue
            unmatched[key] -= 1
            shared += 1
            missing.discard(key)
            if not missing and shared >= min_share * len(targets):
                yield _Window(first, last, 2 * shared / (len(targets) + size), shared == len(targets))


def _key(word: Word, counts: Counter[str]) -> str:
    """Return the key by which a word is compared: '17th' matches the 17 of 'May 17'."""
    ordinal = ORDINAL.fullmatch(word.plain)
    return ordinal[1] if ordinal and word.plain not in counts else word.plain
