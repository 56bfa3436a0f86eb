"""Batches: rows of different lengths padded to one, and parts of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.training.data.features import IGNORED, LABELS, PROBS, ROW, WEIGHT

MAX_BUCKETS = 6
BUCKET_MULTIPLE = 8

Batch = Mapping[str, Any]
Collate = Callable[[list[dict[str, Any]]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads every feature with one value per token on the right; other features become one tensor each.

    Padding tokens have the label -100, the weight 0 and the position 0. With packed examples, which their
    positions separate, each padding token is thus a separate sequence.
    """

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Collate rows to the length of the longest."""
        fill = {
            "input_ids": self.tokenizer.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
            "position_ids": 0,
            LABELS: IGNORED,
            WEIGHT: 0.0,
        }
        longest = max(len(row["input_ids"]) for row in rows)
        batch = {}
        for name, first in rows[0].items():
            values = [row[name] for row in rows]
            if isinstance(first, list | tuple):
                values = [[*value, *[fill[name]] * (longest - len(value))] for value in values]
            batch[name] = torch.tensor(values, dtype=torch.float32 if name == WEIGHT else None)
        return batch


def padding_buckets(lengths: NDArray[np.int64], longest: int, count: int = MAX_BUCKETS) -> list[int]:
    """Choose up to `count` lengths to pad to: quantiles of the row lengths, rounded up to multiples of eight.

    Args:
        lengths: tokens of each row.
        longest: maximum length of any row, always the last bucket.
        count: maximum number of buckets.
    """
    quantiles = np.quantile(lengths, np.arange(1, count) / (count - 1), method="inverted_cdf")
    rounded = {min(longest, int(-(-length // BUCKET_MULTIPLE) * BUCKET_MULTIPLE)) for length in quantiles}
    return sorted(rounded | {longest})


@dataclass(frozen=True, slots=True)
class BucketedPadding:
    """Wraps a collator and pads its batches to the next of a few lengths."""

    collate: Collate
    lengths: tuple[int, ...]
    """Ascending; a longer batch keeps its length."""
    pad_token: int
    labels_per_token: bool

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate and pad."""
        batch = self.collate(rows)
        shape = batch["input_ids"].shape
        missing = next((length for length in self.lengths if length >= shape[1]), shape[1]) - shape[1]
        if not missing:
            return batch
        return {name: self._padded(name, value, shape, missing) for name, value in batch.items()}

    def _padded(self, name: str, value: Any, shape: Sequence[int], missing: int) -> Any:
        per_token = isinstance(value, Tensor) and value.shape[:2] == shape
        if not per_token or (name.startswith("label") and not self.labels_per_token) or name == PROBS:
            return value
        fill = {"input_ids": self.pad_token, LABELS: IGNORED, WEIGHT: 0}.get(name, 0)
        return functional.pad(value, (*(0, 0) * (value.ndim - 2), 0, missing), value=fill)


def without_row_ids(batch: Batch) -> dict[str, Any]:
    """The batch without the row indices."""
    return {name: value for name, value in batch.items() if name != ROW}


def batch_rows(batch: Batch) -> int:
    """Number of rows in a batch."""
    tokens = batch.get("input_ids")
    if not isinstance(tokens, Tensor):
        tokens = next(value for value in batch.values() if isinstance(value, Tensor) and value.ndim)
    return len(tokens)


def split_batch(batch: Batch, parts: int) -> Iterator[dict[str, Any]]:
    """Split a batch into parts of nearly equal size, at most one per row."""
    rows = batch_rows(batch)
    parts = min(parts, rows)
    bounds = [rows * part // parts for part in range(parts + 1)]
    for start, end in pairwise(bounds):
        yield {
            name: value[start:end] if isinstance(value, Tensor) and value.ndim and len(value) == rows else value
            for name, value in batch.items()
        }
