from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hf_synthlabels.clients import Completion, Failure, Message, Request, ScriptedClient, Usage


def ask(key: int, text: str) -> Request:
    return Request(key, (Message("user", text),), text=text)


ROWS = [ask(4, "a"), ask(9, "b")]


def answer(request: Request) -> str:
    return {"a": "good", "b": "bad"}[request.text]


def test_a_script_is_a_list_a_mapping_or_a_function(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [["good", "bad"], {"b": "bad", "a": "good"}, answer]
    for script in cases:
        with subtests.test(script=script):
            client = ScriptedClient(script)
            assert list(client.complete(ROWS)) == [Completion(4, text="good"), Completion(9, text="bad")]
            assert client.requests == ROWS
            assert client.identity == {"client": "scripted"}


def test_a_whole_completion_gets_the_key_of_its_request() -> None:
    scripted = Completion(0, text="goo", finish_reason="length", usage=Usage(3, 1), model="tiny", stored=True)
    (completion,) = ScriptedClient([scripted]).complete([ask(4, "a")])
    assert completion == Completion(4, text="goo", finish_reason="length", usage=Usage(3, 1), model="tiny", stored=True)


def test_beyond_the_script_is_a_failure(subtests: pytest.Subtests) -> None:
    cases: list[Any] = [["good"], {"a": "good"}]
    for script in cases:
        with subtests.test(script=script):
            first, second = ScriptedClient(script).complete(ROWS)
            assert first == Completion(4, text="good")
            assert second == Completion(9, failure=Failure("missing", "the script has no answer for 'b'"))


def test_a_list_goes_on_where_the_last_run_ended() -> None:
    client = ScriptedClient(["one", "two", "three"])
    assert [completion.text for completion in client.complete(ROWS)] == ["one", "two"]
    assert [completion.text for completion in client.complete([ask(1, "c")])] == ["three"]
    assert [request.text for request in client.requests] == ["a", "b", "c"]


def test_requests_are_pulled_one_by_one() -> None:
    pulled: list[int] = []

    def rows() -> Iterator[Request]:
        for key in range(5):
            pulled.append(key)
            yield ask(key, "a")

    completions = ScriptedClient({"a": "good"}).complete(rows())
    assert next(completions).key == 0
    assert pulled == [0]


def test_an_error_in_a_function_comes_up() -> None:
    with pytest.raises(KeyError, match="'c'"):
        list(ScriptedClient(answer).complete([ask(1, "c")]))
