"""Long texts: they are split at sentence ends, and the annotations of their parts become one."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hf_synthlabels.annotation.run.samples import label_shares
from hf_synthlabels.clients.token_estimates import estimate_tokens
from hf_synthlabels.labels import Annotation, Entity, Label, LabelSchema

SENTENCE_END = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|\n)\s*")
WORD_END = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class TextPart:
    """A part of a text, from one character to another; `end` is exclusive."""

    start: int
    end: int


def split_text(text: str, max_tokens: int, overlap: int = 0) -> list[TextPart]:
    """Parts of at most so many estimated tokens, which together cover the text.

    A part ends where a sentence does, if one ends within it; otherwise after a word, or within a longer word.

    Args:
        text: any text.
        max_tokens: estimated tokens of a part.
        overlap: estimated tokens of whole sentences at the end of a part that the next part begins with.
    """
    if estimate_tokens(text) <= max_tokens:
        return [TextPart(0, len(text))]
    bounds = _bounds(text, max_tokens)
    last = len(bounds) - 1
    parts: list[TextPart] = []
    first = 0
    while True:
        end = _last_fitting(text, bounds, first, max_tokens)
        parts.append(TextPart(bounds[first], bounds[end]))
        if end == last:
            return parts
        start = end
        while start - 1 > first and estimate_tokens(text[bounds[start - 1] : bounds[end]]) <= overlap:
            start -= 1
        # The next part has to get further than this one.
        while start < end and estimate_tokens(text[bounds[start] : bounds[end + 1]]) > max_tokens:
            start += 1
        first = start


def combined_parts(
    schema: LabelSchema, rule: str, text: str, parts: Sequence[TextPart], annotations: Sequence[Annotation]
) -> Annotation:
    """The annotation of a text from those of its parts, by a rule.

    A part that abstains, or in which the variable is not coded, has no vote. A part without a label for any other
    reason leaves the text without one.

    Args:
        schema: of the labels.
        rule: `any`, `majority`, `mean` or `union`.
        text: the whole text.
        parts: of the text.
        annotations: of the parts.
    """
    raw = json.dumps([annotation.raw for annotation in annotations], ensure_ascii=False)
    for number, annotation in enumerate(annotations, 1):
        if annotation.status not in ("labelled", "abstained", "skipped"):
            reason = f"part {number} of {len(parts)}: {annotation.reason}"
            votes = tuple(annotation.label for annotation in annotations)
            return Annotation(annotation.status, votes=votes, raw=raw, reason=reason)
    coded = sum(annotation.status != "skipped" for annotation in annotations)
    given = [
        (part, annotation) for part, annotation in zip(parts, annotations, strict=True) if annotation.label is not None
    ]
    if not given:
        return Annotation("abstained", raw=raw, reason=f"all {coded} parts abstain")
    labels: list[Label] = [annotation.label for _, annotation in given if annotation.label is not None]
    reason = f"{rule} of {len(labels)} parts"
    expected = confidence = probabilities = None
    label: Label
    if rule == "union":
        label = _union(text, [(part, annotation.label) for part, annotation in given])
    elif rule == "mean":
        label = _mean(schema, [float(number) for number in labels if isinstance(number, float)])
        numbers = [annotation.label if annotation.expected is None else annotation.expected for _, annotation in given]
        expected = sum(float(number) for number in numbers if isinstance(number, float)) / len(numbers)
    elif schema.kind == "multi-label":
        counts = Counter(name for names in labels if isinstance(names, tuple) for name in names)
        least = 0 if rule == "any" else len(labels) / 2
        label = tuple(name for name in schema.names if counts[name] > least)
    else:
        # Of a tie the class that came first.
        (label, count), *_ = Counter(labels).most_common(1)
        confidence = count / len(labels)
    if rule == "majority":
        probabilities = label_shares([annotation for _, annotation in given], schema.names)
    return Annotation("labelled", label, confidence, probabilities, tuple(labels), raw, reason, expected=expected)


def _bounds(text: str, max_tokens: int) -> list[int]:
    """Places where the text may be cut, its start and end included, so close that each piece fits."""
    pieces = [(0, len(text))]
    for pattern in (SENTENCE_END, WORD_END):
        pieces = [
            piece
            for start, end in pieces
            for piece in (
                [(start, end)] if estimate_tokens(text[start:end]) <= max_tokens else _cut(text, start, end, pattern)
            )
        ]
    bounds = [0]
    for start, end in pieces:
        bounds += _halves(text, start, end, max_tokens)
    return bounds


def _cut(text: str, start: int, end: int, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    ends = [match.end() for match in pattern.finditer(text, start, end)]
    edges = sorted({start, *ends, end})
    return list(pairwise(edges))


def _halves(text: str, start: int, end: int, max_tokens: int) -> list[int]:
    """The ends of pieces of a word that is too long."""
    if estimate_tokens(text[start:end]) <= max_tokens or end - start == 1:
        return [end]
    middle = (start + end) // 2
    return [*_halves(text, start, middle, max_tokens), *_halves(text, middle, end, max_tokens)]


def _last_fitting(text: str, bounds: Sequence[int], first: int, max_tokens: int) -> int:
    """The number of the last bound up to which the text from a first one fits; at least the next one."""
    places = range(first + 1, len(bounds))
    fitting = bisect_right(places, max_tokens, key=lambda place: estimate_tokens(text[bounds[first] : bounds[place]]))
    return places[max(0, fitting - 1)]


def _mean(schema: LabelSchema, numbers: Sequence[float]) -> float:
    """The mean, rounded to the next number of the scale; a half is rounded up."""
    mean, scale = math.fsum(numbers) / len(numbers), schema.scale
    if scale is None or scale.step is None:
        return mean
    steps = min(scale.num_steps, math.floor((mean - scale.low) / scale.step + 0.5))
    return round(scale.low + steps * scale.step, 10)


def _union(text: str, labels: Sequence[tuple[TextPart, Label | None]]) -> tuple[Entity, ...]:
    """The entities of all parts at their places in the whole text; what two parts share is kept once."""
    kept: list[tuple[int, Entity]] = []
    for number, (part, label) in enumerate(labels):
        for entity in label if isinstance(label, tuple) else ():
            assert isinstance(entity, Entity)
            start, end = entity.start + part.start, entity.end + part.start
            moved = replace(entity, start=start, end=end, text=text[start:end])
            same = next(
                (place for place, (other, seen) in enumerate(kept) if other != number and _same(seen, moved)), None
            )
            if same is None:
                kept.append((number, moved))
            elif moved.end - moved.start > kept[same][1].end - kept[same][1].start:
                # The shorter one was cut off at the edge of its part.
                kept[same] = (number, moved)
    return tuple(sorted((entity for _, entity in kept), key=lambda entity: (entity.start, entity.end)))


def _same(left: Entity, right: Entity) -> bool:
    """Whether two parts found the same entity: the same place, or one within the other with the same class."""
    if (left.start, left.end) == (right.start, right.end):
        return True
    is_within = (left.start <= right.start and right.end <= left.end) or (
        right.start <= left.start and left.end <= right.end
    )
    return is_within and left.label == right.label
