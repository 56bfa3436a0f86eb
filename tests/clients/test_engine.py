"""A run as a whole: what it does when the server refuses, goes away, or the reader stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from hf_synthlabels.clients import CachedClient, Completion, Message, OpenAIClient, Request, ResponseStore
from hf_synthlabels.errors import AllFailedError, StoreError
from tests.clients.chat_server import ChatServer, Reply, chat_completion, error


def ask(key: int) -> Request:
    return Request(key, (Message("user", f"text {key}"),))


def open_client(server: ChatServer, **options: Any) -> OpenAIClient:
    return OpenAIClient(**{"model": "tiny", "base_url": server.base_url, "api_key_env": None, **options})


def answered(completions: list[Completion], count: int) -> bool:
    good = [completion.key for completion in completions if completion.failure is None]
    return sorted(good) == list(range(count))


class Down:
    """A server that is away from one request on, and back so many seconds later."""

    def __init__(self, after: int, seconds: float, reply: Reply) -> None:
        self.after, self.seconds, self.reply = after, seconds, reply
        self.count = 0
        self.since: float | None = None
        self.lock = threading.Lock()

    def __call__(self, _: dict[str, Any]) -> Reply:
        with self.lock:
            self.count += 1
            if self.count == self.after:
                self.since = time.monotonic()
            away = self.since is not None and time.monotonic() < self.since + self.seconds
        return self.reply if away else "good"


@pytest.mark.parametrize("reply", [error(503, "overloaded"), (0, {}, b"")], ids=["503", "closed connections"])
def test_a_server_that_goes_away_is_waited_for_and_no_row_is_lost(reply: Reply) -> None:
    with ChatServer(Down(200, 1.5, reply)) as server:
        completions = list(open_client(server, max_in_flight=32, max_retries=3).complete(map(ask, range(600))))
    assert answered(completions, 600)
    # While it was away one asked from time to time, not all of them again and again.
    assert len(server.bodies) < 600 + 32 * 4


def test_a_server_that_stays_away_ends_the_run_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    with (
        ChatServer(Down(100, 3600, error(502, "bad gateway"))) as server,
        ResponseStore(tmp_path / "responses.sqlite") as store,
    ):
        client = CachedClient(open_client(server, max_in_flight=16, patience_s=1.0), store)
        with pytest.raises(
            AllFailedError, match=r"answered nothing for \d+ s; the last error: HTTP 502: bad gateway\."
        ):
            list(client.complete(map(ask, range(1000))))
        assert len(store) == 99


def test_a_used_up_account_ends_the_run_at_once() -> None:
    body = '{"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}'
    with (
        ChatServer(lambda _: (429, {}, body.encode())) as server,
        pytest.raises(AllFailedError, match=r"the account is used up: You exceeded your current quota\."),
    ):
        list(open_client(server, max_in_flight=4).complete(map(ask, range(1000))))
    assert len(server.bodies) <= 4


@pytest.mark.parametrize("headers", [{"Retry_After": "0.2"}, {}], ids=["with Retry-After", "without"])
def test_a_storm_of_refusals_loses_no_row(headers: dict[str, str]) -> None:
    """The server bears 20 requests in any fifth of a second."""
    times: list[float] = []
    lock = threading.Lock()

    def answer(_: dict[str, Any]) -> Reply:
        with lock:
            now = time.monotonic()
            times[:] = [sent for sent in times if sent > now - 0.2]
            if len(times) >= 20:
                return error(429, "slow down", **headers)
            times.append(now)
        return "good"

    with ChatServer(answer) as server:
        completions = list(open_client(server, max_in_flight=64, max_retries=3).complete(map(ask, range(200))))
    assert answered(completions, 200)


def test_the_limits_of_an_answer_are_heeded() -> None:
    sent: list[float] = []

    def answer(_: dict[str, Any]) -> Reply:
        sent.append(time.monotonic())
        headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "300ms"}
        return 200, headers if len(sent) == 1 else {}, json.dumps(chat_completion("good")).encode()

    with ChatServer(answer) as server:
        assert answered(list(open_client(server, max_in_flight=1).complete(map(ask, range(3)))), 3)
    assert sent[1] - sent[0] >= 0.29


def test_requests_a_minute_hold_for_real() -> None:
    with ChatServer(lambda _: "good") as server:
        began = time.monotonic()
        client = open_client(server, max_in_flight=32, requests_per_minute=1200)
        assert answered(list(client.complete(map(ask, range(60)))), 60)
    # Twenty a second, and the first second's worth in advance.
    assert time.monotonic() - began >= 1.9


def test_answers_that_can_not_be_kept_end_the_run(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "responses.sqlite")
    with ChatServer(lambda _: "good") as server:
        completions = CachedClient(open_client(server, max_in_flight=4), store).complete(map(ask, range(5000)))
        next(completions)
        store.execute("ALTER TABLE answers RENAME TO elsewhere")
        with pytest.raises(StoreError, match="can not be"):
            list(completions)
        assert len(server.bodies) < 5000


def test_through_a_client_that_the_caller_has_configured() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        refused = len(server.bodies) == 1
        return error(429, "slow down", Retry_After="0") if refused else str(body["messages"][-1]["content"])

    with ChatServer(answer) as server:
        sdk = openai.AsyncOpenAI(base_url=server.base_url, api_key="secret", max_retries=7)
        client = OpenAIClient(model="tiny", sdk=sdk, api_key_env=None, max_in_flight=4)
        completions = list(client.complete(map(ask, range(20))))
    assert sorted((completion.key, completion.text) for completion in completions) == [
        (key, f"text {key}") for key in range(20)
    ]
    # The limiter saw the refusal: the SDK did not repeat it by itself.
    assert len(server.bodies) == 21
    assert server.authorizations[0] == "Bearer secret"
    assert client.base_url == server.base_url


INTERRUPTED = """
import sys
from hf_synthlabels.clients import CachedClient, OpenAIClient, ResponseStore
from tests.clients.test_engine import ask
with ResponseStore(sys.argv[1]) as store:
    client = OpenAIClient(model="tiny", base_url=sys.argv[2], api_key_env=None, max_in_flight=8)
    for completion in CachedClient(client, store).complete(map(ask, range(100000))):
        pass
"""


def test_ctrl_c_waits_for_what_is_on_the_way_and_keeps_it(tmp_path: Path) -> None:
    many = threading.Event()
    done: list[int] = []

    def answer(_: dict[str, Any]) -> Reply:
        if len(server.bodies) > 100:
            many.set()
        time.sleep(0.1)
        done.append(1)
        return "good"

    path = tmp_path / "responses.sqlite"
    with ChatServer(answer) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, str(path), server.base_url], stderr=subprocess.PIPE
        )
        assert many.wait(30)
        os.kill(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=20)
    assert b"KeyboardInterrupt" in said
    # Everything that was sent was answered, and everything that was answered is kept.
    with ResponseStore(path) as store:
        assert len(store) == len(server.bodies) == len(done)
