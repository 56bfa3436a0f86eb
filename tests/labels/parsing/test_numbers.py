"""Numbers in answers: scientific notation, bounds, a number on a line of its own, and answers of any length."""

from __future__ import annotations

import pytest

from hf_synthlabels.judging.parsing.score_parser import read_score
from hf_synthlabels.judging.rubric import read_rubric
from hf_synthlabels.labels import Label, LabelSchema, Scale, parse

ANY = LabelSchema(kind="text-scale", scale=Scale(0, 10, None))
STARS = LabelSchema(kind="text-scale", scale=Scale(1, 5, 1))
MILLION = LabelSchema(kind="text-scale", scale=Scale(0, 1_000_000, None))


def label(schema: LabelSchema, text: str) -> Label | None:
    answer = parse(schema, text)
    assert (answer.status == "labelled") == (answer.label is not None)
    return answer.label


def test_scientific_notation_is_one_number(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, float]] = [
        ("2e-05", 2e-05),
        ("2E-5", 2e-05),
        ("1e-07", 1e-07),
        ("2.5e-1", 0.25),
        ("1e+1", 10.0),
        ("3", 3.0),
        ("0.5", 0.5),
    ]
    for written, number in cases:
        with subtests.test(written=written, number=number):
            for form in ("{}", "Score: {}", '{{"label": {}}}', "I rate it {} here.", "**{}**\n2 typos, 3 slips"):
                assert label(ANY, form.format(written)) == number, form


def test_a_judge_reads_the_same_notation() -> None:
    rubric = read_rubric(
        {
            "name": "any",
            "instructions": "How likely is it?",
            "scale": {"low": 0, "high": 1},
        }
    )
    assert read_score(rubric, "2e-05").score == 2e-05
    assert read_score(rubric, "1.5E-3 out of 1").score == 0.0015


def test_lookalikes_of_numbers_are_unparsed(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["x2e-05", "v2e-5", "1e999", "-1e999", '{"label": 1e999}', '{"label": ' + "9" * 600 + "}"]
    for text in cases:
        with subtests.test(text=text):
            assert label(ANY, text) is None


def test_bound_is_not_a_number(subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        ">= 5",
        ">5",
        "≥ 5",
        "<= 5",
        "at least 5",
        "at most 5",
        "more than 4",
        "5 or more",
        "5 or higher",
        "5+",
        "not a 5",
    ]
    for bound in cases:
        with subtests.test(bound=bound):
            for form in ("{}", "label: {}", "Score: {}.", "I would say {}"):
                assert label(STARS, form.format(bound)) is None, form


def test_markup_and_other_bounds_do_not_hide_the_number(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["<score>4</score>", "score: <4>", "Score => 4", "4, with more than 3 slips", "not a 3 but a 4"]
    for text in cases:
        with subtests.test(text=text):
            assert label(STARS, text) == 4.0


def test_a_number_on_the_first_or_last_line(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, float | None]] = [
        ("4\nThe text has 3 errors.", 4.0),
        ("Two typos, 3 slips.\n\n**4**", 4.0),
        ("4/5\nReason: 3 errors and 2 typos.", 4.0),
        ("4\n3", None),
        ("4\n2 typos\n3", None),
        ("The scores were:\n4\n2 typos, 3 slips", None),
    ]
    for text, number in cases:
        with subtests.test(text=text, number=number):
            assert label(STARS, text) == number


def test_long_answers_of_digits_are_read_in_time_that_grows_with_their_length(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["9" * 100_000, "Score: " + "9" * 100_000, "9." * 50_000, "1e" * 50_000, "“" * 100_000]
    for text in cases:
        with subtests.test(text=text):
            assert label(ANY, text) is None


def test_large_numbers_keep_their_digits(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["1234567", '{"label": 1234567}']
    for text in cases:
        with subtests.test(text=text):
            passage = LabelSchema(kind="question-answering")
            answer = parse(passage, text if text.startswith("{") else f'{{"label": {text}}}', "About 1234567 people.")
            assert getattr(answer.label, "text", None) == "1234567"
            assert str(MILLION.scale) == "0 to 1000000 in steps of 1" or str(MILLION.scale) == "0 to 1000000"
