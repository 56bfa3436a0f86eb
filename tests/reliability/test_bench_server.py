"""The server that the benchmarks count by: what it answers, bills and refuses."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks.answers import CONTENT_FAULTS, LABELS, Fault, label_of, shard_item, text_of
from benchmarks.server_limit import requests_per_s
from benchmarks.service import Options
from benchmarks.serving import Served, serving
from hf_synthlabels.labels import LabelSchema, parse

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
FORM = {"type": "json_schema", "json_schema": {"name": "label", "schema": SCHEMA}}


def body(number: int, **changes: Any) -> bytes:
    messages = [{"role": "user", "content": text_of(number)}]
    return json.dumps({"model": "bench-1", "messages": messages, "response_format": FORM, **changes}).encode()


def ask(connection: http.client.HTTPConnection, number: int, **headers: str) -> tuple[int, Any, Any]:
    connection.request("POST", "/v1/chat/completions", body(number), headers)
    reply = connection.getresponse()
    content = reply.read()
    return reply.status, reply.headers, json.loads(content)


OPENED: list[http.client.HTTPConnection] = []


@pytest.fixture(autouse=True)
def connections_are_closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def connect(server: Served) -> http.client.HTTPConnection:
    OPENED.append(http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10))
    return OPENED[-1]


def test_a_text_tells_its_row_and_the_row_its_label() -> None:
    assert shard_item(text_of(17).encode()) == b"0000017"
    assert len(text_of(17)) == pytest.approx(300, abs=2)
    assert shard_item(b"no number") is None
    # The CRC-32 of 0000000, by its definition, is 0xBD8BDE69: it leaves 1 when divided by 4.
    assert label_of(b"0000000") == LABELS[1]
    assert {label_of(b"%07d" % number) for number in range(100)} == set(LABELS)


def test_kept_connections_are_kept_and_closed_ones_closed() -> None:
    with serving(Options(latency_s=0.0)) as server:
        connection = connect(server)
        for number in range(3):
            status, _, answer = ask(connection, number)
            assert status == 200
            label = label_of(b"%07d" % number)
            assert json.loads(answer["choices"][0]["message"]["content"]) == {"label": label}
            assert answer["usage"]["prompt_tokens"] > 50
        _, headers, _ = ask(connection, 3, Connection="close")
        assert headers["Connection"] == "close"
        counted = server.stats()
    # One for the questions, one for the counts.
    assert counted["connections"] == 2
    assert (counted["requests"], counted["billed"], counted["billed_rows"], counted["in_flight"]) == (4, 4, 4, 0)


def test_the_same_row_twice_is_billed_twice() -> None:
    with serving(Options(latency_s=0.0)) as server:
        connection = connect(server)
        ask(connection, 5)
        ask(connection, 5)
        assert server.wait_billed(2)["billed_rows"] == 1


def test_an_answer_is_billed_when_its_client_has_gone() -> None:
    with serving(Options(latency_s=0.2)) as server:
        connection = connect(server)
        connection.request("POST", "/v1/chat/completions", body(1))
        connection.close()
        counted = server.wait_billed(1, timeout_s=5)
    assert (counted["abandoned"], counted["in_flight"]) == (1, 0)


@pytest.mark.parametrize("says_when", [True, False])
def test_the_bucket_refuses_what_is_too_much(says_when: bool) -> None:
    with serving(Options(latency_s=0.0, rate=1.0, burst=2.0, retry_after=says_when)) as server:
        connection = connect(server)
        replies = [ask(connection, number) for number in range(3)]
    assert [status for status, _, _ in replies] == [200, 200, 429]
    headers = replies[-1][1]
    assert headers.get("Retry-After") == ("1" if says_when else None)
    assert headers.get("x-ratelimit-limit-requests") == ("60" if says_when else None)


def test_shares_of_faults_are_about_what_was_asked() -> None:
    drawn, fixed = Fault.parse("http500:0.2"), Fault.parse("refusal:0.2:row")
    items = [b"%07d" % number for number in range(2000)]
    # Four standard deviations of a share of 0.2 of 2,000 are 0.036.
    assert sum(drawn.strikes(item, 0) for item in items) / 2000 == pytest.approx(0.2, abs=0.036)
    # Nor are they clustered in the first rows: four standard deviations of a share of 0.2 of 150 are 0.131.
    for kind in CONTENT_FAULTS:
        first = sum(Fault(kind, 0.2, always=True).strikes(item, 0) for item in items[:150]) / 150
        assert first == pytest.approx(0.2, abs=0.131), kind
    assert any(drawn.strikes(item, 0) != drawn.strikes(item, 1) for item in items)
    assert all(fixed.strikes(item, 0) == fixed.strikes(item, 7) for item in items)
    with pytest.raises(ValueError, match="no_such"):
        Fault.parse("no_such:0.1")


@pytest.mark.parametrize(("fault", "status"), [("http400", 400), ("http401", 401), ("http429", 429), ("http500", 500)])
def test_errors_have_their_status(fault: str, status: int) -> None:
    with serving(Options(latency_s=0.0, faults=(Fault(fault, 1.0),))) as server:
        assert ask(connect(server), 1)[0] == status
        assert server.stats()["billed"] == 0


@pytest.mark.parametrize("fault", ["reset", "cut_body"])
def test_broken_connections_break(fault: str) -> None:
    with (
        serving(Options(latency_s=0.0, faults=(Fault(fault, 1.0),))) as server,
        pytest.raises((ConnectionError, http.client.HTTPException)),
    ):
        ask(connect(server), 1)


def test_a_torn_body_is_no_json() -> None:
    with serving(Options(latency_s=0.0, faults=(Fault("torn_body", 1.0),))) as server, pytest.raises(ValueError):
        ask(connect(server), 1)


RIGHT = ("prose", "foreign_quotes", "zero_width")


@pytest.mark.parametrize("fault", CONTENT_FAULTS)
def test_a_faulty_answer_is_read_right_or_not_at_all(fault: str) -> None:
    schema = LabelSchema(kind="text-classification", names=LABELS)
    with serving(Options(latency_s=0.0, faults=(Fault(fault, 1.0),))) as server:
        connection = connect(server)
        for number in range(8):
            choice = ask(connection, number)[2]["choices"][0]
            if fault == "length":
                assert choice["finish_reason"] == "length"
                continue
            read = parse(schema, choice["message"].get("refusal") or choice["message"]["content"])
            assert read.label == (label_of(b"%07d" % number) if fault in RIGHT else None)


def test_the_limit_is_a_rate_of_answers() -> None:
    # How high it is, is a matter of the machine, and stands in the benchmark's result.
    with serving(Options(latency_s=0.1)) as server:
        # Four at once, each after a tenth of a second.
        assert 0 < requests_per_s(server.base_url, 4, 0.5) <= 40
