"""Entities as one tag for each token, and back: B- begins an entity, I- goes on with it, O is none."""

from __future__ import annotations

from collections.abc import Sequence

from hf_synthlabels.labels.schema import LabelSchema
from hf_synthlabels.labels.values import Entity


def bio_tags(schema: LabelSchema) -> list[str]:
    """The tags of a schema: O, then B- and I- of each name in its order."""
    return ["O", *(f"{prefix}-{name}" for name in schema.names for prefix in "BI")]


def token_offsets(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Where tokens stand in the text that they make with a space between each two."""
    offsets, start = [], 0
    for token in tokens:
        offsets.append((start, start + len(token)))
        start += len(token) + 1
    return offsets


def to_bio(tokens: Sequence[tuple[int, int]], entities: Sequence[Entity]) -> list[str]:
    """The tag of each token, given by its characters.

    A token belongs to an entity when they share a character, though an entity may begin or end within it. Of two
    entities that share a token the longer one keeps all of its tokens, of two as long the first.
    """
    tags = ["O"] * len(tokens)
    for entity in sorted(entities, key=lambda entity: (entity.start - entity.end, entity.start)):
        inside = [number for number, (start, end) in enumerate(tokens) if start < entity.end and entity.start < end]
        if any(tags[number] != "O" for number in inside):
            continue
        for place, number in enumerate(inside):
            tags[number] = f"{'I' if place else 'B'}-{entity.label}"
    return tags


def from_bio(tokens: Sequence[tuple[int, int]], tags: Sequence[str], text: str = "") -> tuple[Entity, ...]:
    """The entities that tags describe; an I- that continues nothing begins an entity, as the CoNLL scorer has it.

    Args:
        tokens: first and last character of each token, the end excluded.
        tags: one for each token.
        text: what the entities' texts are cut from; empty leaves them empty.
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
