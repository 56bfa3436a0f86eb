"""Text generation with a model in this process, for a batch of prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.base import Completion, FinishReason, Request, Usage
from hf_synthlabels.clients.local.causal_model import CausalModel
from hf_synthlabels.clients.local.chat_template import PLAIN_STOP
from hf_synthlabels.clients.local.scoring import pad_left
from hf_synthlabels.clients.protocol.chat import Sampling
from hf_synthlabels.clients.protocol.reasoning_parts import separate_reasoning
from hf_synthlabels.labels import Token

if TYPE_CHECKING:
    import torch


def generate(
    model: CausalModel,
    requests: Sequence[Request],
    prompts: Sequence[list[int]],
    sampling: Sampling,
    max_new_tokens: int,
) -> list[Completion]:
    """Generate one answer to each request with `transformers`.

    At temperature 0 decoding is greedy. Otherwise the random seed depends on `Sampling.seed`, the prompts and their
    sample numbers: the same batch gives the same answers, and another batch size gives other samples.
    """
    from transformers import GenerationConfig

    renderer = model.renderer
    ids, mask = pad_left(prompts, renderer.pad, model.network.device)
    config = GenerationConfig(max_new_tokens=max_new_tokens, do_sample=sampling.temperature != 0)
    if config.do_sample:
        config.update(
            temperature=1.0 if sampling.temperature is None else float(sampling.temperature),
            top_p=1.0 if sampling.top_p is None else sampling.top_p,
            top_k=0,
        )
    if renderer.plain:
        config.stop_strings = [PLAIN_STOP]
    recorder = None if sampling.top_logprobs is None else _LogProbRecorder(sampling.top_logprobs)
    with _seeded(f"{sampling.seed or 0}|{[request.sample for request in requests]}|{prompts}", ids.device):
        output = model.network.generate(
            ids,
            attention_mask=mask,
            generation_config=config,
            logits_processor=[] if recorder is None else [recorder],
            tokenizer=model.tokenizer if renderer.plain else None,
        )
    steps = [] if recorder is None else recorder.finish(output)
    completions = []
    for index, row in enumerate(output[:, ids.shape[1] :].tolist()):
        row_steps = [[values[index] for values in step] for step in steps]
        completions.append(_completion(model, requests[index], len(prompts[index]), row, row_steps))
    return completions


def _completion(
    model: CausalModel, request: Request, prompt_tokens: int, ids: list[int], steps: Sequence[Sequence[Any]]
) -> Completion:
    """Cut the generated tokens of one row at the end of the answer, and decode them."""
    renderer = model.renderer
    end = next((place for place, token in enumerate(ids) if token in renderer.ends), None)
    answer = ids if end is None else ids[:end]
    # A finished row is padded until the longest one ends.
    while answer and answer[-1] == renderer.pad:
        answer = answer[:-1]
    stopped = renderer.plain and PLAIN_STOP in model.tokenizer.decode(answer)
    num_tokens = len(answer) + (end is not None and not stopped)
    tokens = tuple(
        Token(text, logprob, tuple(zip(renderer.pieces(best), best_logprobs, strict=True)))
        for text, (logprob, best, best_logprobs) in zip(renderer.pieces(answer) if steps else (), steps, strict=False)
    )
    reason: FinishReason = "stop" if stopped or end is not None else "length"
    usage = Usage(prompt_tokens, num_tokens)
    completion = Completion(request.key, renderer.text(answer), reason, usage=usage, model=model.version, tokens=tokens)
    return separate_reasoning(completion)


class _LogProbRecorder:
    """Logits processor that records log-probabilities before temperature and top_p apply."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._steps: list[tuple[list[float], list[list[int]], list[list[float]]]] = []
        self._logprobs: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores unchanged."""
        # The token chosen at a step is known at the next one.
        self._record(input_ids[:, -1:])
        self._logprobs = scores.log_softmax(-1)
        return scores

    def finish(self, sequences: torch.Tensor) -> list[tuple[list[float], list[list[int]], list[list[float]]]]:
        """For each step: log-probabilities of the chosen tokens, the most probable tokens, their log-probabilities."""
        self._record(sequences[:, -1:])
        return self._steps

    def _record(self, chosen: torch.Tensor) -> None:
        if self._logprobs is None:
            return
        best = self._logprobs.topk(min(self._count, self._logprobs.shape[1]), dim=-1)
        logprobs = self._logprobs.gather(1, chosen)[:, 0]
        self._steps.append((logprobs.tolist(), best.indices.tolist(), best.values.tolist()))


@contextmanager
def _seeded(text: str, device: torch.device) -> Iterator[None]:
    """Seed torch with the hash of a text, and restore its random state afterwards."""
    import torch

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]))
        yield
