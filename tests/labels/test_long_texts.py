"""Long texts: answers and entities are placed in time that grows with the text."""

from __future__ import annotations

import json
import random

import pytest

from hf_synthlabels.labels import LabelSchema, parse, project

ENTITIES = LabelSchema(kind="token-classification", names=("person", "place"))
MILLION = 1_000_000


@pytest.mark.parametrize(
    "sentence", ["Oslo is in the north. Bo went there. ", "Oslo is in the north and Bo went there "]
)
@pytest.mark.parametrize("answer", ["Oslo", "Oslo went somewhere north"])
def test_an_answer_that_stands_often_in_a_megabyte(sentence: str, answer: str) -> None:
    passage = sentence * (MILLION // len(sentence))
    # One look at the whole passage for each place would need hours.
    projection = project(passage, answer, "Where did Bo go in the north?")
    assert projection is None or passage[projection.span.start : projection.span.end] == projection.span.text
    assert answer != "Oslo" or (projection is not None and projection.match_type == "exact-ambiguous")


def test_thousands_of_mentions_of_one_entity() -> None:
    passage = "Oslo is in the north and Bo went there. " * 25_000
    answer = parse(ENTITIES, json.dumps([{"text": "Oslo", "label": "place"}] * 4000), passage)
    assert isinstance(answer.label, tuple)
    assert [getattr(entity, "start", None) for entity in answer.label] == [40 * place for place in range(4000)]


def test_of_several_places_the_one_in_the_sentence_with_most_words_of_the_question() -> None:
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
