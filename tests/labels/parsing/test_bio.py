from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.labels import Entity, LabelSchema, bio_tags, from_bio, to_bio, token_offsets

SCHEMA = LabelSchema(kind="token-classification", names=("person", "place"))
TOKENS = ["Ann", "Lee", "met", "Bo", "in", "New", "York"]
OFFSETS = token_offsets(TOKENS)
TEXT = " ".join(TOKENS)


def entity(text: str, label: str) -> Entity:
    start = TEXT.index(text)
    return Entity(start, start + len(text), text, label)


def test_the_tags_of_a_schema() -> None:
    assert bio_tags(SCHEMA) == ["O", "B-person", "I-person", "B-place", "I-place"]


def test_token_offsets_match_the_joined_text() -> None:
    assert [TEXT[start:end] for start, end in OFFSETS] == TOKENS


def test_entities_become_tags_and_come_back() -> None:
    entities = (entity("Ann Lee", "person"), entity("Bo", "person"), entity("New York", "place"))
    tags = ["B-person", "I-person", "O", "B-person", "O", "B-place", "I-place"]
    assert to_bio(OFFSETS, entities) == tags
    assert from_bio(OFFSETS, tags, TEXT) == entities


def test_overlapping_and_partial_entities(subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[Entity], str]] = [
        # An entity that begins or ends within a token has the whole of it.
        ([entity("nn Le", "person")], "B-person I-person O O O O O"),
        # Of two that overlap the longer one stays.
        ([entity("Lee", "place"), entity("Ann Lee", "person")], "B-person I-person O O O O O"),
        # Of two as long the first.
        ([entity("Lee met", "place"), entity("Ann Lee", "person")], "B-person I-person O O O O O"),
        ([], "O O O O O O O"),
    ]
    for entities, tags in cases:
        with subtests.test(entities=entities, tags=tags):
            assert to_bio(OFFSETS, entities) == tags.split()


def test_tags_that_break_the_rules_are_read_as_the_conll_scorer_does(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, list[Any]]] = [
        ("I-person I-person O O O O O", [("Ann Lee", "person")]),
        ("B-person B-person O O O O O", [("Ann", "person"), ("Lee", "person")]),
        ("B-person I-place O O O O O", [("Ann", "person"), ("Lee", "place")]),
        ("O O O O O O I-place", [("York", "place")]),
    ]
    for tags, result in cases:
        with subtests.test(tags=tags, result=result):
            entities = from_bio(OFFSETS, tags.split(), TEXT)
            assert [(entity.text, entity.label) for entity in entities] == result


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["person", "place", None])), max_size=8))
def test_entities_of_whole_tokens_come_back(runs: list[tuple[int, str | None]]) -> None:
    tokens: list[str] = []
    wanted: list[tuple[int, int, str]] = []
    for length, label in runs:
        first = len(tokens)
        tokens += ["w" * (1 + number % 4) for number in range(length)]
        if label:
            wanted.append((first, len(tokens), label))
    offsets = token_offsets(tokens)
    text = " ".join(tokens)
    entities = tuple(
        Entity(offsets[first][0], offsets[last - 1][1], text[offsets[first][0] : offsets[last - 1][1]], label)
        for first, last, label in wanted
    )
    assert from_bio(offsets, to_bio(offsets, entities), text) == entities


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.sampled_from(["person", "place"])), max_size=4),
)
def test_entities_that_cut_through_tokens_come_back_as_whole_tokens(
    lengths: list[int], cuts: list[tuple[int, int, str]]
) -> None:
    offsets = token_offsets(["w" * length for length in lengths])
    text = " ".join("w" * length for length in lengths)
    entities = [
        Entity(start, min(start + length, len(text)), text[start : start + length], label)
        for start, length, label in cuts
        if start < len(text)
    ]
    tags = to_bio(offsets, entities)
    assert len(tags) == len(offsets)
    result = from_bio(offsets, tags, text)
    starts, ends = {start for start, _ in offsets}, {end for _, end in offsets}
    for entity in result:
        assert entity.start in starts
        assert entity.end in ends
        assert text[entity.start : entity.end] == entity.text
        # Each is one of those that were given, and no token of it lies outside.
        assert any(
            given.label == entity.label
            and all(
                start < given.end and given.start < end
                for start, end in offsets
                if entity.start <= start and end <= entity.end
            )
            for given in entities
        )
    # Tags made from tags are the same tags.
    assert to_bio(offsets, result) == tags
