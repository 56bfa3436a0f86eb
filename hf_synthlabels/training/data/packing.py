"""Packing of several short examples into one row, and the check that they cannot attend to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from hf_synthlabels.errors import TrainingError

# Relative tolerance for float32 outputs, which depend on the order of summation.
TOLERANCE = 1e-3


def packed_rows(lengths: Sequence[int] | NDArray[np.int64], room: int) -> list[list[int]]:
    """Assign examples to rows of `room` tokens: longest first, each to the fullest row with room (best-fit decreasing).

    Returns:
        The examples of each row.
    """
    free: dict[int, list[int]] = {}
    rows: list[list[int]] = []
    for example in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        length = int(lengths[example])
        # There are at most `room` different gaps.
        gap = min((gap for gap in free if gap >= length), default=None)
        if gap is None:
            rows.append([])
            row, gap = len(rows) - 1, room
        else:
            row = free[gap].pop()
            if not free[gap]:
                del free[gap]
        rows[row].append(example)
        if gap > length:
            free.setdefault(gap - length, []).append(row)
    return rows


def check_causal(model: PreTrainedModel) -> None:
    """Reject non-causal models, such as encoders, which would learn to copy their input.

    Raises:
        TrainingError: the outputs for some tokens depend on later tokens.
    """
    ids = _probe_ids(model)
    difference = _relative_difference(_logits(model, ids[None, :6])[0], _logits(model, ids[None])[0, :6])
    if difference > 1:
        raise TrainingError(
            f"`model` is a {type(model).__name__}, whose attention is not causal as configured. Use a causal language "
            "model such as Qwen or Llama."
        )


def check_isolation(model: PreTrainedModel) -> None:
    """Reject models in which packed examples attend to each other, with the configured attention implementation.

    Compares the outputs for a text alone with those for the same text as second example of a packed row.

    Raises:
        TrainingError: the outputs for the second example depend on the first.
    """
    ids, positions = _probe_ids(model), torch.arange(6, device=model.device)
    alone = _logits(model, ids[None, 6:], position_ids=positions[None])[0]
    packed = _logits(model, ids.expand(2, -1), position_ids=positions.repeat(2).expand(2, -1))[1, 6:]
    if _relative_difference(alone, packed) > 1:
        raise TrainingError(
            f"`packing` is true, but packed examples attend to each other with {type(model).__name__} and attention "
            f"{model.config._attn_implementation!r}. Set `packing: false`."
        )


def _probe_ids(model: PreTrainedModel) -> Tensor:
    """Twelve distinct tokens, evenly spaced in the vocabulary, without using a random state."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    return torch.arange(1, 13, device=model.device) * (vocabulary - 1) // 13


def _logits(model: PreTrainedModel, ids: Tensor, **positions: Tensor) -> Tensor:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs: Any = model(input_ids=ids, **positions)
    model.train(was_training)
    logits: Tensor = outputs.logits
    return logits


def _relative_difference(a: Tensor, b: Tensor) -> float:
    """The largest difference of two outputs, as a multiple of the tolerance."""
    tolerance = TOLERANCE if a.dtype == torch.float32 else 30 * TOLERANCE
    scale = float(a.float().abs().max().clamp(min=1e-6))
    return float((a.float() - b.float()).abs().max()) / scale / tolerance
