"""Scorer: how likely a model finds each of a few answers, without writing any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.local.prefill import Inputs, Prefill, endings, tolerance
from hf_synthlabels.errors import ClientError

if TYPE_CHECKING:
    import torch

LOGIT_BYTES = 2**29
"""Memory for what the model says behind all beginnings of answers at once."""


@dataclass(frozen=True, slots=True)
class _Tree:
    """All beginnings of the answers, each once: where one is part of another, it is a branch of it."""

    tokens: tuple[int, ...]
    """The last token of each beginning."""
    parents: tuple[int, ...]
    """The beginning that each continues; -1 for the prompt."""
    depths: tuple[int, ...]
    """How many tokens each has."""
    steps: tuple[tuple[int, int, int], ...]
    """Of each answer each token: the answer, the beginning that stands before it, the token."""


class Scorer:
    """How likely a model finds each of a few answers, without writing any.

    An answer counts whole: its logarithmic probability is the sum over its tokens, each given the prompt and the
    tokens before it. It is not divided by the length, since the sum is the probability that the model would write
    just that; the probabilities of all answers are then scaled to sum to 1. One pass over the prompts serves all
    answers: their tokens follow as a tree, where each sees the prompt and its own beginning alone. Whether the model
    takes such a tree is tried first; otherwise each answer gets a pass of its own.

    Args:
        prefill: of the model.
        answers: their tokens, no two alike and none the beginning of another; see `terminated`.
    """

    def __init__(self, prefill: Prefill, answers: Sequence[Sequence[int]]) -> None:
        self._prefill = prefill
        self._answers = [list(answer) for answer in answers]
        self._tree = _grown(self._answers)
        self._tried = False
        self.longest = max(map(len, self._answers))
        """Tokens of the longest answer."""
        vocabulary = int(prefill.network.config.get_text_config().vocab_size)
        self.most_rows = max(1, LOGIT_BYTES // (4 * vocabulary * (1 + len(self._tree.tokens))))
        """How many prompts may be scored at a time for what the model says to take bounded memory."""

    def score(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        """The logarithmic probability of each answer after each prompt, shape [prompts, answers]."""
        further = len(self._tree.tokens)
        if max(map(len, prompts)) + further > self._prefill.reach:
            return self.score_apart(prompts)
        if not self._tried:
            self._tried = True
            if not self._agrees(endings(prompts)):
                self._prefill.give_up()
                return self.score_apart(prompts)
        return self._score_together(self._prefill.inputs(prompts, further))

    def score_apart(self, prompts: Sequence[list[int]], answers: Sequence[int] | None = None) -> torch.Tensor:
        """The same with a whole pass over the prompts for each answer; only for some answers, if they are named."""
        import torch

        columns = []
        for answer in self._answers if answers is None else [self._answers[number] for number in answers]:
            whole = self._prefill.inputs([[*prompt, *answer] for prompt in prompts], whole=True)
            logits = self._prefill.forward(whole, keep=len(answer) + 1)[:, :-1]
            wanted = torch.tensor(answer, device=logits.device).expand(len(prompts), -1).unsqueeze(-1)
            columns.append(logits.log_softmax(-1).gather(-1, wanted).sum((1, 2)))
        return torch.stack(columns, dim=1)

    def _agrees(self, prompts: Sequence[list[int]]) -> bool:
        """Whether a few answers after two short prompts get the same in the tree as apart."""
        order = sorted(range(len(self._answers)), key=lambda number: len(self._answers[number]))
        few = sorted({order[0], order[len(order) // 2], order[-1]})
        apart = self.score_apart(prompts, few)
        try:
            together = self._score_together(self._prefill.inputs(prompts, len(self._tree.tokens)))[:, few]
        except (TypeError, ValueError, NotImplementedError, IndexError, AttributeError):
            # So models fail that take no mask of their own for each token.
            return False
        # An answer's error is that of its tokens together.
        return bool((together - apart).abs().max() < tolerance(self._prefill.network) * self.longest)

    def _score_together(self, inputs: Inputs) -> torch.Tensor:
        import torch
        from transformers import DynamicCache

        network = self._prefill.network
        cache = inputs.cache if inputs.cache is not None else DynamicCache(config=network.config)
        logits = self._prefill.forward(inputs, cache=cache)
        if self._tree.tokens:
            logits = torch.cat([logits, self._branches(inputs, cache)], dim=1)
        steps = torch.tensor(self._tree.steps, device=logits.device)
        answers, positions, tokens = steps.unbind(1)
        said = logits[:, positions + 1, tokens] - logits.logsumexp(-1)[:, positions + 1]
        sums = torch.zeros(len(said), len(self._answers), device=said.device, dtype=said.dtype)
        return sums.index_add(1, answers, said)

    def _branches(self, inputs: Inputs, cache: Any) -> torch.Tensor:
        """What the model says behind each beginning of an answer: shape [rows, beginnings, vocabulary]."""
        import torch

        network, tree, rows = self._prefill.network, self._tree, len(inputs.ids)
        count = len(tree.tokens)
        ids = torch.tensor(tree.tokens, device=inputs.ids.device).expand(rows, -1)
        lengths = inputs.mask.sum(1, keepdim=True)
        positions = lengths + torch.tensor(tree.depths, device=lengths.device) - 1
        seen = torch.eye(count, dtype=torch.bool, device=ids.device)
        for place, parent in enumerate(tree.parents):
            if parent >= 0:
                seen[place] |= seen[parent]
        prompt = inputs.mask.bool()[:, None, :].expand(-1, count, -1)
        sees = torch.cat([prompt, seen.expand(rows, -1, -1)], dim=2)
        # Added to the attention's logits, which every implementation of it takes.
        mask = torch.zeros(sees.shape, dtype=network.dtype, device=ids.device)
        mask = mask.masked_fill(~sees, torch.finfo(network.dtype).min)
        return self._prefill.step(ids, mask[:, None], positions, cache=cache, keep=count)


def terminated(names: Sequence[str], answers: Sequence[Sequence[int]], end: int | None) -> list[list[int]]:
    """The tokens of answers, each with the token that ends it where one answer begins another.

    Without it 'sport' would be at least as likely as 'sports news', whatever the model thinks. Where no answer begins
    another, none needs an end.

    Raises:
        ClientError: the tokenizer has the same tokens for two answers, or one begins another and no token ends it.
    """
    found = [list(answer) for answer in answers]
    pairs = [
        (place, other)
        for place, one in enumerate(found)
        for other, longer in enumerate(found)
        if place != other and longer[: len(one)] == one
    ]
    for place, other in pairs:
        if end is None or found[place] == found[other]:
            raise ClientError(
                f"`annotator.model` can not tell the labels {names[place]!r} and {names[other]!r} apart: its tokenizer "
                "writes them alike. Rename one, or set `annotator.scoring: false`."
            )
    return [[*answer, end] for answer in found if end is not None] if pairs else found


def _grown(answers: Sequence[Sequence[int]]) -> _Tree:
    """Beginnings shorter ones first, so that each comes after the one that it continues."""
    proper = {tuple(answer[:length]) for answer in answers for length in range(1, len(answer))}
    beginnings = sorted(proper, key=lambda tokens: (len(tokens), tokens))
    places = {(): -1} | {tokens: place for place, tokens in enumerate(beginnings)}
    return _Tree(
        tokens=tuple(tokens[-1] for tokens in beginnings),
        parents=tuple(places[tokens[:-1]] for tokens in beginnings),
        depths=tuple(len(tokens) for tokens in beginnings),
        steps=tuple(
            (number, places[tuple(answer[:place])], token)
            for number, answer in enumerate(answers)
            for place, token in enumerate(answer)
        ),
    )
