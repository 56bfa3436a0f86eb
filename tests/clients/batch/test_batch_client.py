"""BatchClient against a batch server on loopback: requests, results, faults, resumed runs and budgets."""

from __future__ import annotations

import itertools
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from hf_synthlabels.clients import (
    BatchClient,
    BatchPolling,
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
    cancel_batch,
    list_batches,
    retry,
)
from hf_synthlabels.clients.batch.batch_journal import BatchJournal
from hf_synthlabels.clients.protocol.endpoint import Endpoint
from hf_synthlabels.clients.store.cached_client import RequestKeys
from hf_synthlabels.clients.store.payloads import canonical_hash
from hf_synthlabels.errors import AllFailedError, ClientError, DataError, MissingKeyError, StoreError
from tests.clients.batch.batch_crash import batch_log
from tests.servers.batches import Batch, BatchServer, Fault, Line
from tests.servers.chat import chat_completion, error

PACE = BatchPolling(
    max_requests=10,
    initial_pause_s=0.01,
    max_pause_s=0.02,
    queue_timeout_s=5.0,
    timeout_s=5.0,
    outage_timeout_s=5.0,
    listing_delay_s=0.1,
)
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without long pauses."""
    monkeypatch.setattr(retry, "INITIAL_BACKOFF_S", 0.01)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResponseStore]:
    with ResponseStore(tmp_path / "responses.sqlite") as store:
        yield store


def ask(key: int, **changes: Any) -> Request:
    return replace(Request(key, (Message("user", f"text {key:04d}"),)), **changes)


def asked(keys: Iterable[int]) -> Iterator[Request]:
    return (ask(key) for key in keys)


def make(server: BatchServer, store: ResponseStore, pace: BatchPolling = PACE, **changes: Any) -> BatchClient:
    given = {"model": "m", "store": store, "base_url": server.base_url, "api_key_env": None, "polling": pace} | changes
    return BatchClient(**cast(dict[str, Any], given))


def run(server: BatchServer, store: ResponseStore, keys: Iterable[int], **changes: Any) -> dict[int, Completion]:
    """The completion of each request, through a `CachedClient`; `log` receives each line of the log."""
    with batch_log(changes.pop("log", lambda _: None)):
        completions = list(CachedClient(make(server, store, **changes), store).complete(asked(keys)))
    by_key = {completion.key: completion for completion in completions}
    assert len(by_key) == len(completions)
    return by_key


def texts(completions: dict[int, Completion]) -> list[str]:
    return [completions[key].text for key in sorted(completions)]


def reasons(completions: dict[int, Completion]) -> dict[int, str]:
    return {key: item.failure.message for key, item in completions.items() if item.failure is not None}


def echo(body: dict[str, Any]) -> str:
    return f"echo {body['messages'][-1]['content']}"


def once(server: BatchServer) -> bool:
    """Whether no request was billed twice."""
    return set(server.billed.values()) == {1}


# Requests


def test_batches_and_single_requests_share_their_answers(store: ResponseStore) -> None:
    with BatchServer(echo) as server:
        in_batch = run(server, store, range(5))
        online = OpenAIClient(model="m", base_url=server.base_url, api_key_env=None)
        rerun = list(CachedClient(online, store).complete(asked(range(7))))
        again = run(server, store, range(7))
        assert server.online == 2
        assert len(server.batches) == 1
    assert texts(in_batch) == [f"echo text {key:04d}" for key in range(5)]
    assert in_batch[0].usage == Usage(7, 2)
    assert in_batch[0].model == "tiny-1"
    assert [item.stored for item in sorted(rerun, key=lambda item: item.key)] == [True] * 5 + [False] * 2
    assert all(item.stored for item in again.values())


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=None, reasoning=True, reasoning_effort="low", max_tokens=4096),
        Sampling(temperature=0.7, top_p=0.9, seed=3, response_format="json_schema", top_logprobs=5),
    ],
)
def test_identity_and_bodies_are_those_of_single_requests(store: ResponseStore, sampling: Sampling) -> None:
    bodies = []

    def answer(body: dict[str, Any]) -> str:
        bodies.append(body)
        return "good"

    with BatchServer(answer) as server:
        batch = make(server, store, sampling=sampling)
        online = OpenAIClient(model="m", base_url=server.base_url, api_key_env=None, sampling=sampling)
        assert batch.identity == online.identity
        for client in (batch, online):
            list(client.complete([ask(0, sample=2, response_schema=SCHEMA)]))
    assert bodies[0] == bodies[1]


def test_batches_are_split_by_requests_and_by_bytes(store: ResponseStore) -> None:
    with BatchServer() as server:
        run(server, store, range(25))
        assert [len(batch.lines) for batch in server.batches.values()] == [10, 10, 5]
        line = len(json.dumps(server.batches["batch_1"].lines[0])) + 1
        # Three lines and a half.
        run(server, store, range(100, 108), polling=replace(PACE, max_bytes=line * 7 // 2))
        assert [len(batch.lines) for batch in list(server.batches.values())[3:]] == [3, 3, 2]
        assert once(server)


def test_at_most_max_pending_requests_are_read(store: ResponseStore) -> None:
    read = []

    def requests() -> Iterator[Request]:
        for key in range(100):
            read.append(key)
            yield ask(key)

    with BatchServer() as server:
        client = make(server, store, polling=replace(PACE, max_pending=25))
        completions = client.complete(requests())
        next(completions)
        # Two full batches, and what was left up to the limit.
        assert len(read) == 25
        assert len({item.key for item in completions}) == 99
        assert once(server)


def test_equal_requests_are_sent_once_and_all_answered(store: ResponseStore) -> None:
    with BatchServer() as server:
        requests = [ask(0), ask(1), replace(ask(0), key=2), replace(ask(0), key=3, sample=1)]
        completions = list(make(server, store).complete(requests))
        assert sorted(item.key for item in completions) == [0, 1, 2, 3]
        # The second draw of a text is another request.
        assert server.billed == {"text 0000": 2, "text 0001": 1}


def test_no_requests_make_no_batch(store: ResponseStore) -> None:
    with BatchServer() as server:
        assert run(server, store, []) == {}
        assert list(make(server, store).complete([])) == []
        assert not server.batches


def test_lone_surrogates_and_other_scripts(store: ResponseStore) -> None:
    with BatchServer(lambda body: body["messages"][0]["content"]) as server:
        text = "naïve \u2028 日本 \ud800"
        (completion,) = make(server, store).complete([Request(0, (Message("user", text),))])
    assert completion.text == "naïve \u2028 日本 ?"


# Results


def test_incomplete_answers_are_reported_and_not_stored(store: ResponseStore) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        ending = {"0": "length", "1": "content_filter"}.get(body["messages"][-1]["content"][-1], "stop")
        message = {"refusal": "no"} if body["messages"][-1]["content"].endswith("2") else {}
        return 200, chat_completion("good", finish_reason=ending, message=message)

    with BatchServer(answer) as server:
        completions = run(server, store, range(4))
        assert [completions[key].finish_reason for key in range(4)] == ["length", "content_filter", "stop", "stop"]
        assert completions[2].refusal
        assert len(store) == 1


def test_an_error_of_one_line_fails_its_row_alone(store: ResponseStore) -> None:
    def answer(body: dict[str, Any]) -> str | tuple[int, dict[str, Any]]:
        if body["messages"][-1]["content"] == "text 0003":
            return 400, {"error": {"message": "the text is too long"}}
        return "good"

    with BatchServer(answer) as server:
        completions = run(server, store, range(6))
        assert len(server.batches) == 1
    assert reasons(completions) == {3: "the text is too long"}
    failure = completions[3].failure
    assert failure is not None
    assert failure.http_status == 400


def test_a_transient_error_is_retried_in_another_batch(store: ResponseStore) -> None:
    tried: list[str] = []

    def answer(body: dict[str, Any]) -> str | tuple[int, dict[str, Any]]:
        text = body["messages"][-1]["content"]
        tried.append(text)
        if text in ("text 0001", "text 0002") and tried.count(text) == 1:
            return 429 if text == "text 0001" else 500, {"error": {"message": "later"}}
        return "good"

    with BatchServer(answer) as server:
        completions = run(server, store, range(4))
        assert [len(batch.lines) for batch in server.batches.values()] == [4, 2]
        assert once(server)
    assert texts(completions) == ["good"] * 4


def test_a_persistent_error_fails_the_row_after_max_rounds(store: ResponseStore) -> None:
    def answer(body: dict[str, Any]) -> str | tuple[int, dict[str, Any]]:
        return "good" if "0000" not in body["messages"][-1]["content"] else (500, {"error": {"message": "oh"}})

    with BatchServer(answer) as server:
        completions = run(server, store, range(2))
        assert [len(batch.lines) for batch in server.batches.values()] == [2, 1, 1]
    assert reasons(completions) == {0: "oh (in each of 3 batches)"}


def test_an_unreadable_answer_is_retried(store: ResponseStore) -> None:
    replies: list[str | tuple[int, dict[str, Any]]] = ["good", (200, {"choices": []})]
    with BatchServer(lambda _: replies.pop()) as server:
        assert texts(run(server, store, [0])) == ["good"]


@pytest.mark.parametrize("ending", ["expired", "cancelled"])
def test_answers_of_an_unfinished_batch_are_kept_and_the_rest_is_retried(store: ResponseStore, ending: str) -> None:
    first = {"batch_1": ending}
    with BatchServer(echo, ending=lambda batch: first.get(batch.id, "completed"), served=4) as server:
        if ending == "cancelled":
            # Before the run that waits for it: an earlier one made it, and somebody stopped it.
            interrupted(server, store, range(6))
            cancel_batch(store.path, "batch_1", polling=PACE)
        completions = run(server, store, range(6))
        assert [len(batch.lines) for batch in server.batches.values()] == [6, 2]
        assert once(server)
    assert texts(completions) == [f"echo text {key:04d}" for key in range(6)]


def test_a_batch_that_always_expires_fails_its_rows(store: ResponseStore) -> None:
    with BatchServer(ending=lambda _: "expired", served=1) as server:
        completions = run(server, store, range(5))
        assert [len(batch.lines) for batch in server.batches.values()] == [5, 4, 3]
    assert [item.failure is None for _, item in sorted(completions.items())] == [True] * 3 + [False] * 2
    words = "batch_expired: This request was not served: expired. (in each of 3 batches)"
    assert reasons(completions) == {3: words, 4: words}


def test_a_batch_cancelled_during_the_run_fails_its_rows_until_the_next_run(store: ResponseStore) -> None:
    with BatchServer(looks=10_000, served=2) as server:
        stopper = threading.Thread(target=cancel_when_going, args=(server, store.path))
        stopper.start()
        completions = run(server, store, range(5))
        stopper.join()
        assert len(server.batches) == 1
        assert set(reasons(completions)) == {2, 3, 4}
        assert set(reasons(completions).values()) == {"the batch was cancelled without an answer"}
        server.looks = 1
        assert texts(run(server, store, range(5))) == ["good"] * 5
        assert once(server)


def cancel_when_going(server: BatchServer, path: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not any(item.status == "in_progress" for item in server.batches.values()):
        time.sleep(0.01)
    time.sleep(0.1)
    cancel_batch(path, "batch_1", polling=PACE)


def test_unknown_duplicate_and_missing_lines(store: ResponseStore) -> None:
    def change(lines: list[Line]) -> list[Line]:
        if len(lines) < 4:
            return lines
        stranger = lines[0] | {"custom_id": "ab" * 32}
        nameless = {"response": None}
        other = json.loads(json.dumps(lines[1]))
        other["response"]["body"]["choices"][0]["message"]["content"] = "second"
        return [stranger, nameless, *lines[:3], other, lines[2]]

    lines: list[str] = []
    with BatchServer(change_output=change) as server:
        completions = run(server, store, range(4), log=lines.append)
        assert texts(completions) == ["good"] * 4
        assert [len(batch.lines) for batch in server.batches.values()] == [4, 1]
    words = "3 answers, 1 without an answer, 2 unknown lines, 2 duplicate lines"
    assert any(words in line for line in lines)


def test_a_truncated_result_file_is_downloaded_again(store: ResponseStore) -> None:
    with BatchServer() as server:
        server.faults = [Fault("GET .*output/content", "torn")]
        assert texts(run(server, store, range(4))) == ["good"] * 4
        assert len(server.batches) == 1
        assert server.count("GET .*output/content") == 2


def test_a_result_file_that_stays_truncated_costs_only_its_last_line(store: ResponseStore) -> None:
    with BatchServer() as server:
        server.faults = [Fault("GET .*output/content", "torn", times=3)]
        assert texts(run(server, store, range(4))) == ["good"] * 4
        assert [len(batch.lines) for batch in server.batches.values()] == [4, 1]


# Rejected batches


def test_an_invalid_line_fails_its_row_and_the_batch_is_sent_without_it(store: ResponseStore) -> None:
    def invalid(batch: Batch) -> list[dict[str, Any]]:
        texts = [line["body"]["messages"][-1]["content"] for line in batch.lines]
        bad = [number for number, text in enumerate(texts, 1) if text in ("text 0001", "text 0004")]
        # Only the first is told at a time.
        return [{"code": "invalid_request", "message": "bad line", "line": line, "param": None} for line in bad[:1]]

    with BatchServer(invalid=invalid) as server:
        completions = run(server, store, range(6))
        assert reasons(completions) == {1: "bad line", 4: "bad line"}
        assert once(server)
        assert server.inputs() == []


def test_a_rejected_batch_fails_its_rows_with_the_reason(store: ResponseStore) -> None:
    trouble = {"code": "model_not_found", "message": "no batches for m", "line": None, "param": None}
    with BatchServer(invalid=lambda _: [trouble]) as server:
        completions = run(server, store, range(3))
        assert len(server.batches) == 3
        assert not server.billed
    assert set(reasons(completions).values()) == {"no batches for m (in each of 3 batches)"}


def test_a_full_queue_makes_batches_smaller_and_later(store: ResponseStore) -> None:
    with BatchServer(queue_lines=6) as server:
        assert texts(run(server, store, range(24))) == ["good"] * 24
        assert once(server)
        begun = [len(batch.lines) for batch in server.batches.values() if not batch.errors]
        assert max(begun) <= 6
        assert sum(begun) == 24


def test_a_queue_that_stays_full_fails_the_rows_after_the_timeout(store: ResponseStore) -> None:
    with BatchServer(queue_lines=-1) as server:
        completions = run(server, store, range(3), polling=replace(PACE, queue_timeout_s=0.2))
        assert not server.billed
    assert set(reasons(completions).values()) == {"the provider's queue is full"}


def test_a_full_queue_may_also_be_reported_at_creation(store: ResponseStore) -> None:
    body = {"error": {"message": "Enqueued token limit reached", "code": "token_limit_exceeded"}}
    with BatchServer() as server:
        server.faults = [Fault("POST /v1/batches$", (400, {}, json.dumps(body).encode()), times=2)]
        assert texts(run(server, store, range(8))) == ["good"] * 8
        assert once(server)


def test_a_batch_that_is_too_large_is_halved(store: ResponseStore) -> None:
    with BatchServer() as server:
        server.faults = [Fault("POST /v1/files$", error(413, "File is too large."))]
        assert texts(run(server, store, range(8))) == ["good"] * 8
        assert [len(batch.lines) for batch in server.batches.values()] == [4, 4]


def test_a_provider_without_batches_is_an_error(store: ResponseStore) -> None:
    with BatchServer() as server:
        server.faults = [Fault("POST /v1/batches$", error(400, "batches are not supported"))]
        with pytest.raises(ClientError, match="batches are not supported"):
            run(server, store, range(3))
        assert list_batches(store.path) == []
        assert server.inputs() == []


# Network faults

ENDPOINTS = {
    "upload": "POST /v1/files$",
    "make": "POST /v1/batches$",
    "look": "GET /v1/batches/",
    "fetch": "GET .*output/content",
    "fetch errors": "GET .*error/content",
    "delete": "DELETE /v1/files/",
}
FAULTS: dict[str, Any] = {
    "500": error(500, "oh"),
    "503": error(503, "busy", Retry_After="0.01"),
    "429": error(429, "slow down", Retry_After="0.01"),
    "408": error(408, "too late"),
    "drop": "drop",
    "unheard": "unheard",
    "cut": "cut",
    "torn": "torn",
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_network_faults_lose_nothing_and_buy_nothing_twice(store: ResponseStore, endpoint: str) -> None:
    def answer(body: dict[str, Any]) -> str | tuple[int, dict[str, Any]]:
        text = body["messages"][-1]["content"]
        return (400, {"error": {"message": "no"}}) if text.endswith("5") else f"echo {text}"

    with BatchServer(answer) as server:
        for number, fault in enumerate(FAULTS):
            keys = range(10 * number, 10 * number + 6)
            server.faults = [Fault(ENDPOINTS[endpoint], FAULTS[fault], times=2)]
            completions = run(server, store, keys)
            assert texts(completions)[:5] == [f"echo text {key:04d}" for key in keys[:5]], fault
            assert reasons(completions) == {keys[5]: "no"}, fault
            assert len(server.batches) == number + 1, fault
            assert once(server), fault
            assert server.inputs() == [], fault
            assert list_batches(store.path) == [], fault


def test_a_batch_whose_creation_got_no_reply_is_found_on_any_page(store: ResponseStore) -> None:
    with BatchServer(page=2, hidden_s=0.05) as server:
        server.faults = [Fault("POST /v1/batches$", "unheard", times=3)]
        assert texts(run(server, store, range(40))) == ["good"] * 40
        assert len(server.batches) == 4
        assert once(server)


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_list_is_searched_whatever_its_order_and_without_metadata(store: ResponseStore, newest_first: bool) -> None:
    with BatchServer(page=2, newest_first=newest_first, keeps_metadata=False) as server:
        for number in range(1, 6):
            # Of others, years ago.
            server.batches[f"old_{number}"] = Batch(f"old_{number}", "", "file-of-others", [], number, "completed")
            server.made_at[f"old_{number}"] = 0.0
        server.faults = [Fault("POST /v1/batches$", "unheard")]
        assert texts(run(server, store, range(4))) == ["good"] * 4
        assert len(server.batches) == 6
        # The next run of what nobody waited for finds it as well.
        server.faults = [Fault("POST /v1/batches$", "unheard"), Fault("GET /v1/batches", error(401, "no"), times=1)]
        with pytest.raises(ClientError):
            run(server, store, range(4, 8))
        assert texts(run(server, store, range(4, 8))) == ["good"] * 4
        assert len(server.batches) == 7


def test_a_late_result_file_is_awaited(store: ResponseStore) -> None:
    with BatchServer(late_looks=3) as server:
        assert texts(run(server, store, range(4))) == ["good"] * 4
        assert len(server.batches) == 1


def test_a_result_file_that_never_comes_is_an_error_and_nothing_is_bought_again(store: ResponseStore) -> None:
    with BatchServer(late_looks=10_000) as server:
        with pytest.raises(ClientError, match="no result file"):
            run(server, store, range(4), polling=replace(PACE, outage_timeout_s=0.1))
        assert len(server.batches) == 1
        assert [item.state for item in list_batches(store.path)] == ["submitted"]


def test_an_old_batch_that_is_gone_does_not_affect_other_requests(store: ResponseStore) -> None:
    lines: list[str] = []
    with BatchServer() as server:
        interrupted(server, store, range(3))
        server.batches.clear()
        assert texts(run(server, store, range(10, 13), log=lines.append)) == ["good"] * 3
    assert any("does not know batch batch_1" in line for line in lines)


def test_an_unavailable_provider_ends_the_run_and_the_next_run_resumes(store: ResponseStore) -> None:
    with BatchServer() as server:
        server.faults = [Fault("GET /v1/batches/", "drop", times=10_000)]
        with pytest.raises(AllFailedError, match="Existing batches continue"):
            run(server, store, range(3), polling=replace(PACE, outage_timeout_s=0.2))
        server.faults = []
        assert texts(run(server, store, range(3))) == ["good"] * 3
        assert len(server.batches) == 1


@pytest.mark.parametrize("endpoint", ["upload", "make", "look", "fetch"])
def test_a_rejected_key_ends_the_run_and_is_in_no_message(
    store: ResponseStore, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "secret-7")
    with BatchServer() as server:
        server.faults = [Fault(ENDPOINTS[endpoint], error(401, "Incorrect API key provided: secret-7"))]
        with pytest.raises(ClientError, match="rejects the key in `A_KEY`") as caught:
            run(server, store, range(3), api_key_env="A_KEY")
        assert "secret-7" not in str(caught.value)
        # With a good key the same run finds what there is.
        assert texts(run(server, store, range(3), api_key_env="A_KEY")) == ["good"] * 3
        assert once(server)
    assert b"secret-7" not in b"".join(file.read_bytes() for file in store.path.parent.iterdir())


def test_a_file_that_cannot_be_deleted_remains(store: ResponseStore) -> None:
    with BatchServer() as server:
        server.faults = [Fault("DELETE", error(403, "not yours"))]
        assert texts(run(server, store, range(3))) == ["good"] * 3
        assert len(server.inputs()) == 1


def test_an_account_without_credit_ends_the_run_and_answers_are_kept(store: ResponseStore) -> None:
    def answer(body: dict[str, Any]) -> str | tuple[int, dict[str, Any]]:
        if body["messages"][-1]["content"] in ("text 0000", "text 0001"):
            return "good"
        return 429, {"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}

    with BatchServer(answer) as server:
        with pytest.raises(AllFailedError, match="no credit"):
            run(server, store, range(4))
        assert len(store) == 2
        assert list_batches(store.path) == []
        server.faults = [Fault("POST /v1/batches", error(429, "You exceeded your quota: insufficient_quota"))]
        with pytest.raises(AllFailedError, match="no credit"):
            run(server, store, range(4))


def test_a_missing_key_is_an_error_at_once(store: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(MissingKeyError, match="A_KEY"):
        BatchClient(model="m", store=store, api_key_env="A_KEY")


# Interrupted and resumed


def interrupted(server: BatchServer, store: ResponseStore, keys: Iterable[int], **changes: Any) -> None:
    """A run that is interrupted when its first batch exists."""

    def log(line: str) -> None:
        if "validating" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(server, store, keys, log=log, **changes)


def test_an_interrupted_run_warns_and_the_next_run_resumes_its_batch(
    store: ResponseStore, caplog: pytest.LogCaptureFixture
) -> None:
    def log(line: str) -> None:
        if "in_progress" in line:
            raise KeyboardInterrupt

    with BatchServer(echo, looks=4) as server:
        with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
            run(server, store, range(5), log=log)
        assert "1 batches continue at the provider (batch_1)" in caplog.text
        assert [(item.state, item.batch_id) for item in list_batches(store.path)] == [("submitted", "batch_1")]
        assert texts(run(server, store, range(5))) == [f"echo text {key:04d}" for key in range(5)]
        assert len(server.batches) == 1
        assert list_batches(store.path) == []


def test_a_run_with_other_rows_resumes_what_it_can(store: ResponseStore) -> None:
    with BatchServer(echo) as server:
        interrupted(server, store, range(8))
        completions = run(server, store, range(4, 12))
        assert texts(completions) == [f"echo text {key:04d}" for key in range(4, 12)]
        assert [len(batch.lines) for batch in server.batches.values()] == [8, 4]
        # Those that nobody asked for are paid for, so they are there when they are.
        assert all(item.stored for item in run(server, store, range(12)).values())
        assert once(server)


def test_incomplete_answers_of_a_resumed_batch_are_not_bought_again(store: ResponseStore) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, chat_completion("x", finish_reason="length")

    with BatchServer(answer) as server:
        interrupted(server, store, range(3))
        assert {item.finish_reason for item in run(server, store, range(3)).values()} == {"length"}
        assert once(server)


def test_results_that_no_run_requests_any_more_are_stored(store: ResponseStore) -> None:
    with BatchServer() as server:
        interrupted(server, store, range(3))
        server.batches["batch_1"].status = "in_progress"
        server.batches["batch_1"].looks = 5
        run(server, store, range(50, 52))
        assert list_batches(store.path) == []
        assert all(item.stored for item in run(server, store, range(3)).values())


def journal_of(store: ResponseStore, server: BatchServer) -> tuple[BatchJournal, tuple[str, str, Endpoint]]:
    client = make(server, store)
    return BatchJournal(store.path), (canonical_hash(client.identity), "m", Endpoint(server.base_url, None))


def test_a_batch_that_was_never_sent_is_discarded_with_its_file(store: ResponseStore) -> None:
    with BatchServer() as server:
        journal, endpoint = journal_of(store, server)
        claim = journal.claim([b"\1" * 32], *endpoint)
        assert claim.record is not None
        server.files["file-1"] = (f"hf-synthlabels-{claim.record.id}.jsonl", "batch", b"{}")
        journal.release()
        run(server, store, range(2))
        assert server.inputs() == []
        given_up = journal.get(claim.record.id)
        assert given_up is not None
        assert given_up.state == "unsent"


def test_a_batch_that_a_live_process_is_sending_is_awaited(store: ResponseStore) -> None:
    with BatchServer() as server:
        journal, endpoint = journal_of(store, server)
        names = key_of(server, store, 0)
        claim = journal.claim([names], *endpoint)
        assert claim.record is not None
        freed = threading.Timer(0.4, journal.release)
        freed.start()
        began = time.monotonic()
        assert texts(run(server, store, range(2))) == ["good", "good"]
        assert time.monotonic() - began > 0.35
        assert [len(batch.lines) for batch in server.batches.values()] == [1, 1]


def key_of(server: BatchServer, store: ResponseStore, key: int) -> bytes:
    return bytes.fromhex(RequestKeys(make(server, store).identity).of(ask(key)))


def test_an_owner_that_is_dead_or_silent_for_an_hour_owns_nothing(store: ResponseStore) -> None:
    with BatchServer() as server:
        journal, endpoint = journal_of(store, server)
        claim = journal.claim([b"\1" * 32], *endpoint)
        record = claim.record
        assert record is not None
        assert record.has_live_owner
        assert not replace(record, owner=None).has_live_owner
        assert not replace(record, pid=2**22 + 1).has_live_owner
        assert not replace(record, changed_at=time.time() - 7200).has_live_owner
        # Another machine's processes can not be seen, so its word counts for an hour.
        assert replace(record, host="elsewhere", pid=2**22 + 1).has_live_owner


def test_a_batch_that_the_provider_does_not_know_is_not_bought_again(store: ResponseStore) -> None:
    with BatchServer() as server:
        interrupted(server, store, range(3))
        lost = server.batches.pop("batch_1")
        with pytest.raises(ClientError, match="does not know batch batch_1 of 3 requests") as caught:
            run(server, store, range(3))
        assert "--abandon" in str(caught.value)
        assert not server.batches
        forgotten = cancel_batch(store.path, lost.intent[:12], abandon=True)
        assert forgotten.state == "abandoned"
        assert texts(run(server, store, range(3))) == ["good"] * 3


def test_a_batch_of_another_account_is_not_bought_again(store: ResponseStore) -> None:
    with BatchServer() as server:
        journal, endpoint = journal_of(store, server)
        claim = journal.claim([key_of(server, store, 0)], *endpoint)
        assert claim.record is not None
        journal.advance(claim.record, "submitting", file_id="file-of-others")
        journal.release()
        with pytest.raises(ClientError, match="input file"):
            run(server, store, range(1))
        assert not server.batches


def test_answers_stored_meanwhile_are_not_bought(store: ResponseStore) -> None:
    with BatchServer(echo) as server:
        online = OpenAIClient(model="m", base_url=server.base_url, api_key_env=None)
        client = make(server, store)

        def requests() -> Iterator[Request]:
            yield from asked(range(3))
            # The first three have been looked up, and were not there.
            list(CachedClient(online, store).complete(asked(range(2))))

        completions = list(client.complete(requests()))
        assert sorted(item.text for item in completions) == [f"echo text {key:04d}" for key in range(3)]
        assert once(server)
        assert [len(batch.lines) for batch in server.batches.values()] == [1]


def test_two_runs_at_once_share_their_batches(store: ResponseStore) -> None:
    results: dict[int, dict[int, Completion]] = {}
    with BatchServer(echo, looks=6) as server:

        def work(number: int) -> None:
            with ResponseStore(store.path) as own:
                results[number] = run(server, own, range(30))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert once(server)
        assert sum(len(batch.lines) for batch in server.batches.values()) == 30
    for number in range(3):
        assert texts(results[number]) == [f"echo text {key:04d}" for key in range(30)]


# Budget

PRICE_USD = 0.001


def cost_usd(usage: Usage) -> float:
    return usage.prompt_tokens * PRICE_USD + usage.completion_tokens * 2 * PRICE_USD


def account(store: ResponseStore, **budget: Any) -> BudgetTracker:
    return BudgetTracker(store, Run("a recipe", "m", **budget), cost_usd=cost_usd, max_tokens=10)


def ledger(store: ResponseStore) -> list[tuple[Any, ...]]:
    store.flush()
    columns = "requests, prompt_tokens, completion_tokens, round(usd, 9), round(granted_usd, 9), ended_at IS NOT NULL"
    return store.select(f"SELECT {columns} FROM runs ORDER BY started_at")


def test_the_maximum_cost_is_reserved_before_sending_and_replaced_by_the_usage(store: ResponseStore) -> None:
    most = account(store).max_cost(ask(0)).usd
    with BatchServer() as server:
        interrupted(server, store, range(4), budget=account(store, budget_usd=1.0))
        assert ledger(store) == [(0, 0, 0, None, round(4 * most, 9), 0)]
        budget = account(store, budget_usd=1.0)
        run(server, store, range(4), budget=budget)
        # Seven tokens of prompt and two of answer, each.
        assert ledger(store) == [(4, 28, 8, 0.044, 0.044, 1)]
        assert budget.spent_usd == pytest.approx(0.044)


def test_the_budget_is_never_exceeded_and_cheaper_answers_make_room(store: ResponseStore) -> None:
    most = account(store).max_cost(ask(0)).usd
    budget = 3.5 * most
    reserved = []

    def looked(body: dict[str, Any]) -> str:
        with sqlite3.connect(store.path) as reader:
            reserved.append(reader.execute("SELECT sum(max(granted_usd, coalesce(usd, 0))) FROM runs").fetchone()[0])
        return "good"

    with BatchServer(looked) as server:
        completions = run(server, store, range(40), budget=account(store, budget_usd=budget))
        answered = [item for item in completions.values() if item.failure is None]
        # The most is 41 prompt tokens and 10 of answer: 0.061. Of the budget, 0.2135, three cost 0.033 in the end.
        assert most == pytest.approx(0.061)
        assert [len(batch.lines) for batch in server.batches.values()][:2] == [3, 2]
        assert max(reserved) <= budget
        # Until not even one more is certain to fit.
        left = budget - len(answered) * 0.011
        assert 0 <= left < most
    failures = {item.failure.kind for item in completions.values() if item.failure is not None}
    assert failures == {"over_budget"}


def test_collect_settles_a_batch_whose_answers_are_all_stored(store: ResponseStore) -> None:
    with BatchServer() as server:
        budget = account(store, budget_usd=1.0)
        # The consumer takes all answers and stops before the batch is finished.
        completions = CachedClient(make(server, store, budget=budget), store).complete(asked(range(3)))
        for _ in range(3):
            next(completions)
        completions.close()  # type: ignore[attr-defined]  # it is a generator
        store.flush()
        assert [item.state for item in list_batches(store.path)] == ["submitted"]
        client = make(server, store, budget=account(store, budget_usd=1.0))
        assert all(item.stored for item in CachedClient(client, store).complete(asked(range(3))))
        client.collect()
        assert list_batches(store.path) == []
        assert ledger(store) == [(3, 21, 6, 0.033, 0.033, 1)]
        calls = len(server.calls)
        client.collect()
        assert len(server.calls) == calls


def test_the_batch_of_a_dead_run_keeps_its_reservation_until_it_is_resumed(store: ResponseStore) -> None:
    most = account(store).max_cost(ask(0)).usd
    with BatchServer() as server:
        interrupted(server, store, range(3), budget=account(store, budget_usd=3.5 * most))
        # Other rows of the recipe: the money is away as long as the batch goes on.
        others = run(server, store, range(10, 12), budget=account(store, budget_usd=3.5 * most))
        assert {item.failure.kind for item in others.values() if item.failure is not None} == {"over_budget"}
        assert texts(run(server, store, range(3), budget=account(store, budget_usd=3.5 * most))) == ["good"] * 3
        assert texts(run(server, store, range(10, 12), budget=account(store, budget_usd=3.5 * most))) == ["good"] * 2
        assert once(server)


def test_an_abandoned_batch_stays_charged(store: ResponseStore) -> None:
    most = account(store).max_cost(ask(0)).usd
    with BatchServer() as server:
        interrupted(server, store, range(3), budget=account(store, budget_usd=3.5 * most))
        server.batches.clear()
        (record,) = list_batches(store.path)
        cancel_batch(store.path, record.id, abandon=True)
        completions = run(server, store, range(3), budget=account(store, budget_usd=3.5 * most))
        assert {item.failure.kind for item in completions.values() if item.failure is not None} == {"over_budget"}
    rows = store.select("SELECT uncertain_requests, uncertain_usd FROM runs WHERE ended_at IS NOT NULL")
    assert rows == [(3, pytest.approx(3 * most))]


def test_a_rejected_batch_releases_its_reservation(store: ResponseStore) -> None:
    trouble = {"code": "model_not_found", "message": "no", "line": None, "param": None}
    with BatchServer(invalid=lambda _: [trouble]) as server:
        run(server, store, range(3), budget=account(store, budget_usd=1.0))
        assert ledger(store) == []


# List, cancel and journal


def test_batches_are_listed_and_cancelled_by_id(store: ResponseStore) -> None:
    with BatchServer(looks=10_000) as server:
        assert list_batches(store.path.parent / "none.sqlite") == []
        assert not (store.path.parent / "none.sqlite").exists()
        interrupted(server, store, range(3))
        (record,) = list_batches(store.path)
        assert (record.requests, record.model, record.base_url) == (3, "m", server.base_url)
        for name in ("batch_9", "", "zz"):
            with pytest.raises(DataError, match="no open batch"):
                cancel_batch(store.path, name)
        cancelled = cancel_batch(store.path, "batch_1", polling=PACE)
        assert cancelled.status == "cancelling"
        assert cancelled.cancelled_at is not None
        assert [item.state for item in list_batches(store.path, include_final=True)] == ["submitted"]


def test_cancelling_a_batch_without_an_id_names_the_alternatives(store: ResponseStore) -> None:
    with BatchServer() as server:
        journal, endpoint = journal_of(store, server)
        claim = journal.claim([b"\1" * 32], *endpoint)
        assert claim.record is not None
        with pytest.raises(ClientError, match="--abandon"):
            cancel_batch(store.path, claim.record.id)


def test_a_full_disk_is_a_store_error(store: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **keywords: Any) -> Any:
        raise OSError(28, "No space left on device")

    with BatchServer() as server:
        monkeypatch.setattr("hf_synthlabels.clients.batch.pending_requests.tempfile.TemporaryFile", full)
        with pytest.raises(StoreError, match=r"No space left on device"):
            run(server, store, range(3))
        assert not server.batches


def test_a_request_is_claimed_by_one_call_only(store: ResponseStore) -> None:
    endpoint = ("i", "m", Endpoint("http://u/v1", None))
    first, second = BatchJournal(store.path), BatchJournal(store.path)
    keys = [bytes([number]) * 32 for number in range(6)]
    mine = first.claim(keys[:4], *endpoint)
    theirs = second.claim(keys[2:], *endpoint)
    assert mine.record is not None
    assert theirs.record is not None
    assert (mine.claimed, theirs.claimed) == (keys[:4], keys[4:])
    assert theirs.elsewhere == {mine.record.id: keys[2:4]}
    assert second.claim(keys[:2], *endpoint).record is None
    # Who does not own it changes nothing; who ends it frees the requests.
    assert second.advance(mine.record, "submitted", batch_id="b") is None
    assert second.finish(mine.record, "stored")
    assert not first.finish(mine.record, "stored")
    assert first.advance(mine.record, "submitted", batch_id="b") is None
    assert second.claim(keys, *endpoint).claimed == keys[:4]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_only_one_call_takes_over_a_batch(store: ResponseStore, count: int) -> None:
    journal = BatchJournal(store.path)
    claim = journal.claim([b"\1" * 32], "i", "m", Endpoint("http://u/v1", None))
    assert claim.record is not None
    journal.release()
    seen = journal.get(claim.record.id)
    assert seen is not None
    takers = [BatchJournal(store.path) for _ in range(count)]
    assert sum(taker.take_over(seen) is not None for taker in takers) == 1


def test_a_consumer_that_stops_early_loses_nothing(store: ResponseStore) -> None:
    with BatchServer() as server:
        completions = make(server, store).complete(asked(range(10)))
        for _ in itertools.islice(completions, 3):
            pass
        completions.close()  # type: ignore[attr-defined]  # it is a generator
        # The batch is over, but not all of it was taken.
        assert [item.state for item in list_batches(store.path)] == ["submitted"]
        assert texts(run(server, store, range(10))) == ["good"] * 10
        assert len(server.batches) == 1


def test_an_error_in_the_request_iterator_is_raised(store: ResponseStore) -> None:
    def requests() -> Iterator[Request]:
        yield from asked(range(12))
        raise DataError("the rows end badly")

    with BatchServer() as server:
        with pytest.raises(DataError, match="end badly"):
            list(make(server, store).complete(requests()))
        # Ten had been sent by then; they are not lost.
        assert texts(run(server, store, range(12))) == ["good"] * 12
        assert once(server)
