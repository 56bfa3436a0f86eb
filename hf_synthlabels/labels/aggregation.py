"""Several answers for one row become one label."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from hf_synthlabels.labels.schema import LabelSchema
from hf_synthlabels.labels.text import normalized_words
from hf_synthlabels.labels.values import Entity, Label, Span


@dataclass(frozen=True, slots=True)
class Vote:
    """The label that several draws come to, and how far they agree on it."""

    label: Label | None
    consistency: float
    """Share of all draws, answered or not, that gave the label; 0 when there is none."""


def aggregate(schema: LabelSchema, votes: Sequence[Label | None]) -> Vote:
    """One label from several draws; a draw without one counts against all, for silence is not agreement.

    By the kind of the schema:

    * text-classification, text-pair: the label that most draws gave; of several, the one that was drawn first;
    * multi-label: each name that more than half of the answered draws gave; consistency is the share of draws with
      exactly that set;
    * text-scale: the median of the answered draws, the lower of two middle ones, so that it stays on the scale;
    * token-classification: each entity, by place and name, that more than half of the answered draws have;
    * question-answering: the span whose words most draws have in common but for case, punctuation and articles; of
      those, the one that was drawn first;
    * text-generation: the answer that is nearest to all others, by the F1 of shared words; consistency is the share
      of draws with exactly its words.

    Args:
        schema: what may be answered.
        votes: the label of each draw in the order of the draws, None for a draw without one.
    """
    given = [vote for vote in votes if vote is not None]
    if not given:
        return Vote(None, 0.0)
    match schema.kind:
        case "text-classification" | "text-pair":
            label = _modal(given, lambda vote: vote)
            return Vote(label, given.count(label) / len(votes))
        case "multi-label":
            counts = Counter(name for vote in given if isinstance(vote, tuple) for name in set(vote))
            chosen = tuple(name for name in schema.names if counts[name] > len(given) / 2)
            return Vote(chosen, given.count(chosen) / len(votes))
        case "text-scale":
            median = statistics.median_low([vote for vote in given if isinstance(vote, float)])
            return Vote(median, given.count(median) / len(votes))
        case "token-classification":
            entities = _common_entities(given)
            return Vote(entities, given.count(entities) / len(votes))
        case "question-answering":
            label = _modal(given, _answer_words)
            same = sum(_answer_words(vote) == _answer_words(label) for vote in given)
            return Vote(label, same / len(votes))
        case "text-generation":
            words = [normalized_words(str(vote)) for vote in given]
            nearest = max(range(len(given)), key=lambda one: sum(_shared_f1(words[one], other) for other in words))
            return Vote(given[nearest], words.count(words[nearest]) / len(votes))


def _modal(given: Sequence[Label], key: Callable[[Label], Hashable]) -> Label:
    # Counter keeps the order of first occurrence and max() the first of equals.
    counts = Counter(key(vote) for vote in given)
    chosen = max(counts, key=lambda group: counts[group])
    return next(vote for vote in given if key(vote) == chosen)


def _common_entities(given: Sequence[Label]) -> tuple[Entity, ...]:
    counts = Counter(entity for vote in given if isinstance(vote, tuple) for entity in set(vote))
    common = [entity for entity, count in counts.items() if isinstance(entity, Entity) and count > len(given) / 2]
    return tuple(sorted(common, key=lambda entity: (entity.start, entity.end)))


def _answer_words(vote: Label) -> tuple[str, ...]:
    return tuple(normalized_words(vote.text)) if isinstance(vote, Span) else ()


def _shared_f1(left: list[str], right: list[str]) -> float:
    shared = sum((Counter(left) & Counter(right)).values())
    return 2 * shared / (len(left) + len(right)) if left or right else 1.0
