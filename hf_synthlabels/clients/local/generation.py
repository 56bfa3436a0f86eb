"""Generator: answers written by a model in this process, many prompts at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.local.chat_template import PLAIN_STOP, Renderer
from hf_synthlabels.clients.local.prefill import Prefill
from hf_synthlabels.clients.protocol.chat import Sampling
from hf_synthlabels.labels import Token

if TYPE_CHECKING:
    import torch

GOLDEN_GAMMA = 0x9E3779B97F4A7C15 - 2**64
MIXERS = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
"""The constants of SplitMix64, as signed numbers."""


@dataclass(frozen=True, slots=True)
class Written:
    """An answer, as far as it was written."""

    text: str
    complete: bool
    """Whether the model ended it, rather than the limit."""
    count: int
    """Tokens that were written, the one that ends the answer included."""
    tokens: tuple[Token, ...] = ()


class Generator:
    """Answers written by a model in this process, many prompts at a time.

    At temperature 0 the likeliest token is taken, else one is drawn, where no temperature is said at 1. Each row draws
    from numbers of its own, made of the seed, the draw and the prompt, so that neither the other rows of a batch nor
    their order change what is drawn. What remains is rounding: padding changes the last digits of probabilities, and
    where two tokens are alike to that precision, one batch may bring this and another that.

    Args:
        prefill: of the model.
        renderer: of its tokenizer.
        sampling: temperature, top_p, seed and how many log-probabilities are wanted.
        tokenizer: of the model.
    """

    def __init__(self, prefill: Prefill, renderer: Renderer, sampling: Sampling, tokenizer: Any) -> None:
        self._prefill = prefill
        self._renderer = renderer
        self._sampling = sampling
        self._tokenizer = tokenizer
        self._warpers = _warpers(sampling)

    def write(self, prompts: Sequence[list[int]], draws: Sequence[int], most: int) -> list[Written]:
        """Answer each prompt with at most so many tokens.

        Args:
            prompts: their tokens.
            draws: which of several answers to its prompt each is.
            most: tokens of the longest answer.
        """
        from transformers import GenerationConfig

        inputs = self._prefill.inputs(prompts, most)
        choice = _Choice(self._warpers, self._seeds(prompts, draws), self._sampling.top_logprobs)
        config = GenerationConfig(do_sample=False, max_new_tokens=most)
        if self._renderer.plain:
            config.stop_strings = [PLAIN_STOP]
        written = self._prefill.network.generate(
            inputs.ids,
            attention_mask=inputs.mask,
            past_key_values=inputs.cache,
            generation_config=config,
            logits_processor=[choice],
            tokenizer=self._tokenizer if self._renderer.plain else None,
        )
        rows = written[:, inputs.ids.shape[1] :].tolist()
        return [self._read(row, place, choice) for place, row in enumerate(rows)]

    def _read(self, ids: list[int], row: int, choice: _Choice) -> Written:
        end = next((place for place, one in enumerate(ids) if one in self._renderer.ends), None)
        said = ids if end is None else ids[:end]
        # A row that is done waits for the others, with padding.
        while said and said[-1] == self._renderer.pad:
            said = said[:-1]
        stopped = self._renderer.plain and PLAIN_STOP in self._tokenizer.decode(said)
        count = len(said) + (end is not None and not stopped)
        return Written(self._renderer.text(said), stopped or end is not None, count, self._tokens(choice, row, said))

    def _tokens(self, choice: _Choice, row: int, said: Sequence[int]) -> tuple[Token, ...]:
        tokens = []
        for text, (logprobs, ids, likely) in zip(self._renderer.pieces(said), choice.steps, strict=False):
            alternatives = zip(self._renderer.pieces(ids[row]), likely[row], strict=True)
            tokens.append(Token(text, logprobs[row], tuple(alternatives)))
        return tuple(tokens)

    def _seeds(self, prompts: Sequence[list[int]], draws: Sequence[int]) -> list[int]:
        found = []
        for prompt, draw in zip(prompts, draws, strict=True):
            words = f"{self._sampling.seed or 0}|{draw}|{' '.join(map(str, prompt))}"
            found.append(int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], signed=True))
        return found


class _Choice:
    """Chooses the next token of each row, and leaves `generate` no other; a logits processor of transformers."""

    def __init__(self, warpers: Any, seeds: Sequence[int], top: int | None) -> None:
        self._warpers = warpers
        self._seeds = seeds
        self._top = top
        self._count = 0
        self.steps: list[tuple[list[float], list[list[int]], list[list[float]]]] = []
        """Of each token: its log-probabilities in all rows, the likeliest tokens, and their log-probabilities."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores with all but the chosen token ruled out."""
        import torch

        shaped = scores
        if self._warpers is not None:
            # Adding Gumbel noise and taking the largest draws from the softmax (Maddison et al., A* Sampling, 2014),
            # and unlike a step through the cumulated distribution it hardly ever hangs on the last digit.
            shaped = self._warpers(input_ids, scores)
            shaped = shaped + gumbel_noise(self._seeds, self._count, scores.shape[1], scores.device)
        chosen = shaped.argmax(-1, keepdim=True)
        self._count += 1
        if self._top is not None:
            likely = scores.log_softmax(-1)
            best = likely.topk(min(self._top, scores.shape[1]), dim=-1)
            self.steps.append((likely.gather(1, chosen)[:, 0].tolist(), best.indices.tolist(), best.values.tolist()))
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)


def gumbel_noise(seeds: Sequence[int], step: int, count: int, device: torch.device) -> torch.Tensor:
    """Numbers from the standard Gumbel distribution, shape [seeds, count].

    Each is a function of its seed, the step and its own place alone: the finaliser of SplitMix64 (Steele, Lea and
    Flood, 2014) over their sum, so that no row has a state that another could disturb.
    """
    import torch

    places = torch.arange(count, device=device, dtype=torch.int64) + step * count
    mixed = torch.tensor(seeds, device=device, dtype=torch.int64)[:, None] + places * GOLDEN_GAMMA
    for shift, factor in MIXERS:
        # A shift of signed numbers brings in their sign, which is masked.
        mixed = (mixed ^ ((mixed >> shift) & ((1 << (64 - shift)) - 1))) * factor
    mixed = mixed ^ ((mixed >> 31) & ((1 << 33) - 1))
    # Apple's accelerators have no double precision.
    bits, kind = (24, torch.float32) if device.type == "mps" else (53, torch.float64)
    uniform = (((mixed >> (64 - bits)) & ((1 << bits) - 1)).to(kind) + 0.5) * 2.0**-bits
    return -torch.log(-torch.log(uniform))


def _warpers(sampling: Sampling) -> Any:
    """What shapes the distribution that is drawn from; None where nothing is drawn."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    temperature = 1.0 if sampling.temperature is None else sampling.temperature
    if temperature == 0:
        return None
    found = LogitsProcessorList()
    if temperature != 1:
        found.append(TemperatureLogitsWarper(float(temperature)))
    if sampling.top_p is not None and sampling.top_p < 1:
        found.append(TopPLogitsWarper(sampling.top_p))
    return found
