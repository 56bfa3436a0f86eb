"""Answers in, judgments out: their order, what becomes of each, when a run stops, what is kept."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.annotation import RunStats
from hf_synthlabels.clients import (
    CachedClient,
    Completion,
    Failure,
    OpenAIClient,
    Price,
    RecordedClient,
    Request,
    ResponseStore,
    Sampling,
    ScriptedClient,
)
from hf_synthlabels.errors import AllFailedError, ClientError, ConfigError, DataError
from hf_synthlabels.judging import Extraction, Judge, read_rubric
from hf_synthlabels.judging.prompting.judge_prompt import Item
from tests.servers.base import json_reply
from tests.servers.chat import ChatServer, Reply, chat_completion, error

FIVE = read_rubric("score_1_5")


class Windowed:
    """A client that takes so many requests at a time, and answers the last of them first."""

    def __init__(self, answer: Callable[[Request], Completion], width: int) -> None:
        self.asked = 0
        self._answer = answer
        self._width = width

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"client": "windowed"}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        pending = iter(requests)
        while on_the_way := list(itertools.islice(pending, self._width)):
            self.asked += len(on_the_way)
            for request in reversed(on_the_way):
                yield self._answer(request)


def by_length(request: Request) -> Completion:
    return Completion(request.key, text=f"score: {1 + len(request.text) % 5}")


def body_answer(body: dict[str, Any]) -> str:
    """The judged text of a request's body."""
    content = str(body["messages"][-1]["content"])
    return content.split("<answer>\n")[1].split("\n</answer>")[0]


def openai(server: ChatServer, **options: Any) -> OpenAIClient:
    return OpenAIClient(**{"model": "tiny", "base_url": server.base_url, "api_key_env": None, **options})


def test_order_is_that_of_the_answers_whatever_finishes_first(subtests: pytest.Subtests) -> None:
    widths: list[int] = [1, 3, 100]
    windows: list[int | None] = [2, None]
    for window in windows:
        for width in widths:
            with subtests.test(repr((width, window))):
                answers = ["x" * number if number % 7 else "" for number in range(60)]
                judge = Judge(FIVE, Windowed(by_length, width), window=window)
                found = judge.judge(answers)
                assert [one.score for one in found.judgments] == [1 + n % 5 if n % 7 else None for n in range(60)]
                assert (found.summary.n, found.summary.n_scored, found.summary.n_unscored) == (60, 51, {"empty": 9})


def test_draws_come_back_in_their_order() -> None:
    client = Windowed(lambda request: Completion(request.key, text=f"score: {1 + request.sample}"), 7)
    found = Judge(FIVE, client, Extraction(num_samples=3)).judge(["a", "b"])
    assert [one.samples for one in found.judgments] == [(1, 2, 3)] * 2
    assert found.summary.mean.estimate == 2


def test_empty_answers_and_missing_references_are_never_asked() -> None:
    client = ScriptedClient(lambda _: "score: 3")
    found = Judge(FIVE, client).judge(["a", None, "", " \n"])
    assert [one.status for one in found.judgments] == ["scored", "empty", "empty", "empty"]
    assert len(client.requests) == 1
    joint = ScriptedClient(lambda _: "8,9")
    paper = Judge(read_rubric("faysse2023"), joint).judge(["a", "b", "c"], ["r", None, " "])
    assert [one.error for one in paper.judgments] == ["", "there is no reference", "there is no reference"]
    assert len(joint.requests) == 1
    assert (paper.judgments[0].score, paper.judgments[0].reference_score) == (8, 9)
    assert paper.summary.as_dict()["reference_mean"] == 9
    assert paper.summary.as_dict()["ratio"] == pytest.approx(8 / 9)


def test_no_answers_at_all() -> None:
    found = Judge(FIVE, ScriptedClient({})).judge([])
    assert found.judgments == []
    assert math.isnan(found.summary.mean.estimate)
    assert math.isnan(found.summary.coverage)


def test_wrong_columns_are_told_before_anything_is_asked(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, Any, str]] = [
        ((["a"], ["r", "s"]), DataError, "`references` has 2 rows"),
        ((["a"], None, []), DataError, "`inputs` has 0 rows"),
        (([3],), DataError, "`predictions` has 3 in row 0, a int"),
        ((["a", "b"], ["r", [1.5]]), DataError, "`references` has 1.5 in row 1"),
        (("text",), DataError, "`predictions` is the text 'text'"),
    ]
    for arguments, error_type, words in cases:
        with subtests.test(repr((arguments, error_type, words))):
            client = ScriptedClient({})
            with pytest.raises(error_type) as caught:
                Judge(FIVE, client).judge(*arguments)
            assert words in str(caught.value)
            assert client.requests == []


def test_references_must_fit_the_rubric() -> None:
    client = ScriptedClient({})
    with pytest.raises(ConfigError, match="`references` does not fit"):
        Judge(read_rubric("summeval_fluency"), client).judge(["a"], ["b"])
    with pytest.raises(ConfigError, match="`references` is missing"):
        Judge(read_rubric("faysse2023"), client).judge(["a"])
    with pytest.raises(DataError, match="`references` has 2 texts in row 0"):
        Judge(read_rubric("faysse2023"), client).judge(["a"], [["b", "c"]])
    with pytest.raises(ConfigError, match="Use `judge_pairs`"):
        Judge(read_rubric("preference"), client).judge(["a"])


def test_a_judge_that_says_nothing_readable_is_unscored_and_not_zero() -> None:
    found = Judge(FIVE, ScriptedClient(lambda _: "Well, well.")).judge(["a"] * 30)
    assert found.summary.n_unscored == {"unparsed": 30}
    assert math.isnan(found.summary.mean.estimate)
    assert (found.summary.lowest_mean, found.summary.highest_mean) == (1, 5)


def test_judging_through_a_server_counts_usage_and_cost() -> None:
    with ChatServer(lambda _: "It is so.\nscore: 4") as server:
        price = Price(1.0, 2.0)
        found = Judge(FIVE, openai(server), price=price).judge(["a", "b"], inputs=["q", "r"])
    assert [one.score for one in found.judgments] == [4, 4]
    assert found.judgments[0].reason == "It is so."
    # Two requests of 7 and 2 tokens at 1 and 2 dollars a million.
    assert found.summary.cost_usd == pytest.approx(2 * (7 * 1 + 2 * 2) / 1e6)
    assert (found.summary.stats.requests, found.summary.stats.prompt_tokens) == (2, 14)
    assert "response_format" not in server.bodies[0]


def test_a_server_that_holds_to_a_schema_is_asked_for_json() -> None:
    with ChatServer(lambda _: '{"reason": "so", "score": 2}') as server:
        client = openai(server, sampling=Sampling(response_format="json_schema"))
        found = Judge(FIVE, client).judge(["a"])
    assert (found.judgments[0].score, found.judgments[0].parse_method) == (2, "schema")
    asked = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert asked["properties"]["score"]["enum"] == [1, 2, 3, 4, 5]
    assert "Answer with a JSON object" in server.bodies[0]["messages"][0]["content"]


def test_log_probabilities_are_read_from_a_server() -> None:
    def reply(body: dict[str, Any]) -> Reply:
        assert (body["logprobs"], body["top_logprobs"]) == (True, 5)
        likely = [{"token": "4", "logprob": math.log(0.75)}, {"token": "5", "logprob": math.log(0.25)}]
        content = [{"token": "4", "logprob": math.log(0.75), "top_logprobs": likely}]
        body_of = chat_completion("4")
        body_of["choices"][0]["logprobs"] = {"content": content}
        return json_reply(body_of)

    ladder = Extraction(parse_methods=("schema", "line", "logprobs"))
    with ChatServer(reply) as server:
        found = Judge(FIVE, openai(server, sampling=Sampling(top_logprobs=5)), ladder).judge(["a"])
        assert found.judgments[0].score == pytest.approx(4.25)
        assert found.summary.parse_methods == {"logprobs": 1}
        with pytest.raises(ConfigError, match="`parse_methods` has 'logprobs', but the client requests none"):
            Judge(FIVE, openai(server), ladder)


def test_draws_that_would_be_alike_are_refused() -> None:
    with ChatServer(lambda _: "score: 4") as server:
        with pytest.raises(ConfigError, match="`num_samples` is 3, but the client's `temperature` is 0"):
            Judge(FIVE, openai(server), Extraction(num_samples=3))
        drawn = Judge(FIVE, openai(server, sampling=Sampling(temperature=0.7)), Extraction(num_samples=3))
        assert drawn.judge(["a"]).summary.parse_methods == {"samples": 1}
    assert len(server.bodies) == 3


def test_recorded_replies_are_read_by_the_same_code() -> None:
    rows: list[dict[str, Any]] = [{"raw": "score: 4"}, {"raw": ["score: 1", "score: 2"]}]
    items = [Item("a", row=row) for row in rows]
    judge = Judge(FIVE, RecordedClient(column="raw"))
    assert [one.score for one in judge.stream(items)] == [4, 1]
    drawn = Judge(FIVE, RecordedClient(column="raw"), Extraction(num_samples=2))
    assert [one.score for one in drawn.stream(items[1:])] == [1.5]


def test_a_run_whose_first_items_all_fail_stops_with_the_cause() -> None:
    client = Windowed(lambda request: Completion(request.key, failure=Failure("http", "busy", 503)), 4)
    with pytest.raises(AllFailedError, match=r"All of the first 20 rows failed, 20 with: busy \(HTTP 503\)"):
        Judge(FIVE, client).judge(["a"] * 5000)
    assert client.asked <= 24
    with pytest.raises(AllFailedError, match="All of the first 2 rows failed"):
        Judge(FIVE, client).judge(["a", "b"])


def test_one_failure_ends_nothing() -> None:
    def answer(request: Request) -> Completion:
        if request.key % 3 == 0:
            return Completion(request.key, failure=Failure("timeout", "no answer within 3 s"))
        return Completion(request.key, text="score: 2")

    found = Judge(FIVE, Windowed(answer, 5)).judge(["a"] * 9)
    assert found.summary.n_unscored == {"failed": 3}
    assert found.summary.mean.estimate == 2


def test_what_was_scored_is_kept_when_the_endpoint_goes_down(tmp_path: Path) -> None:
    down = threading.Event()

    def reply(body: dict[str, Any]) -> Reply:
        if down.is_set() or int(body_answer(body)) >= 30:
            down.set()
            return error(503, "out of order")
        return "score: 3"

    answers = [str(number) for number in range(60)]
    with ChatServer(reply) as server, ResponseStore(tmp_path / "store.sqlite") as store:
        options = {"max_in_flight": 4, "max_retries": 1, "outage_timeout_s": 0.3}
        first = Judge(FIVE, CachedClient(openai(server, **options), store)).judge(answers, keep_on_failure=True)
        assert first.stopped
        scored = first.summary.n_scored
        assert 20 <= scored <= 30
        assert first.summary.n_unscored == {"failed": 60 - scored}
        assert first.judgments[-1].error
        with pytest.raises(AllFailedError):
            Judge(FIVE, CachedClient(openai(server, **options), store)).judge(answers)
        down.clear()
        asked = len(server.bodies)

        def healed(_: dict[str, Any]) -> Reply:
            return "score: 5"

        with ChatServer(healed) as other:
            # The same address is another server's now: what is stored is under the first one's.
            client = openai(server, **options)
            client_elsewhere = openai(other)
            # Four are on the way at once, so one before the thirtieth may have met the outage.
            kept = [answer for answer, one in zip(answers, first.judgments, strict=True) if one.score is not None]
            again = Judge(FIVE, CachedClient(client, store)).judge(kept)
            elsewhere = Judge(FIVE, CachedClient(client_elsewhere, store)).judge(answers[:3])
    assert len(server.bodies) == asked
    assert again.summary.stats.stored == scored
    assert elsewhere.summary.mean.estimate == 5


def test_the_store_is_asked_first_and_another_rubric_asks_anew(tmp_path: Path) -> None:
    client = ScriptedClient(lambda _: "score: 2")
    with ResponseStore(tmp_path / "store.sqlite") as store:
        for _ in range(2):
            Judge(FIVE, CachedClient(client, store)).judge(["a", "b"])
        assert len(client.requests) == 2
        # The reading may change for free, the rubric may not.
        Judge(FIVE, CachedClient(client, store), Extraction(parse_methods=("line",))).judge(["a", "b"])
        assert len(client.requests) == 2
        Judge(read_rubric("score_0_5"), CachedClient(client, store)).judge(["a", "b"])
        assert len(client.requests) == 4


def test_items_are_read_only_as_fast_as_they_are_asked() -> None:
    endless = (Item(f"answer {number}") for number in itertools.count())
    client = Windowed(by_length, 8)
    tally = RunStats()
    first = list(itertools.islice(Judge(FIVE, client).stream(endless, tally), 20))
    assert len(first) == 20
    assert client.asked <= 28
    assert tally.rows == 20


def test_a_client_that_ends_early_fails_what_it_left() -> None:
    class Lazy:
        identity: Mapping[str, Any] = {"client": "lazy"}

        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in itertools.islice(requests, 2):
                yield Completion(request.key, text="score: 2")
            for request in itertools.islice(requests, 1):
                del request

    found = Judge(FIVE, Lazy(), Extraction(num_samples=2)).judge(["a", "b", "c", "d"])
    assert [one.score for one in found.judgments][:1] == [2]
    assert len(found.judgments) == 4


def test_a_client_that_takes_nothing_is_told_rather_than_asked_for_ever() -> None:
    class Asleep:
        identity: Mapping[str, Any] = {"client": "asleep"}

        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            del requests
            yield from ()

    with pytest.raises(ClientError, match="client 'asleep' takes no requests"):
        Judge(FIVE, Asleep()).judge(["a"])


def test_requests_of_a_plan_are_those_that_are_sent() -> None:
    client = ScriptedClient(lambda _: "score: 2")
    judge = Judge(FIVE, client, Extraction(num_samples=2))
    items = [Item("a", ("r",), "q"), Item(""), Item("b")]
    planned = [(request.messages, request.sample) for request in judge.requests(items)]
    list(judge.stream(items))
    assert planned == [(request.messages, request.sample) for request in client.requests]


def test_the_fingerprint_follows_rubric_ladder_and_form() -> None:
    client = ScriptedClient({})
    judges = [
        Judge(FIVE, client),
        Judge(read_rubric("score_0_5"), client),
        Judge(FIVE, client, Extraction(num_samples=2)),
        Judge(FIVE, client, as_json=True),
    ]
    assert len({judge.fingerprint() for judge in judges}) == 4


def test_empty_answers_do_not_hide_that_nobody_judges() -> None:
    client = ScriptedClient(lambda _: Completion(-1, failure=Failure("connection", "no route")))
    with pytest.raises(AllFailedError, match="All of the first 2 rows failed, 2 with: no route"):
        Judge(FIVE, client).judge(["a", "", "b"])


@pytest.mark.parametrize(
    ("said", "score", "status"),
    [
        ("<think>\nFirst I thought score: 2, then more.\n</think>\n\n4", 4.0, "scored"),
        ("<think>\n\n</think>\n\nIt is fine.\nscore: 4", 4.0, "scored"),
        ("score: 2 at first\n</think>\nscore: 4", 4.0, "scored"),
        (
            "<|channel|>analysis<|message|>score: 2<|end|><|start|>assistant<|channel|>final<|message|>score: 4",
            4.0,
            "scored",
        ),
        ("<think>\nI would give it\nscore: 2\nbut let me thin", None, "truncated"),
    ],
)
def test_reasoning_of_a_judge_is_no_verdict(said: str, score: float | None, status: str) -> None:
    judge = Judge(read_rubric("score_1_5"), ScriptedClient(lambda _: said))
    (judgment,) = judge.judge(["Paris"], inputs=["?"]).judgments
    assert (judgment.score, judgment.status) == (score, status)
