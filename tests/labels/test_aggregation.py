from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.labels import STATUSES, Annotation, Status, Vote, aggregate

NAMES = ("good", "bad", "mixed")


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
        (["ugly", "bad"], Vote("bad", 0.5)),
        (["ugly"], Vote(None, 0.0)),
        ([], Vote(None, 0.0)),
    ],
)
def test_the_most_frequent_label_of_all_draws(votes: list[str | None], expected: Vote) -> None:
    assert aggregate(votes, NAMES) == expected


@given(st.lists(st.sampled_from([*NAMES, None, "ugly"]), max_size=12))
def test_no_other_label_has_more_votes(votes: list[str | None]) -> None:
    vote = aggregate(votes, NAMES)
    shares = {name: votes.count(name) / len(votes) if votes else 0.0 for name in NAMES}
    assert vote.consistency == max(shares.values())
    if vote.label is not None:
        assert shares[vote.label] == vote.consistency > 0


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
