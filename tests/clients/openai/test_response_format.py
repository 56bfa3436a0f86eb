from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import OpenAIClient, ResponseStore, Sampling
from hf_synthlabels.clients.openai.response_format import detect_response_format, recorded_response_format
from hf_synthlabels.clients.protocol.chat import ResponseFormat
from hf_synthlabels.errors import ClientError
from tests.servers.chat import ChatServer, Reply, error


def form(body: dict[str, Any]) -> str:
    return str(body.get("response_format", {}).get("type", "text"))


def knows(*forms: str, status: int = 400) -> Callable[[dict[str, Any]], Reply]:
    """A server that refuses every other form."""

    def answer(body: dict[str, Any]) -> Reply:
        if form(body) in forms:
            return json.dumps({"label": "good"})
        return error(status, f"`response_format` {form(body)} is not supported")

    return answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResponseStore]:
    with ResponseStore(tmp_path / "responses.sqlite") as store:
        yield store


def probe(store: ResponseStore, server: ChatServer) -> ResponseFormat:
    def make(form: ResponseFormat) -> OpenAIClient:
        sampling = Sampling(response_format=form)
        return OpenAIClient(model="tiny", base_url=server.base_url, api_key_env=None, sampling=sampling, max_retries=0)

    return detect_response_format(store, make)


@pytest.mark.parametrize(
    ("answer", "expected", "requests"),
    [
        (knows("json_schema", "json_object"), "json_schema", 1),
        (knows("json_object"), "json_object", 2),
        (knows("json_object", status=422), "json_object", 2),
        (knows(), "text", 2),
        # A server that takes every key and holds the model to none of them.
        (lambda _: "The label is good.", "text", 2),
        (lambda _: '"good"', "text", 2),
        # One that makes objects of its own kind.
        (lambda _: '{"category": "good"}', "json_object", 2),
    ],
)
def test_the_strictest_form_that_works_is_found(
    store: ResponseStore, answer: Callable[[dict[str, Any]], Reply], expected: str, requests: int
) -> None:
    with ChatServer(answer) as server:
        assert probe(store, server) == expected
    assert len(server.bodies) == requests


def test_it_is_asked_once_and_written_down(store: ResponseStore) -> None:
    with ChatServer(knows("json_object")) as server:
        probe(store, server)
        assert probe(store, server) == "json_object"
        assert len(server.bodies) == 2
        assert recorded_response_format(store, base_url=server.base_url, model="tiny") == "json_object"
        assert recorded_response_format(store, base_url=server.base_url, model="other") is None
    ((note,),) = store.select("SELECT note FROM probes")
    assert note == ("json_schema: HTTP 400, `response_format` json_schema is not supported; json_object: works")


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_a_server_that_does_not_answer_is_told_at_once_and_nothing_is_written(
    store: ResponseStore, status: int
) -> None:
    with (
        ChatServer(lambda _: error(status, "go away")) as server,
        pytest.raises(ClientError, match=rf"`base_url` .*: go away \(HTTP {status}\)\."),
    ):
        probe(store, server)
    assert store.select("SELECT * FROM probes") == []
