"""What a recipe sends to its server beside the messages, and what becomes of the server's odd answers, end to end."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation import annotate, provenance, read_recipe
from hf_synthlabels.clients import BatchClient, BatchPolling, Request, factory
from hf_synthlabels.clients.base import Message
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.clients.protocol.chat import Sampling, chat_body, limit_parameter
from hf_synthlabels.errors import ConfigError, MissingKeyError, RecipeError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.resources import store_path
from tests.servers.base import json_reply
from tests.servers.batches import BatchServer
from tests.servers.chat import ChatServer, Reply, chat_completion, error

SECRET = "very-secret-0123456789"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are looked at often."""
    pace = BatchPolling(initial_pause_s=0.01, max_pause_s=0.02, listing_delay_s=0.1, outage_timeout_s=5.0)
    monkeypatch.setattr(factory, "BatchClient", partial(BatchClient, polling=pace))


def recipe(url: str, *, kind: str = "text-classification", task: dict[str, Any] | None = None, **annotator: Any) -> Any:
    keys = {"client": "openai", "model": "tiny", "base_url": url, "api_key_env": None, "max_retries": 0}
    labels = {"labels": ["positive", "negative"]} if task is None else task
    return {
        "name": "films",
        "source": {"path": "json"},
        "task": {"kind": kind, **labels},
        "annotator": keys | annotator,
    }


def data(*texts: Any) -> Dataset:
    return Dataset.from_dict({"text": list(texts)})


def statuses(rows: Dataset) -> list[str]:
    return [STATUSES[code] for code in rows["llm_label_status"]]


# Parameters, headers and the role of the system prompt


EXTRA = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20}


@pytest.mark.parametrize("batch", [False, True])
def test_parameters_headers_and_roles_are_sent_online_and_in_batches(
    batch: bool, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("MY_GATEWAY_KEY", SECRET)
    headers = {"X-Api-Key": {"env": "MY_GATEWAY_KEY"}, "X-Title": "films", "X-Route": "eu"}
    with BatchServer(lambda _: "negative") as server:
        found = annotate(
            data("a dull film"),
            recipe(server.base_url, batch=batch, extra_body=EXTRA, headers=headers, system_role="none"),
        )
        (body,) = server.bodies
        assert {name: body[name] for name in EXTRA} == EXTRA
        assert [message["role"] for message in body["messages"]] == ["user"]
        assert body["messages"][0]["content"].endswith("<text>\na dull film\n</text>")
        for sent in server.headers:
            assert (sent["x-api-key"], sent["x-title"], sent["x-route"]) == (SECRET, "films", "eu")
    assert statuses(found) == ["labelled"]
    described = provenance(found)[0]["annotator"]
    assert described["extra_body"] == EXTRA
    assert described["headers"] == ["X-Api-Key", "X-Route", "X-Title"]
    assert described["system_role"] == "none"
    for file in home.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("first", "second", "requests"),
    [
        ({}, {"extra_body": {}}, 1),
        ({}, {"extra_body": {"top_k": 20}}, 2),
        ({"extra_body": {"a": 1, "b": 2}}, {"extra_body": {"b": 2, "a": 1}}, 1),
        ({}, {"system_role": "system"}, 1),
        ({}, {"system_role": "developer"}, 2),
        ({"headers": {"X-Title": "films"}}, {"headers": {"X-Title": "movies"}}, 1),
        ({"headers": {"X-Route": "eu"}}, {"headers": {"X-Route": "us"}}, 2),
        ({"headers": {"X-Route": "eu"}}, {"headers": {"x-route": "eu"}}, 1),
        ({}, {"headers": {"X-Api-Key": {"env": "MY_GATEWAY_KEY"}}}, 1),
    ],
)
def test_what_can_change_an_answer_is_part_of_its_key(
    first: dict[str, Any], second: dict[str, Any], requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_GATEWAY_KEY", SECRET)
    with ChatServer(lambda _: "negative") as server:
        for keys in (first, second):
            annotate(data("a dull film"), recipe(server.base_url, **keys))
        assert len(server.bodies) == requests


def test_the_secret_of_a_header_is_hidden_where_the_server_quotes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_GATEWAY_KEY", SECRET)
    with ChatServer(lambda _: error(400, f"do not know {SECRET}")) as server:
        keys: dict[str, Any] = {"headers": {"X-Api-Key": {"env": "MY_GATEWAY_KEY"}}}
        with pytest.raises(Exception, match=r"\*\*\*") as caught:
            annotate(data("a"), recipe(server.base_url, **keys))
    assert SECRET not in str(caught.value)


def test_a_variable_of_a_header_that_is_not_set_is_named_before_anything_is_sent() -> None:
    with ChatServer(lambda _: "negative") as server:
        with pytest.raises(MissingKeyError, match="NOT_SET_ANYWHERE"):
            annotate(data("a"), recipe(server.base_url, headers={"X-Api-Key": {"env": "NOT_SET_ANYWHERE"}}))
        assert server.bodies == []
    assert not store_path().exists()


def test_keys_that_cannot_be_sent_are_errors_in_one_line(subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"extra_body": {"model": "other"}}, "extra_body"),
        ({"extra_body": {"messages": []}}, "extra_body"),
        ({"extra_body": {"stream": True}}, "extra_body"),
        ({"extra_body": {"temperature": 1}}, "`temperature`"),
        ({"extra_body": {"top_k": float("nan")}}, "extra_body"),
        ({"extra_body": {"max_completion_tokens": 10_000}}, "max_completion_tokens"),
        ({"headers": {"X-Api-Key": SECRET}}, "env: NAME"),
        ({"headers": {"Cookie": "a=b"}}, "env: NAME"),
        ({"headers": {"X-Route": "Bearer abc"}}, "env: NAME"),
        ({"headers": {"X-Route": 1}}, "X-Route"),
        ({"headers": {"X Route": "eu"}}, "X Route"),
        ({"headers": {"X-Route": "eu\nHost: other"}}, "X-Route"),
        ({"headers": {"Content-Type": "text/plain"}}, "Content-Type"),
        ({"headers": {"X-Route": "eu", "x-route": "us"}}, "headers"),
        ({"headers": {"Authorization": {"env": "A"}}, "api_key_env": "B"}, "api_key_env"),
        ({"system_role": "user"}, "system_role"),
        ({"client": "transformers", "extra_body": {"top_k": 1}}, "extra_body"),
        ({"client": "recorded", "column": "a", "logprobs": True}, "logprobs"),
        ({"batch": True, "base_url": "https://api.anthropic.com/v1"}, "batch"),
    ]
    for keys, word in cases:
        with subtests.test(repr((keys, word))):
            with pytest.raises(ConfigError) as caught:
                read_recipe(recipe("http://127.0.0.1:9/v1", **keys))
            assert word in str(caught.value)
            assert "\n" not in str(caught.value)
            assert SECRET not in str(caught.value)


# How the length of an answer is limited


def test_the_limit_is_sent_as_each_server_knows_it(subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, str, bool, str]] = [
        ("gpt-4.1", "https://api.openai.com/v1", False, "max_tokens"),
        ("gpt-5-mini", "https://api.openai.com/v1", True, "max_completion_tokens"),
        ("o3-deployment", "https://mine.openai.azure.com/openai/v1", True, "max_completion_tokens"),
        ("gpt-oss:20b", "http://localhost:11434/v1", True, "max_tokens"),
        ("Qwen/Qwen3-8B", "http://localhost:8000/v1", True, "max_tokens"),
        ("deepseek-reasoner", "https://api.deepseek.com/v1", True, "max_tokens"),
        ("magistral-medium", "https://api.mistral.ai/v1", True, "max_tokens"),
        ("openai/o3", "https://openrouter.ai/api/v1", True, "max_tokens"),
        ("o4-mini", "https://llm.example.org/v1", True, "max_completion_tokens"),
        ("gpt-5-chat", "https://notopenai.com/v1", True, "max_tokens"),
    ]
    for model, url, reasoning, name in cases:
        with subtests.test(repr((model, url, reasoning, name))):
            assert limit_parameter(model, url, reasoning=reasoning) == name
            body = chat_body(
                model, url, Sampling(reasoning=reasoning, max_tokens=99), Request(0, (Message("user", "?"),))
            )
            assert {key: body[key] for key in body if key.startswith("max_")} == {name: 99}


def test_a_proxy_with_names_of_its_own_can_be_sent_the_other_limit() -> None:
    keys: dict[str, Any] = {"extra_body": {"max_completion_tokens": 200}, "max_tokens": 300, "reasoning_model": True}
    config = ClientConfig(client="openai", model="ours", base_url="https://llm.example.org/v1", **keys)
    body = chat_body("ours", config.base_url, config.sampling("text"), Request(0, (Message("user", "?"),)))
    assert {key: body[key] for key in body if key.startswith("max_")} == {"max_completion_tokens": 200}


# What odd answers become


KINDS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "text-classification": ({"labels": ["positive", "negative"]}, "negative", 1),
    "multi-label": ({"labels": ["film", "sport"]}, "film, sport", [0, 1]),
    "text-scale": ({"scale": {"low": 1, "high": 5}}, "4", 4.0),
    "text-generation": ({}, "A dog barks.", "A dog barks."),
}

THOUGHTS = "At first positive, film or 2: <text>. But no."


@pytest.mark.parametrize("form", ["tags", "no opening tag", "field", "parts", "harmony"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_reasoning_never_becomes_a_label_or_a_raw_answer(kind: str, form: str) -> None:
    task, said, label = KINDS[kind]
    messages: dict[str, dict[str, Any]] = {
        "tags": {"content": f"<think>\n{THOUGHTS}\n</think>\n\n{said}"},
        "no opening tag": {"content": f"{THOUGHTS}\n</think>\n\n{said}"},
        "field": {"content": said, "reasoning_content": THOUGHTS},
        "parts": {"content": [{"type": "thinking", "thinking": THOUGHTS}, {"type": "text", "text": said}]},
        "harmony": {
            "content": f"<|channel|>analysis<|message|>{THOUGHTS}<|end|>"
            f"<|start|>assistant<|channel|>final<|message|>{said}"
        },
    }
    with ChatServer(lambda _: json_reply(chat_completion(None, message=messages[form]))) as server:
        for _ in range(2):
            found = annotate(data("x"), recipe(server.base_url, kind=kind, task=task))
            assert (statuses(found), found["llm_label"][0], found["llm_label_raw"][0]) == (["labelled"], label, said)
        assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "status", "asked_again"),
    [
        (json_reply(chat_completion("positive", finish_reason="error")), "failed", True),
        (json_reply(chat_completion("positive", finish_reason="tool_calls")), "failed", True),
        (json_reply(chat_completion("positive", finish_reason="MAX_TOKENS")), "truncated", True),
        (json_reply(chat_completion("<think>positive")), "truncated", True),
        (json_reply(chat_completion("positive", finish_reason="guardrail_intervened")), "refused", True),
        (error(400, "no", x="y"), "failed", True),
        (
            (400, {}, b'{"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}'),
            "refused",
            False,
        ),
        (json_reply({"error": {"code": "content_policy_violation", "message": "no"}}), "refused", False),
    ],
)
@pytest.mark.parametrize("batch", [False, True])
def test_an_answer_that_is_none_is_never_served_as_one(
    reply: Reply, status: str, asked_again: bool, batch: bool
) -> None:
    assert isinstance(reply, tuple)
    bad = [True]

    def answer(body: dict[str, Any]) -> Any:
        if "second" in body["messages"][-1]["content"] or not bad[0]:
            return "negative"
        return reply[0], json.loads(reply[2])

    with BatchServer(answer) as server:
        texts = data("first", "second")
        found = annotate(texts, recipe(server.base_url, batch=batch))
        assert statuses(found) == [status, "labelled"]
        bad[0] = False
        again = annotate(texts, recipe(server.base_url, batch=batch))
        assert statuses(again) == [("labelled" if asked_again else status), "labelled"]


def test_a_filter_that_rejects_the_first_rows_does_not_end_the_run() -> None:
    filtered: Reply = (400, {}, b'{"error": {"message": "no", "code": "content_filter"}}')
    with ChatServer(lambda body: "negative" if "good" in body["messages"][-1]["content"] else filtered) as server:
        found = annotate(data(*[f"bad {number}" for number in range(60)], "good"), recipe(server.base_url))
    assert statuses(found) == ["refused"] * 60 + ["labelled"]


def test_truncated_prompts_are_in_the_provenance() -> None:
    long = chat_completion("negative", usage={"prompt_tokens": 2048, "completion_tokens": 1})
    with ChatServer(lambda _: json_reply(long)) as server:
        found = annotate(data(*[f"{number} " + "a long film " * 2000 for number in range(3)]), recipe(server.base_url))
    cases = provenance(found)[0]["tally"]["truncated_prompts"]
    assert sum(cases.values()) == 3
    assert all(case.startswith("2048/") for case in cases)


# Log-probabilities, and columns that are no texts


def test_logprobs_without_an_effect_are_an_error(subtests: pytest.Subtests) -> None:
    cases = list(
        [(kind, task) for kind, (task, _, _) in KINDS.items() if kind not in ("text-classification", "text-scale")]
        + [("text-classification", {"labels": ["positive", "negative"], "candidates": 2})]
    )
    for kind, task in cases:
        with subtests.test(repr((kind, task))), pytest.raises(RecipeError, match=r"annotator\.logprobs"):
            read_recipe(recipe("http://127.0.0.1:9/v1", kind=kind, task=task, logprobs=True))


MESSAGES = [{"role": "user", "content": "Is it good?"}, {"role": "assistant", "content": "No, it's dull."}]


def test_cells_that_are_no_texts_are_shown_as_turns_or_json(subtests: pytest.Subtests) -> None:
    cases: list[tuple[Any, str]] = [
        (MESSAGES, "user: Is it good?\nassistant: No, it's dull."),
        ([{"from": "human", "value": "Is it good?"}], "human: Is it good?"),
        ({"title": "Ein Film", "länge": 3}, '{"title": "Ein Film", "länge": 3}'),
        (["a", "b"], '["a", "b"]'),
        ([{"text": "a"}], '[{"text": "a"}]'),
        ([{"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image"}]}], "user: Look: [image]"),
        (0, "0"),
    ]
    for cell, shown in cases:
        with subtests.test(repr((cell, shown))), ChatServer(lambda _: "negative") as server:
            annotate(data(cell), recipe(server.base_url))
            assert f"<text>\n{shown}\n</text>" in server.prompts()[0]
