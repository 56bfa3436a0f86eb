from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_synthlabels.labels import LabelSchema, parse
from hf_synthlabels.labels.row_answers import split_row_answers

SCHEMA = LabelSchema(names=("film", "sport"))


def test_answers_come_in_the_order_of_the_rows(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "1. film\n2. sport\n3. film",
        "1) film\n2) sport\n3) film",
        "1: film\n2: sport\n3: film",
        "(1) film\n(2) sport\n(3) film",
        "[1] film\n[2] sport\n[3] film",
        "**1.** film\n**2.** sport\n**3.** film",
        "Row 1: film\nRow 2: sport\nRow 3: film",
        "Here are the labels:\n\n1. film\n2. sport\n3. film\n\nI hope this helps!",
        "3. film\n1. film\n2. sport",
        '["film", "sport", "film"]',
        '{"answers": ["film", "sport", "film"]}',
        '{"answers": [{"row": 1, "label": "film"}, {"row": 2, "label": "sport"}, {"row": 3, "label": "film"}]}',
        '{"answers": [{"row": 2, "label": "sport"}, {"row": 3, "label": "film"}, {"row": 1, "label": "film"}]}',
        '```json\n{"1": "film", "2": "sport", "3": "film"}\n```',
    ]
    for text in cases:
        with subtests.test(text=text):
            rows = split_row_answers(text, 3)
            assert rows is not None
            assert [parse(SCHEMA, row).label for row in rows] == ["film", "sport", "film"]


def test_wrong_number_of_answers_or_ambiguous_numbering_is_rejected(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "1. film\n2. sport",
        "1. film\n2. sport\n3. film\n4. film",
        "1. film\n2. sport\n2. film",
        "1. film\n1. sport\n2. film\n3. film",
        "2. film\n3. sport\n4. film",
        "film\nsport\nfilm",
        '["film", "sport"]',
        '{"answers": [{"row": 1, "label": "film"}, {"row": 1, "label": "sport"}, {"row": 3, "label": "film"}]}',
        '{"1": "film", "2": "sport", "4": "film"}',
        "I can not do that.",
        "",
    ]
    for text in cases:
        with subtests.test(text=text):
            assert split_row_answers(text, 3) is None


def test_lists_within_answers_are_no_lists_of_rows(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, list[str] | None]] = [
        ('1. ["film", "sport"]\n2. ["film", "sport"]', ['["film", "sport"]', '["film", "sport"]']),
        ('1. []\n2. [{"text": "a"}, {"text": "b"}]', ["[]", '[{"text": "a"}, {"text": "b"}]']),
        ('{"answers": [["film", "sport"], []]}', ['{"label": ["film", "sport"]}', '{"label": []}']),
        ("[\n 1.5,\n 2.5\n]", ['{"label": 1.5}', '{"label": 2.5}']),
        ("Here they are:\n[\n 1.5,\n 2.5\n]", ['{"label": 1.5}', '{"label": 2.5}']),
        ("1. 1.5\n2. 2.5", ["1.5", "2.5"]),
        ("1.5\n2.5", None),
        # The list is the answer to row 1, and row 2 has none.
        ('1. ["film", "sport"]', None),
    ]
    for text, rows in cases:
        with subtests.test(text=text, rows=rows):
            assert split_row_answers(text, 2) == rows


def test_an_item_may_go_on_over_lines_and_a_remark_is_no_part_of_it() -> None:
    assert split_row_answers("1. a\n   b\n2. c\n\nThat is all. 3 cheers", 2) == ["a\n   b", "c"]


def test_remarks_are_separated_from_long_items(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, list[str]]] = [
        ("1. film\n2. sport\nI hope this helps!", ["film", "sport"]),
        ("1. film\n2. sport\n\nI hope this helps!", ["film", "sport"]),
        # Items of several lines or paragraphs are kept, and so is the last one of such.
        ("1. a\nb\n2. c\nd", ["a\nb", "c\nd"]),
        ("1. a\n\nb\n2. c\n\nd", ["a\n\nb", "c\n\nd"]),
        ('1. film\n2. {\n  "label": "sport"\n  }', ["film", '{\n  "label": "sport"\n  }']),
        ("Question 1: film\nQuestion 2: sport", ["film", "sport"]),
    ]
    for text, rows in cases:
        with subtests.test(text=text, rows=rows):
            assert split_row_answers(text, 2) == rows


def test_a_single_row_may_be_answered_without_a_list(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["film", "1. film", "1) film", '["film"]', '{"label": "film"}', '{"answers": ["film"]}']
    for text in cases:
        with subtests.test(text=text):
            rows = split_row_answers(text, 1)
            assert rows is not None
            assert [parse(SCHEMA, row).label for row in rows] == ["film"]


@given(st.lists(st.sampled_from(["film", "sport", "no idea", "2024 was good"]), min_size=1, max_size=40))
def test_numbered_list_of_any_length_is_split(items: list[str]) -> None:
    text = "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
    assert split_row_answers(text, len(items)) == items
