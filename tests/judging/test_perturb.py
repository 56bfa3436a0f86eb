"""The same answer in several forms, right and wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.perturbations import (
    FORMS,
    KINDS,
    Source,
    Wording,
    perturbed_rows,
    surface_forms,
    wrong_answer,
)


def test_a_label_in_every_form() -> None:
    forms = surface_forms("positive", "classification")
    assert tuple(forms) == FORMS
    assert forms["label"] == "positive"
    assert forms["sentence"] == "The correct label for this input is positive."
    assert json.loads(forms["json"]) == {"label": "positive"}
    assert forms["markdown"] == "### Label\n\n**positive**"
    assert forms["preamble"].startswith("Sure!")
    assert "is positive." in forms["preamble"]
    assert forms["upper"] == "POSITIVE"
    assert len(set(forms.values())) == len(FORMS)


def test_entities_keep_mentions_and_types_in_every_form() -> None:
    forms = surface_forms([("Ann", "person"), ("Rome", "place")], "entities")
    assert forms["label"] == "Ann (person), Rome (place)"
    assert json.loads(forms["json"]) == {
        "entities": [{"text": "Ann", "type": "person"}, {"text": "Rome", "type": "place"}]
    }
    assert forms["markdown"] == "### Entities\n\n- **Ann**: person\n- **Rome**: place"
    none = surface_forms([], "entities")
    assert none["label"] == "none"
    assert json.loads(none["json"]) == {"entities": []}


def test_wording_of_the_task_is_used_and_braces_in_an_answer_stay() -> None:
    forms = surface_forms(
        "{answer} {0}", "qa", wording=Wording("It says {answer}!", "said"), forms=("sentence", "json")
    )
    assert forms == {"sentence": "It says {answer} {0}!", "json": '{"said": "{answer} {0}"}'}


def test_a_wrong_answer_is_right_elsewhere_and_does_not_say_the_right_one() -> None:
    answers = ["Rome", "rome.", "in Rome", "Paris"]
    # Of these, only Paris is no other way to say Rome.
    assert wrong_answer(0, answers, "qa") == "Paris"
    assert wrong_answer(0, ["Rome", "ROME"], "qa") is None
    # Labels that hold each other are two labels.
    assert wrong_answer(0, ["entailment", "not entailment"], "classification") == "not entailment"


def test_rows_are_right_and_wrong_in_every_form_and_the_same_each_time() -> None:
    sources = [Source("a", "yes", "q1"), Source("b", "no"), Source("c", "yes")]
    rows = perturbed_rows(sources, "classification")
    assert len(rows) == 3 * 2 * len(FORMS)
    first = rows[: 2 * len(FORMS)]
    assert [row.right for row in first] == [True] * 6 + [False] * 6
    assert {row.reference for row in first} == {"yes"}
    assert first[0].prediction == "yes"
    assert first[6].prediction == "no"
    assert first[0].prompt == "q1"
    assert rows == perturbed_rows(sources, "classification")


def test_one_answer_for_all_has_no_wrong_one() -> None:
    rows = perturbed_rows([Source("a", "yes"), Source("b", "yes")], "classification", forms=("label",))
    assert [row.right for row in rows] == [True, True]


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=6), st.integers(0, 99))
def test_a_wrong_answer_never_equals_the_right_one(answers: list[str], seed: int) -> None:
    wrong = wrong_answer(0, answers, "text", seed=seed)
    assert wrong is None or str(wrong).casefold().strip() != answers[0].casefold().strip()
    assert wrong == wrong_answer(0, answers, "text", seed=seed)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match="`kind` is 'ner': give one of classification, entities, qa, text"):
        surface_forms("x", "ner")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`forms` has 'xml'"):
        surface_forms("x", "qa", forms=("label", "xml"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="name each form once"):
        surface_forms("x", "qa", forms=("label", "label"))
    with pytest.raises(ConfigError, match="`sentence` is 'no mark'"):
        Wording("no mark", "key")
    with pytest.raises(DataError, match="`answer` is ' '"):
        surface_forms(" ", "qa")
    with pytest.raises(DataError, match=r"\(mention, type\) pairs"):
        surface_forms("Rome", "entities")
    with pytest.raises(DataError, match="`item` 'a' stands in more than one"):
        perturbed_rows([Source("a", "x"), Source("a", "y")], "qa")
    assert set(KINDS) == {"classification", "entities", "qa", "text"}
