"""The expected score over the tokens of a verdict; all numbers derived by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hf_synthlabels.clients import Completion
from hf_synthlabels.judging import Extraction, Judgment, read_rubric
from hf_synthlabels.judging.parsing.reply_parser import parse_judgment
from hf_synthlabels.labels import Token

FIVE = read_rubric("score_1_5")
TEN = read_rubric({"name": "ten", "instructions": "?", "scale": {"low": 0, "high": 10}})
YES = read_rubric("correctness")
LADDER = Extraction(parse_methods=("schema", "line", "logprobs"))


def seen(*values: Any) -> tuple[Any, ...]:
    return values


def token(text: str, **shares: float) -> Token:
    """A token with its alternatives: keyword `_4` is the text ' 4', `n4` is '4'."""
    likely = {(" " if name[0] == "_" else "") + name[1:]: share for name, share in shares.items()}
    likely.setdefault(text, 1 - sum(likely.values()))
    alternatives = tuple((other, math.log(share)) for other, share in likely.items() if share > 0)
    return Token(text, math.log(likely[text]), alternatives)


def plain(*texts: str) -> list[Token]:
    return [Token(text, 0.0, ((text, 0.0),)) for text in texts]


def judge(rubric: Any, *tokens: Token, ladder: Extraction = LADDER) -> Judgment:
    text = "".join(token.text for token in tokens)
    return parse_judgment(rubric, ladder, [Completion(0, text=text, tokens=tuple(tokens))])


def test_the_expectation_is_over_the_score_tokens_alone() -> None:
    # 4 with .6, 5 with .3, and .1 on a word: (4 * .6 + 5 * .3) / .9 = 3.9 / .9
    found = judge(FIVE, *plain("Fine.\n", "score", ":"), token(" 4", _4=0.6, _5=0.3, nhigh=0.1))
    assert found.score == pytest.approx(3.9 / 0.9)
    assert found.mass == pytest.approx(0.9)
    assert seen(found.parse_method, found.status) == ("logprobs", "scored")


def test_a_space_of_its_own_is_part_of_the_way() -> None:
    # ' ' with .9, then 2 (.5) and 1 (.5); or at once ' 3' with .1: mean (.45 * 2 + .45 * 1 + .1 * 3) = 1.65
    space = token(" ", _=0.9, _3=0.1)
    found = judge(FIVE, *plain("score:"), space, token("2", n2=0.5, n1=0.5))
    assert found.score == pytest.approx(1.65)
    assert found.mass == pytest.approx(1.0)


def test_both_spellings_of_a_score_count_together() -> None:
    found = judge(FIVE, token("4", n4=0.5, _4=0.25, n3=0.25))
    assert found.score == pytest.approx(3.75)


def test_the_verdict_is_found_in_json() -> None:
    tokens = [*plain('{"reason', '":"x', '","', "score", '":'), token(" 2", _2=0.75, _1=0.25), *plain("}")]
    assert judge(FIVE, *tokens).score == pytest.approx(1.75)


def test_the_last_line_is_weighed_not_an_earlier_one() -> None:
    early = [*plain("score", ":"), token(" 5", _5=1.0)]
    late = [*plain("\n", "score", ":"), token(" 1", _1=0.9, _2=0.1)]
    assert judge(FIVE, *early, *late).score == pytest.approx(1.1)


def test_ten_is_no_one_where_it_is_one_token() -> None:
    # '10' is a token at the same place, so '1' is 1: 10 * .5 + 1 * .3 + 9 * .2 = 7.1
    found = judge(TEN, *plain("score:"), token(" 10", _10=0.5, _1=0.3, _9=0.2))
    assert found.score == pytest.approx(7.1)
    assert found.mass == pytest.approx(1.0)


def test_ten_is_spelled_out_where_digits_are_tokens() -> None:
    # '1' with .8, then '0' with .75 and the end of the line with .25: 10 gets .6, 1 gets .2, and 9 has .2.
    found = judge(TEN, *plain("score: "), token("1", n1=0.8, n9=0.2), token("0", **{"n0": 0.75, "n\n": 0.25}))
    assert found.score == pytest.approx(10 * 0.6 + 1 * 0.2 + 9 * 0.2)
    assert found.mass == pytest.approx(1.0)


def test_a_piece_that_may_be_two_scores_counts_for_none() -> None:
    # '1' might go on to be 10: nobody knows, so its .3 are not covered.
    found = judge(
        TEN,
        *plain("score: "),
        token("9", n9=0.7, n1=0.3),
        ladder=Extraction(LADDER.parse_methods, min_probability_mass=0.6),
    )
    assert seen(found.score, found.mass) == (pytest.approx(9.0), pytest.approx(0.7))


def test_words_are_weighed_as_well() -> None:
    found = judge(YES, *plain("correct", ":"), token(" yes", _yes=0.7, _Yes=0.1, _no=0.2))
    assert found.score == pytest.approx(0.8)


def test_too_little_mass_is_not_used_and_what_counts_then_is_said_beforehand() -> None:
    tokens = [*plain("score:"), token(" 4", _4=0.5, _5=0.1, nwell=0.4)]
    written = judge(FIVE, *tokens)
    assert seen(written.score, written.parse_method, written.mass) == (4, "line", pytest.approx(0.6))
    strict = judge(FIVE, *tokens, ladder=Extraction(LADDER.parse_methods, low_mass="unscored"))
    assert seen(strict.score, strict.status, strict.mass) == (None, "unparsed", pytest.approx(0.6))
    assert strict.error == "the reply has a mass of 0.600 on the score tokens, below `min_probability_mass` 0.9"
    low = judge(FIVE, *tokens, ladder=Extraction(LADDER.parse_methods, min_probability_mass=0.6))
    assert seen(low.parse_method, low.score) == ("logprobs", pytest.approx((4 * 0.5 + 5 * 0.1) / 0.6))


def test_without_log_probabilities_what_counts_is_said_beforehand() -> None:
    reply = [Completion(0, text="score: 4")]
    assert parse_judgment(FIVE, LADDER, reply).parse_method == "line"
    strict = parse_judgment(FIVE, Extraction(LADDER.parse_methods, low_mass="unscored"), reply)
    assert seen(strict.score, strict.status) == (None, "unparsed")
    assert "no log-probabilities" in strict.error


def test_they_are_not_looked_at_where_the_rung_is_not_chosen() -> None:
    found = judge(FIVE, *plain("score:"), token(" 4", _4=0.6, _5=0.4), ladder=Extraction())
    assert seen(found.score, found.parse_method, found.mass) == (4, "line", None)


def test_tokens_that_spell_another_score_are_not_used() -> None:
    # The reading takes 4.5; its first token is 4, which is another score.
    found = judge(FIVE, *plain("score: "), token("4", n4=1.0), *plain(".", "5"))
    assert seen(found.score, found.parse_method) == (4.5, "line")


def test_a_client_that_weighs_the_answers_itself_is_believed() -> None:
    shares = {"1": 0.0, "2": 0.0, "3": 0.1, "4": 0.6, "5": 0.3}
    found = parse_judgment(FIVE, LADDER, [Completion(0, text="4", probabilities=shares)])
    assert seen(found.score, found.parse_method, found.mass) == (pytest.approx(4.2), "logprobs", pytest.approx(1.0))


def test_draws_of_expected_scores_have_a_mean_and_a_mean_mass() -> None:
    one = (*plain("score:"), token(" 4", _4=0.6, _5=0.4))
    other = (*plain("score:"), token(" 2", _2=0.95, nx=0.05))
    replies = [Completion(0, text="".join(part.text for part in tokens), tokens=tokens) for tokens in (one, other)]
    found = parse_judgment(FIVE, Extraction(LADDER.parse_methods, num_samples=2), replies)
    assert seen(found.score, found.parse_method) == (pytest.approx((4.4 + 2) / 2), "samples")
    assert found.mass == pytest.approx(0.975)
