from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.answers import answer_agreement, normalize_answer, text_agreement, token_f1
from hf_synthlabels.statistics.agreement.classification import KindAgreement

FEW = BootstrapConfig(resamples=20)
SQUAD = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "squad_gpt35"


def scores(found: KindAgreement) -> dict[str, float]:
    return {name: interval.estimate for name, interval in found.scores.items()}


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat,\tsat.", "cat sat"),
        ("an Apple a day", "apple day"),
        # Punctuation goes before articles: what a hyphen parted becomes one word, which is no article.
        ("state-of-the-art", "stateoftheart"),
        ("A-team", "ateam"),
        ("theatre of the absurd", "theatre of absurd"),
        ("$1,000.50", "100050"),
        ("U.S.", "us"),
        ("the", ""),
        # The official scorer knows ASCII punctuation only.
        ("“Levi’s”", "“levi’s”"),
        ("Levi's", "levis"),
    ],
)
def test_normalising_is_squads(text: str, normal: str) -> None:
    assert normalize_answer(text) == normal


@pytest.mark.parametrize(
    ("human", "llm", "f1"),
    [
        ("the Eiffel Tower", "Eiffel Tower", 1.0),
        ("in Paris", "Paris", 2 * 1 / 3),
        # Words are counted as often as they stand: one of two shared.
        ("very very good", "very bad", 2 * 1 / 5),
        ("Paris", "London", 0.0),
        ("the", "a", 1.0),
        ("the", "cat", 0.0),
    ],
)
def test_token_f1_by_hand(human: str, llm: str, f1: float) -> None:
    assert token_f1(human, llm) == pytest.approx(f1)
    assert token_f1(llm, human) == pytest.approx(f1)


def test_five_texts_by_hand() -> None:
    found = scores(
        text_agreement(
            [["Paris"], ["the Paris"], ["in Paris", "Paris France"], ["Rome"], ["x"]],
            [" Paris ", "Paris!", "Paris", "Oslo", None],
            FEW,
        )
    )
    assert list(found) == [
        *("coverage", "identical", "exact_match", "exact_match_answered", "token_f1", "token_f1_answered")
    ]
    assert (found["coverage"], found["identical"], found["exact_match"]) == (4 / 5, 1 / 5, 2 / 5)
    assert found["exact_match_answered"] == 2 / 4
    assert found["token_f1"] == pytest.approx((1 + 1 + 2 / 3 + 0 + 0) / 5)
    assert found["token_f1_answered"] == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)


def test_of_several_answers_the_best_counts_for_each_score_by_itself() -> None:
    # "x y" shares more words with the first, which stands elsewhere, and more characters with the second.
    golds = [("x y z", 50), ("w xy", 8)]
    found = scores(answer_agreement([golds], [("x y", 10)], FEW))
    assert found["exact_match"] == 0
    assert found["token_f1"] == pytest.approx(2 * 2 / (3 + 2))
    # Characters 10 and 11 of 8 to 12.
    assert found["span_overlap"] == pytest.approx(2 / 5)


def test_spans_by_hand() -> None:
    human = [[("0123456789", 10)], [("abcd", 0)], [("abcd", 0)], [("ab", 5)]]
    llm = [("56789abcde", 15), ("abcd", 0), ("abcd", 40), None]
    found = answer_agreement(human, llm, FEW).scores["span_overlap"]
    # 5 of 15 characters; all; none, although the text is the same; none without a prediction.
    assert found.estimate == pytest.approx((1 / 3 + 1 + 0 + 0) / 4)
    assert found.n == 4


def test_span_overlap_is_of_rows_whose_places_are_known() -> None:
    found = answer_agreement([[("ab", -1)], [("ab", 0)]], [("ab", 0), ("ab", 0)], FEW).scores
    assert (found["span_overlap"].estimate, found["span_overlap"].n) == (1, 1)
    assert "span_overlap" not in answer_agreement([[("ab", 0)]], [("ab", -1)], FEW).scores


def test_differences_are_told() -> None:
    human = [["Paris"], ["Paris"], ["in Paris"], ["red car"], ["Rome"], ["x y"], ["x"]]
    llm = ["paris", "in Paris", "Paris", "red bus", "Oslo", "y x", None]
    kinds, worst = text_agreement(human, llm, FEW).breakdowns
    assert kinds.rows == (
        ("the same", 1, 7),
        ("all words of the human one and more", 1, 7),
        ("some words of the human one and no other", 1, 7),
        ("some words in common", 2, 7),
        ("no word in common", 1, 7),
        ("no LLM label", 1, 7),
    )
    assert worst.rows[0] == ("Rome", "Oslo", 0.0)


def test_far_apart_answers_are_shown_once() -> None:
    _, worst = text_agreement([["Rome"]] * 5, ["Oslo"] * 5, FEW).breakdowns
    assert worst.rows == (("Rome", "Oslo", 0.0),)


def test_thirty_right_rows_do_not_promise_perfection() -> None:
    found = answer_agreement([[("Rome", 3)]] * 30, [("Rome", 3)] * 30).scores
    for name in ("exact_match", "token_f1", "span_overlap"):
        assert found[name].estimate == found[name].high == 1
        assert 0.8 < found[name].low < 0.93


def test_no_rows_and_no_answers() -> None:
    assert all(math.isnan(value) for value in scores(answer_agreement([], [], FEW)).values())
    found = scores(text_agreement([["a b"]], [None], FEW))
    assert (found["coverage"], found["token_f1"]) == (0, 0)
    assert math.isnan(found["token_f1_answered"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="`human` has 1 rows and `llm` 0"):
        text_agreement([["a"]], [])
    with pytest.raises(DataError, match="`human`"):
        text_agreement([[]], ["a"])


@pytest.mark.parametrize(("split", "exact", "f1"), [("train", 0.591, 0.771), ("validation", 0.489, 0.692)])
def test_recorded_answers_to_squad_give_the_known_numbers(split: str, exact: float, f1: float) -> None:
    file = SQUAD / f"{split}.jsonl"
    if not file.is_file():
        pytest.skip("the recorded answers to SQuAD are not beside this checkout")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found = scores(text_agreement([[row["answer"]] for row in rows], [row["llm:gpt-3.5-turbo"] for row in rows], FEW))
    assert round(found["exact_match"], 3) == exact
    assert round(found["token_f1"], 3) == f1
