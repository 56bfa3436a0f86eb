"""TransformersClient: a causal language model in this process, which writes answers or weighs given ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from hf_synthlabels.clients.base import Completion, Failure, FinishReason, Request, Usage
from hf_synthlabels.clients.local.causal_model import CausalModel, Dtype, is_out_of_memory
from hf_synthlabels.clients.local.generation import Generator
from hf_synthlabels.clients.local.prefill import Prefill
from hf_synthlabels.clients.local.scoring import Scorer, terminated
from hf_synthlabels.clients.protocol.chat import Sampling
from hf_synthlabels.clients.protocol.reasoning_parts import separated
from hf_synthlabels.errors import ClientError, ConfigError
from hf_synthlabels.labels import LabelSchema

WINDOW_BATCHES = 16
"""Batches' worth of requests that are taken at once and sorted by length, so that little is padding."""

MAX_SCALE_ANSWERS = 1000

SCORING_VERSION = 1
"""Rises when the same answers can get other probabilities."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as tokens."""

    request: Request
    ids: list[int]
    room: int
    """The most tokens of its answer."""


class TransformersClient:
    """A causal language model in this process, which writes answers, or weighs given ones.

    With `answers` nothing is written: the likeliest of them is the answer, which therefore always can be read, and
    the probability of each is known; see `Scorer` for what is compared. Otherwise answers are written; see
    `Generator` for what equal requests have in common. The model is loaded when it is first asked, so that a run
    whose answers are all in the response store never loads it.

    A request whose prompt is longer than the model's context, or too large for the memory by itself, fails with that
    reason; nothing is cut off. Where a batch is too large for the memory, it is asked in halves, and the next ones
    are as small.

    Args:
        model: a folder, or a Hub id.
        sampling: temperature, top_p, seed, the longest answer in tokens, and how many log-probabilities are wanted;
            with `reasoning` the model may think before it answers, and its reasoning is kept apart from the answer.
        answers: the only answers that there are.
        batch_size: how many requests are computed together at most.
        dtype: how the weights are held; `auto` is how they were saved.
        device: such as `cpu` or `cuda:1`; `auto` spreads the model over all there are. None takes an accelerator
            where there is one.

    Raises:
        ClientError: the model is not there, can not be read, or is of another kind.
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
        self._most_tokens: int | None = None
        """Rows times tokens that were too many for the memory, halved."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's files, how its weights are held, and what is asked of it; not where it lies or is computed."""
        asked: dict[str, Any]
        if self._answers is not None:
            asked = {"answers": self._answers, "scoring": SCORING_VERSION}
        else:
            names = ("temperature", "top_p", "max_tokens", "seed", "top_logprobs", "reasoning")
            values = {name: getattr(self._sampling, name) for name in names}
            asked = {name: value for name, value in values.items() if value is not None and value is not False}
        fingerprint = self._causal.checkpoint.fingerprint
        return {"client": "transformers", "model": fingerprint, "dtype": self._dtype, **asked}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request; within some batches' worth of them the longest come first.

        Raises:
            ClientError: the model can not be loaded, or can not tell two of the answers apart.
        """
        import torch

        pending = iter(requests)
        while window := list(islice(pending, self._batch_size * WINDOW_BATCHES)):
            asked = []
            prompts = self._causal.renderer.encode([request.messages for request in window])
            for request, ids in zip(window, prompts, strict=True):
                room = self._room(len(ids))
                if room > 0:
                    asked.append(_Asked(request, ids, room))
                else:
                    yield self._too_long(request, len(ids))
            if asked:
                with torch.inference_mode():
                    self._prefill.share([one.ids for one in asked])
                yield from self._answered(sorted(asked, key=lambda one: -len(one.ids)))

    @cached_property
    def _prefill(self) -> Prefill:
        return Prefill(self._causal.network, self._causal.renderer.pad)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self._prefill, self._answer_tokens)

    @cached_property
    def _generator(self) -> Generator:
        return Generator(self._prefill, self._causal.renderer, self._sampling, self._causal.tokenizer)

    @cached_property
    def _answer_tokens(self) -> list[list[int]]:
        assert self._answers is not None
        renderer = self._causal.renderer
        return terminated(self._answers, renderer.continuations(self._answers), next(iter(renderer.ends), None))

    def _room(self, prompt_tokens: int) -> int:
        """How many tokens an answer to a prompt may have; none where the prompt is too long."""
        context = self._causal.context
        left = None if context is None else max(0, context - prompt_tokens)
        if self._answers is not None:
            needed = max(map(len, self._answer_tokens))
            return needed if left is None or left >= needed else 0
        most = self._sampling.max_tokens
        if left is None and most is None:
            raise ClientError("`annotator.max_tokens` is null, and the model says no longest context. Give a number.")
        return min(limit for limit in (left, most) if limit is not None)

    def _too_long(self, request: Request, prompt_tokens: int) -> Completion:
        words = f"the prompt has {prompt_tokens} tokens, and the model's context {self._causal.context}"
        return Completion(request.key, failure=Failure("too_long", words))

    def _answered(self, asked: Sequence[_Asked]) -> Iterator[Completion]:
        """Batch by batch, the longest first; smaller batches where the memory asks for them."""
        import torch

        answer = self._weigh if self._answers is not None else self._write
        start = 0
        while start < len(asked):
            batch = asked[start : start + self._rows(asked[start])]
            # One limit holds for all rows of a batch.
            batch = [one for one in batch if one.room == batch[0].room]
            with torch.inference_mode():
                completions = self._tried(answer, batch)
            if completions is not None:
                yield from completions
            elif len(batch) == 1:
                words = f"the prompt has {len(batch[0].ids)} tokens, which is too much for the memory"
                yield Completion(batch[0].request.key, failure=Failure("too_long", words))
            else:
                self._most_tokens = len(batch) * (len(batch[0].ids) + batch[0].room) // 2
                continue
            start += len(batch)

    def _rows(self, longest: _Asked) -> int:
        rows = self._batch_size
        if self._answers is not None:
            rows = min(rows, self._scorer.most_rows)
        if self._most_tokens is not None:
            rows = min(rows, self._most_tokens // (len(longest.ids) + longest.room))
        return max(1, rows)

    def _tried(
        self, answer: Callable[[Sequence[_Asked]], list[Completion]], batch: Sequence[_Asked]
    ) -> list[Completion] | None:
        """The completions of a batch, or None where the memory was too small."""
        import torch

        try:
            return answer(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, where the error no longer holds on to what was computed, can it be given back.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _weigh(self, batch: Sequence[_Asked]) -> list[Completion]:
        assert self._answers is not None
        scores = self._scorer.score([one.ids for one in batch])
        found = []
        for one, best, shares in zip(
            batch, scores.argmax(-1).tolist(), scores.double().softmax(-1).tolist(), strict=True
        ):
            usage = Usage(len(one.ids), len(self._answer_tokens[best]))
            probabilities = dict(zip(self._answers, shares, strict=True))
            text = self._answers[best]
            found.append(
                Completion(one.request.key, text, usage=usage, model=self._version, probabilities=probabilities)
            )
        return found

    def _write(self, batch: Sequence[_Asked]) -> list[Completion]:
        prompts, draws = [one.ids for one in batch], [one.request.draw for one in batch]
        found = []
        for one, written in zip(batch, self._generator.write(prompts, draws, batch[0].room), strict=True):
            usage = Usage(len(one.ids), written.count)
            reason: FinishReason = "stop" if written.complete else "length"
            completion = Completion(
                one.request.key, written.text, reason, usage=usage, model=self._version, tokens=written.tokens
            )
            found.append(separated(completion))
        return found

    @property
    def _version(self) -> str:
        checkpoint = self._causal.checkpoint
        return f"{checkpoint.name}@{checkpoint.fingerprint[:12]}"


def scored_answers(schema: LabelSchema) -> tuple[str, ...]:
    """The answers that a closed schema has: its names, or the numbers of its scale, and `abstain` where that is one.

    Raises:
        ConfigError: the kind has more answers than can be listed.
    """
    found: list[str]
    if schema.kind in ("text-classification", "text-pair"):
        found = list(schema.names)
    elif schema.scale is not None and schema.scale.step is not None:
        scale, step = schema.scale, schema.scale.step
        count = int((scale.high - scale.low) / step + 1e-9) + 1
        if count > MAX_SCALE_ANSWERS:
            raise ConfigError(
                f"`annotator.scoring` weighs each number of `task.scale`, which has {count}. Set it to false."
            )
        found = [f"{round(scale.low + place * step, 9):.10g}" for place in range(count)]
    else:
        what = "a `task.scale` without a step" if schema.scale is not None else f"kind {schema.kind!r}"
        raise ConfigError(
            f"`annotator.scoring` needs a list of answers to weigh, which {what} has not. Set it to false."
        )
    return (*found, *(["abstain"] if schema.abstain else []))
