"""Two answers, asked in both orders: who wins, what a tie is, and which biases are told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hf_synthlabels.clients import Completion, Failure, RecordedClient, Request, ScriptedClient
from hf_synthlabels.errors import AllFailedError, ConfigError, DataError
from hf_synthlabels.judging import Extraction, Judge, judge_pairs, read_rubric
from hf_synthlabels.judging.pairwise import stream_pairs
from hf_synthlabels.judging.prompting.judge_prompt import Item
from hf_synthlabels.statistics.intervals import wilson

PAIR = read_rubric("preference")


def shown(request: Request) -> tuple[str, str]:
    """The two answers in the order in which the judge sees them."""
    content = request.messages[-1].content
    first = content.split("<answer A>\n")[1].split("\n</answer A>")[0]
    return first, content.split("<answer B>\n")[1].split("\n</answer B>")[0]


def longer(request: Request) -> str:
    first, second = shown(request)
    return "better: tie" if len(first) == len(second) else "better: A" if len(first) > len(second) else "better: B"


def test_a_consistent_judge_says_who_is_better_whatever_stands_first() -> None:
    client = ScriptedClient(longer)
    found = judge_pairs(Judge(PAIR, client), ["long one", "a", "same"], ["b", "longer", "also"])
    assert [one.winner for one in found.judgments] == ["first", "second", "tie"]
    assert [one.consistent for one in found.judgments] == [True, True, True]
    assert [one.preference for one in found.judgments] == [1, 0, 0.5]
    assert [shown(request) for request in client.requests[:2]] == [("long one", "b"), ("b", "long one")]
    summary = found.summary.as_dict()
    assert (summary["win_rate"], summary["winners"]) == (0.5, {"first": 1, "tie": 1, "second": 1})
    # Of the six verdicts four are no tie, and half of those prefer what was shown first.
    assert (summary["shown_first"], summary["shown_first_n"]) == (0.5, 4)
    assert summary["consistency"] == 1


def test_a_judge_that_likes_the_first_place_makes_ties_and_is_told() -> None:
    found = judge_pairs(Judge(PAIR, ScriptedClient(lambda _: "better: A")), ["a"] * 10, ["b"] * 10)
    assert {one.winner for one in found.judgments} == {"tie"}
    assert {one.consistent for one in found.judgments} == {False}
    summary = found.summary
    assert summary.consistency == wilson(0, 10)
    assert summary.shown_first == wilson(20, 20)
    assert summary.wins.mean.estimate == 0.5
    assert all(isinstance(summary.as_dict()[f"{name}_low"], float) for name in ("consistency", "shown_first"))


def test_one_order_with_a_tie_is_a_disagreement() -> None:
    client = ScriptedClient(lambda request: "better: tie" if request.sample else "better: A")
    (found,) = judge_pairs(Judge(PAIR, client), ["a"], ["b"]).judgments
    assert (found.winner, found.consistent, found.preference) == ("tie", False, 0.75)


@pytest.mark.parametrize("broken", [0, 1])
def test_a_pair_with_one_verdict_only_is_unscored(broken: int) -> None:
    client = ScriptedClient(lambda request: "who knows" if request.sample == broken else "better: A")
    found = judge_pairs(Judge(PAIR, client), ["a"], ["b"])
    assert (found.judgments[0].winner, found.judgments[0].status) == (None, "unparsed")
    assert found.judgments[0].consistent is None
    assert found.summary.wins.n_unscored == {"unparsed": 1}
    assert (found.summary.wins.lowest_mean, found.summary.wins.highest_mean) == (0, 1)
    # Its one verdict still tells of the place.
    assert found.summary.shown_first.n == 1


def test_empty_answers_are_not_asked_about() -> None:
    client = ScriptedClient(longer)
    found = judge_pairs(Judge(PAIR, client), ["a", "", None, "b"], ["", "a", "b", "cc"])
    assert [one.status for one in found.judgments] == ["empty", "empty", "empty", "scored"]
    assert len(client.requests) == 2


def test_draws_of_each_order_are_folded_first() -> None:
    # In order A, A, B: 2/3 for the first; swapped B, B, B: the second shown, so the first as well.
    replies = ["A", "A", "B", "B", "B", "B"]
    client = ScriptedClient(lambda request: f"better: {replies[request.sample]}")
    (found,) = judge_pairs(Judge(PAIR, client, Extraction(num_samples=3)), ["a"], ["b"]).judgments
    assert (found.winner, found.consistent) == ("first", True)
    assert found.preference == pytest.approx((2 / 3 + 1) / 2)


def test_recorded_replies_of_both_orders_stand_in_one_list() -> None:
    rubric = read_rubric(
        {
            "name": "recorded",
            "instructions": "Which is better?",
            "protocol": "pairwise",
            "choices": [
                {"answer": "Output (b)", "score": 0, "pattern": r"Output \(b\)"},
                {"answer": "Output (a)", "score": 1, "pattern": r"Output \(a\)"},
            ],
        }
    )
    rows: list[dict[str, Any]] = [{"raw": ["Output (a)", "Output (b)"]}, {"raw": ["Output (a)", "Output (a)"]}]
    judge = Judge(rubric, RecordedClient(column="raw"))
    found = list(stream_pairs(judge, [Item("x", other="y", row=row) for row in rows]))
    assert [one.winner for one in found] == ["first", "tie"]


def test_wrong_use_is_told() -> None:
    client = ScriptedClient({})
    with pytest.raises(ConfigError, match="'score_1_5' judges one answer"):
        judge_pairs(Judge(read_rubric("score_1_5"), client), ["a"], ["b"])
    with pytest.raises(DataError, match="`others`"):
        judge_pairs(Judge(PAIR, client), ["a", "b"], ["c"])


def test_an_endpoint_that_is_down_stops_early_and_can_be_kept() -> None:
    down = ScriptedClient(lambda request: Completion(request.key, failure=Failure("connection", "refused")))
    with pytest.raises(AllFailedError, match="All of the first 20 rows failed"):
        judge_pairs(Judge(PAIR, down), ["a"] * 90, ["b"] * 90)
    found = judge_pairs(Judge(PAIR, down), ["a"] * 90, ["b"] * 90, keep_on_failure=True)
    assert found.summary.wins.n_unscored == {"failed": 90}
    assert found.stopped
    assert math.isnan(found.summary.consistency.estimate)
