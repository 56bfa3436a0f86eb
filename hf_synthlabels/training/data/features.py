"""What the trainer reads: tokens without padding, with a label, probabilities and a weight beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.errors import DataError
from hf_synthlabels.training.data.training_rows import TrainingRows, column_values

LABELS = "labels"
"""Feature with the label code of a row."""
PROBS = "label_probs"
"""Feature with the soft label of a row. Never float `labels`: those make transformers train several labels per row."""
WEIGHT = "label_weight"
"""Feature with what a row counts in the loss."""

# Python lists of token ids take some hundred bytes per token, Arrow takes 4: convert in pieces.
CHUNK = 10_000


def tokenise(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, *, text_columns: Sequence[str], max_length: int
) -> Dataset:
    """Tokens of every row in row order, cut at `max_length`, not padded; a missing text is an empty one.

    Args:
        dataset: rows, at least one.
        tokenizer: the student's tokenizer.
        text_columns: one text column, or two for a text pair.
        max_length: tokens, special ones included.

    Raises:
        DataError: a column is missing or does not hold text.
    """
    texts = [text_values(dataset, column) for column in text_columns]
    pieces = [
        Dataset.from_dict(
            dict(tokenizer(*(text[start : start + CHUNK] for text in texts), truncation=True, max_length=max_length))
        )
        for start in range(0, len(dataset), CHUNK)
    ]
    return concatenate_datasets(pieces)


def training_features(
    dataset: Dataset,
    rows: TrainingRows,
    tokenizer: PreTrainedTokenizerBase,
    *,
    text_columns: Sequence[str],
    max_length: int,
) -> Dataset:
    """Tokens, `labels` and, where given, `label_probs` and `label_weight` of the kept rows.

    Raises:
        DataError: a text column is missing or does not hold text.
    """
    features = tokenise(dataset.select(rows.kept), tokenizer, text_columns=text_columns, max_length=max_length)
    features = features.add_column(LABELS, rows.codes.tolist())
    if rows.probs is not None:
        features = features.add_column(PROBS, rows.probs.tolist())
    if rows.weights is not None:
        features = features.add_column(WEIGHT, rows.weights.tolist())
    return features


def row_lengths(features: Any) -> NDArray[np.int64] | None:
    """Tokens of each row, shape (rows,); None for rows without a list of `input_ids`, such as images or raw texts.

    Args:
        features: a Dataset, or anything with a length and rows.
    """
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
    """The texts of a column in row order, a missing one as an empty one.

    Raises:
        DataError: the column is missing or does not hold text.
    """
    texts = [text if text is not None else "" for text in column_values(dataset, column, "text_columns")]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"`{column}` of row {row} is {text!r}, not text. Name a column of strings.")
    return texts
