"""TransformersClient: scores and generated answers, compared with loops over one row and one token at a time."""

from __future__ import annotations

import inspect
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.clients import Completion, Message, Request, Sampling, TransformersClient, Usage
from hf_synthlabels.clients.local.scoring import end_prefixes
from hf_synthlabels.errors import ClientError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.tiny_models import CHAT_TEMPLATE, chat_text, taught_model, tiny_model  # noqa: E402

LABELS = ("sport", "sports news", "film", "science fiction", "a")
"""Labels of one and of several tokens; the first is a prefix of the second."""

RULES = "Choose the label that fits the text. Answer with one label, spelled as in the list. It is data." * 2

WORDS = ["team", "goal", "film", "actor", "plot", "match", "score", "the", "of", "and", "in", "label"]

SMALL = {
    "llama": {},
    "qwen3": {},
    "mistral": {"sliding_window": 512},
    "gemma3_text": {"sliding_window": 64},
    "gpt2": {},
    "bloom": {"n_layer": 2, "n_head": 4},
    "mamba": {"num_hidden_layers": 2, "state_size": 4},
}
"""Rotary, learned and ALiBi positions, grouped heads, sliding windows, and a state-space model without a KV cache."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Returns the folder of a tiny model of a type; each is created once."""
    created: dict[str, str] = {}

    def folder(kind: str) -> str:
        if kind not in created:
            path = tmp_path_factory.mktemp(kind)
            template = None if kind == "gpt2" else CHAT_TEMPLATE
            created[kind] = tiny_model(path, kind, chat_template=template, **SMALL[kind])
        return created[kind]

    return folder


@pytest.fixture(scope="module")
def llama(folders: Callable[[str], str]) -> str:
    return folders("llama")


def make_requests(number: int, *, longest: int = 40, seed: int = 0, draw: int = 0) -> list[Request]:
    """Rows of different lengths after one system prompt; keys start at 100."""
    generator = random.Random(seed)
    requests = []
    for row in range(number):
        text = " ".join(generator.choices(WORDS, k=generator.randint(1, longest)))
        messages = (Message("system", RULES), Message("user", f"<text>\n{text}\n</text>"))
        requests.append(Request(100 + row, messages, draw, text=text))
    return requests


def by_key(completions: Iterator[Completion]) -> dict[int, Completion]:
    results = {completion.key: completion for completion in completions}
    assert all(completion.failure is None for completion in results.values())
    return results


def slow_log_likelihood(folder: str, prompt: Sequence[int], answer: Sequence[int]) -> float:
    """Log-probability of an answer: one prompt, one answer, no padding, no cache."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        logprobs = model(torch.tensor([[*prompt, *answer]])).logits[0].double().log_softmax(-1)
    return sum(float(logprobs[len(prompt) + place - 1, token]) for place, token in enumerate(answer))


def prompt_tokens(folder: str, request: Request) -> list[int]:
    """Token IDs of a prompt, from the tokenizer alone."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template is None:
        system, user = (message.content for message in request.messages)
        return list(tokenizer.encode(f"{system}\n\nUser: {user}\n\nAssistant:"))
    turns = [{"role": message.role, "content": message.content} for message in request.messages]
    return list(tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False))


# Scoring


@pytest.mark.parametrize("kind", SMALL)
def test_scores_equal_those_of_a_loop_over_single_answers(folders: Callable[[str], str], kind: str) -> None:
    from transformers import AutoTokenizer

    folder = folders(kind)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # One label is a prefix of another, so the end token counts. Without a chat template a space comes first.
    lead = " " if kind == "gpt2" else ""
    answers = [[*tokenizer.encode(lead + name, add_special_tokens=False), tokenizer.eos_token_id] for name in LABELS]
    requests = make_requests(9)
    completions = by_key(TransformersClient(folder, answers=LABELS, batch_size=4).complete(requests))
    for request in requests:
        prompt = prompt_tokens(folder, request)
        expected = torch.tensor([slow_log_likelihood(folder, prompt, answer) for answer in answers])
        completion = completions[request.key]
        assert completion.probabilities is not None
        probabilities = torch.tensor(list(completion.probabilities.values()))
        assert list(completion.probabilities) == list(LABELS)
        assert (probabilities.log() - expected.log_softmax(0)).abs().max() < 1e-4
        assert completion.text == LABELS[int(expected.argmax())]
        assert completion.usage == Usage(len(prompt), len(answers[int(expected.argmax())]))


def test_scores_depend_on_neither_batch_nor_order(llama: str) -> None:
    requests = make_requests(20)
    together = by_key(TransformersClient(llama, answers=LABELS, batch_size=7).complete(requests))
    client = TransformersClient(llama, answers=LABELS, batch_size=1)
    alone = {request.key: next(client.complete([request])) for request in reversed(requests)}
    for key, completion in together.items():
        assert completion.text == alone[key].text
        assert completion.probabilities == pytest.approx(alone[key].probabilities, abs=1e-5)


def test_a_scored_answer_is_complete(llama: str) -> None:
    for completion in TransformersClient(llama, answers=("yes", "no")).complete(make_requests(5)):
        assert completion.text in ("yes", "no")
        assert completion.finish_reason == "stop"
        assert completion.probabilities is not None
        assert sum(completion.probabilities.values()) == pytest.approx(1)
        assert completion.model is not None
        assert completion.model.startswith(f"{Path(llama).name}@")


def test_half_precision(llama: str) -> None:
    client = TransformersClient(llama, answers=LABELS, dtype="bfloat16")
    single = by_key(TransformersClient(llama, answers=LABELS).complete(make_requests(6)))
    assert client._causal.network.dtype == torch.bfloat16
    for key, completion in by_key(client.complete(make_requests(6))).items():
        assert completion.probabilities == pytest.approx(single[key].probabilities, abs=0.2)


NAMES = ("one", "two", "three")


@pytest.mark.parametrize(
    ("answers", "end", "expected"),
    [
        ([[1], [2], [3, 1]], 9, [[1], [2], [3, 1]]),
        ([[1], [2], [1, 3]], 9, [[1, 9], [2, 9], [1, 3, 9]]),
        ([[1, 2], [1, 3], [1, 4, 5]], None, [[1, 2], [1, 3], [1, 4, 5]]),
    ],
)
def test_answers_end_with_a_token_only_if_one_is_a_prefix_of_another(
    answers: list[list[int]], end: int | None, expected: list[list[int]]
) -> None:
    assert end_prefixes(NAMES, answers, end) == expected


@pytest.mark.parametrize(("answers", "end"), [([[1], [2], [1]], 9), ([[1], [2], [1, 3]], None)])
def test_answers_that_the_tokenizer_cannot_distinguish_are_named(answers: list[list[int]], end: int | None) -> None:
    with pytest.raises(ClientError, match="'one' and 'three'"):
        end_prefixes(NAMES, answers, end)


# Generation


@pytest.mark.parametrize("kind", SMALL)
def test_greedy_answers_equal_those_of_single_rows(folders: Callable[[str], str], kind: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = folders(kind)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    requests = make_requests(12)
    completions = by_key(TransformersClient(folder, sampling=Sampling(max_tokens=8), batch_size=5).complete(requests))
    for request in requests:
        prompt = prompt_tokens(folder, request)
        ids = list(prompt)
        for _ in range(8):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
        completion = completions[request.key]
        ended = ids[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True)
        assert completion.text == (text.strip() if kind == "gpt2" else text)
        assert completion.finish_reason == ("stop" if ended else "length")
        assert completion.usage == Usage(len(prompt), len(ids) - len(prompt))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that answers three questions, the last one after reasoning."""
    lessons = {
        chat_text(("user", "the goal")): "sport<|im_end|>",
        chat_text(("user", "the plot")): "film<|im_end|>",
        chat_text(("user", "the final")): "<think> the match </think>\n\nsport<|im_end|>",
    }
    return taught_model(tmp_path_factory.mktemp("taught"), lessons)


def complete_texts(client: TransformersClient, *texts: str) -> list[Completion]:
    requests = [Request(number, (Message("user", text),), text=text) for number, text in enumerate(texts)]
    return sorted(client.complete(requests), key=lambda completion: completion.key)


def test_an_answer_ends_at_the_end_token_or_at_the_limit(taught: str) -> None:
    goal, plot = complete_texts(TransformersClient(taught), "the goal", "the plot")
    assert (goal.text, goal.finish_reason) == ("sport", "stop")
    assert (plot.text, plot.finish_reason) == ("film", "stop")
    # The end token is counted.
    assert plot.usage.completion_tokens > 1
    assert plot.tokens == ()
    (cut,) = complete_texts(TransformersClient(taught, sampling=Sampling(max_tokens=1)), "the goal")
    assert cut.finish_reason == "length"
    assert goal.text.startswith(cut.text)
    assert cut.usage.completion_tokens == 1


def test_reasoning_is_separated_from_the_answer(taught: str) -> None:
    (completion,) = complete_texts(TransformersClient(taught, sampling=Sampling(top_logprobs=2)), "the final")
    assert (completion.text, completion.finish_reason) == ("sport", "stop")
    # Log-probabilities are those of the answer alone.
    assert "".join(token.text for token in completion.tokens) == "sport"
    assert completion.reasoning == "the match"
    (cut,) = complete_texts(TransformersClient(taught, sampling=Sampling(max_tokens=4, reasoning=True)), "the final")
    assert cut.finish_reason == "length"


def test_sampling_is_reproducible_and_leaves_the_global_random_state_alone(llama: str) -> None:
    requests = make_requests(15) + [Request(200 + row.key, row.messages, 1) for row in make_requests(15)]

    def texts(seed: int) -> dict[int, str]:
        sampling = Sampling(temperature=0.9, top_p=0.95, max_tokens=10, seed=seed)
        client = TransformersClient(llama, sampling=sampling, batch_size=8)
        return {key: completion.text for key, completion in by_key(client.complete(requests)).items()}

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = texts(3)
    assert torch.rand(3).tolist() == expected.tolist()
    assert texts(3) == first
    assert sum(first[key] != first[200 + key] for key in range(100, 115)) > 10
    other = texts(4)
    assert sum(other[key] != first[key] for key in first) > 20


def test_samples_follow_the_distribution_at_the_temperature(llama: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (request,) = make_requests(1)
    sampling = Sampling(temperature=0.7, max_tokens=1, top_logprobs=1)
    requests = [Request(draw, request.messages, draw) for draw in range(3000)]
    completions = by_key(TransformersClient(llama, sampling=sampling, batch_size=256).complete(requests))
    tokenizer, model = AutoTokenizer.from_pretrained(llama), AutoModelForCausalLM.from_pretrained(llama)
    with torch.no_grad():
        logits = model(torch.tensor([prompt_tokens(llama, request)])).logits[0, -1].double()
    probabilities = (logits / 0.7).softmax(-1)
    sampled = [completion.tokens[0].logprob for completion in completions.values() if completion.tokens]
    for token in probabilities.topk(4).indices.tolist():
        if token in tokenizer.all_special_ids:
            continue
        expected = float(probabilities[token])
        # Log-probabilities are those before the temperature applies.
        logprob = float(logits.log_softmax(-1)[token])
        observed = sum(abs(value - logprob) < 1e-5 for value in sampled) / len(requests)
        # Five standard errors.
        assert abs(observed - expected) < 5 * (expected * (1 - expected) / len(requests)) ** 0.5 + 1e-9


def test_log_probabilities_are_those_of_the_model_before_the_temperature(taught: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sampling = Sampling(top_logprobs=3, temperature=0.5, max_tokens=5)
    texts = ("the goal", "the plot of the film and the actor")
    completions = complete_texts(TransformersClient(taught, sampling=sampling), *texts)
    tokenizer, model = AutoTokenizer.from_pretrained(taught), AutoModelForCausalLM.from_pretrained(taught)
    for completion, text in zip(completions, texts, strict=True):
        ids = list(tokenizer.encode(chat_text(("user", text)), add_special_tokens=False))
        assert "".join(token.text for token in completion.tokens) == completion.text
        for token in completion.tokens:
            with torch.no_grad():
                logprobs = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            best = logprobs.topk(3)
            assert [logprob for _, logprob in token.alternatives] == pytest.approx(best.values.tolist(), abs=1e-4)
            assert [text for text, _ in token.alternatives] == [tokenizer.decode([index]) for index in best.indices]
            chosen = min(range(len(logprobs)), key=lambda index: abs(float(logprobs[index]) - token.logprob))
            assert float(logprobs[chosen]) == pytest.approx(token.logprob, abs=1e-4)
            assert tokenizer.decode([chosen]) == token.text
            ids.append(chosen)


# Limits of length and memory


def test_a_prompt_longer_than_the_context_fails_alone(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path, context=64)
    short, long = Request(0, (Message("user", "goal"),)), Request(1, (Message("user", "goal " * 100),))
    for answers in (None, LABELS):
        client = TransformersClient(folder, answers=answers, sampling=Sampling(max_tokens=4))
        completions = {completion.key: completion for completion in client.complete([short, long])}
        assert completions[0].failure is None
        failure = completions[1].failure
        assert failure is not None
        assert (failure.kind, failure.message[-2:]) == ("too_long", "64")


def test_an_answer_may_fill_the_rest_of_the_context(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path, context=64)
    requests = [Request(number, (Message("user", "goal " * number),)) for number in (1, 5, 9)]
    for max_tokens in (40, None):
        client = TransformersClient(folder, sampling=Sampling(max_tokens=max_tokens))
        for completion in client.complete(requests):
            usage = completion.usage
            remaining = 64 - usage.prompt_tokens
            limit = remaining if max_tokens is None else min(remaining, max_tokens)
            assert usage.completion_tokens <= limit
            assert completion.finish_reason == ("length" if usage.completion_tokens == limit else "stop")


class LimitedMemory:
    """A forward pass that runs out of memory beyond a number of rows times tokens."""

    def __init__(self, network: Any, limit: int) -> None:
        self.forward = network.forward
        self.__signature__ = inspect.signature(network.forward)
        self.limit = limit
        self.sizes: list[int] = []

    def __call__(self, *args: Any, **options: Any) -> Any:
        rows, tokens = options["input_ids"].shape
        cache = options.get("past_key_values")
        total = rows * (tokens + (cache.get_seq_length() if cache is not None else 0))
        self.sizes.append(total)
        if total > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")
        return self.forward(*args, **options)


@pytest.mark.parametrize("answers", [None, LABELS])
def test_a_batch_that_does_not_fit_into_memory_is_halved(llama: str, answers: tuple[str, ...] | None) -> None:
    requests = make_requests(60)
    sampling = Sampling(max_tokens=6)
    expected = by_key(TransformersClient(llama, answers=answers, sampling=sampling, batch_size=32).complete(requests))
    client = TransformersClient(llama, answers=answers, sampling=sampling, batch_size=32)
    network = client._causal.network
    limited = LimitedMemory(network, 2000)
    network.forward = limited
    completions = by_key(client.complete(requests))
    assert {key: item.text for key, item in completions.items()} == {key: item.text for key, item in expected.items()}
    # Later batches start with the smaller size.
    assert 0 < sum(size > 2000 for size in limited.sizes) < 8


def test_a_row_that_does_not_fit_into_memory_fails_alone(llama: str) -> None:
    requests = [*make_requests(5, longest=5), Request(0, (Message("user", "goal " * 400),))]
    client = TransformersClient(llama, answers=LABELS)
    client._causal.network.forward = LimitedMemory(client._causal.network, 600)
    completions = {completion.key: completion for completion in client.complete(requests)}
    failure = completions.pop(0).failure
    assert failure is not None
    assert (failure.kind, failure.message.endswith("memory")) == ("too_long", True)
    assert all(completion.failure is None for completion in completions.values())
    assert len(completions) == 5


def test_requests_are_pulled_in_windows(llama: str) -> None:
    pulled = count()

    def endless() -> Iterator[Request]:
        for request in make_requests(1000):
            next(pulled)
            yield request

    completions = TransformersClient(llama, answers=("a", "b"), batch_size=2).complete(endless())
    assert next(completions).failure is None
    assert next(pulled) == 32


# Identity


def test_the_identity_is_the_content_of_the_files(tmp_path: Path) -> None:
    folder = Path(tiny_model(tmp_path / "one"))
    first = TransformersClient(str(folder)).identity
    assert first == TransformersClient(str(folder)).identity
    json.dumps(first)
    moved = shutil.copytree(folder, tmp_path / "two")
    (moved / "README.md").write_text("Read me.")
    (moved / "training_args.bin").write_bytes(b"x")
    assert TransformersClient(str(moved)).identity == first
    assert TransformersClient(tiny_model(tmp_path / "three", seed=1)).identity != first
    (moved / "chat_template.jinja").write_text(CHAT_TEMPLATE + " ")
    assert TransformersClient(str(moved)).identity != first


def test_the_identity_has_all_that_changes_an_answer_and_nothing_else(llama: str) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"answers": ("a", "b")},
        {"answers": ("a", "c")},
        {"dtype": "bfloat16"},
        *({"sampling": Sampling(**change)} for change in ({"seed": 1}, {"max_tokens": 1}, {"temperature": 1.0})),
    ]
    identities = [json.dumps(TransformersClient(llama, **options).identity, sort_keys=True) for options in variants]
    assert len(set(identities)) == len(variants)
    assert TransformersClient(llama, batch_size=3, device="cpu").identity == TransformersClient(llama).identity
    scored = TransformersClient(llama, answers=("a", "b"), sampling=Sampling(seed=5)).identity
    assert scored == TransformersClient(llama, answers=("a", "b")).identity


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "not a model\nat all"])
def test_an_unknown_model_is_an_error_of_one_line(name: str) -> None:
    with pytest.raises(ClientError, match=r"`model`") as caught:
        TransformersClient(name)
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_device_is_an_error_of_one_line(llama: str) -> None:
    with pytest.raises(ClientError, match=r"`model`") as caught:
        next(TransformersClient(llama, device="cuda:77").complete(make_requests(1)))
    assert len(str(caught.value).splitlines()) == 1
