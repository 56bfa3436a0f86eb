"""Packing: several short examples in one row, which do not see each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from hf_synthlabels.errors import TrainingError

__all__ = ["check_isolation", "packed_rows"]

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


def check_isolation(model: PreTrainedModel) -> None:
    """Refuse a model that lets examples of one row see each other, whatever the attention that it runs on.

    Two short texts are read apart, and together in one row with positions that begin anew, once beside another row.

    Raises:
        TrainingError: what the model says of the second text depends on the first.
    """
    vocabulary = model.config.get_text_config().vocab_size
    # Even steps through the vocabulary: no two tokens are the same, and no random state is used.
    ids = torch.arange(1, 13, device=model.device) * (vocabulary - 1) // 13
    positions = torch.cat([torch.arange(6), torch.arange(6)]).to(model.device)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        apart: Any = model(input_ids=ids[None, 6:], position_ids=positions[None, 6:]).logits[0]
        together: Any = model(input_ids=ids.expand(2, -1), position_ids=positions.expand(2, -1)).logits[1, 6:]
    model.train(was_training)
    scale = apart.float().abs().max().clamp(min=1e-6)
    off = float((apart.float() - together.float()).abs().max() / scale)
    bound = TOLERANCE if apart.dtype == torch.float32 else 30 * TOLERANCE
    if off > bound:
        raise TrainingError(
            f"`packing` is true, but examples in one row see each other with {type(model).__name__} and attention "
            f"{model.config._attn_implementation!r}: outputs are {off:.0%} off. Write `packing: false`."
        )
