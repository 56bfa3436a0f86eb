from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import (
    BudgetTracker,
    CachedClient,
    Completion,
    Message,
    OpenAIClient,
    Request,
    ResponseStore,
    Run,
    Sampling,
    Usage,
    retry,
)
from hf_synthlabels.clients.openai import circuit_breaker
from hf_synthlabels.clients.store.budget import max_prompt_tokens
from hf_synthlabels.errors import AllFailedError, ConfigError, StoreError
from tests.servers.base import json_reply
from tests.servers.chat import ChatServer, Reply, chat_completion, error

MAX_TOKENS = 10


def cost_usd(usage: Usage) -> float:
    """A dollar for a thousand prompt tokens, two for a thousand of the answer."""
    return usage.prompt_tokens / 1000 + usage.completion_tokens / 500


def ask(key: int) -> Request:
    return Request(key, (Message("user", f"text {key:04d}"),))


MOST = max_prompt_tokens(ask(0))
MAX_USD = cost_usd(Usage(MOST, MAX_TOKENS))


def billed(prompt_tokens: int = 20, completion_tokens: int = 2) -> Reply:
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return json_reply(chat_completion("good", usage=usage))


class Account:
    """A store, and runs against a server on one budget."""

    def __init__(self, path: Path, server: ChatServer) -> None:
        self.path = path
        self.server = server

    def spend(self, keys: range, *, in_flight: int = 8, price: Any = cost_usd, **budget: Any) -> list[Completion]:
        with ResponseStore(self.path) as store:
            run = Run("films", "tiny", self.server.base_url, **budget)
            tracker = BudgetTracker(store, run, cost_usd=price, max_tokens=MAX_TOKENS)
            tracker.begin()
            client = OpenAIClient(
                model="tiny",
                base_url=self.server.base_url,
                api_key_env=None,
                sampling=Sampling(max_tokens=MAX_TOKENS),
                max_in_flight=in_flight,
                max_retries=2,
                timeout_s=0.5,
                budget=tracker,
            )
            try:
                return list(CachedClient(client, store).complete(ask(key) for key in keys))
            finally:
                tracker.end()

    def ledger(self) -> list[dict[str, Any]]:
        with ResponseStore(self.path) as store:
            names = [row[1] for row in store.select("PRAGMA table_info(runs)")]
            return [
                dict(zip(names, row, strict=True)) for row in store.select("SELECT * FROM runs ORDER BY started_at")
            ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.sqlite"


def test_the_ledger_says_what_came_back_and_nothing_stays_reserved(path: Path) -> None:
    with ChatServer(lambda _: billed()) as server:
        account = Account(path, server)
        account.spend(range(50))
        account.spend(range(60))
    first, second = account.ledger()
    assert (first["requests"], first["prompt_tokens"], first["completion_tokens"]) == (50, 1000, 100)
    assert first["usd"] == pytest.approx(50 * cost_usd(Usage(20, 2)))
    assert (second["requests"], second["scope"], second["model"]) == (10, "films", "tiny")
    for run in (first, second):
        assert run["granted_requests"] == run["requests"]
        assert run["granted_usd"] == pytest.approx(run["usd"])
        assert run["granted_tokens"] == run["prompt_tokens"] + run["completion_tokens"]
        assert run["ended_at"] >= run["started_at"]
        assert run["uncertain_requests"] == 0


def test_a_run_that_asks_nothing_leaves_no_entry(path: Path) -> None:
    with ChatServer(lambda _: billed()) as server:
        account = Account(path, server)
        account.spend(range(5))
        account.spend(range(5))
    assert len(account.ledger()) == 1


def test_without_a_price_tokens_are_counted_and_money_is_unknown(path: Path) -> None:
    with ChatServer(lambda _: billed()) as server:
        account = Account(path, server)
        account.spend(range(3), price=None)
    (run,) = account.ledger()
    assert (run["prompt_tokens"], run["usd"]) == (60, None)


@pytest.mark.parametrize("in_flight", [1, 8, 64])
def test_a_budget_in_dollars_is_never_exceeded_and_nearly_used(path: Path, in_flight: int) -> None:
    each = cost_usd(Usage(20, 2))
    budget = 100 * each
    with ChatServer(lambda _: billed()) as server:
        account = Account(path, server)
        completions = account.spend(range(300), in_flight=in_flight, budget_usd=budget)
        spent = len(server.bodies) * each
    assert spent <= budget + 1e-9
    # Only what a last request could have cost at most may be left.
    assert spent > budget - MAX_USD - each
    over = [completion for completion in completions if completion.failure]
    assert len(over) == 300 - len(server.bodies)
    assert {completion.failure.kind for completion in over if completion.failure} == {"over_budget"}


def test_a_budget_in_tokens_is_never_exceeded(path: Path) -> None:
    with ChatServer(lambda _: billed()) as server:
        account = Account(path, server)
        account.spend(range(300), in_flight=32, price=None, budget_tokens=2000)
        used = 22 * len(server.bodies)
    assert 2000 - (MOST + MAX_TOKENS) - 22 < used <= 2000


def test_a_budget_counts_all_runs_of_its_recipe(path: Path) -> None:
    each = cost_usd(Usage(20, 2))
    with ChatServer(lambda _: billed()) as server:
        account = Account(path, server)
        account.spend(range(40), budget_usd=50 * each)
        assert len(server.bodies) == 40
        account.spend(range(300), budget_usd=50 * each)
        assert len(server.bodies) <= 50
        account.spend(range(300), budget_usd=80 * each)
        assert 70 < len(server.bodies) <= 80


@pytest.mark.parametrize(("prompt", "answer"), [(1000, 2), (20, 490)], ids=["longer prompts", "longer answers"])
@pytest.mark.parametrize("in_flight", [1, 8, 64])
def test_a_server_that_ignores_the_limits_is_kept_within_the_budget(
    path: Path, prompt: int, answer: int, in_flight: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The first answer shows what each can cost, 1.002 or 1.0 dollars; then as much is reserved."""
    with ChatServer(lambda _: billed(prompt, answer)) as server:
        account = Account(path, server)
        account.spend(range(300), in_flight=in_flight, budget_usd=20.5)
        (run,) = account.ledger()
    # Of ordinary prompts as long as those here 20 fit in. The bounds of prompts let the last one or two stay away.
    assert run["usd"] == pytest.approx(len(server.bodies) * cost_usd(Usage(prompt, answer)))
    assert 18.5 < run["usd"] <= 20.5
    assert any("max_tokens" in record.getMessage() for record in caplog.records) == (answer > MAX_TOKENS)
    assert not any("exceeded" in record.getMessage() for record in caplog.records)


def test_what_exceeds_the_budget_is_counted_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first answers are short, so nothing warns of the others."""
    started = threading.Barrier(8, timeout=10)

    def answer(_: dict[str, Any]) -> Reply:
        with lock:
            number = next(numbers)
        if number < 20:
            return billed(20, 2)
        if number < 28:
            # Eight are on the way together before any of them shows what it costs.
            started.wait()
        return billed(20, 1000)

    numbers, lock = itertools.count(), threading.Lock()
    with ChatServer(answer) as server:
        account = Account(path, server)
        completions = account.spend(range(300), in_flight=8, budget_tokens=5000, price=None)
        assert len(server.bodies) == 28
        again = account.spend(range(300, 310), in_flight=8, budget_tokens=5000, price=None)
        assert len(server.bodies) == 28
    (run,) = account.ledger()
    spent = 20 * 22 + 8 * 1020
    assert run["prompt_tokens"] + run["completion_tokens"] == spent
    assert {completion.failure.kind for completion in again if completion.failure} == {"over_budget"}
    assert len([completion for completion in completions if completion.failure is None]) == 28
    messages = [record.getMessage() for record in caplog.records]
    assert any("`budget_tokens` of 'films' is exceeded by 3600." in message for message in messages)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_an_answer_that_counts_no_tokens_is_charged_with_the_most_it_can_cost(path: Path, usage: Any) -> None:
    with ChatServer(lambda _: json_reply(chat_completion("good", usage=usage))) as server:
        account = Account(path, server)
        account.spend(range(100), budget_usd=10 * MAX_USD)
        assert len(server.bodies) == 10
        account.spend(range(100), budget_usd=12 * MAX_USD)
        assert len(server.bodies) == 12
    assert [(run["requests"], run["uncertain_requests"]) for run in account.ledger()] == [(10, 0), (2, 0)]


@pytest.mark.parametrize(
    ("reply", "charged"),
    [
        (json_reply({"error": {"message": "Rate limit exceeded", "code": 429}}), 0),
        (json_reply({"error": {"message": "Insufficient credits", "code": 402}}), 0),
        (
            json_reply(
                {"error": {"message": "no", "code": 400}, "usage": {"prompt_tokens": 20, "completion_tokens": 2}}
            ),
            22,
        ),
        (error(429, "insufficient_quota"), 0),
        (error(401, "wrong key"), 0),
        (error(429, "daily quota", Retry_After="86400"), 0),
        ((200, {}, b"<html>Sign in</html>"), 0),
        ((502, {}, b"<html>Bad gateway</html>"), 0),
    ],
)
def test_an_error_is_charged_with_the_tokens_that_it_counts_and_no_others(
    path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, charged: int
) -> None:
    monkeypatch.setattr(retry, "INITIAL_BACKOFF_S", 0.005)
    with ChatServer(lambda _: reply) as server:
        account = Account(path, server)
        with contextlib.suppress(AllFailedError):
            bounded(lambda: account.spend(range(6), in_flight=2, budget_usd=100.0))
        runs = account.ledger()
    assert sum(run["uncertain_requests"] for run in runs) == 0
    tokens = sum(run["prompt_tokens"] + run["completion_tokens"] for run in runs)
    assert tokens == charged * len(server.bodies)


def test_what_is_refused_is_not_billed_and_what_never_came_may_be(path: Path) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        content = body["messages"][-1]["content"]
        if content == "text 0001":
            return error(400, "no")
        if content == "text 0002":
            # Read, and never answered.
            return 0, {}, b""
        return billed()

    with ChatServer(answer) as server:
        account = Account(path, server)
        account.spend(range(4))
    (run,) = account.ledger()
    assert run["requests"] == 2
    # One try and two more.
    assert run["uncertain_requests"] == 3
    assert run["uncertain_usd"] == pytest.approx(3 * MAX_USD)
    assert run["granted_usd"] == pytest.approx(run["usd"] + run["uncertain_usd"])


def test_what_may_have_been_billed_counts_against_the_budget(path: Path) -> None:
    with ChatServer(lambda _: (0, {}, b"")) as server:
        account = Account(path, server)
        account.spend(range(10), in_flight=1, budget_usd=5 * MAX_USD)
    assert len(server.bodies) == 5


def bounded(work: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Run in a thread, so that a hang fails and does not hang the tests."""
    result: Future[Any] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result.result(seconds)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds."""
    for module, names in (
        (circuit_breaker, ("INITIAL_BACKOFF_S", "MAX_BACKOFF_S")),
        (retry, ("INITIAL_BACKOFF_S",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, 0.005)


@pytest.mark.usefixtures("impatient")
def test_a_budget_that_is_used_up_while_the_server_is_down_ends_the_run(path: Path) -> None:
    # The breaker opens after 20 failures. The probes use up the rest of the budget.
    with ChatServer(lambda _: (0, {}, b"")) as server:
        account = Account(path, server)
        completions = bounded(lambda: account.spend(range(200), in_flight=16, budget_usd=28 * MAX_USD))
    assert len(server.bodies) == 28
    assert len(completions) == 200
    assert {completion.failure.kind for completion in completions} <= {"over_budget", "connection"}


@pytest.mark.usefixtures("impatient")
def test_a_budget_that_cannot_be_entered_ends_the_run(path: Path) -> None:
    def answer(_: dict[str, Any]) -> Reply:
        if len(server.bodies) == 40:
            connection = sqlite3.connect(path)
            connection.execute("ALTER TABLE runs RENAME TO elsewhere")
            connection.close()
        return billed()

    with ChatServer(answer) as server:
        account = Account(path, server)
        with pytest.raises(StoreError, match="no such table"):
            bounded(lambda: account.spend(range(2000), budget_usd=1000.0))
    assert len(server.bodies) < 2000


def test_two_processes_share_a_budget(path: Path) -> None:
    """Threads with stores of their own stand in for processes: each has its own connection and its own ledger entry."""
    each = cost_usd(Usage(20, 2))
    with ChatServer(lambda _: billed()) as server:
        account = Account(path, server)
        threads = [
            threading.Thread(target=account.spend, args=(range(start, start + 200),), kwargs={"budget_usd": 60 * each})
            for start in (0, 200)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(server.bodies) <= 60
    # One may have used it up before the other began.
    assert sum(run["requests"] for run in account.ledger()) == len(server.bodies)


KILLED = """
import sys
from pathlib import Path
from tests.servers.chat import ChatServer
from tests.clients.store.test_budget import Account

class Elsewhere:
    base_url = sys.argv[2]

Account(Path(sys.argv[1]), Elsewhere()).spend(range(1000), in_flight=8, budget_usd=float(sys.argv[3]))
"""


@pytest.mark.slow
def test_after_a_kill_what_was_on_the_way_stays_reserved(path: Path) -> None:
    each = cost_usd(Usage(20, 2))
    budget = 200 * each
    enough = threading.Event()

    def answer(_: dict[str, Any]) -> Reply:
        if len(server.bodies) > 40:
            enough.set()
            time.sleep(0.3)
        return billed()

    with ChatServer(answer) as server:
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(path), server.base_url, str(budget)])
        assert enough.wait(30)
        time.sleep(0.1)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        account = Account(path, server)
        (run,) = account.ledger()
        sent = len(server.bodies)
        assert run["ended_at"] is None
        # Nothing was sent that had not been reserved on disk.
        assert run["granted_requests"] >= sent > run["requests"]
        # Those on the way, and those that were reserved together with them.
        assert run["granted_requests"] - run["requests"] <= 8 + 2 * 16
        account.spend(range(1000), budget_usd=budget)
    assert len(server.bodies) * each <= budget + 1e-9


@pytest.mark.parametrize(
    ("budget", "price", "max_tokens", "message"),
    [
        ({"budget_usd": 1.0}, None, 10, r"`budget_usd`"),
        ({"budget_usd": 1.0}, cost_usd, None, r"`max_tokens` is null"),
        ({"budget_tokens": 10}, None, None, r"`max_tokens` is null"),
    ],
)
def test_a_budget_that_can_not_be_kept_is_refused(
    path: Path, budget: dict[str, Any], price: Any, max_tokens: int | None, message: str
) -> None:
    with ResponseStore(path) as store, pytest.raises(ConfigError, match=message):
        BudgetTracker(store, Run("films", "tiny", **budget), cost_usd=price, max_tokens=max_tokens)


def test_no_tokenizer_makes_more_tokens_than_bytes() -> None:
    # Four bytes of an emoji, two of é, and sixteen for the message and the whole each.
    assert max_prompt_tokens(Request(0, (Message("user", "é🎬"),))) == 6 + 16 + 16
    assert json.dumps("é🎬") != "é🎬"
