"""Aggregation of several samples, and the results that an annotation may hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.labels import STATUSES, Annotation, Entity, LabelSchema, Scale, Span, aggregate

NAMES = ("good", "bad", "mixed")
ONE = LabelSchema(names=NAMES)
MANY = LabelSchema(kind="multi-label", names=NAMES)
STARS = LabelSchema(kind="text-scale", scale=Scale(1, 5))
NER = LabelSchema(kind="token-classification", names=("person", "place"))
QA = LabelSchema(kind="question-answering")
FREE = LabelSchema(kind="text-generation")

PARIS = Entity(0, 5, "Paris", "place")
HILTON = Entity(0, 12, "Paris Hilton", "person")


def test_aggregate_by_kind(subtests: pytest.Subtests) -> None:
    cases: list[tuple[LabelSchema, list[Any], Any, float]] = [
        (ONE, ["good", "bad", "good"], "good", 2 / 3),
        # Of equals the first; a sample without a label counts against all.
        (ONE, ["bad", "good", "good", "bad"], "bad", 0.5),
        (ONE, [None, "bad", "good"], "bad", 1 / 3),
        (ONE, [None, None], None, 0.0),
        (ONE, [], None, 0.0),
        # 'bad' is in one of two labels, which is not a majority.
        (MANY, [("good",), ("good", "bad")], ("good",), 0.5),
        (MANY, [("bad", "good"), ("good", "bad"), None], ("good", "bad"), 1 / 3),
        (MANY, [(), (), ("bad",)], (), 2 / 3),
        (STARS, [1.0, 5.0, 4.0], 4.0, 1 / 3),
        (STARS, [4.0, 2.0, 4.0, 2.0], 2.0, 0.5),
        (STARS, [None, 3.0], 3.0, 0.5),
        (NER, [(PARIS,), (PARIS,), (HILTON,)], (PARIS,), 2 / 3),
        (NER, [(PARIS,), (HILTON,)], (), 0.0),
        (QA, [Span(3, 8, "Rome."), Span(3, 7, "Rome"), Span(9, 13, "Oslo")], Span(3, 8, "Rome."), 2 / 3),
        # Shared words with the others: 1 + .8 + 0, .8 + 1 + 0, 0 + 0 + 1; of equals the first.
        (FREE, ["a red car", "a red old car", "yes"], "a red car", 1 / 3),
        (FREE, ["yes", "Yes!", "no"], "yes", 2 / 3),
    ]
    for schema, samples, label, consistency in cases:
        with subtests.test(schema=schema, samples=samples, label=label, consistency=consistency):
            result = aggregate(schema, samples)
            assert (result.label, result.consistency) == (label, consistency)


@given(st.lists(st.sampled_from([*NAMES, None]), max_size=12))
def test_no_label_is_more_frequent_than_the_aggregated_one(samples: list[str | None]) -> None:
    result = aggregate(ONE, samples)
    shares = {name: samples.count(name) / len(samples) if samples else 0.0 for name in NAMES}
    assert result.consistency == max(shares.values())
    assert result.label is None or shares[str(result.label)] == result.consistency > 0


def test_annotation_has_a_label_if_and_only_if_it_is_labelled(subtests: pytest.Subtests) -> None:
    for status in STATUSES:
        with subtests.test(status=status):
            assert Annotation("labelled", 0.0).label == 0.0
            with pytest.raises(ValueError, match="`status`"):
                Annotation(status, None if status == "labelled" else "good")
