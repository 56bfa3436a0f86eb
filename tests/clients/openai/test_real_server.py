"""Servers that nobody here wrote: `transformers serve` and llama.cpp's own, over one tiny model made on the spot.

Both hold the same weights, which have learnt by heart what to answer to a few rows. What the client reads of them must
be what the model says in this process.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation import annotate, provenance, read_recipe
from hf_synthlabels.annotation.compiler import compile_variable
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.errors import AllFailedError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.resources import store_path

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.tiny_models import chat_text, taught_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]

SAID = {
    "the goal of the match": "sport<|im_end|>",
    "an actor in a scene": "film<|im_end|>",
    "Is it SPORT": "The label is film.<|im_end|>",
    "a b c": "politics<|im_end|>",
    "one two three": "film or sport<|im_end|>",
    "news": "it is about yes no yes no yes no yes no yes no yes no<|im_end|>",
    "nothing": "abstain<|im_end|>",
}
"""What the model has learnt to say to each row; of the last but one no more than the limit is read."""

EXPECTED = {
    "the goal of the match": ("labelled", "sport"),
    "an actor in a scene": ("labelled", "film"),
    "Is it SPORT": ("labelled", "film"),
    "a b c": ("unparsed", None),
    "one two three": ("unparsed", None),
    "news": ("truncated", None),
    "nothing": ("abstained", None),
}

MAX_TOKENS = 12


def recipe(model: str, base_url: str | None, **annotator: Any) -> dict[str, Any]:
    keys: dict[str, Any] = {"client": "openai", "model": model, "base_url": base_url, "api_key_env": None}
    if base_url is None:
        keys = {"client": "transformers", "model": model}
    return {
        "name": "real",
        "source": {"path": "json"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"], "abstain": True},
        "annotator": keys | {"max_tokens": MAX_TOKENS, "max_retries": 1, "timeout_s": 60} | annotator,
        "output": {"column": "llm", "probabilities": True},
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model that has learnt the rows by heart."""
    prompt = compile_variable(read_recipe(recipe("tiny", None))).prompt()
    lessons = {
        chat_text(*((message.role, message.content) for message in prompt.messages(text))): answer
        for text, answer in SAID.items()
    }
    return taught_model(tmp_path_factory.mktemp("model"), lessons, steps=300)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, log: Path) -> Iterator[str]:
    """A server as a process of its own, from the moment that it answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 120
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def needs(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the server needs {module}, which is not installed: pip install 'hf-synthlabels[dev]'")


@pytest.fixture(scope="module")
def transformers_serve(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    needs("fastapi", "uvicorn")
    port = free_port()
    start = "from transformers.cli.transformers import main; main()"
    command = [sys.executable, "-c", start, "serve", model, "--host", "127.0.0.1", "--port", str(port)]
    with serving([*command, "--device", "cpu"], port, tmp_path_factory.mktemp("serve") / "log") as base_url:
        yield base_url


@pytest.fixture(scope="module")
def llama_cpp(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    needs("xllamacpp", "gguf")
    port = free_port()
    command = [sys.executable, str(ROOT / "tests" / "servers" / "llama.py"), model, str(port)]
    with serving(command, port, tmp_path_factory.mktemp("llama") / "log") as base_url:
        yield base_url


@pytest.fixture(params=["transformers_serve", "llama_cpp"])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def rows(times: int = 1) -> Dataset:
    return Dataset.from_dict({"text": list(SAID) * times})


def read(result: Dataset) -> dict[str, tuple[str, str | None]]:
    names = result.features["llm"].int2str
    return {
        row["text"]: (STATUSES[row["llm_status"]], None if row["llm"] is None else names(row["llm"])) for row in result
    }


def test_every_answer_gets_its_status(server: str, model: str) -> None:
    result = annotate(rows(), recipe(model, server))
    assert read(result) == EXPECTED
    here = annotate(rows(), recipe(model, None))
    assert result["llm_raw"] == here["llm_raw"]
    (record,), (local,) = provenance(result), provenance(here)
    # Tokens are counted by others as they are here.
    for count in ("rows", "requests", "prompt_tokens", "completion_tokens", "statuses"):
        assert record["tally"][count] == local["tally"][count], count
    assert record["tally"]["completion_tokens"] > MAX_TOKENS
    assert record["returned_models"]


def test_many_rows_at_once(server: str, model: str) -> None:
    numbered = Dataset.from_dict({"text": list(SAID), "copy": [0] * len(SAID)})
    result = annotate(numbered, recipe(model, server, max_in_flight=8, num_samples=6, temperature=0.01))
    # The same row, asked six times in any company, at next to no temperature.
    for row in result:
        raw = json.loads(row["llm_raw"])
        assert len(raw) == 6
        assert len(set(raw)) == 1, row["text"]


def test_a_row_beyond_the_context_fails_and_the_others_do_not(llama_cpp: str) -> None:
    texts = ["the goal of the match", "goal " * 6000, "an actor in a scene"]
    result = annotate(Dataset.from_dict({"text": texts}), recipe("tiny", llama_cpp))
    assert [STATUSES[code] for code in result["llm_status"]] == ["labelled", "failed", "labelled"]
    assert "(HTTP 400)" in result["llm_note"][1]


def test_a_form_that_the_server_ignores_is_found_out(transformers_serve: str, model: str) -> None:
    # It takes `response_format` and does nothing about it.
    result = annotate(rows(), recipe(model, transformers_serve, response_format="auto"))
    assert probed() == [("text",)]
    assert read(result) == EXPECTED


def test_a_form_that_is_insisted_on_leaves_answers_as_they_are(transformers_serve: str, model: str) -> None:
    result = annotate(rows(), recipe(model, transformers_serve, response_format="json_schema"))
    # The model was not trained on this prompt and may copy any part of it, `abstain` included.
    assert {status for status, _ in read(result).values()} <= {"unparsed", "truncated", "labelled", "abstained"}
    names = result.features["llm"].int2str
    for row in result:
        if row["llm"] is not None:
            assert names(row["llm"]) in row["llm_raw"].casefold()


def test_a_server_that_holds_to_a_schema_leaves_nothing_unread(llama_cpp: str) -> None:
    result = annotate(rows(), recipe("tiny", llama_cpp, response_format="auto", max_tokens=60))
    assert probed() == [("json_schema",)]
    for row in result:
        assert STATUSES[row["llm_status"]] in ("labelled", "abstained")
        assert json.loads(row["llm_raw"])["label"] in ("film", "sport", "abstain")


def test_log_probabilities_are_those_of_weighing(llama_cpp: str, model: str) -> None:
    texts = Dataset.from_dict({"text": ["the goal of the match", "an actor in a scene"]})
    labeled = annotate(texts, recipe("tiny", llama_cpp, logprobs=True))
    weighed = annotate(texts, recipe(model, None, scoring=True))
    for there, here in zip(labeled, weighed, strict=True):
        assert there["llm"] == here["llm"]
        # Weighing knows of abstaining, and the server shows no more than its twenty likeliest tokens.
        film, sport = here["llm_probs"]
        expected = [film / (film + sport), sport / (film + sport)]
        assert there["llm_probs"] == pytest.approx(expected, abs=0.02)


def test_a_server_that_knows_no_log_probabilities_gives_labels_without(transformers_serve: str, model: str) -> None:
    result = annotate(rows(), recipe(model, transformers_serve, logprobs=True))
    assert read(result) == EXPECTED
    assert result["llm_confidence"] == [None] * len(SAID)


def test_a_model_that_the_server_does_not_know_stops_the_run(transformers_serve: str) -> None:
    with pytest.raises(AllFailedError) as caught:
        annotate(rows(), recipe("no-such-owner/no-such-model", transformers_serve))
    assert len(str(caught.value).splitlines()) == 1


def probed() -> list[Any]:
    with ResponseStore(store_path()) as store:
        return list(store.select("SELECT response_format FROM probes", ()))
