"""Right and wrong answers in six formats."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.perturbations import FORMATS, Source, in_formats, perturbed_rows, wrong_answer
from hf_synthlabels.errors import DataError


def test_label_in_every_format() -> None:
    texts = in_formats("positive", "classification")
    assert tuple(texts) == FORMATS
    assert texts["label"] == "positive"
    assert texts["sentence"] == "The correct label for this input is positive."
    assert json.loads(texts["json"]) == {"label": "positive"}
    assert texts["markdown"] == "### Label\n\n**positive**"
    assert texts["preamble"].startswith("Sure!")
    assert "is positive." in texts["preamble"]
    assert texts["upper"] == "POSITIVE"


def test_entities_keep_mentions_and_types_in_every_format() -> None:
    texts = in_formats([("Ann", "person"), ("Rome", "place")], "entities")
    assert texts["label"] == "Ann (person), Rome (place)"
    assert json.loads(texts["json"]) == {
        "entities": [{"text": "Ann", "type": "person"}, {"text": "Rome", "type": "place"}]
    }
    assert texts["markdown"] == "### Entities\n\n- **Ann**: person\n- **Rome**: place"
    empty = in_formats([], "entities")
    assert (empty["label"], json.loads(empty["json"])) == ("none", {"entities": []})


def test_wrong_answer_is_correct_elsewhere_and_does_not_say_the_correct_one() -> None:
    assert wrong_answer(0, ["Rome", "rome.", "in Rome", "Paris"], "qa") == "Paris"
    assert wrong_answer(0, ["Rome", "ROME"], "qa") is None
    # Labels that contain each other are two labels.
    assert wrong_answer(0, ["entailment", "not entailment"], "classification") == "not entailment"


def test_rows_are_right_and_wrong_in_every_format_and_reproducible() -> None:
    sources = [Source("a", "yes", "q1"), Source("b", "no"), Source("c", "yes")]
    rows = perturbed_rows(sources, "classification")
    assert len(rows) == 3 * 2 * len(FORMATS)
    assert [row.right for row in rows[:12]] == [True] * 6 + [False] * 6
    assert {row.reference for row in rows[:12]} == {"yes"}
    assert (rows[0].prediction, rows[6].prediction, rows[0].prompt) == ("yes", "no", "q1")
    assert rows == perturbed_rows(sources, "classification")
    same = perturbed_rows([Source("a", "yes"), Source("b", "yes")], "classification")
    assert {row.right for row in same} == {True}


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=6), st.integers(0, 99))
def test_wrong_answer_never_equals_the_correct_one(answers: list[str], seed: int) -> None:
    wrong = wrong_answer(0, answers, "text", seed=seed)
    assert wrong is None or str(wrong).casefold().strip() != answers[0].casefold().strip()


@pytest.mark.parametrize(("answer", "kind"), [(" ", "qa"), ("Rome", "entities")])
def test_answers_of_another_kind_are_refused(answer: str, kind: str) -> None:
    with pytest.raises(DataError, match="`answer`"):
        in_formats(answer, kind)  # type: ignore[arg-type]
