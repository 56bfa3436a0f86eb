"""Packing: several short examples in one row, which do not see each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from hf_synthlabels.errors import TrainingError

# How far outputs of float32 may differ by another order of sums, relative to their size.
TOLERANCE = 1e-3


def packed_rows(lengths: Sequence[int] | NDArray[np.int64], room: int) -> list[list[int]]:
    """Which examples share a row: each goes to the fullest row that it fits into, longest first (best-fit decreasing).

    Args:
        lengths: tokens of each example, none above `room`.
        room: tokens of a row.

    Returns:
        The examples of each row; every example once.
    """
    free: dict[int, list[int]] = {}
    rows: list[list[int]] = []
    for example in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        length = int(lengths[example])
        # There are at most `room` different gaps, and so few to look at.
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
    """Refuse a model that sees what it shall write, such as an encoder: it would learn to copy.

    Raises:
        TrainingError: what the model says of some tokens depends on those that follow.
    """
    ids = _probe(model)
    off = _apart(_said(model, ids[None, :6])[0], _said(model, ids[None])[0, :6])
    if off > 1:
        raise TrainingError(
            f"`model` sees the tokens that it shall write: {type(model).__name__} is no causal language model as it is "
            "configured. Choose one such as Qwen or Llama."
        )


def check_isolation(model: PreTrainedModel) -> None:
    """Refuse a model that lets examples of one row see each other, whatever the attention that it runs on.

    Two short texts are read apart, and together in one row with positions that begin anew, beside another such row.

    Raises:
        TrainingError: what the model says of the second text depends on the first.
    """
    ids, places = _probe(model), torch.arange(6, device=model.device)
    apart = _said(model, ids[None, 6:], position_ids=places[None])[0]
    together = _said(model, ids.expand(2, -1), position_ids=places.repeat(2).expand(2, -1))[1, 6:]
    off = _apart(apart, together)
    if off > 1:
        raise TrainingError(
            f"`packing` is true, but examples in one row see each other with {type(model).__name__} and attention "
            f"{model.config._attn_implementation!r}. Write `packing: false`."
        )


def _probe(model: PreTrainedModel) -> Tensor:
    """Twelve tokens, in even steps through the vocabulary: no two are the same, and no random state is used."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    return torch.arange(1, 13, device=model.device) * (vocabulary - 1) // 13


def _said(model: PreTrainedModel, ids: Tensor, **places: Tensor) -> Tensor:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs: Any = model(input_ids=ids, **places)
    model.train(was_training)
    logits: Tensor = outputs.logits
    return logits


def _apart(one: Tensor, other: Tensor) -> float:
    """How far two outputs are apart, as a multiple of what the order of sums may do."""
    tolerance = TOLERANCE if one.dtype == torch.float32 else 30 * TOLERANCE
    scale = float(one.float().abs().max().clamp(min=1e-6))
    return float((one.float() - other.float()).abs().max()) / scale / tolerance
