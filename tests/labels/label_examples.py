"""Schemas of every kind, texts, and labels in them."""

from __future__ import annotations

from typing import Any

from hf_synthlabels.labels import Entity, LabelSchema, Scale, Span

MANY = LabelSchema(kind="multi-label", names=("film", "sport", "very good", "good", "C++"), abstain=True)
STARS = LabelSchema(kind="text-scale", scale=Scale(1, 5), abstain=True)
HALVES = LabelSchema(kind="text-scale", scale=Scale(0, 1, 0.5))
ANY = LabelSchema(kind="text-scale", scale=Scale(-1, 1, None))
NER = LabelSchema(kind="token-classification", names=("person", "place"), abstain=True)
QA = LabelSchema(kind="question-answering", abstain=True)
FREE = LabelSchema(kind="text-generation")

TEXT = "Paris met Ann Lee in Paris; “Lee’s” home is New  York."


def entity(start: int, text: str, label: str) -> Entity:
    return Entity(start, start + len(text), text, label)


PARIS, ANN, PARIS_2 = entity(0, "Paris", "person"), entity(10, "Ann Lee", "person"), entity(21, "Paris", "place")

CONTEXT = "In 1858 Bernadette saw the Virgin Mary at Lourdes, in the U.S. style; it’s “fine”. Mary left."

LABELS: list[tuple[LabelSchema, Any]] = [
    (LabelSchema(names=("film", "sport")), "sport"),
    (MANY, ("film", "good")),
    (MANY, ()),
    (STARS, 4.0),
    (NER, (PARIS, ANN)),
    (NER, ()),
    (QA, Span(3, 7, "1858")),
    (FREE, "Say yes."),
]
