"""TransformersClient: a causal language model in this process, which generates answers or scores given ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from hf_synthlabels.clients.base import Completion, Failure, Request, Usage
from hf_synthlabels.clients.local.causal_model import CausalModel, Dtype
from hf_synthlabels.clients.local.generation import generate
from hf_synthlabels.clients.local.scoring import end_prefixes, log_likelihoods
from hf_synthlabels.clients.protocol.chat import Sampling
from hf_synthlabels.errors import ClientError, ConfigError
from hf_synthlabels.labels import LabelSchema

WINDOW_BATCHES = 16
"""Batches of requests that are sorted by length together, to reduce padding."""

MAX_SCALE_ANSWERS = 1000

SCORING_VERSION = 1
"""Part of the cache key; to be raised when the same answers can get other probabilities."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A tokenized request."""

    request: Request
    ids: list[int]
    max_new_tokens: int


class TransformersClient:
    """Answers requests with a causal language model in this process.

    Without `answers`, answers are generated. With `answers`, no text is generated: the most probable of them is the
    answer, and the completion has the probability of each. The model is loaded on the first request, so a run whose
    answers are all cached never loads it. For high throughput use a vLLM or llama.cpp server and `OpenAIClient`.

    A prompt that exceeds the context length or the available memory fails alone; nothing is truncated. After an
    out-of-memory error the batch size is halved, also for the following batches.

    Args:
        model: folder or Hub ID.
        sampling: temperature, top_p, seed, maximum number of tokens, and number of log-probabilities. With `reasoning`
            the model may reason before it answers; its reasoning is separated from the answer.
        answers: the only possible answers.
        batch_size: maximum number of prompts in a batch.
        dtype: data type of the weights; `auto` is the one they were saved with.
        device: device such as `cpu` or `cuda:1`; `auto` spreads the model over all devices. None is the accelerator,
            or the CPU if there is none.

    Raises:
        ClientError: the model does not exist, cannot be read, or is not a causal language model.
        MissingExtraError: torch or transformers is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        sampling: Sampling | None = None,
        answers: Sequence[str] | None = None,
        batch_size: int = 16,
        dtype: Dtype = "auto",
        device: str | None = None,
    ) -> None:
        self._sampling = sampling or Sampling()
        self._answers = None if answers is None else tuple(answers)
        self._batch_size = batch_size
        self._dtype = dtype
        self._causal = CausalModel(model, dtype=dtype, device=device, thinking=self._sampling.reasoning)
        self._max_batch_tokens: int | None = None
        """Limit of prompts times tokens, after an out-of-memory error."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Fingerprint of the model's files, data type of the weights, and sampling parameters or answers."""
        options: dict[str, Any]
        if self._answers is not None:
            options = {"answers": self._answers, "scoring": SCORING_VERSION}
        else:
            names = ("temperature", "top_p", "max_tokens", "seed", "top_logprobs", "reasoning")
            values = {name: getattr(self._sampling, name) for name in names}
            options = {name: value for name, value in values.items() if value is not None and value is not False}
        fingerprint = self._causal.checkpoint.fingerprint
        return {"client": "transformers", "model": fingerprint, "dtype": self._dtype, **options}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request; within a window of several batches, the longest prompts come first.

        Raises:
            ClientError: the model cannot be loaded, or its tokenizer cannot distinguish two of the answers.
        """
        pending = iter(requests)
        while window := list(islice(pending, self._batch_size * WINDOW_BATCHES)):
            prompts = []
            token_ids = self._causal.renderer.encode([request.messages for request in window])
            for request, ids in zip(window, token_ids, strict=True):
                max_new_tokens = self._max_new_tokens(len(ids))
                if max_new_tokens > 0:
                    prompts.append(_Prompt(request, ids, max_new_tokens))
                else:
                    yield _too_long(request, len(ids), f"the model's context has {self._causal.context}")
            yield from self._complete_batches(sorted(prompts, key=lambda prompt: -len(prompt.ids)))

    @cached_property
    def _answer_tokens(self) -> list[list[int]]:
        assert self._answers is not None
        renderer = self._causal.renderer
        return end_prefixes(self._answers, renderer.continuations(self._answers), next(iter(renderer.ends), None))

    def _max_new_tokens(self, prompt_tokens: int) -> int:
        """The token limit of the answer to a prompt; 0 if the prompt is too long."""
        context = self._causal.context
        remaining = None if context is None else max(0, context - prompt_tokens)
        if self._answers is not None:
            longest = max(map(len, self._answer_tokens))
            return longest if remaining is None or remaining >= longest else 0
        limits = [limit for limit in (remaining, self._sampling.max_tokens) if limit is not None]
        if not limits:
            raise ClientError("`max_tokens` is null, but the model has no context length; set a number.")
        return min(limits)

    def _complete_batches(self, prompts: Sequence[_Prompt]) -> Iterator[Completion]:
        """Complete prompts that are sorted by length, in batches that fit into memory."""
        start = 0
        while start < len(prompts):
            batch = prompts[start : start + self._rows(prompts[start])]
            # `max_new_tokens` applies to the whole batch.
            batch = [prompt for prompt in batch if prompt.max_new_tokens == batch[0].max_new_tokens]
            completions = self._complete_batch(batch)
            if completions is not None:
                yield from completions
            elif len(batch) == 1:
                yield _too_long(batch[0].request, len(batch[0].ids), "it does not fit into memory")
            else:
                self._max_batch_tokens = len(batch) * (len(batch[0].ids) + batch[0].max_new_tokens) // 2
                continue
            start += len(batch)

    def _rows(self, longest: _Prompt) -> int:
        if self._max_batch_tokens is None:
            return self._batch_size
        return max(1, min(self._batch_size, self._max_batch_tokens // (len(longest.ids) + longest.max_new_tokens)))

    def _complete_batch(self, batch: Sequence[_Prompt]) -> list[Completion] | None:
        """The completions of a batch; None after an out-of-memory error."""
        import torch

        try:
            with torch.inference_mode():
                requests, prompts = [prompt.request for prompt in batch], [prompt.ids for prompt in batch]
                if self._answers is None:
                    return generate(self._causal, requests, prompts, self._sampling, batch[0].max_new_tokens)
                return self._score(requests, prompts, self._answers)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        # Only outside of the handler, where the traceback no longer refers to the tensors, can memory be freed.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _score(
        self, requests: Sequence[Request], prompts: Sequence[list[int]], answers: Sequence[str]
    ) -> list[Completion]:
        scores = log_likelihoods(self._causal.network, prompts, self._answer_tokens, self._causal.renderer.pad)
        best = scores.argmax(-1).tolist()
        probabilities = scores.double().softmax(-1).tolist()
        return [
            Completion(
                request.key,
                answers[best[row]],
                usage=Usage(len(prompts[row]), len(self._answer_tokens[best[row]])),
                model=self._causal.version,
                probabilities=dict(zip(answers, probabilities[row], strict=True)),
            )
            for row, request in enumerate(requests)
        ]


def scored_answers(schema: LabelSchema) -> tuple[str, ...]:
    """The answers of a closed schema: its labels or the numbers of its scale, and `abstain` if the schema allows it.

    Raises:
        ConfigError: the answers cannot be listed.
    """
    answers: list[str]
    if schema.kind in ("text-classification", "text-pair"):
        answers = list(schema.names)
    elif schema.scale is not None and schema.scale.step is not None:
        count = schema.scale.num_steps + 1
        if count > MAX_SCALE_ANSWERS:
            raise ConfigError(
                f"`scoring` supports at most {MAX_SCALE_ANSWERS} numbers, but the scale has {count}; "
                "set `scoring: false`."
            )
        answers = [f"{round(number, 9):.10g}" for number in schema.scale.grid() or ()]
    else:
        reason = "a scale without a step" if schema.scale is not None else f"kind {schema.kind!r}"
        raise ConfigError(f"`scoring` needs a list of answers, but {reason} has none; set `scoring: false`.")
    return (*answers, *(["abstain"] if schema.abstain else []))


def _too_long(request: Request, prompt_tokens: int, reason: str) -> Completion:
    return Completion(request.key, failure=Failure("too_long", f"the prompt has {prompt_tokens} tokens; {reason}"))


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports too little memory, on any device."""
    import torch

    message = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in message or "can't allocate memory" in message)
    )
