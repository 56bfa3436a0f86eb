"""Collator: rows of several lengths as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.training.data.features import LABELS, WEIGHT
from hf_synthlabels.training.tasks.losses import IGNORED


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads on the right whatever has a value for each token; the rest becomes one tensor as it is.

    Padding has the label -100, the weight 0 and the position 0, with which it sees nothing but itself where examples
    are told apart by their positions.
    """

    tokenizer: PreTrainedTokenizerBase
    multiple: int | None = None
    """Pad to a multiple of so many tokens."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The rows as tensors of the length of the longest."""
        fillers = {
            "input_ids": self.tokenizer.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
            "position_ids": 0,
            LABELS: IGNORED,
            WEIGHT: 0.0,
        }
        longest = max(len(row["input_ids"]) for row in rows)
        if self.multiple:
            longest = -(-longest // self.multiple) * self.multiple
        batch = {}
        for name, first in rows[0].items():
            values = [row[name] for row in rows]
            if isinstance(first, list | tuple):
                values = [[*value, *[fillers[name]] * (longest - len(value))] for value in values]
            batch[name] = torch.tensor(values, dtype=torch.float32 if name == WEIGHT else None)
        return batch
