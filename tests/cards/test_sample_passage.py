"""How human rows were drawn, as the card of a data set tells it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from datasets import ClassLabel, Features, Value

from hf_synthlabels.cards import DatasetFacts, Licenses, SplitFacts, dataset_card
from hf_synthlabels.cards.sampling_passage import sample_text, strata_table

RECORD = {
    "column": "inclusion_probability",
    "kind": "human-sample",
    "human": "label",
    "llm": "llm_label",
    "design": "stratified",
    "seed": 7,
    "rows": 3000,
    "drawn": 250,
    "new": 100,
    "least_probability": 0.05,
    "greatest_probability": 0.5,
    "strata": [{"label": "film|x", "rows": 2000, "drawn": 100}, {"label": "sport", "rows": 1000, "drawn": 150}],
    "allocation": "equal",
}


def facts() -> DatasetFacts:
    features = Features({"text": Value("string"), "llm_label": ClassLabel(names=["film", "sport"])})
    split = SplitFacts("train", rows=3000, num_bytes=512, statuses={"llm_label": {"labelled": 3000}})
    return DatasetFacts(
        repo="me/films", features=features, splits=(split,), licenses=Licenses("mit", "unknown"), samples=(RECORD,)
    )


def test_text_says_design_counts_seed_and_chances() -> None:
    assert sample_text(RECORD) == (
        "250 of 3,000 rows were drawn for people to label, at random among the rows of each LLM label, as many of each "
        "as could be; 100 of them in the last drawing (seed 7); the labels in `label` are theirs; chances 0.05 to 0.5, "
        "stored in `inclusion_probability`; each row counts with one over its own."
    )


def test_equal_chances_are_one_number() -> None:
    same = {**RECORD, "design": "random", "allocation": None, "greatest_probability": 0.05, "strata": []}
    text = sample_text(same)
    assert "all with the same chance" in text
    assert "chances 0.05, stored in" in text
    assert "one over" not in text
    assert strata_table(same) is None


def test_table_has_a_line_for_each_label_and_escapes_its_name() -> None:
    lines = str(strata_table(RECORD)).splitlines()
    assert lines[0] == "| LLM label | rows | drawn |"
    assert lines[2].endswith("| 2,000 | 100 |")
    assert "film|x" not in lines[2]


@pytest.mark.parametrize("words", [None, "Two students labelled them."])
def test_card_tells_the_drawing_beside_the_publishers_words(words: str | None) -> None:
    card = dataset_card(replace(facts(), human_rows=words))
    assert "250 of 3,000 rows were drawn" in card
    assert "| `sport` | 1,000 | 150 |" in card
    assert ("As recorded below." if words is None else words) in card
    assert "Not told by the publisher" not in card


def test_what_a_record_lacks_is_said_to_be_unrecorded() -> None:
    assert "an unrecorded number of an unrecorded number rows" in sample_text({"design": "other"})
