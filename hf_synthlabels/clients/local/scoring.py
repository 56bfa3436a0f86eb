"""Log-likelihoods of fixed answers after a prompt, for models in this process."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_synthlabels.errors import ClientError

if TYPE_CHECKING:
    import torch


def log_likelihoods(
    model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], pad: int
) -> torch.Tensor:
    """Compute the log-probability of each answer after each prompt.

    The log-probability of an answer is the sum over its tokens, each conditioned on the prompt and on the answer's
    earlier tokens. It is not divided by the length, because the sum is the probability that the model generates
    exactly this answer. One forward pass over the prompts gives the first token of all answers; each answer of
    several tokens takes a second, short one that reuses the keys and values of the prompts.

    Args:
        model: causal language model.
        prompts: token IDs of each prompt.
        answers: token IDs of each answer; no answer may be empty or a prefix of another (see `end_prefixes`).
        pad: token ID used as padding; it is masked.

    Returns:
        Tensor of shape (prompts, answers).
    """
    import torch

    ids, mask = pad_left(prompts, pad, model.device)
    output = _forward(model, ids, mask, use_cache=any(len(answer) > 1 for answer in answers))
    first = output.logits[:, -1].float().log_softmax(-1)
    cache = _reusable(getattr(output, "past_key_values", None))
    columns = []
    for answer in answers:
        scores = first[:, answer[0]]
        if len(answer) > 1:
            scores = scores + _later_tokens(model, ids, mask, answer, cache)
        columns.append(scores)
    return torch.stack(columns, dim=1)


def pad_left(rows: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Token IDs of some rows, padded on the left to one length, and their attention mask."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids = [torch.tensor(row) for row in rows]
    ones = [torch.ones_like(row) for row in ids]
    padded = pad_sequence(ids, batch_first=True, padding_value=pad, padding_side="left")
    mask = pad_sequence(ones, batch_first=True, padding_side="left")
    return padded.to(device), mask.to(device)


def end_prefixes(names: Sequence[str], answers: Sequence[Sequence[int]], end: int | None) -> list[list[int]]:
    """Append the end token to all answers if one answer is a prefix of another.

    Without it 'sport' would be at least as probable as 'sports news' for any model.

    Args:
        names: labels of the answers, for the error message.
        answers: token IDs of each answer.
        end: token that ends an answer; None if the tokenizer has no such token.

    Raises:
        ClientError: two answers have the same tokens, or one is a prefix of another and there is no end token.
    """
    copies = [list(answer) for answer in answers]
    prefixes = [
        (index, other)
        for index, short in enumerate(copies)
        for other, long in enumerate(copies)
        if index != other and long[: len(short)] == short
    ]
    for index, other in prefixes:
        if end is None or copies[index] == copies[other]:
            raise ClientError(
                f"`scoring`: the tokenizer of `model` cannot distinguish the labels "
                f"{names[index]!r} and {names[other]!r}; rename one, or set `scoring: false`."
            )
    return [[*answer, end] for answer in copies if end is not None] if prefixes else copies


def _later_tokens(model: Any, ids: torch.Tensor, mask: torch.Tensor, answer: Sequence[int], cache: Any) -> torch.Tensor:
    """Sum of the log-probabilities of an answer's tokens after its first one, for each prompt."""
    import torch

    tokens = torch.tensor(answer, device=ids.device).expand(len(ids), -1)
    mask = torch.cat([mask, mask.new_ones(len(ids), len(answer) - 1)], dim=1)
    inputs = tokens[:, :-1] if cache is not None else torch.cat([ids, tokens[:, :-1]], dim=1)
    # The forward pass extends the cache, and the next answer needs it as it was.
    output = _forward(model, inputs, mask, cache=copy.deepcopy(cache), keep=len(answer) - 1)
    logprobs = output.logits[:, 1 - len(answer) :].float().log_softmax(-1)
    total: torch.Tensor = logprobs.gather(-1, tokens[:, 1:, None]).sum((1, 2))
    return total


def _forward(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, *, cache: Any = None, use_cache: bool = False, keep: int = 1
) -> Any:
    options: dict[str, Any] = {"attention_mask": mask, "use_cache": use_cache or cache is not None}
    if cache is not None:
        options["past_key_values"] = cache
    parameters = inspect.signature(model.forward).parameters
    if "position_ids" in parameters:
        options["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    if "logits_to_keep" in parameters:
        options["logits_to_keep"] = keep
    return model(input_ids=ids, **options)


def _reusable(cache: Any) -> Any:
    """A cache that several tokens can be appended to, else None: recurrent layers take one token at a time."""
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers = getattr(cache, "layers", None)
    if layers and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return cache
    return None
