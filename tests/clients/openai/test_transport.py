"""Requests go through the proxy of the environment; what was never sent costs nothing."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hf_synthlabels.clients import BudgetTracker, OpenAIClient, ResponseStore, Run
from hf_synthlabels.clients.base import Completion
from hf_synthlabels.clients.protocol.endpoint import RequestHeaders
from tests.clients.batch.test_batch_client import make
from tests.clients.openai.test_openai_client import ask
from tests.clients.protocol.test_base_url import PROXY_NAMES
from tests.servers.base import HttpReply, HttpRequest, LoopbackServer
from tests.servers.batches import BatchServer
from tests.servers.chat import ChatServer

ELSEWHERE = "llm.invalid"
"""No resolver knows this name, so only the proxy can lead there."""


class ForwardProxy(LoopbackServer):
    """An HTTP proxy that leads every host to one server, and refuses tunnels."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.requests: list[tuple[str, str]] = []
        self.authorizations: list[str | None] = []
        self._port = urlsplit(target).port

    def reply(self, request: HttpRequest) -> HttpReply:
        self.requests.append((request.method, request.target))
        self.authorizations.append(request.headers["Proxy-Authorization"])
        if request.method == "CONNECT":
            self.authorizations.append(request.headers["Authorization"])
            return 403, {}, b""
        forward = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        forward.request("POST", request.path, request.content, {"Content-Type": "application/json"})
        reply = forward.getresponse()
        content = reply.read()
        forward.close()
        return reply.status, {}, content


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(lambda _: "good") as opened:
        yield opened


@pytest.fixture
def proxy(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    for name in PROXY_NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with ForwardProxy(server.base_url) as opened:
        yield opened


def complete(base_url: str, **options: Any) -> Completion:
    client = OpenAIClient(**{"model": "tiny", "base_url": base_url, "api_key_env": None, "max_retries": 0, **options})
    (completion,) = client.complete([ask(1)])
    return completion


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_server_behind_a_proxy_answers(
    proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, variable: str, server: ChatServer
) -> None:
    monkeypatch.setenv(variable, f"http://{proxy.host}")
    assert complete(f"http://{ELSEWHERE}/v1").text == "good"
    assert proxy.requests == [("POST", f"http://{ELSEWHERE}/v1/chat/completions")]
    assert len(server.bodies) == 1


def test_the_password_of_a_proxy_is_sent_to_the_proxy_alone(
    proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, server: ChatServer
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:hunter2@{proxy.host}")
    assert complete(f"http://{ELSEWHERE}/v1").text == "good"
    # base64 of me:hunter2
    assert proxy.authorizations == ["Basic bWU6aHVudGVyMg=="]
    assert server.authorizations == [None]
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@{proxy.host}")
    monkeypatch.setenv("A_KEY", "sk-secret")
    failure = complete(f"https://{ELSEWHERE}/v1", api_key_env="A_KEY").failure
    # The key of the server is only sent inside the tunnel.
    assert proxy.authorizations[1:] == ["Basic bWU6aHVudGVyMg==", None]
    assert failure is not None
    assert not any(secret in failure.message for secret in ("hunter2", "bWU6", "sk-secret"))


def test_no_proxy_and_this_machine_are_reached_directly(
    proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, server: ChatServer
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
    assert complete(server.base_url).text == "good"
    assert complete(server.base_url.replace("127.0.0.1", "localhost")).text == "good"
    monkeypatch.setenv("NO_PROXY", ELSEWHERE)
    failure = complete(f"http://{ELSEWHERE}/v1").failure
    assert failure is not None
    assert failure.kind == "connection"
    assert proxy.requests == []


@contextlib.contextmanager
def full_queue() -> Iterator[int]:
    """A port on which connections are neither accepted nor refused."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("case", ["no such host", "nobody listens", "no connection", "proxy refuses", "no proxy there"])
def test_what_was_never_sent_costs_nothing(
    tmp_path: Path, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    with full_queue() as blocked, ResponseStore(tmp_path / "responses.sqlite") as store:
        url = {
            "no such host": f"http://{ELSEWHERE}/v1",
            "nobody listens": f"http://127.0.0.1:{closed_port()}/v1",
            "no connection": f"http://127.0.0.1:{blocked}/v1",
        }.get(case, f"https://{ELSEWHERE}/v1")
        if case == "proxy refuses":
            monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        if case == "no proxy there":
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port()}")
        budget = BudgetTracker(store, Run("films", "tiny", url, budget_tokens=10_000), cost_usd=None, max_tokens=10)
        budget.begin()
        completion = complete(url, budget=budget, timeout_s=1.0)
        budget.end()
        store.flush()
        assert completion.failure is not None
        assert completion.failure.kind == "connection"
        # A run that sent nothing leaves no entry, so nothing counts against the budget.
        assert store.select("SELECT requests, uncertain_requests FROM runs") == []
    assert [method for method, _ in proxy.requests] == (["CONNECT"] if case == "proxy refuses" else [])


def test_a_query_in_the_address_is_sent_behind_the_path(proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
    assert complete(f"http://{ELSEWHERE}/v1?api-version=1").text == "good"
    assert proxy.requests == [("POST", f"http://{ELSEWHERE}/v1/chat/completions?api-version=1")]


def test_batches_on_this_machine_need_no_proxy(
    proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
    with BatchServer() as provider, ResponseStore(tmp_path / "responses.sqlite") as store:
        client = make(provider, store, base_url=f"{provider.base_url}?api-version=1")
        assert [completion.failure for completion in client.complete([ask(1)])] == [None]
    assert proxy.requests == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_with_the_key(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("ITS_KEY", "hunter2")
    reached: list[str] = []

    class Elsewhere(LoopbackServer):
        def reply(self, request: HttpRequest) -> HttpReply:
            reached.append(request.method)
            return 400, {}, b""

    with contextlib.ExitStack() as servers:
        other = servers.enter_context(Elsewhere())
        location = {"Location": f"http://localhost:{other.url.rpartition(':')[2]}/v1/chat/completions"}
        first = servers.enter_context(ChatServer(lambda _: (status, location, b"")))
        completion = complete(first.base_url, headers=RequestHeaders(secret={"api-key": "ITS_KEY"}))
    assert completion.failure is not None
    assert (completion.failure.kind, completion.failure.http_status) == ("http", status)
    assert "`base_url`" in completion.failure.message
    assert reached == []
