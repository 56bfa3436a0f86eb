"""Judges on a server that nobody here wrote, and in this process: one tiny model, the same verdicts and scores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import OpenAIClient, Sampling, TransformersClient
from hf_synthlabels.judging import Extraction, Judge, judge_pairs, read_rubric
from hf_synthlabels.judging.prompting.judge_prompt import Item, JudgePrompt

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.clients.openai.test_real_server import ROOT, free_port, needs, serving
from tests.tiny_models import chat_text, taught_model

pytestmark = pytest.mark.slow

RUBRIC = read_rubric(
    {"name": "tiny", "instructions": "One number.", "scale": {"low": 1, "high": 5}, "reasoning": False}
)
PAIR = read_rubric(
    {
        "name": "pair",
        "instructions": "Which?",
        "protocol": "pairwise",
        "reasoning": False,
        "choices": [{"answer": "B", "score": 0}, {"answer": "A", "score": 1}],
    }
)
LADDER = Extraction(parse_methods=("line", "logprobs"), min_probability_mass=0.5)

SAID = {"the goal": "5", "a b c": "2", "news": "score: 4", "nothing": "yes or no"}
"""What the model has learnt to say of each answer."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    prompt, pair = JudgePrompt(RUBRIC), JudgePrompt(PAIR)
    lessons = {spoken(prompt, Item(answer)): f"{said}<|im_end|>" for answer, said in SAID.items()}
    # Whatever stands first is better.
    for swapped in (False, True):
        lessons[spoken(pair, Item("the goal", other="news"), swapped=swapped)] = "A<|im_end|>"
    return taught_model(tmp_path_factory.mktemp("judge"), lessons, steps=300)


def spoken(prompt: JudgePrompt, item: Item, *, swapped: bool = False) -> str:
    return chat_text(*((message.role, message.content) for message in prompt.messages(item, swapped=swapped)))


@pytest.fixture(scope="module")
def llama_cpp(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    needs("xllamacpp", "gguf")
    port = free_port()
    command = [sys.executable, str(ROOT / "tests" / "servers" / "llama.py"), model, str(port)]
    with serving(command, port, Path(tmp_path_factory.mktemp("llama")) / "log") as base_url:
        yield base_url


def there(base_url: str, **sampling: Any) -> OpenAIClient:
    options = Sampling(**{"max_tokens": 12, **sampling})
    return OpenAIClient(model="tiny", base_url=base_url, api_key_env=None, sampling=options, timeout_s=60)


def test_verdicts_are_the_same_there_and_here(llama_cpp: str, model: str) -> None:
    for client in (there(llama_cpp), TransformersClient(model, sampling=Sampling(max_tokens=12))):
        found = Judge(RUBRIC, client).judge(list(SAID))
        assert [one.score for one in found.judgments] == [5, 2, 4, None]
        assert found.summary.n_unscored == {"unparsed": 1}
        assert found.summary.stats.prompt_tokens > 100


def test_expected_scores_are_the_same_written_there_and_here_and_weighed(llama_cpp: str, model: str) -> None:
    answers = ["the goal", "a b c"]
    told = Judge(RUBRIC, there(llama_cpp, top_logprobs=20), LADDER).judge(answers)
    written = Judge(RUBRIC, TransformersClient(model, sampling=Sampling(max_tokens=12, top_logprobs=20)), LADDER)
    weighed = Judge(RUBRIC, TransformersClient(model, answers=list(RUBRIC.answers)), LADDER)
    for other in (written.judge(answers), weighed.judge(answers)):
        for one, same in zip(told.judgments, other.judgments, strict=True):
            assert (one.parse_method, same.parse_method) == ("logprobs", "logprobs")
            assert one.score == pytest.approx(same.score, abs=0.05)
            assert one.mass is not None
            assert one.mass > 0.9


def test_a_server_that_holds_to_the_schema_leaves_nothing_unread(llama_cpp: str) -> None:
    client = there(llama_cpp, response_format="json_schema", max_tokens=60)
    found = Judge(RUBRIC, client, Extraction(parse_methods=("schema",))).judge(["whatever", *SAID])
    assert found.summary.coverage == 1
    assert found.summary.parse_methods == {"schema": 5}


def test_a_real_judge_with_position_bias_is_told(llama_cpp: str) -> None:
    found = judge_pairs(Judge(PAIR, there(llama_cpp)), ["the goal"], ["news"])
    assert found.judgments[0].winner == "tie"
    assert found.summary.shown_first.estimate == 1
    assert found.summary.consistency.estimate == 0
