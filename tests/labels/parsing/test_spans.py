"""Projection of answers onto their context."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.labels import LabelSchema, parse, project
from hf_synthlabels.labels.text import normalized_words, split_words, splits_word

QA = LabelSchema(kind="question-answering")
MAY_ABSTAIN = LabelSchema(kind="question-answering", abstain=True)


def found(context: str, answer: str, question: str = "") -> tuple[str, str] | None:
    """The span's text and the match_type; fails where the span is not what stands there."""
    projection = project(context, answer, question)
    if projection is None:
        return None
    span = projection.span
    assert context[span.start : span.end] == span.text != ""
    return span.text, projection.match_type


def test_normalized_match(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str, tuple[str, str]]] = [
        ("The bus is red.", "red", ("red", "exact")),
        ("The bus is red.", "red.", ("red.", "exact")),
        ("A red bus.", '"red".', ("red", "normalized")),
        ("McDonald's came.", "McDonald's.", ("McDonald's", "normalized")),
        ("Lady Gaga's album", "Lady Gaga", ("Lady Gaga", "exact")),
        ("Lady Gaga's album", "lady gaga", ("Lady Gaga", "normalized")),
        ("It is “fine art”, he said", '"fine art"', ("fine art", "normalized")),
        ("Beyoncé sang", "Beyonce", ("Beyoncé", "normalized")),
        # Composed and decomposed accents.
        ("a cafe\u0301 here", "caf\u00e9", ("cafe\u0301", "normalized")),
        # Characters of no width in the context.
        ("the V\u200bLDB paper", "VLDB", ("V\u200bLDB", "normalized")),
        ("There were thirteen of them", "13", ("thirteen", "normalized")),
        ("There were 13 of them", "Thirteen", ("13", "normalized")),
        ("It cost 10,000 dollars", "10000", ("10,000", "normalized")),
        ("in the U.S. today", "US", ("U.S", "normalized")),
        ("the well-known man", "well known", ("well-known", "normalized")),
        ("It was founded in Milan.", "Milan (the work was produced there)", ("Milan", "normalized")),
    ]
    for context, answer, expected in cases:
        with subtests.test(context=context, answer=answer, expected=expected):
            assert found(context, answer) == expected


def test_answer_that_does_not_occur_has_no_span(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str]] = [
        # No part of a word or of a number is an answer.
        ("The start is near", "art"),
        ("It grew by 1.5 percent", "5"),
        ("It grew by 1.5 percent", "1"),
        ("It cost 10,000 dollars", "10"),
        ("a cafe\u0301 here", "caf"),
        ("a cafe\u0301", "cafe!x"),
        ("Over 18,156 applied", "156"),
        # Numbers that the context does not have are never left out.
        ("It lasted from 1952 to 1987", "1952-1986"),
        ("He came in May", "May 17"),
        # One of two things is not both.
        ("They saw Carlsbad and left", "Carlsbad and Dresden"),
        ("The bus is red", "green"),
        ("", "red"),
        ("The bus is red", " "),
        ("The bus is red", "?!"),
    ]
    for context, answer in cases:
        with subtests.test(context=context, answer=answer):
            assert project(context, answer) is None


def test_closest_match(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str, str, str]] = [
        # The question's words go, also in another form: 'ruled' is its 'rule'.
        ("Qing (1644–1912) fell.", "The Qing ruled from 1644 to 1912.", "When did the Qing rule?", "1644–1912"),
        ("Liszt lived in Rome.", "Liszt lived in Rome.", "Where did Liszt live?", "Liszt lived in Rome."),
        ("He went to Rome then.", "Liszt lived in Rome.", "Where did Liszt live?", "Rome"),
        # The rest of a name, and of a word with a hyphen, belongs to it.
        (
            "in the Horizon League now",
            "They joined the Horizon League.",
            "Which league did they join?",
            "Horizon League",
        ),
        ("the worst-case time", "Worst-case complexity", "What case complexity is it?", "worst-case"),
        # All of the words come before the densest window.
        (
            "Delacroix and the fine singer Pauline Viardot came.",
            "Delacroix and Pauline Viardot",
            "Who came?",
            "Delacroix and the fine singer Pauline Viardot",
        ),
        ("on the 17th of May he left", "May 17", "When did he leave?", "17th of May"),
        ("UK, Norway, and Belgium", "UK, Norway, Belgium", "Where?", "UK, Norway, and Belgium"),
    ]
    for context, answer, question, expected in cases:
        with subtests.test(context=context, answer=answer, question=question, expected=expected):
            projection = project(context, answer, question)
            assert projection is not None
            assert projection.span.text == expected
            assert projection.match_type == ("exact" if answer in context else "closest")


def test_answer_that_only_repeats_the_question_has_no_span() -> None:
    assert (
        project("Antibiotics are chemical things.", "Antibiotics are chemicals", "Are antibiotics chemicals?") is None
    )


def test_match_in_the_sentence_of_the_question_is_preferred() -> None:
    context = "Ann won in 1990. Bob lost in 1990. Cid left."
    projection = project(context, "1990", "When did Bob lose?")
    assert projection is not None
    assert (projection.span.start, projection.match_type) == (context.index("Bob") + 12, "exact-ambiguous")
    first = project(context, "1990")
    assert first is not None
    assert (first.span.start, first.match_type) == (11, "exact-ambiguous")


def test_ambiguity_is_part_of_the_match_type() -> None:
    assert found("Ann won. Bob lost.", "Bob") == ("Bob", "exact")
    assert found("BOB won. BOB lost.", "bob") == ("BOB", "normalized-ambiguous")


def test_equally_close_windows_with_different_words_have_no_span() -> None:
    assert project("the red bus and a red car", "old red", "") is None


def test_other_scripts(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str, str]] = [
        ("我们住在北京市中心", "北京", "北京"),
        ("東京は日本の首都です。", "日本", "日本"),
        ("서울은 한국의 수도이다", "서울", "서울"),
        ("กรุงเทพเป็นเมืองหลวง", "กรุงเทพ", "กรุงเทพ"),
        ("यह दिल्ली में है", "दिल्ली", "दिल्ली"),
        ("Москва — столица", "москва", "Москва"),
    ]
    for context, answer, expected in cases:
        with subtests.test(context=context, answer=answer, expected=expected):
            projection = project(context, answer)
            assert projection is not None
            assert projection.span.text == expected


def test_words_of_scripts_without_spaces_are_their_characters() -> None:
    assert normalized_words("北京 is it") == ["北", "京", "is", "it"]
    assert normalized_words("दिल्ली") == ["दिल्ली"]
    assert normalized_words("The U.S. and 10,000 men’s “hats”") == ["us", "and", "10000", "men", "hats"]


def test_splits_word(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, int, bool]] = [
        ("ab", 1, True),
        ("a b", 1, False),
        ("1.5", 1, True),
        ("1. 5", 2, False),
        ("a.b", 2, False),
        ("ab", 0, False),
    ]
    for text, place, inside in cases:
        with subtests.test(text=text, place=place, inside=inside):
            assert splits_word(text, place) is inside


def test_answers_that_state_unanswerability_abstain(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "unanswerable",
        "Not specified (unanswerable)",
        "Not mentioned in the context",
        "The passage does not mention the year, so it is unanswerable.",
        "It doesn't say",
        "The amount is not mentioned in the passage.",
    ]
    for text in cases:
        with subtests.test(text=text):
            context = "The year is 1990, as the text says."
            assert parse(MAY_ABSTAIN, text, context, "Which year?").status == "abstained"
            assert parse(QA, text, context, "Which year?").status == "unparsed"


def test_same_words_are_an_answer_if_the_context_contains_them() -> None:
    context = "It was not mentioned in the text of the treaty."
    assert parse(MAY_ABSTAIN, "not mentioned in the text", context).status == "labelled"


WORDS = st.lists(
    st.sampled_from(["red", "old", "Bus", "the", "1990", "in", "caf\u00e9", "北", "well-known", "."]), max_size=9
)


@given(context=WORDS.map(" ".join), answer=WORDS.map(" ".join), question=WORDS.map(" ".join))
def test_span_consists_of_whole_words(context: str, answer: str, question: str) -> None:
    projection = project(context, answer, question)
    if projection is None:
        # What stands there as it is said is always found.
        assert not answer.strip() or f" {answer.strip()} " not in f" {context} "
        return
    span = projection.span
    assert 0 <= span.start < span.end <= len(context)
    assert context[span.start : span.end] == span.text
    assert not splits_word(context, span.start)
    assert not splits_word(context, span.end)


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_no_text_breaks_the_projection(context: str, answer: str, question: str) -> None:
    projection = project(context, answer, question)
    assert projection is None or context[projection.span.start : projection.span.end] == projection.span.text


@given(st.text(max_size=80))
def test_word_offsets_match_the_text(text: str) -> None:
    last = 0
    for word in split_words(text):
        assert last <= word.start < word.end <= len(text)
        assert word.folded
        last = word.end


def test_numbers_in_words_and_in_digits_are_the_same_only_where_none_is_written_alike() -> None:
    context = "On 3 December he was ill. Three doctors came."
    assert found(context, "Three doctors came to him.", "Who came to him?") == ("Three doctors", "closest")
    assert found(context, "three") == ("Three", "normalized")
    assert found(context, "3") == ("3", "exact")


ENTITIES = LabelSchema(kind="token-classification", names=("person", "place"))
MILLION = 1_000_000


def test_frequent_answer_in_a_long_context(subtests: pytest.Subtests) -> None:
    sentence_cases: list[str] = ["Oslo is in the north. Bo went there. ", "Oslo is in the north and Bo went there "]
    answer_cases: list[str] = ["Oslo", "Oslo went somewhere north"]
    for sentence in sentence_cases:
        for answer in answer_cases:
            with subtests.test(sentence=sentence, answer=answer):
                passage = sentence * (MILLION // len(sentence))
                # One look at the whole passage for each place would need hours.
                projection = project(passage, answer, "Where did Bo go in the north?")
                assert (
                    projection is None or passage[projection.span.start : projection.span.end] == projection.span.text
                )
                assert answer != "Oslo" or (projection is not None and projection.match_type == "exact-ambiguous")


def test_thousands_of_mentions_of_one_entity() -> None:
    passage = "Oslo is in the north and Bo went there. " * 25_000
    answer = parse(ENTITIES, json.dumps([{"text": "Oslo", "label": "place"}] * 4000), passage)
    assert isinstance(answer.label, tuple)
    assert [getattr(entity, "start", None) for entity in answer.label] == [40 * place for place in range(4000)]


def test_match_in_the_sentence_closest_to_the_question_in_a_long_context() -> None:
    generator = random.Random(0)
    words = ["Oslo", "Bo", "film", "north", "went", "and", "city"]
    for _ in range(300):
        sentences = [generator.choices(words, k=6) for _ in range(8)]
        passage = " ".join(f"{' '.join(sentence)}." for sentence in sentences)
        asked = {word.casefold() for word in generator.choices(["film", "north", "city"], k=2)}
        projection = project(passage, "Oslo", " ".join(sorted(asked)))
        shares = [len(asked & set(sentence)) if "Oslo" in sentence else -1 for sentence in sentences]
        if max(shares) < 0:
            assert projection is None
            continue
        assert projection is not None
        assert passage[: projection.span.start].count(".") == shares.index(max(shares))
