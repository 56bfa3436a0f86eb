"""Encoders without padding: their layers run on the concatenated tokens of a batch.

Padding is removed before the layers and restored after them, so embeddings, poolers and heads see padded batches.
Attention is limited to each row by PyTorch's varlen kernel (Flash Attention, `torch.nn.attention.varlen`) in half
precision on a GPU, elsewhere by one attention per row, which gives the same numbers.

transformers' `DataCollatorWithFlattening` is no replacement: it flattens a batch into one row, of which a sequence
classification head returns a single output, and it requires Flash Attention.
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
"""Attribute with the layers in each architecture's encoder; for ModernBERT the encoder itself, for rotary positions."""

FLASH = (8, 0)
"""Minimum CUDA capability for Flash Attention."""


def run_without_padding(model: Any, *, half: bool) -> bool:
    """Make an encoder with any head run without padding; attention dropout is no longer applied (torch 2.13).

    Args:
        model: an encoder with a head, possibly with adapters.
        half: whether it computes in bfloat16 or float16.

    Returns:
        False, with a warning, if the GPU has no kernel for it; rows then stay padded.

    Raises:
        ConfigError: the architecture is not supported.
    """
    inner: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    kind = inner.config.model_type
    if kind not in LAYERS or getattr(inner.config, "is_decoder", False):
        raise ConfigError(
            f"`padding_free` does not support `model` type {kind!r}. Leave it out, or use one of {sorted(LAYERS)}."
        )
    reason = unsupported_reason(inner.device, half=half)
    if reason is not None:
        logger.warning("padding_free: rows are padded, because %s", reason)
        return False
    AttentionInterface.register(NAME, varlen_attention)
    AttentionMaskInterface.register(NAME, _plain_mask)
    inner.set_attn_implementation(NAME)
    encoder = inner.base_model
    attribute = LAYERS[kind]
    layers = getattr(encoder, attribute) if attribute else encoder
    padding = _PaddingHooks(on_encoder=not attribute)
    layers.register_forward_pre_hook(padding.remove, with_kwargs=True)
    layers.register_forward_hook(padding.restore)
    dropout = max(getattr(inner.config, name, 0.0) for name in ("attention_probs_dropout_prob", "attention_dropout"))
    if dropout:
        logger.warning("padding_free: attention dropout of %s is not applied", dropout)
    return True


def unsupported_reason(device: torch.device, *, half: bool) -> str | None:
    """The reason why a device does not support varlen attention; None if it does, and on the CPU."""
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
    """Bidirectional attention within each row.

    Args:
        module: the attention layer.
        query: concatenated rows, shape (1, heads, tokens, width).
        key: see `query`.
        value: see `query`.
        attention_mask: None.
        scaling: of the products; default: 1 / sqrt(width).
        dropout: not applied.
        cu_seq_lens_q: cumulative row lengths, shape (rows + 1,), int32.
        max_length_q: tokens of the longest row.
        sliding_window: tokens attend to those closer than this.
        kwargs: options of other attention functions.

    Returns:
        Output of shape (1, tokens, heads, width), and no weights.

    Raises:
        ValueError: rows are padded.
    """
    if cu_seq_lens_q is None or attention_mask is not None:
        raise ValueError("rows are padded; use this attention through `run_without_padding`")
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
    """The same result as the kernel, row by row; each shape (tokens, heads, width)."""
    rows = []
    for start, end in pairwise(ends.tolist()):
        q, k, v = (part[start:end].transpose(0, 1) for part in (query, key, value))
        near = None
        if 0 <= reach < end - start - 1:
            positions = torch.arange(end - start, device=query.device)
            near = (positions[:, None] - positions).abs() <= reach
        rows.append(functional.scaled_dot_product_attention(q, k, v, attn_mask=near, scale=scaling))
    return torch.cat(rows, dim=1).transpose(0, 1)


@dataclass
class _PaddingHooks:
    """Hooks that remove the padding before the layers and restore it after them."""

    on_encoder: bool
    """True for an encoder that receives token ids, False for layers that receive vectors."""
    tokens: Tensor | None = None
    shape: tuple[int, int] = (0, 0)

    def remove(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        """The arguments of the layers without padding."""
        name = "input_ids" if self.on_encoder else "hidden_states"
        inputs = args[0] if args else kwargs.pop(name)
        self.shape = (inputs.shape[0], inputs.shape[1])
        mask = kwargs.get("attention_mask")
        real = torch.ones(self.shape, dtype=torch.bool, device=inputs.device) if mask is None else mask.bool()
        self.tokens = real.flatten().nonzero().flatten()
        lengths = real.sum(dim=1, dtype=torch.int32)
        kwargs["attention_mask"] = None
        kwargs["cu_seq_lens_q"] = functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
        kwargs["max_length_q"] = self.shape[1]
        flat = inputs.flatten(0, 1)[self.tokens][None]
        if self.on_encoder:
            positions = torch.arange(self.shape[1], device=inputs.device).expand(self.shape)
            kwargs["position_ids"] = positions.flatten()[self.tokens][None]
        return (flat,), kwargs

    def restore(self, module: nn.Module, args: Any, output: Any) -> Any:  # noqa: ARG002
        """The output of the layers in the shape of the batch, 0 at padding tokens."""
        vectors = output.last_hidden_state[0]
        padded = vectors.new_zeros(self.shape[0] * self.shape[1], vectors.shape[-1])
        output.last_hidden_state = padded.index_copy(0, self.tokens, vectors).view(*self.shape, -1)
        return output


def _plain_mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:  # noqa: ARG001
    """The unchanged attention mask, from which the hooks find the tokens."""
    return attention_mask


def _kernel() -> Any:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn
