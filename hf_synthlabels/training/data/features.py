"""Features that the trainer reads: token ids without padding, labels, soft labels and weights; and their batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.errors import DataError
from hf_synthlabels.training.data.training_rows import column_values

LABELS = "labels"
"""Feature with the label code of a row."""
PROBS = "label_probs"
"""Feature with the soft label of a row. Float `labels` would make transformers train a multi-label head."""
WEIGHT = "label_weight"
"""Feature with the weight of a row in the loss."""
ROW = "training_row"
"""Feature with the row's index in the data set, for error messages. The model does not see it."""
IGNORED = -100
"""Label code of a row or token without a label, which has no weight in the loss."""

# A Python list takes some hundred bytes per token, Arrow takes 4: convert in chunks.
CHUNK = 10_000

Batch = Mapping[str, Any]


def tokenize(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, *, text_columns: Sequence[str], max_length: int
) -> Dataset:
    """Tokenize every row in row order, truncated at `max_length`, without padding; a missing text is an empty one.

    Raises:
        DataError: a column is missing or does not contain text.
    """
    texts = [text_values(dataset, column) for column in text_columns]
    chunks = [
        Dataset.from_dict(
            dict(tokenizer(*(text[start : start + CHUNK] for text in texts), truncation=True, max_length=max_length))
        )
        for start in range(0, len(dataset), CHUNK)
    ]
    return concatenate_datasets(chunks)


def row_lengths(features: Any) -> NDArray[np.int64] | None:
    """Tokens per row, shape (rows,); None for rows without a list of `input_ids`, such as images or raw texts."""
    if isinstance(features, Dataset):
        if "input_ids" not in features.column_names:
            return None
        tokens = features.select_columns(["input_ids"]).with_format("arrow")["input_ids"][:]
        try:
            return np.asarray(pyarrow.compute.list_value_length(tokens).to_numpy(), dtype=np.int64)
        except (pyarrow.ArrowException, NotImplementedError, TypeError, ValueError):
            return None
    try:
        return np.array([len(features[row]["input_ids"]) for row in range(len(features))], dtype=np.int64)
    except (KeyError, IndexError, TypeError, AttributeError):
        return None


def text_values(dataset: Dataset, column: str) -> list[str]:
    """The texts of a column in row order; a missing text is an empty one.

    Raises:
        DataError: the column is missing or does not contain text.
    """
    texts = [text if text is not None else "" for text in column_values(dataset, column, "text_columns")]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"`{column}` of row {row} is {text!r}, not text. Name a column of strings.")
    return texts


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
