"""Conversion between entities and BIO tags of tokens."""

from __future__ import annotations

from collections.abc import Sequence

from hf_synthlabels.labels.schema import LabelSchema
from hf_synthlabels.labels.values import Entity


def bio_tags(schema: LabelSchema) -> list[str]:
    """Return the tags of a schema: O, then B- and I- of each class in order."""
    return ["O", *(f"{prefix}-{name}" for name in schema.names for prefix in "BI")]


def token_offsets(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Return the character offsets of tokens in the text that joins them with spaces."""
    offsets, start = [], 0
    for token in tokens:
        offsets.append((start, start + len(token)))
        start += len(token) + 1
    return offsets


def to_bio(tokens: Sequence[tuple[int, int]], entities: Sequence[Entity]) -> list[str]:
    """Return the tag of each token, given by its character offsets.

    A token belongs to an entity if they share a character. If two entities share a token, the longer one
    is kept, or the first of equal length.
    """
    tags = ["O"] * len(tokens)
    for entity in sorted(entities, key=lambda entity: (entity.start - entity.end, entity.start)):
        inside = [number for number, (start, end) in enumerate(tokens) if start < entity.end and entity.start < end]
        if any(tags[number] != "O" for number in inside):
            continue
        for position, number in enumerate(inside):
            tags[number] = f"{'I' if position else 'B'}-{entity.label}"
    return tags


def from_bio(tokens: Sequence[tuple[int, int]], tags: Sequence[str], text: str = "") -> tuple[Entity, ...]:
    """Return the entities of a tag sequence; as in the CoNLL scorer, an I- without a predecessor begins an entity.

    Args:
        tokens: Character offsets of the tokens; ends are exclusive.
        tags: One tag per token.
        text: Text from which the entities' texts are cut; if empty, they stay empty.
    """
    runs: list[tuple[int, int, str]] = []
    previous = "O"
    for (start, end), tag in zip(tokens, tags, strict=True):
        kind, _, label = tag.partition("-")
        if kind == "I" and previous != "O" and previous.partition("-")[2] == label:
            runs[-1] = (runs[-1][0], end, label)
        elif kind != "O":
            runs.append((start, end, label))
        previous = tag
    return tuple(Entity(start, end, text[start:end], label) for start, end, label in runs)
