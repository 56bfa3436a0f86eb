"""A run as a whole: what it does when the server refuses, goes away, or the reader stops."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import CachedClient, Completion, Message, OpenAIClient, Request, ResponseStore
from hf_synthlabels.errors import AllFailedError, StoreError
from tests.servers.chat import ChatServer, Reply, chat_completion, error


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
        client = CachedClient(open_client(server, max_in_flight=16, outage_timeout_s=1.0), store)
        with pytest.raises(AllFailedError, match="HTTP 502: bad gateway"):
            list(client.complete(map(ask, range(1000))))
        store.flush()
        assert len(store) == 99


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "insufficient_quota"), (403, "billing_hard_limit_reached"), (200, "insufficient_balance")],
)
def test_a_used_up_account_ends_the_run_at_once(status: int, code: str) -> None:
    body = json.dumps({"error": {"message": "You exceeded your current quota.", "code": code}})
    with (
        ChatServer(lambda _: (status, {}, body.encode())) as server,
        pytest.raises(AllFailedError, match=r"The account is exhausted: .*You exceeded your current quota\."),
    ):
        list(open_client(server, max_in_flight=4).complete(map(ask, range(1000))))
    assert len(server.bodies) <= 4


def after(count: int, reply: Reply) -> Callable[[dict[str, Any]], Reply]:
    """A server that answers so many requests, and sends the same error for all others."""
    lock = threading.Lock()
    numbers = itertools.count()

    def answer(_: dict[str, Any]) -> Reply:
        with lock:
            return "good" if next(numbers) < count else reply

    return answer


def in_body(code: int, message: str) -> Reply:
    """An error sent as a success, as OpenRouter sends it."""
    return 200, {}, json.dumps({"error": {"message": message, "code": code}}).encode()


@pytest.mark.parametrize(
    ("reply", "rejections"),
    [
        (error(401, "Incorrect API key provided"), 5),
        (error(407, "Proxy Authentication Required"), 5),
        (in_body(402, "Insufficient credits"), 5),
        (error(403, "Your account has been suspended"), 20),
        (error(404, "The model does not exist"), 20),
    ],
)
def test_a_key_or_account_that_is_gone_in_mid_run_ends_it(tmp_path: Path, reply: Reply, rejections: int) -> None:
    with ChatServer(after(50, reply)) as server, ResponseStore(tmp_path / "responses.sqlite") as store:
        client = CachedClient(open_client(server, max_in_flight=8), store)
        with pytest.raises(AllFailedError, match="run the same command again"):
            list(client.complete(map(ask, range(800))))
        store.flush()
        assert len(store) == 50
    # Those, and the ones that were on the way before and after.
    assert 50 + rejections <= len(server.bodies) < 50 + rejections + 2 * 8


@pytest.mark.parametrize("status", [401, 404])
def test_single_rows_that_are_rejected_end_nothing(status: int) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        number = int(body["messages"][-1]["content"].split()[-1])
        return error(status, "no") if number % 4 else "good"

    with ChatServer(answer) as server:
        completions = list(open_client(server, max_in_flight=1).complete(map(ask, range(100))))
    assert sum(completion.failure is not None for completion in completions) == 75


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_is_too_long_ends_the_run(tmp_path: Path, status: int) -> None:
    refusal = (status, {"Retry-After": "86400"}, json.dumps({"error": {"message": "daily quota"}}).encode())
    with ChatServer(after(30, refusal)) as server, ResponseStore(tmp_path / "responses.sqlite") as store:
        client = CachedClient(open_client(server, max_in_flight=4), store)
        with pytest.raises(AllFailedError, match=r"asks to wait 2[34] h .* until 20.*daily quota"):
            list(client.complete(map(ask, range(800))))
        store.flush()
        assert len(store) == 30
    assert len(server.bodies) <= 34


def test_a_429_without_retry_after_waits_for_the_reset_of_its_limit() -> None:
    limits = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "25h"}
    refusal = (429, limits, b"{}")
    with ChatServer(lambda _: refusal) as server, pytest.raises(AllFailedError, match="asks to wait 25 h 0 min"):
        list(open_client(server).complete(map(ask, range(3))))


def test_a_good_answer_with_a_far_reset_does_not_stop_the_run() -> None:
    """Some gateways send such headers with every answer."""
    limits = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2099-01-01T00:00:00Z"}
    reply = (200, limits, json.dumps(chat_completion("good")).encode())
    with ChatServer(lambda _: reply) as server:
        assert answered(list(open_client(server).complete(map(ask, range(20)))), 20)


@pytest.mark.parametrize("reason", ["HTTP 429: slow down", "the rate limit is exhausted", "HTTP 502: bad gateway"])
def test_a_run_that_waits_says_why(reason: str, caplog: pytest.LogCaptureFixture) -> None:
    count = itertools.count()

    def answer(_: dict[str, Any]) -> Reply:
        if "429" in reason and next(count):
            return error(429, "slow down", Retry_After="30")
        if "502" in reason and next(count):
            return error(502, "bad gateway")
        limits = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"}
        headers = limits if "limit" in reason else {}
        return 200, headers, json.dumps(chat_completion("good")).encode()

    with ChatServer(answer) as server:
        client = open_client(server, max_in_flight=32, drain_s=0.0)
        assert client.waiting is None
        completions = client.complete(map(ask, range(50)))
        try:
            next(completions)
            deadline = time.monotonic() + 20
            while reason not in (client.waiting or "") and time.monotonic() < deadline:
                time.sleep(0.01)
            assert reason in (client.waiting or "")
        finally:
            # Ends the client's thread too, which would otherwise wait as long as the server says.
            completions.close()  # type: ignore[attr-defined]
    if "429" in reason:
        assert [record.getMessage() for record in caplog.records] == ["The server asks to wait 30 s. " + reason]


@pytest.mark.parametrize("status", [408, 409, 425, 500, 503, 529])
def test_faults_that_may_pass_are_retried(status: int) -> None:
    replies: Iterator[Reply] = iter([(status, {}, b"<html>down</html>")])
    with ChatServer(lambda _: next(replies, "good")) as server:
        assert answered(list(open_client(server, max_retries=1).complete([ask(0)])), 1)
    assert len(server.bodies) == 2


def test_a_completion_with_another_status_of_success_is_an_answer() -> None:
    created: Reply = (201, {}, json.dumps(chat_completion("good")).encode())
    with ChatServer(lambda _: created) as server:
        assert answered(list(open_client(server, max_retries=0).complete([ask(0)])), 1)


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
        with pytest.raises(StoreError, match="cannot be written"):
            list(completions)
        assert len(server.bodies) < 5000


INTERRUPTED = """
import sys
from hf_synthlabels.clients import CachedClient, OpenAIClient, ResponseStore
from tests.clients.openai.test_worker_loop import ask
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
