"""Labels with reasons beside them: alone on a line or in a sentence, before `because`, and negations near and far."""

from __future__ import annotations

import pytest

from hf_synthlabels.labels import LabelSchema, parse

STANCE = LabelSchema(names=("HAWKISH", "DOVISH", "NEUTRAL"))
TONE = LabelSchema(names=("positive", "negative", "neutral"))
STARS = LabelSchema(names=("1", "2", "3", "4", "5"))
YES = LabelSchema(names=("yes", "no"))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("{}\nThe sentence does not mention rates, rather than easing.", True),
        ("{}\nIt speaks of cuts, but no {other} stance follows from them.", True),
        ("**{}**\n\nReason: there is no sign of a {other} view.", True),
        ("1. {}\nIt isn't {other}.", True),
        ("The text doesn't sound {other}.\n\n{}", True),
        ("Here is the classification:\n\n{}\n\nNothing in it is {other}.", True),
        ("{}. It does not take a {other} stance.", True),
        ("It does not take a {other} stance. {}.", False),
        ("{} because no {other} words are used.", True),
        ("{} - the sentence does not express a {other} view", True),
        ("Label: {}. Because it does not ease.", True),
        ("Label: {} because it does not ease", True),
        ("It does not mention rates, so it is {}.", True),
        ("The sentence is {}, without any doubt.", True),
        ("The sentence is {}. It does not say anything else.", True),
        ("It is not {}.", False),
        ("I would not call it {}", False),
        ("Not what I would describe, in my view, as {}.", False),
        ("I do not think\nit is {}", False),
        ("I don't think, that it is {}.", False),
        ("{}, it is not", False),
        ("{}? No.", False),
        ("{}\nis not the label that I would choose.", False),
        ("It might be {}. But I cannot say.", False),
        ("{}. Or maybe {other}.", False),
        ("{}\nWait, no, {other}.", False),
        ("{}\n{other}", False),
        ("{}\nFinal label: {other}", False),
        ("{} - calm\n{other} - loud", False),
        ("{}: 0.2\n{other}: 0.8", False),
        ("Label: {} or {other}", False),
        ("The label is {} - {other}", False),
    ],
)
@pytest.mark.parametrize("schema", [STANCE, TONE])
def test_a_label_with_a_reason(schema: LabelSchema, text: str, label: bool) -> None:
    name, other, _ = schema.names
    answer = parse(schema, text.replace("{other}", other).replace("{}", name))
    assert answer.label == (name if label else None)
    assert label or answer.reason


@pytest.mark.parametrize(
    ("text", "label"),
    [("No.\nIt does not.", "no"), ("Yes, because it cannot be denied.", "yes"), ("Yes. No.", None), ("Not yes.", None)],
)
def test_names_that_prose_uses_too(text: str, label: str | None) -> None:
    assert parse(YES, text).label == label


@pytest.mark.parametrize("text", ["label: >= 5", ">= 5", ">5", "5 or more", "5+", "at least 5", "The label is not 5"])
def test_a_bound_names_no_digit(text: str) -> None:
    assert parse(STARS, text).label is None


@pytest.mark.parametrize("text", ["label: 5", "<5>", "5\nIt has 2 slips, not 1", "5/", '{"label": "5"}'])
def test_a_digit_in_markup_or_with_a_reason_is_read(text: str) -> None:
    assert parse(STARS, text).label == "5"


@pytest.mark.parametrize(
    "text",
    ["label: " * 60_000, "answer is " * 30_000, "Not. " * 50_000, "positive because " * 20_000, "{" * 100_000],
)
def test_answers_are_read_in_time_that_grows_with_their_length(text: str) -> None:
    # A quadratic reader would need minutes.
    assert parse(TONE, text).label in (None, "positive")
