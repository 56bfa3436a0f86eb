"""Encoders without padding: their layers run on the tokens of a batch alone, one row behind the other.

Rows are taken apart in front of the layers and put back behind them, so that embeddings, poolers and heads of any task
see the padded shape that they know. Inside, attention keeps to each row: by PyTorch's varlen kernel (Flash Attention,
`torch.nn.attention.varlen`) for half precision on a GPU that has it, elsewhere by one attention after the other, which
gives the same numbers and is there to check against.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from hf_synthlabels.errors import ConfigError

logger = logging.getLogger(__name__)

NAME = "synthlabels_varlen"
LAYERS = {"bert": "encoder", "roberta": "encoder", "xlm-roberta": "encoder", "camembert": "encoder"}
LAYERS |= {"electra": "encoder", "distilbert": "transformer", "modernbert": ""}
"""Where the layers of an architecture are in its encoder; of ModernBERT the encoder itself, which turns positions."""

FLASH = (8, 0)
"""CUDA capability from which Flash Attention runs."""


def run_without_padding(model: Any, *, half: bool) -> bool:
    """Make an encoder run without padding, where that is faster or nothing else is there to try it on.

    Attention dropout is not applied any more: the kernel has none (torch 2.13).

    Args:
        model: with a head for any task, also with adapters.
        half: whether it computes in bfloat16 or float16.

    Returns:
        False where the GPU has no kernel for it, which is said, and rows stay padded.

    Raises:
        ConfigError: layers of this architecture do not run without padding.
    """
    inner: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    kind = inner.config.model_type
    if kind not in LAYERS or getattr(inner.config, "is_decoder", False):
        raise ConfigError(
            f"`padding_free` is true, but `model` is of type {kind!r}. Leave it out, or take one of {sorted(LAYERS)}."
        )
    reason = why_not(inner.device, half=half)
    if reason is not None:
        logger.warning("padding_free: %s, so rows are padded", reason)
        return False
    AttentionInterface.register(NAME, varlen_attention)
    AttentionMaskInterface.register(NAME, _plain_mask)
    inner.set_attn_implementation(NAME)
    encoder = inner.base_model
    place = LAYERS[kind]
    layers = getattr(encoder, place) if place else encoder
    apart = _Apart(whole=not place)
    layers.register_forward_pre_hook(apart.take, with_kwargs=True)
    layers.register_forward_hook(apart.put_back)
    dropout = max(getattr(inner.config, name, 0.0) for name in ("attention_probs_dropout_prob", "attention_dropout"))
    if dropout:
        logger.warning("padding_free: the attention dropout of %s is not applied", dropout)
    return True


def why_not(device: torch.device, *, half: bool) -> str | None:
    """Why a device runs no attention over rows of different length; None where it does, and on the CPU."""
    if device.type == "cpu":
        return None
    if device.type != "cuda":
        return f"PyTorch has no such attention on {device.type}"
    if _kernel() is None:
        return f"PyTorch {torch.__version__} has no torch.nn.attention.varlen (2.10 has)"
    if torch.cuda.get_device_capability(device) < FLASH:
        return (
            f"the GPU has compute capability {torch.cuda.get_device_capability(device)}, Flash Attention needs {FLASH}"
        )
    return None if half else "Flash Attention needs `bf16: true`"


def varlen_attention(
    module: nn.Module,  # noqa: ARG001 - the signature is that of transformers' attention functions.
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,  # noqa: ARG001 - the kernel has none.
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,  # noqa: ARG001
) -> tuple[Tensor, None]:
    """Attention of each token to those of its own row, both ways.

    Args:
        module: that asks.
        query: shape (1, heads, tokens, width), the rows one behind the other; so are key and value.
        key: see `query`.
        value: see `query`.
        attention_mask: none, for nothing is padded.
        scaling: of the products; the root of the width where none is given.
        dropout: not applied.
        cu_seq_lens_q: where rows begin and the last ends, shape (rows + 1,), int32.
        max_length_q: tokens of the longest row.
        sliding_window: each token sees those that are nearer than this.
        kwargs: of other attention functions.

    Returns:
        Shape (1, tokens, heads, width), and no weights.

    Raises:
        ValueError: rows are padded.
    """
    if cu_seq_lens_q is None or attention_mask is not None:
        raise ValueError("rows are padded: this attention runs behind `run_without_padding` alone")
    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    reach = -1 if sliding_window is None else sliding_window - 1
    kernel = _kernel()
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and kernel is not None:
        options: dict[str, Any] = {"scale": scaling}
        if reach >= 0:
            options["window_size"] = (reach, reach)
        mixed = kernel(query, key, value, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, **options)
    else:
        mixed = _one_by_one(query, key, value, cu_seq_lens_q, scaling, reach)
    return mixed[None], None


def _one_by_one(query: Tensor, key: Tensor, value: Tensor, ends: Tensor, scaling: float | None, reach: int) -> Tensor:
    """What the kernel computes, one row after the other; each shape (tokens, heads, width)."""
    rows = []
    for start, end in pairwise(ends.tolist()):
        asked, found, given = (part[start:end].transpose(0, 1) for part in (query, key, value))
        near = None
        if 0 <= reach < end - start - 1:
            places = torch.arange(end - start, device=query.device)
            near = (places[:, None] - places).abs() <= reach
        rows.append(functional.scaled_dot_product_attention(asked, found, given, attn_mask=near, scale=scaling))
    return torch.cat(rows, dim=1).transpose(0, 1)


@dataclass
class _Apart:
    """Takes the rows of a batch out of their padding, and puts what comes of them back."""

    whole: bool
    """True for an encoder that gets token ids, False for layers that get their vectors."""
    tokens: Tensor | None = None
    shape: tuple[int, int] = (0, 0)

    def take(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        """The arguments of the layers, without padding."""
        name = "input_ids" if self.whole else "hidden_states"
        given = args[0] if args else kwargs.pop(name)
        self.shape = (given.shape[0], given.shape[1])
        mask = kwargs.get("attention_mask")
        real = torch.ones(self.shape, dtype=torch.bool, device=given.device) if mask is None else mask.bool()
        self.tokens = real.flatten().nonzero().flatten()
        lengths = real.sum(dim=1, dtype=torch.int32)
        kwargs["attention_mask"] = None
        kwargs["cu_seq_lens_q"] = functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
        kwargs["max_length_q"] = self.shape[1]
        flat = given.flatten(0, 1)[self.tokens][None]
        if self.whole:
            places = torch.arange(self.shape[1], device=given.device).expand(self.shape)
            kwargs["position_ids"] = places.flatten()[self.tokens][None]
        return (flat,), kwargs

    def put_back(self, module: nn.Module, args: Any, output: Any) -> Any:  # noqa: ARG002
        """The output of the layers in the shape of the batch, with 0 where padding was."""
        vectors = output.last_hidden_state[0]
        padded = vectors.new_zeros(self.shape[0] * self.shape[1], vectors.shape[-1])
        output.last_hidden_state = padded.index_copy(0, self.tokens, vectors).view(*self.shape, -1)
        return output


def _plain_mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:  # noqa: ARG001
    """The mask of tokens as it is: where rows are taken apart it says which are real."""
    return attention_mask


def _kernel() -> Any:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn
