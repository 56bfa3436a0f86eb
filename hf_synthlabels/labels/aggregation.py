"""Aggregation of several sampled labels into one."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from hf_synthlabels.labels.schema import LabelSchema
from hf_synthlabels.labels.text import normalized_words
from hf_synthlabels.labels.values import Entity, Label, Span


@dataclass(frozen=True, slots=True)
class AggregatedLabel:
    """The label of several samples, and how consistently they give it."""

    label: Label | None
    consistency: float
    """Share of all samples, with or without a label, that give this label; 0 without one."""


def aggregate(schema: LabelSchema, samples: Sequence[Label | None]) -> AggregatedLabel:
    """Aggregate the labels of several samples of one row.

    * text-classification, text-pair: the most frequent label, the first one of a tie.
    * multi-label: the classes in more than half of the labels.
    * text-scale: the lower median, which stays on the scale.
    * token-classification: the entities, by position and class, in more than half of the labels.
    * question-answering: the span whose words are most frequent, ignoring case, punctuation and articles.
    * text-generation: the text closest to all others, by the F1 of shared words.

    Args:
        schema: Schema of the label.
        samples: Label of each sample in order; None for a sample without one.
    """
    labels = [label for label in samples if label is not None]
    if not labels:
        return AggregatedLabel(None, 0.0)
    label: Label
    match schema.kind:
        case "text-classification" | "text-pair":
            label = _most_frequent(labels, lambda label: label)
        case "multi-label":
            counts = Counter(name for names in labels if isinstance(names, tuple) for name in set(names))
            label = tuple(name for name in schema.names if counts[name] > len(labels) / 2)
        case "text-scale":
            label = statistics.median_low([number for number in labels if isinstance(number, float)])
        case "token-classification":
            label = _common_entities(labels)
        case "question-answering":
            label = _most_frequent(labels, _span_words)
            agreeing = sum(_span_words(other) == _span_words(label) for other in labels)
            return AggregatedLabel(label, agreeing / len(samples))
        case "text-generation":
            words = [normalized_words(str(text)) for text in labels]
            closest = max(range(len(labels)), key=lambda row: sum(_word_f1(words[row], other) for other in words))
            return AggregatedLabel(labels[closest], words.count(words[closest]) / len(samples))
    return AggregatedLabel(label, labels.count(label) / len(samples))


def _most_frequent(labels: Sequence[Label], key: Callable[[Label], Hashable]) -> Label:
    # Counter keeps the order of first occurrence, and max() returns the first maximum.
    counts = Counter(key(label) for label in labels)
    mode = max(counts, key=lambda group: counts[group])
    return next(label for label in labels if key(label) == mode)


def _common_entities(labels: Sequence[Label]) -> tuple[Entity, ...]:
    counts = Counter(entity for entities in labels if isinstance(entities, tuple) for entity in set(entities))
    common = [entity for entity, count in counts.items() if isinstance(entity, Entity) and count > len(labels) / 2]
    return tuple(sorted(common, key=lambda entity: (entity.start, entity.end)))


def _span_words(label: Label) -> tuple[str, ...]:
    return tuple(normalized_words(label.text)) if isinstance(label, Span) else ()


def _word_f1(words: list[str], other: list[str]) -> float:
    shared = sum((Counter(words) & Counter(other)).values())
    return 2 * shared / (len(words) + len(other)) if words or other else 1.0
