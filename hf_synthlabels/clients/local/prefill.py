"""Prefill: the forward pass over prompts, in which what they all begin with is computed once."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.local.causal_model import is_out_of_memory

if TYPE_CHECKING:
    import torch

MIN_SHARED_TOKENS = 16
"""A shorter beginning is not worth the keeping."""

TRIED_TOKENS = 32
"""Length of the prompts that a way to compute is tried on; whole ones would take as long as many rows."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Some prompts as tensors: `[beginning, padding, rest]`, or `[padding, prompt]` where nothing is shared."""

    ids: torch.Tensor
    """Shape [rows, tokens], whole numbers."""
    mask: torch.Tensor
    """Shape [rows, tokens]; 0 where a token is padding."""
    cache: Any = None
    """Keys and values of the first `shared` tokens of each row; None where nothing is shared."""
    shared: int = 0

    @property
    def positions(self) -> torch.Tensor:
        """The place of each token in its row, padding not counted; shape [rows, tokens]."""
        return (self.mask.cumsum(-1) - 1).clamp(min=0)


class Prefill:
    """The forward pass over prompts, in which what they all begin with is computed once.

    A system prompt with its guidelines and examples is most of each prompt, and the same for all rows. Its keys and
    values are kept and only the rest of each row is computed. Whether a model takes that is tried first: where the
    outcome is another, and for layers that keep no keys and values, every prompt is computed whole.

    Args:
        network: a causal language model.
        pad: any token; it is masked.
    """

    def __init__(self, network: Any, pad: int) -> None:
        self.network = network
        self._pad = pad
        self._parameters = frozenset(inspect.signature(network.forward).parameters)
        self.reach = _reach(network.config)
        """The most tokens of a row, its padding counted, for which a kept beginning is right; 0 where it never is."""
        self._beginning: list[int] = []
        self._cache: Any = None
        self._tried = False

    def share(self, prompts: Sequence[list[int]]) -> None:
        """Find what some prompts all begin with, and keep it for those and the next ones."""
        if not self.reach or len(prompts) < 2:
            return
        found = beginning(prompts)
        kept = len(self._beginning)
        if kept and list(found[:kept]) == self._beginning and len(found) - kept < MIN_SHARED_TOKENS:
            return
        self._beginning, self._cache = [], None
        if len(found) < MIN_SHARED_TOKENS:
            return
        try:
            if not self._tried and not self._agrees(found, prompts):
                self.give_up()
                return
            self._tried = True
            self._beginning, self._cache = found, self._computed(found)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self.give_up()

    def give_up(self) -> None:
        """Share nothing from now on."""
        self.reach, self._beginning, self._cache = 0, [], None

    def inputs(self, prompts: Sequence[list[int]], further: int = 0, *, whole: bool = False) -> Inputs:
        """Some prompts as tensors on the model's device.

        Args:
            prompts: their tokens.
            further: how many tokens may come behind them.
            whole: share nothing.
        """
        import torch

        longest = max(map(len, prompts))
        kept = [] if whole or longest + further > self.reach else self._beginning
        if kept and not all(len(prompt) > len(kept) and list(prompt[: len(kept)]) == kept for prompt in prompts):
            kept = []
        rows, masks = [], []
        for prompt in prompts:
            gap = longest - len(prompt)
            rows.append([*kept, *[self._pad] * gap, *prompt[len(kept) :]])
            masks.append([*[1] * len(kept), *[0] * gap, *[1] * (len(prompt) - len(kept))])
        device = self.network.device
        ids, mask = torch.tensor(rows, device=device), torch.tensor(masks, device=device)
        if not kept:
            return Inputs(ids, mask)
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(len(prompts))
        return Inputs(ids, mask, cache, len(kept))

    def forward(self, inputs: Inputs, *, cache: Any = None, keep: int = 1) -> torch.Tensor:
        """The logits at the last `keep` tokens of each row, shape [rows, keep, vocabulary], in single precision.

        Args:
            inputs: the prompts.
            cache: where the keys and values of all tokens go, if they are needed afterwards; that of the inputs
                themselves where something is shared.
            keep: how many of the last tokens count.
        """
        cache = inputs.cache if inputs.cache is not None else cache
        return self.step(
            inputs.ids[:, inputs.shared :], inputs.mask, inputs.positions[:, inputs.shared :], cache=cache, keep=keep
        )

    def step(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, *, cache: Any = None, keep: int = 1
    ) -> torch.Tensor:
        """One forward pass over some tokens, with their own mask and positions; see `forward`."""
        options: dict[str, Any] = {"attention_mask": mask}
        if cache is not None:
            options["past_key_values"] = cache
        if "position_ids" in self._parameters:
            options["position_ids"] = positions
        if "logits_to_keep" in self._parameters:
            options["logits_to_keep"] = keep
        logits: torch.Tensor = self.network(input_ids=ids, use_cache=cache is not None, **options).logits
        return logits[:, -keep:].float()

    def _computed(self, ids: list[int]) -> Any:
        from transformers import DynamicCache

        cache = DynamicCache(config=self.network.config)
        self.forward(self.inputs([ids], whole=True), cache=cache)
        return cache

    def _agrees(self, found: list[int], prompts: Sequence[list[int]]) -> bool:
        """Whether two short prompts come to the same with a kept beginning as without."""
        start = found[:MIN_SHARED_TOKENS]
        some = [start + ending for ending in endings(prompts)]
        whole = self.forward(self.inputs(some, whole=True)).log_softmax(-1)
        self._beginning, self._cache = start, self._computed(start)
        together = self.forward(self.inputs(some)).log_softmax(-1)
        return bool((together - whole).abs().max() < tolerance(self.network))


def endings(prompts: Sequence[list[int]]) -> list[list[int]]:
    """The last tokens of two prompts, of different number: enough to try a way to compute on."""
    return [list(prompts[0][-TRIED_TOKENS // 2 :]), list(prompts[-1][-TRIED_TOKENS:])]


def beginning(prompts: Sequence[list[int]]) -> list[int]:
    """The tokens that all prompts begin with, at least one left over for each."""
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    # Between the first and the last in order lie all others.
    same = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), most)
    return list(first[: max(0, min(same, most))])


def tolerance(network: Any) -> float:
    """How far log-probabilities of two ways to compute the same may lie apart, by the precision of the weights."""
    import torch

    return 0.01 if network.dtype in (torch.float32, torch.float64) else 0.3


def _reach(config: Any) -> int:
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    reach = 2**62
    text = config.get_text_config()
    ropes = getattr(text, "rope_parameters", None) or {}
    # Some models have parameters for each type of layer.
    for rope in (ropes, *(part for part in ropes.values() if isinstance(part, dict))):
        if rope.get("rope_type") in ("dynamic", "longrope"):
            # Beyond it positions are written otherwise, also those of a beginning that is kept.
            reach = int(rope.get("original_max_position_embeddings") or text.max_position_embeddings)
    for layer in DynamicCache(config=config).layers:
        if type(layer) is DynamicSlidingWindowLayer:
            # Padding between the beginning and the rest takes places in the window.
            reach = min(reach, int(layer.sliding_window))
        elif type(layer) is not DynamicLayer:
            return 0
    return reach
