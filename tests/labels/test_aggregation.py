from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.labels import (
    STATUSES,
    Annotation,
    Entity,
    LabelSchema,
    Scale,
    Span,
    Status,
    Vote,
    aggregate,
)

NAMES = ("good", "bad", "mixed")
SCHEMA = LabelSchema(names=NAMES)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (["good"], Vote("good", 1.0)),
        (["good", "bad", "good"], Vote("good", 2 / 3)),
        (["bad", "good", "good", "bad"], Vote("bad", 0.5)),
        (["good", "bad", "bad", "good"], Vote("good", 0.5)),
        ([None, "bad", "good"], Vote("bad", 1 / 3)),
        (["good", None, None, None], Vote("good", 0.25)),
        ([None, None], Vote(None, 0.0)),
        ([], Vote(None, 0.0)),
    ],
)
def test_the_most_frequent_label_of_all_draws(votes: list[str | None], expected: Vote) -> None:
    assert aggregate(SCHEMA, votes) == expected


@given(st.lists(st.sampled_from([*NAMES, None]), max_size=12))
def test_no_other_label_has_more_votes(votes: list[str | None]) -> None:
    vote = aggregate(SCHEMA, votes)
    shares = {name: votes.count(name) / len(votes) if votes else 0.0 for name in NAMES}
    assert vote.consistency == max(shares.values())
    if vote.label is not None:
        assert shares[str(vote.label)] == vote.consistency > 0


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "labelled"])
def test_a_row_without_a_label_has_none(status: Status) -> None:
    assert Annotation(status).label is None
    with pytest.raises(ValueError, match=rf"`status` is '{status}' and `label` is 'good': they contradict"):
        Annotation(status, "good")


@pytest.mark.parametrize("label", ["good", ["good"], [], 0.0, {"text": "x", "start": 0}])
def test_a_labelled_row_has_a_label(label: Any) -> None:
    assert Annotation("labelled", label).label == label


def test_labelled_without_a_label_contradicts_itself() -> None:
    with pytest.raises(ValueError, match=r"`status` is 'labelled' and `label` is None"):
        Annotation("labelled")


MANY = LabelSchema(kind="multi-label", names=NAMES)
STARS = LabelSchema(kind="text-scale", scale=Scale(1, 5))
NER = LabelSchema(kind="token-classification", names=("person", "place"))
QA = LabelSchema(kind="question-answering")
FREE = LabelSchema(kind="text-generation")

PARIS = Entity(0, 5, "Paris", "place")
HILTON = Entity(0, 12, "Paris Hilton", "person")


@pytest.mark.parametrize(
    ("schema", "votes", "expected"),
    [
        # 'good' in two of two, 'bad' in one of two, which is no majority.
        (MANY, [("good",), ("good", "bad")], Vote(("good",), 0.5)),
        (MANY, [("bad", "good"), ("good", "bad"), None], Vote(("good", "bad"), 1 / 3)),
        (MANY, [(), (), ("bad",)], Vote((), 2 / 3)),
        (MANY, [None], Vote(None, 0.0)),
        (STARS, [1.0, 5.0, 4.0], Vote(4.0, 1 / 3)),
        (STARS, [4.0, 2.0, 4.0, 2.0], Vote(2.0, 0.5)),
        (STARS, [None, 3.0], Vote(3.0, 0.5)),
        (NER, [(PARIS,), (PARIS,), (HILTON,)], Vote((PARIS,), 2 / 3)),
        (NER, [(PARIS,), (HILTON,)], Vote((), 0.0)),
        (NER, [(), (), (PARIS,)], Vote((), 2 / 3)),
        (QA, [Span(3, 8, "Rome."), Span(3, 7, "Rome"), Span(9, 13, "Oslo")], Vote(Span(3, 8, "Rome."), 2 / 3)),
        # Shared words with the others: 1 + .8 + 0, .8 + 1 + 0, 0 + 0 + 1; of equals the first.
        (FREE, ["a red car", "a red old car", "yes"], Vote("a red car", 1 / 3)),
        (FREE, ["yes", "Yes!", "no"], Vote("yes", 2 / 3)),
    ],
)
def test_several_answers_of_every_kind(schema: LabelSchema, votes: list[Any], expected: Vote) -> None:
    assert aggregate(schema, votes) == expected
