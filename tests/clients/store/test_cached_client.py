from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import (
    CachedClient,
    Completion,
    Failure,
    Message,
    OpenAIClient,
    Request,
    ResponseStore,
    ScriptedClient,
    Usage,
)
from hf_synthlabels.clients.store.cached_client import RequestKeys
from hf_synthlabels.errors import StoreError
from hf_synthlabels.labels import Token
from tests.servers.chat import ChatServer


class NamedClient(ScriptedClient):
    """A scripted client with an identity of one's own."""

    def __init__(self, model: str) -> None:
        super().__init__(lambda request: f"{model}: {request.text}")
        self.model = model

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"client": "named", "model": self.model}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResponseStore]:
    with ResponseStore(tmp_path / "answers.sqlite") as opened:
        yield opened


def ask(key: int, text: str | None = None, **fields: Any) -> Request:
    text = f"text {key}" if text is None else text
    return Request(key, fields.pop("messages", (Message("user", text),)), text=text, **fields)


def upper(request: Request) -> Completion:
    return Completion(
        -1,
        text=request.text.upper(),
        usage=Usage(len(request.text), 2),
        model="tiny-1",
        probabilities={"good": 0.75, "bad": 0.25},
    )


def run(client: ScriptedClient, store: ResponseStore, requests: Iterable[Request]) -> dict[int, Completion]:
    completions = list(CachedClient(client, store).complete(requests))
    by_key = {completion.key: completion for completion in completions}
    assert len(by_key) == len(completions)
    return by_key


def test_a_second_run_asks_nothing(store: ResponseStore) -> None:
    first = ScriptedClient(upper)
    asked = run(first, store, [ask(key) for key in range(150)])
    assert len(first.requests) == len(store) == 150
    assert asked[7] == Completion(
        7, text="TEXT 7", usage=Usage(6, 2), model="tiny-1", probabilities={"good": 0.75, "bad": 0.25}
    )

    second = ScriptedClient(upper)
    again = run(second, store, (ask(key) for key in range(150)))
    assert second.requests == []
    assert sorted(again) == list(range(150))
    assert again[7] == Completion(
        7, text="TEXT 7", usage=Usage(6, 2), model="tiny-1", probabilities={"good": 0.75, "bad": 0.25}, stored=True
    )


def test_an_appended_row_costs_one_request(store: ResponseStore) -> None:
    run(ScriptedClient(upper), store, [ask(key) for key in range(100)])
    client = ScriptedClient(upper)
    answers = run(client, store, [ask(key) for key in range(101)])
    assert [request.key for request in client.requests] == [100]
    assert len(answers) == 101
    assert [key for key, completion in answers.items() if not completion.stored] == [100]


def test_answers_are_kept_when_the_reader_stops_halfway(store: ResponseStore) -> None:
    completions = CachedClient(ScriptedClient(upper), store).complete(ask(key) for key in range(100))
    assert [next(completions).key for _ in range(10)] == list(range(10))
    completions.close()  # type: ignore[attr-defined]
    store.flush()
    client = ScriptedClient(upper)
    run(client, store, [ask(key) for key in range(100)])
    assert 90 <= len(client.requests) <= 91


@pytest.mark.parametrize(
    "no_answer",
    [
        Completion(0, failure=Failure("http", "slow down", 429)),
        Completion(0, text="I can not.", refusal=True),
        Completion(0, text="goo", finish_reason="length"),
        Completion(0, text="goo", finish_reason="content_filter"),
        Completion(0, text="", finish_reason="content_filter", usage=Usage(5, 3)),
    ],
)
def test_what_is_no_answer_is_passed_on_and_asked_again(no_answer: Completion, store: ResponseStore) -> None:
    client = ScriptedClient({"text 0": no_answer, "text 1": "good"})
    answers = run(client, store, [ask(0), ask(1)])
    assert answers == {0: no_answer, 1: Completion(1, text="good")}
    assert len(store) == 1

    later = ScriptedClient(upper)
    assert run(later, store, [ask(0), ask(1)])[0].text == "TEXT 0"
    assert [request.key for request in later.requests] == [0]


def test_a_prompt_that_the_filter_rejects_is_sent_once(store: ResponseStore) -> None:
    rejected = Completion(0, finish_reason="content_filter")
    run(ScriptedClient({"text 0": rejected}), store, [ask(0)])
    later = ScriptedClient(upper)
    assert run(later, store, [ask(0)]) == {0: replace(rejected, stored=True)}
    assert later.requests == []


def test_reasoning_is_stored_with_its_answer(store: ResponseStore) -> None:
    answer = Completion(0, text="good", reasoning="bad?", tokens=(Token("good", -0.5),))
    run(ScriptedClient({"text 0": answer}), store, [ask(0)])
    assert run(ScriptedClient({}), store, [ask(0)]) == {0: replace(answer, stored=True)}


SCHEMA = {"type": "object", "properties": {"label": {"enum": ["good", "bad"]}}}


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": (Message("user", "text 0!"),)},
        {"messages": (Message("system", "text 0"),)},
        {"messages": (Message("system", "Label it."), Message("user", "text 0"))},
        {"response_schema": None},
        {"response_schema": {"type": "object", "properties": {"label": {"enum": ["bad", "good"]}}}},
        {"sample": 1},
    ],
)
def test_another_question_is_asked(changes: dict[str, Any], store: ResponseStore) -> None:
    run(ScriptedClient(upper), store, [ask(0, response_schema=SCHEMA)])
    client = ScriptedClient(upper)
    answers = run(client, store, [ask(0, **{"response_schema": SCHEMA, **changes})])
    assert len(client.requests) == 1
    assert not answers[0].stored
    assert len(store) == 2


def test_another_annotator_is_asked(store: ResponseStore) -> None:
    assert run(NamedClient("small"), store, [ask(0)])[0].text == "small: text 0"
    assert run(NamedClient("large"), store, [ask(0)])[0].text == "large: text 0"
    small = NamedClient("small")
    assert run(small, store, [ask(0)])[0].text == "small: text 0"
    assert small.requests == []
    assert CachedClient(small, store).identity == {"client": "named", "model": "small"}


def test_position_row_and_order_are_no_part_of_a_question(store: ResponseStore) -> None:
    run(ScriptedClient(upper), store, [ask(key, row={"id": key, "label": 0}) for key in range(5)])
    client = ScriptedClient(upper)
    answers = run(client, store, [ask(10 + key, f"text {4 - key}", row={"label": 1}) for key in range(5)])
    assert client.requests == []
    assert [answers[10 + key].text for key in range(5)] == ["TEXT 4", "TEXT 3", "TEXT 2", "TEXT 1", "TEXT 0"]


def test_new_and_known_questions_may_alternate(store: ResponseStore) -> None:
    run(ScriptedClient(upper), store, [ask(key) for key in range(0, 200, 2)])
    client = ScriptedClient(upper)
    answers = run(client, store, [ask(key) for key in range(200)])
    assert [request.key for request in client.requests] == list(range(1, 200, 2))
    assert {key: completion.text for key, completion in answers.items()} == {key: f"TEXT {key}" for key in range(200)}
    assert all(completion.stored == (key % 2 == 0) for key, completion in answers.items())


def test_with_a_server_each_question_is_sent_once_and_never_again(store: ResponseStore) -> None:
    def label(count: int, url: str) -> list[Completion]:
        client = OpenAIClient(model="tiny", base_url=url, api_key_env=None, max_in_flight=4)
        return list(CachedClient(client, store).complete(ask(key) for key in range(count)))

    with ChatServer(lambda body: str(body["messages"][0]["content"]).upper()) as server:
        assert {completion.key for completion in label(40, server.base_url)} == set(range(40))
        assert len(server.bodies) == 40
        again = label(41, server.base_url)
        assert {completion.key: completion.text for completion in again} == {key: f"TEXT {key}" for key in range(41)}
        assert sum(completion.stored for completion in again) == 40
        assert server.prompts()[40:] == ["text 40"]


def test_an_error_of_the_store_comes_up_through_a_client_with_threads(tmp_path: Path) -> None:
    closed = ResponseStore(tmp_path / "closed.sqlite")
    closed.close()
    with ChatServer(lambda _: "good") as server:
        client = OpenAIClient(model="tiny", base_url=server.base_url, api_key_env=None)
        with pytest.raises(StoreError, match="cannot be read"):
            list(CachedClient(client, closed).complete([ask(0)]))
        assert server.bodies == []


@pytest.mark.parametrize("repeat_at", [1, 100, 300])
def test_an_equal_request_is_answered_once_wherever_it_comes(store: ResponseStore, repeat_at: int) -> None:
    # One at a time, so that the first is answered long before the second is reached.
    client = ScriptedClient(upper)
    texts = [f"text {number}" for number in range(320)]
    texts[repeat_at] = texts[0]
    done = run(client, store, [ask(key, text) for key, text in enumerate(texts)])
    assert len(client.requests) == 319
    assert (done[0].text, done[0].stored) == ("TEXT 0", False)
    assert (done[repeat_at].text, done[repeat_at].stored) == ("TEXT 0", True)


class SlowClient(ScriptedClient):
    """Takes a while for each answer, and two of them need not wait for each other."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for completion in super().complete(requests):
            time.sleep(0.002)
            yield completion


def test_two_that_share_a_store_share_the_work(tmp_path: Path) -> None:
    clients = [SlowClient(upper), SlowClient(upper)]
    done: dict[int, list[Completion]] = {}

    def work(number: int) -> None:
        with ResponseStore(tmp_path / "answers.sqlite") as store:
            done[number] = list(CachedClient(clients[number], store).complete(map(ask, range(600))))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asked = [request.text for client in clients for request in client.requests]
    assert sorted(asked) == sorted(f"text {key}" for key in range(600))
    assert min(len(client.requests) for client in clients) > 100
    for completions in done.values():
        assert {item.key: item.text for item in completions} == {key: f"TEXT {key}" for key in range(600)}


HOLDER = """
import sys
from hf_synthlabels.clients import ResponseStore
store = ResponseStore(sys.argv[1])
assert store.acquire(sys.argv[2:]) == sys.argv[2:]
print("claimed", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(store: ResponseStore, keys: Iterable[str]) -> Iterator[subprocess.Popen[str]]:
    """Another process that has claimed some keys and does nothing about them."""
    command = [sys.executable, "-c", HOLDER, str(store.path), *keys]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "claimed\n"
        try:
            yield child
        finally:
            child.kill()


def test_what_a_killed_process_had_on_the_way_is_asked_here(store: ResponseStore) -> None:
    client = ScriptedClient(upper)
    keys = RequestKeys(client.identity)
    with holder(store, [keys.of(ask(3)), keys.of(ask(5))]) as child:
        completions = CachedClient(client, store).complete(map(ask, range(8)))
        first = [next(completions).key for _ in range(6)]
        assert sorted(first) == [0, 1, 2, 4, 6, 7]
        child.send_signal(signal.SIGKILL)
        assert sorted(item.key for item in completions) == [3, 5]
    assert len(client.requests) == 8


def test_a_process_that_is_halted_is_not_waited_for_forever(
    store: ResponseStore, caplog: pytest.LogCaptureFixture
) -> None:
    client = ScriptedClient(upper)
    with holder(store, [RequestKeys(client.identity).of(ask(1))]):
        kept = CachedClient(client, store, outage_timeout_s=0.3)
        began = time.monotonic()
        assert {item.key for item in kept.complete(map(ask, range(3)))} == {0, 1, 2}
        assert time.monotonic() - began >= 0.3
    assert "No result from the other process for 0 s" in caplog.text
    assert len(store) == 3


def test_a_run_that_is_left_early_holds_nothing_back(tmp_path: Path, store: ResponseStore) -> None:
    left = CachedClient(ScriptedClient(upper), store).complete(map(ask, range(50)))
    next(left)
    left.close()  # type: ignore[attr-defined]
    store.flush()
    with ResponseStore(tmp_path / "answers.sqlite") as other:
        done = run(ScriptedClient(upper), other, map(ask, range(50)))
    assert len(done) == 50


def test_what_failed_is_free_for_others(tmp_path: Path, store: ResponseStore) -> None:
    failing = ScriptedClient(lambda _: Completion(-1, failure=Failure("timeout", "too late")))
    assert all(item.failure for item in run(failing, store, map(ask, range(3))).values())
    client = ScriptedClient(upper)
    with ResponseStore(tmp_path / "answers.sqlite") as other:
        assert len(run(client, other, map(ask, range(3)))) == 3
    assert len(client.requests) == 3


def test_hits_that_come_while_they_are_read_are_handed_out_once(store: ResponseStore) -> None:
    # The client's thread adds stored answers while this one hands them out, switched as often as Python can.
    interval = sys.getswitchinterval()
    with ChatServer(lambda body: str(body["messages"][0]["content"]).upper()) as server:
        client = OpenAIClient(model="tiny", base_url=server.base_url, api_key_env=None, max_in_flight=16)
        list(CachedClient(client, store).complete(ask(key) for key in range(0, 400, 2)))
        sys.setswitchinterval(1e-6)
        try:
            answers = list(CachedClient(client, store).complete(ask(key) for key in range(400)))
        finally:
            sys.setswitchinterval(interval)
    assert sorted(answer.key for answer in answers) == list(range(400))
    assert [answer.key for answer in answers if answer.stored] == list(range(0, 400, 2))
