from __future__ import annotations

import gc
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from hf_synthlabels.clients import Completion, Failure, Message, OpenAIClient, Request, Sampling, Usage
from hf_synthlabels.errors import ConfigError, MissingKeyError
from tests.servers.base import json_reply
from tests.servers.chat import Answer, ChatServer, Reply, chat_completion, error

KEY_ENV = "TEST_SYNTHLABELS_KEY"
SECRET = "sk-very-secret-0123456789"


def ask(key: int, text: str | None = None, **fields: Any) -> Request:
    text = f"text {key}" if text is None else text
    return Request(key, (Message("system", "Label it."), Message("user", text)), text=text, **fields)


def open_client(server: ChatServer, **options: Any) -> OpenAIClient:
    return OpenAIClient(**{"model": "tiny", "base_url": server.base_url, "api_key_env": None, **options})


def prompt(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def answer_to(reply: Reply, **options: Any) -> tuple[Completion, ChatServer]:
    """What becomes of one request that always gets the same reply."""
    with ChatServer(lambda _: reply) as server:
        (completion,) = open_client(server, **{"max_retries": 0, **options}).complete([ask(5)])
    return completion, server


def in_turn(*replies: Reply) -> Answer:
    """The replies one after another, the last one for ever."""
    left = itertools.chain(replies, itertools.repeat(replies[-1]))
    lock = threading.Lock()

    def answer(body: dict[str, Any]) -> Reply:
        with lock:
            return next(left)

    return answer


def test_every_request_is_answered_exactly_once() -> None:
    with ChatServer(lambda body: prompt(body).upper()) as server:
        completions = list(open_client(server, max_in_flight=8).complete(ask(key) for key in range(60)))
    assert Counter(completion.key for completion in completions) == dict.fromkeys(range(60), 1)
    assert all(completion.text == f"TEXT {completion.key}" for completion in completions)
    assert Counter(server.prompts()) == {f"text {key}": 1 for key in range(60)}


def test_garbage_is_collected_less_often_until_a_run_is_over() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.unfreeze()
    try:
        with ChatServer(lambda body: prompt(body)) as server:
            completions = open_client(server).complete(ask(key) for key in range(3))
            next(completions)
            # The run may be over before all its answers are read.
            assert gc.get_threshold()[0] >= before[0]
            assert len(list(completions)) == 2
        assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
    finally:
        if frozen:
            gc.freeze()


def test_nothing_asked_is_nothing_answered() -> None:
    with ChatServer(lambda _: "good") as server:
        assert list(open_client(server).complete([])) == []
        assert server.bodies == []


def test_usage_model_and_text_are_taken_over() -> None:
    completion, _ = answer_to("good")
    assert completion == Completion(5, text="good", usage=Usage(7, 2), model="tiny-1")


def test_no_more_requests_are_on_the_way_than_allowed() -> None:
    lock = threading.Lock()
    now, most = 0, 0

    def slow(body: dict[str, Any]) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return "good"

    with ChatServer(slow) as server:
        assert len(list(open_client(server, max_in_flight=3).complete(ask(key) for key in range(15)))) == 15
    assert 1 < most <= 3


def test_requests_are_pulled_only_as_fast_as_they_are_sent() -> None:
    pulled = 0

    def endless() -> Iterator[Request]:
        nonlocal pulled
        for key in itertools.count():
            pulled += 1
            yield ask(key)

    with ChatServer(lambda _: "good") as server:
        completions = open_client(server, max_in_flight=2).complete(endless())
        assert next(completions).text == "good"
        time.sleep(0.2)
        # Two on the way, eight answered and waiting, two held back, one taken.
        assert pulled <= 13
        completions.close()  # type: ignore[attr-defined]


def test_too_many_requests_is_tried_again_at_once_when_the_server_says_so() -> None:
    busy = error(429, "slow down", Retry_After="0")
    with ChatServer(in_turn(busy, busy, busy, busy, busy, "good")) as server:
        began = time.monotonic()
        (completion,) = open_client(server).complete([ask(0)])
        # The client's own five pauses would be 7 s at least.
        assert time.monotonic() - began < 3
    assert completion.text == "good"
    assert len(server.bodies) == 6


def test_retry_after_is_waited_for() -> None:
    with ChatServer(in_turn(error(503, "busy", Retry_After="0.8"), "good")) as server:
        began = time.monotonic()
        (completion,) = open_client(server).complete([ask(0)])
        assert time.monotonic() - began >= 0.8
    assert completion.text == "good"


@pytest.mark.parametrize(
    "reply",
    [
        error(500, "oops"),
        error(429, "slow down", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        (0, {}, b""),
        (200, {"Content-Length": "500"}, b'{"choices": ['),
    ],
)
def test_what_may_pass_is_tried_again(reply: Reply) -> None:
    with ChatServer(in_turn(reply, "good")) as server:
        (completion,) = open_client(server, max_retries=1).complete([ask(3)])
    assert completion == Completion(3, text="good", usage=Usage(7, 2), model="tiny-1")
    assert len(server.bodies) == 2


def test_what_does_not_pass_is_a_failure_after_the_last_try() -> None:
    completion, server = answer_to(error(429, "quota is used up", Retry_After="0"), max_retries=3)
    assert completion == Completion(5, failure=Failure("http", "quota is used up", 429))
    assert len(server.bodies) == 4


def test_a_refused_request_fails_alone_and_is_not_tried_again() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        return error(400, f"can not read {prompt(body)!r}") if "bad" in prompt(body) else "good"

    rows = [ask(key, f"bad {key}" if key % 4 == 0 else None) for key in range(12)]
    with ChatServer(answer) as server:
        completions = {completion.key: completion for completion in open_client(server).complete(rows)}
    assert {key for key, completion in completions.items() if completion.failure} == {0, 4, 8}
    assert completions[4].failure == Failure("http", "can not read 'bad 4'", 400)
    assert all(completions[key].text == "good" for key in (1, 2, 3, 5, 6, 7, 9, 10, 11))
    assert len(server.bodies) == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error": {"message": "no such model", "code": 1}}', "no such model"),
        (b'{"message": "no such\\nmodel"}', "no such model"),
        (b'[{"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}]', "no such model"),
        (b"<html>\n<h1>Not here</h1>\n</html>\n", "Not here"),
        (b"\xff\xfe no", "�� no"),
        (b"", "no message"),
        (b'{"error": "' + b"x" * 5000 + b'"}', "x" * 200),
    ],
)
def test_the_words_of_the_server_wherever_it_puts_them(content: bytes, message: str) -> None:
    completion, _ = answer_to((404, {}, content))
    assert completion.failure == Failure("http", message, 404)


@pytest.mark.parametrize(
    "body",
    [
        None,
        "good",
        {"choices": None},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": [{"type": "text", "text": 1}]}}]},
    ],
)
def test_what_is_no_chat_completion_is_malformed(body: Any) -> None:
    completion, _ = answer_to(json_reply(body))
    assert completion.failure is not None
    assert completion.failure.kind == "malformed"
    assert completion.failure.message.startswith("the answer is not a chat completion: ")
    assert completion.text == ""


def test_truncated_json_is_malformed_and_half_a_body_a_broken_connection() -> None:
    truncated, _ = answer_to((200, {}, b'{"choices": [{"mess'))
    assert truncated.failure is not None
    assert truncated.failure.kind == "malformed"
    half, _ = answer_to((200, {"Content-Length": "500"}, b'{"choices": ['))
    assert half.failure is not None
    assert half.failure.kind == "connection"


def test_a_connection_that_is_closed_is_a_failure_in_words() -> None:
    completion, _ = answer_to((0, {}, b""))
    assert completion.failure is not None
    assert (completion.failure.kind, completion.failure.http_status) == ("connection", None)
    assert "ServerDisconnectedError" in completion.failure.message


def test_a_server_that_is_not_there_is_a_failure_in_words() -> None:
    with ChatServer(lambda _: "good") as server:
        pass
    (completion,) = open_client(server, max_retries=0).complete([ask(1)])
    assert completion.failure is not None
    assert completion.failure.kind == "connection"


def test_an_answer_that_takes_too_long_is_a_failure() -> None:
    done = threading.Event()

    def slow(body: dict[str, Any]) -> Reply:
        done.wait(10)
        return "good"

    with ChatServer(slow) as server:
        (completion,) = open_client(server, max_retries=0, timeout_s=0.2).complete([ask(1)])
        done.set()
    assert completion == Completion(1, failure=Failure("timeout", "no answer within 0.2 s"))


def test_sparse_answers_are_answers() -> None:
    completion, _ = answer_to(json_reply({"choices": [{"message": {"content": None}, "finish_reason": "stop"}]}))
    assert completion == Completion(5, text="")
    completion, _ = answer_to(json_reply({"choices": [{"message": {"content": "good"}}], "usage": None}))
    assert completion == Completion(5, text="good")


def test_half_a_surrogate_pair_becomes_a_character_that_can_be_written() -> None:
    completion, _ = answer_to(json_reply(chat_completion("good \ud83d")))
    assert completion.text == "good ?"


def test_a_refusal_is_said() -> None:
    completion, _ = answer_to(json_reply(chat_completion(None, message={"refusal": "I can not do that."})))
    assert completion.refusal
    assert completion.text == "I can not do that."
    assert completion.failure is None


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key_the_variable_is_named(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOTHER_KEY", SECRET)
    if value is None:
        monkeypatch.delenv(KEY_ENV, raising=False)
    else:
        monkeypatch.setenv(KEY_ENV, value)
    with pytest.raises(MissingKeyError, match=rf"`api_key_env` names '{KEY_ENV}', which is not set") as caught:
        OpenAIClient(model="tiny", api_key_env=KEY_ENV)
    assert SECRET not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_key_that_is_gone_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, SECRET)
    client = OpenAIClient(model="tiny", base_url="http://127.0.0.1:9/v1", api_key_env=KEY_ENV)
    monkeypatch.delenv(KEY_ENV)
    with pytest.raises(MissingKeyError, match=KEY_ENV):
        list(client.complete([ask(0)]))


def test_the_key_is_sent_as_bearer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, f" {SECRET}\n")
    _, server = answer_to("good", api_key_env=KEY_ENV)
    assert server.authorizations == [f"Bearer {SECRET}"]


def test_without_a_variable_no_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    _, server = answer_to("good", api_key_env=None)
    assert server.authorizations == [None]


def test_the_key_stands_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, SECRET)
    with ChatServer(lambda _: error(401, f"Incorrect API key provided: {SECRET}.")) as server:
        client = open_client(server, api_key_env=KEY_ENV)
        (completion,) = client.complete([ask(0)])
    assert completion.failure == Failure("http", "Incorrect API key provided: ***.", 401)
    for shown in (repr(client), str(client.__dict__), json.dumps(client.identity), repr(completion)):
        assert SECRET not in shown


def test_the_identity_is_model_endpoint_and_sampling() -> None:
    client = OpenAIClient(model="tiny", base_url="http://127.0.0.1:9/v1/", api_key_env=None, sampling=Sampling(seed=3))
    assert client.identity == {
        "client": "openai",
        "model": "tiny",
        "base_url": "http://127.0.0.1:9/v1",
        "sampling": {"temperature": 0.0, "max_tokens": 256, "seed": 3, "response_format": "text"},
    }


def test_nothing_in_flight_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`max_in_flight` is 0"):
        OpenAIClient(model="tiny", api_key_env=None, max_in_flight=0)


SCHEMA = {"type": "object", "properties": {"label": {"enum": ["good", "bad"]}}, "required": ["label"]}
MESSAGES = [{"role": "system", "content": "Label it."}, {"role": "user", "content": "text 1"}]


def body_sent(sampling: Sampling, **fields: Any) -> dict[str, Any]:
    with ChatServer(lambda _: "good") as server:
        list(open_client(server, sampling=sampling).complete([ask(1, **fields)]))
    (body,) = server.bodies
    return body


def test_the_body_of_a_plain_request() -> None:
    # The row and its text are never sent.
    body = body_sent(Sampling(), row={"text": "text 1", "label": 1}, sample=2, response_schema=SCHEMA)
    assert body == {"model": "tiny", "messages": MESSAGES, "temperature": 0.0, "max_tokens": 256}


def test_the_body_of_a_request_that_is_held_to_a_schema() -> None:
    sampling = Sampling(temperature=None, top_p=0.5, max_tokens=None, response_format="json_schema")
    assert body_sent(sampling, response_schema=SCHEMA) == {
        "model": "tiny",
        "messages": MESSAGES,
        "top_p": 0.5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "label", "strict": True, "schema": SCHEMA},
        },
    }


def test_the_body_of_a_request_for_json() -> None:
    sampling = Sampling(response_format="json_object")
    assert body_sent(sampling, response_schema=SCHEMA)["response_format"] == {"type": "json_object"}


def test_each_draw_has_a_seed_of_its_own() -> None:
    with ChatServer(lambda body: str(body["seed"])) as server:
        client = open_client(server, sampling=Sampling(temperature=1.0, seed=10))
        completions = list(client.complete(ask(sample, "same", sample=sample) for sample in range(3)))
    assert {completion.key: completion.text for completion in completions} == {0: "10", 1: "11", 2: "12"}


def bounded(work: Any, seconds: float = 5.0) -> None:
    """Run in a thread; fails rather than hangs."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"not finished after {seconds} s"


def test_closing_early_waits_for_what_is_on_the_way_and_keeps_it() -> None:
    started = threading.Barrier(4)
    kept: list[int] = []

    def answer(body: dict[str, Any]) -> Reply:
        if prompt(body) != "text 0":
            started.wait(10)
            time.sleep(0.3)
        return "good"

    def keep(completion: Completion) -> None:
        kept.append(completion.key)

    with ChatServer(answer) as server:
        completions = open_client(server, max_in_flight=5).complete_with_persist((ask(key) for key in range(5)), keep)
        assert next(completions).key == 0
        bounded(completions.close)  # type: ignore[attr-defined]
    assert sorted(kept) == [0, 1, 2, 3, 4]
    assert len(server.bodies) == 5


def test_answers_on_the_way_are_not_waited_for_longer_than_told() -> None:
    done = threading.Event()
    before = set(threading.enumerate())

    def answer(body: dict[str, Any]) -> Reply:
        if prompt(body) != "text 0":
            done.wait(30)
        return "good"

    with ChatServer(answer) as server:
        client = open_client(server, max_in_flight=4, drain_s=0.2)
        completions = client.complete(ask(key) for key in itertools.count())
        assert next(completions).key == 0
        bounded(completions.close)  # type: ignore[attr-defined]
        done.set()
    for thread in set(threading.enumerate()) - before:
        if thread.name == "openai-client":
            thread.join(20)
            assert not thread.is_alive()


def test_closing_early_does_not_wait_for_a_pause() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        return "good" if prompt(body) == "text 0" else error(429, "later", Retry_After="60")

    with ChatServer(answer) as server:
        completions = open_client(server, max_in_flight=4).complete(ask(key) for key in itertools.count())
        assert next(completions).key == 0
        while len(server.bodies) < 2:
            time.sleep(0.01)
        time.sleep(0.2)  # The workers have read that all are to wait.
        bounded(completions.close)  # type: ignore[attr-defined]


def test_an_error_of_the_rows_comes_up_as_itself() -> None:
    class RowsError(Exception):
        pass

    def rows() -> Iterator[Request]:
        yield ask(0)
        raise RowsError("row 1 can not be read")

    caught: list[BaseException] = []

    def work() -> None:
        try:
            list(open_client(server).complete(rows()))
        except Exception as error:
            caught.append(error)

    with ChatServer(lambda _: "good") as server:
        bounded(work)
    assert [(type(error), str(error)) for error in caught] == [(RowsError, "row 1 can not be read")]
