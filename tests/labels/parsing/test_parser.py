"""Parsing of answers, for every kind of label."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.labels import Entity, LabelSchema, Scale, Span, answer_text, parse
from tests.labels.label_examples import (
    ANN,
    ANY,
    CONTEXT,
    FREE,
    HALVES,
    LABELS,
    MANY,
    NER,
    PARIS,
    PARIS_2,
    QA,
    STARS,
    TEXT,
    entity,
)


def test_one_unknown_name_makes_the_whole_answer_unparsed(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, tuple[str, ...] | None]] = [
        ('{"label": ["sport", "film"]}', ("film", "sport")),
        ('{"labels": ["FILM"]}', ("film",)),
        ('```json\n{"label": ["film"]}\n```', ("film",)),
        ('["film", "good"]', ("film", "good")),
        ('{"label": []}', ()),
        ("[]", ()),
        ('{"label": "film, sport"}', ("film", "sport")),
        ("film, sport", ("film", "sport")),
        ("- film\n- very good", ("film", "very good")),
        ("1. film\n2. C++", ("film", "C++")),
        ("Labels: film and sport.", ("film", "sport")),
        ("The text is about cars.\nLabels: film", ("film",)),
        ("none", ()),
        ("None of the above.", ()),
        ("film, film", ("film",)),
        ('Either [“film”] or\u200b "sport"', None),
        ('["film", "cars"]', None),
        ("film, cars", None),
        ("It is not film", None),
        ("very bad film", None),
        ('{"label": {"film": true}}', None),
        ('{"label": ["film"], "label": ["sport"]}', None),
        ("film, abstain", None),
        ("", None),
    ]
    for text, label in cases:
        with subtests.test(text=text, label=label):
            answer = parse(MANY, text)
            assert (answer.label, answer.status) == (label, "unparsed" if label is None else "labelled")
            assert bool(answer.reason) == (label is None)


def test_every_kind_may_abstain(subtests: pytest.Subtests) -> None:
    cases: list[LabelSchema] = [MANY, STARS, NER, QA]
    for schema in cases:
        with subtests.test(schema=schema):
            assert parse(schema, "abstain", "Paris").status == "abstained"


def test_number_on_the_scale(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, float | None]] = [
        ("4", 4.0),
        (" 4. ", 4.0),
        ("**4**", 4.0),
        ("4.0", 4.0),
        ('{"label": 4}', 4.0),
        ('{"label": "4"}', 4.0),
        ('{"score": 4, "reason": "3 errors"}', 4.0),
        ("4/5", 4.0),
        ("4 out of 5", 4.0),
        ("four out of five", 4.0),
        ("Four", 4.0),
        ("I give it four stars.", 4.0),
        ("Score: 4", 4.0),
        ("There are 2 errors and 3 jokes. Rating: 4 out of 5", 4.0),
        ("Score: 3. On reflection, score: 2", 2.0),
        ("**Score:** 4", 4.0),
        ("4 stars out of 5", 4.0),
        ("Score: 4. The number 2 stands for something else.", 4.0),
        ("Score: 3-4", None),
        ("Rating: 3 or 4", None),
        ("Score: 45", None),
        ("3,000", None),
        (".5", None),
        ('{"label": "abstain", "label": 4}', None),
        ("4.5", None),
        ("6", None),
        ("0", None),
        ("-4", None),
        ("4 or 5", None),
        ("between 3 and 4", None),
        ("4/10", None),
        ("very good", None),
        ('{"label": true}', None),
        ('{"label": [4]}', None),
        ('{"label": 4, "label": 5}', None),
        ("2024", None),
        ("", None),
    ]
    for text, label in cases:
        with subtests.test(text=text, label=label):
            answer = parse(STARS, text)
            assert (answer.label, answer.status) == (label, "unparsed" if label is None else "labelled")


def test_scales_with_other_steps() -> None:
    assert parse(HALVES, "0.5").label == 0.5
    assert parse(HALVES, "0,5").label == 0.5
    assert parse(HALVES, "0.25").status == "unparsed"
    assert parse(ANY, "-0.333").label == -0.333
    assert parse(ANY, "−1").label == -1.0
    assert parse(ANY, ".5").label == parse(ANY, "0.5").label == parse(ANY, "0,500").label == 0.5
    assert parse(LabelSchema(kind="text-scale", scale=Scale(0, 5000)), "Score: 3,000").label == 3000.0


def test_entities_are_located_or_the_answer_is_unparsed(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, tuple[Entity, ...] | None]] = [
        ('{"label": [{"text": "Ann Lee", "label": "person"}]}', (ANN,)),
        ('[{"text": "Ann Lee", "label": "PERSON"}]', (ANN,)),
        ('[["Ann Lee", "person"]]', (ANN,)),
        # The first mention is the first occurrence, the second the second.
        ('[{"text": "Paris", "label": "person"}, {"text": "Paris", "label": "place"}]', (PARIS, PARIS_2)),
        ('[{"text": "Paris", "label": "place", "start": 21}]', (PARIS_2,)),
        # An offset where the text does not stand is not believed.
        ('[{"text": "Ann Lee", "label": "person", "start": 3}]', (ANN,)),
        ('[{"text": "Ann Lee", "label": "person"}, {"text": "Ann Lee", "label": "person"}]', (ANN,)),
        ('{"person": ["Ann Lee"], "place": []}', (ANN,)),
        ("- Ann Lee: person\n- Paris: person", (PARIS, ANN)),
        ("Ann Lee (person)", (ANN,)),
        ("“Ann Lee” -> person", (ANN,)),
        # In its own words: the case, and one space for two.
        ('[{"text": "new york", "label": "place"}]', (entity(44, "New  York", "place"),)),
        ('{"label": []}', ()),
        ("none", ()),
        ("Entities: none", ()),
        # One object on each line.
        (
            '{"text": "Ann Lee", "label": "person"}\n{"text": "Paris", "label": "person"}',
            (PARIS, ANN),
        ),
        ('{"entities": [{"entity": "Ann Lee", "type": "person"}]}', (ANN,)),
        ("Here they are:\n- Ann Lee: person\n- Paris: person", (PARIS, ANN)),
        ("person: Ann Lee, Paris\nplace: none", (PARIS, ANN)),
        ('{"person": "Ann Lee", "place": null}', (ANN,)),
        # Offsets alone, where they cut out whole words.
        ('[{"start": 10, "end": 17, "label": "person"}]', (ANN,)),
        ('[{"start": 10, "end": 15, "label": "person"}]', None),
        ('[{"start": 10, "end": 99, "label": "person"}]', None),
        ('[{"start": 17, "end": 10, "label": "person"}]', None),
        ('[{"start": true, "end": 17, "label": "person"}]', None),
        # Out of their order: the k-th mention of one text is still its k-th occurrence.
        (
            '[{"text": "Paris", "label": "person"}, {"text": "Ann Lee", "label": "person"},'
            ' {"text": "Paris", "label": "place"}]',
            (PARIS, ANN, PARIS_2),
        ),
        ('[{"text": "Paris", "label": "place", "start": 21}, {"text": "Paris", "label": "person"}]', (PARIS, PARIS_2)),
        ('[{"text": "Ann Lee", "label": "abstain"}]', None),
        ('{"label": 3}', None),
        # No part of a word.
        ('[{"text": "Par", "label": "place"}]', None),
        ('[{"text": "Ann Lee", "label": "company"}]', None),
        ('[{"text": "Berlin", "label": "place"}]', None),
        ('[{"text": "Ann Lee", "label": "person"}, {"text": "Ann Lee", "label": "place"}]', None),
        ('[{"text": "", "label": "person"}]', None),
        ('[{"label": "person"}]', None),
        ("There is a person here.", None),
        ("", None),
    ]
    for text, label in cases:
        with subtests.test(text=text, label=label):
            answer = parse(NER, text, TEXT)
            assert answer.label == label, answer.reason
            assert answer.status == ("unparsed" if label is None else "labelled")
            for result in label or ():
                assert TEXT[result.start : result.end] == result.text


def test_entity_outside_a_longer_one_is_preferred() -> None:
    text = "New York is older than York."
    said = '[{"text": "York", "label": "place"}, {"text": "New York", "label": "place"}]'
    assert parse(NER, said, text).label == (entity(0, "New York", "place"), entity(23, "York", "place"))
    # In the only place that there is, it is named within the other.
    inner = parse(NER, said, "New York is old").label
    assert inner == (entity(0, "New York", "place"), entity(4, "York", "place"))


def test_answer_is_a_span_of_its_context_or_unparsed(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str | None, str]] = [
        ("Bernadette", "Bernadette", "exact"),
        ("Answer: Bernadette", "Bernadette", "exact"),
        ('{"label": "Lourdes"}', "Lourdes", "exact"),
        ('"1858"', "1858", "exact"),
        ("Lourdes.", "Lourdes", "normalized"),
        ("the virgin mary", "Virgin Mary", "normalized"),
        ("US", "U.S", "normalized"),
        ("It's fine", "it’s “fine", "normalized"),
        ("in the year 1858", "1858", "closest"),
        ("a virgin named Mary", "Virgin Mary", "closest"),
        ("unanswerable", None, ""),
        ("Rome", None, ""),
        ("", None, ""),
    ]
    for text, span, match_type in cases:
        with subtests.test(text=text, span=span, match_type=match_type):
            answer = parse(QA, text, CONTEXT)
            assert answer.match_type == match_type
            if span is None:
                assert answer.label is None
                assert answer.status in ("unparsed", "abstained")
            else:
                assert isinstance(answer.label, Span)
                assert answer.label.text == span == CONTEXT[answer.label.start : answer.label.end]


def test_words_of_the_question_are_not_part_of_the_span() -> None:
    context = "Chopin was born in the village of Zelazowa Wola and grew up in Warsaw."
    said = "In his youth Chopin was raised in Warsaw."
    asked = parse(QA, said, context, "In what city was Chopin raised in his youth?").label
    assert asked == Span(context.index("Warsaw"), context.index("Warsaw") + 6, "Warsaw")


def test_first_whole_word_match_is_returned() -> None:
    assert parse(QA, "art", "start of art, art").label == Span(9, 12, "art")


def test_two_equally_close_windows_are_unparsed() -> None:
    assert parse(QA, "old red bus", "the red bus and a red bus").status == "unparsed"


def test_generated_text_is_unwrapped() -> None:
    assert parse(FREE, '{"label": "Say yes."}').label == "Say yes."
    assert parse(FREE, "  Say yes.\n").label == "Say yes."
    assert parse(FREE, "« Oui »").label == "Oui"
    assert parse(FREE, "\u200b").status == "unparsed"


def test_answer_of_a_label_is_parsed_as_that_label(subtests: pytest.Subtests) -> None:
    for schema, label in LABELS:
        with subtests.test(schema=schema, label=label):
            context = TEXT if schema is NER else CONTEXT
            for as_json in (True, False):
                assert parse(schema, answer_text(label, as_json=as_json), context).label == label


@given(st.text(max_size=60), st.sampled_from([MANY, STARS, NER, QA, FREE]))
def test_no_answer_breaks_the_parser(text: str, schema: LabelSchema) -> None:
    answer = parse(schema, text, TEXT)
    assert (answer.label is not None) == (answer.status == "labelled")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["label", "text", "start", "person"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_no_json_breaks_the_parser(value: Any) -> None:
    for schema in (MANY, STARS, NER, QA, FREE):
        answer = parse(schema, json.dumps({"label": value}), TEXT)
        assert (answer.label is not None) == (answer.status == "labelled")
