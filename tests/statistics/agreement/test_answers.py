from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.answers import answer_agreement, normalize_answer, text_agreement, token_f1
from tests.statistics.common import estimates

FEW = BootstrapConfig(resamples=20)
SQUAD = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "squad_gpt35"


def test_normalization_is_that_of_the_squad_scorer() -> None:
    for text, normal in {
        "The  Cat,\tsat.": "cat sat",
        "an Apple a day": "apple day",
        # Punctuation goes before articles: a hyphenated article becomes part of a word.
        "state-of-the-art": "stateoftheart",
        "A-team": "ateam",
        "theatre of the absurd": "theatre of absurd",
        "$1,000.50": "100050",
        "U.S.": "us",
        "the": "",
        # The official scorer knows ASCII punctuation only.
        "“Levi’s”": "“levi’s”",
        "Levi's": "levis",
    }.items():
        assert normalize_answer(text) == normal


def test_token_f1_by_hand() -> None:
    for human, llm, f1 in (
        ("the Eiffel Tower", "Eiffel Tower", 1.0),
        ("in Paris", "Paris", 2 * 1 / 3),
        # Words are counted as often as they occur: one of two is shared.
        ("very very good", "very bad", 2 * 1 / 5),
        ("Paris", "London", 0.0),
        ("the", "a", 1.0),
        ("the", "cat", 0.0),
    ):
        assert token_f1(human, llm) == token_f1(llm, human) == pytest.approx(f1)


def test_scores_of_five_texts_by_hand() -> None:
    human = [["Paris"], ["the Paris"], ["in Paris", "Paris France"], ["Rome"], ["x"]]
    scores = estimates(text_agreement(human, [" Paris ", "Paris!", "Paris", "Oslo", None], FEW).scores)
    f1 = 1 + 1 + 2 / 3 + 0
    expected = {"coverage": 4 / 5, "identical": 1 / 5, "exact_match": 2 / 5, "exact_match_answered": 2 / 4}
    expected |= {"token_f1": f1 / 5, "token_f1_answered": f1 / 4}
    assert list(scores) == list(expected)
    assert scores == pytest.approx(expected)


def test_each_score_uses_the_best_of_several_answers() -> None:
    # "x y" shares more words with the first, which is elsewhere, and more characters with the second.
    scores = estimates(answer_agreement([[("x y z", 50), ("w xy", 8)]], [("x y", 10)], FEW).scores)
    assert scores["exact_match"] == 0
    assert scores["token_f1"] == pytest.approx(2 * 2 / (3 + 2))
    # Characters 10 and 11 of 8 to 12.
    assert scores["span_overlap"] == pytest.approx(2 / 5)


def test_span_overlap_by_hand_is_over_rows_with_known_places() -> None:
    human = [[("0123456789", 10)], [("abcd", 0)], [("abcd", 0)], [("ab", 5)], [("ab", -1)]]
    llm = [("56789abcde", 15), ("abcd", 0), ("abcd", 40), None, ("ab", 0)]
    overlap = answer_agreement(human, llm, FEW).scores["span_overlap"]
    # 5 of 15 characters; all; none, although the text is equal; none without a prediction.
    assert overlap.estimate == pytest.approx((1 / 3 + 1 + 0 + 0) / 4)
    assert overlap.n == 4
    assert "span_overlap" not in answer_agreement([[("ab", 0)]], [("ab", -1)], FEW).scores


def test_breakdowns_show_how_answers_differ_and_the_worst_once() -> None:
    human = [["Paris"], ["Paris"], ["in Paris"], ["red car"], ["Rome"], ["x y"], ["x"], ["Rome"]]
    llm = ["paris", "in Paris", "Paris", "red bus", "Oslo", "y x", None, "Oslo"]
    kinds, worst = text_agreement(human, llm, FEW).breakdowns
    assert kinds.rows == (
        ("the same", 1, 8),
        ("all words of the human one and more", 1, 8),
        ("some words of the human one and no other", 1, 8),
        ("some words in common", 2, 8),
        ("no word in common", 2, 8),
        ("no LLM label", 1, 8),
    )
    assert worst.rows[0] == ("Rome", "Oslo", 0.0)
    assert len(set(worst.rows)) == len(worst.rows)


def test_thirty_correct_rows_have_a_lower_limit_below_one() -> None:
    scores = answer_agreement([[("Rome", 3)]] * 30, [("Rome", 3)] * 30).scores
    for name in ("exact_match", "token_f1", "span_overlap"):
        assert scores[name].estimate == scores[name].high == 1
        assert 0.8 < scores[name].low < 0.93


def test_scores_without_rows_or_predictions() -> None:
    assert all(math.isnan(value) for value in estimates(answer_agreement([], [], FEW).scores).values())
    scores = estimates(text_agreement([["a b"]], [None], FEW).scores)
    assert (scores["coverage"], scores["token_f1"]) == (0, 0)
    assert math.isnan(scores["token_f1_answered"])
    for human, llm in (([["a"]], []), ([[]], ["a"])):
        with pytest.raises(DataError, match="`human`"):
            text_agreement(human, llm)


def test_recorded_answers_to_squad_have_their_known_scores() -> None:
    if not SQUAD.is_dir():
        pytest.skip("the recorded answers to SQuAD are not beside this checkout")
    for split, exact, f1 in (("train", 0.591, 0.771), ("validation", 0.489, 0.692)):
        rows = [json.loads(line) for line in (SQUAD / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        answers = [row["llm:gpt-3.5-turbo"] for row in rows]
        scores = estimates(text_agreement([[row["answer"]] for row in rows], answers, FEW).scores)
        assert (round(scores["exact_match"], 3), round(scores["token_f1"], 3)) == (exact, f1)
