"""Features that the trainer reads: token ids of texts or windows without padding, and columns for the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.errors import DataError, TrainingError
from hf_synthlabels.training.data.training_rows import column_values

LABELS = "labels"
"""Feature with the label code of a row."""
PROBS = "label_probs"
"""Feature with the soft label of a row. Float `labels` would make transformers train a multi-label head."""
WEIGHT = "label_weight"
"""Feature with the weight of a row in the loss."""
SOURCE = "label_source"
"""Feature with the source of a row's label, `LLM` or `HUMAN`; without it all labels count as human."""
LLM, HUMAN = 0, 1
ROW = "training_row"
"""Feature with the row's index in the data set, for error messages. The model does not see it."""
IGNORED = -100
"""Label code of a row or token without a label, which has no weight in the loss."""

# A Python list takes some hundred bytes per token, Arrow takes 4: convert in chunks.
CHUNK = 10_000

WINDOW_CHUNK = 2_000
"""Rows per chunk; token offsets take much more memory as Python numbers than as arrays."""

MAX_STRIDE = 128


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


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of all rows, in row order."""

    features: Dataset
    """Model inputs of each window, without padding."""
    rows: NDArray[np.int64]
    """The row of each window, ascending."""
    offsets: tuple[NDArray[np.int32], ...]
    """Character span of each token in the row's text, shape (tokens, 2) per window; -1 for tokens outside the text."""
    nulls: NDArray[np.int64]
    """The token of each window that represents "no answer"."""

    def __len__(self) -> int:
        return len(self.rows)


def cut_windows(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    stride: int | None = None,
    questions: Sequence[str] | None = None,
) -> Windows:
    """Cut texts into windows of at most `max_length` tokens, each preceded by its row's question, if any.

    Args:
        texts: one per row; each has at least one window.
        tokenizer: a fast tokenizer.
        max_length: maximum length of a window, including question and special tokens.
        stride: overlap of neighboring windows in tokens; default: a quarter of `max_length`, at most 128.
        questions: one per row.

    Raises:
        TrainingError: the tokenizer has no character offsets.
        DataError: a question leaves no room for its text.
    """
    if not tokenizer.is_fast:
        raise TrainingError(
            f"`model` has the tokenizer {type(tokenizer).__name__}, which has no character offsets. Use a model with a "
            "fast tokenizer."
        )
    stride = min(MAX_STRIDE, max_length // 4) if stride is None else stride
    if questions is not None:
        _check_questions(questions, tokenizer, max_length, stride)
    elif max_length - tokenizer.num_special_tokens_to_add() <= stride:
        raise DataError(f"`max_length` is {max_length}, and windows overlap by {stride} tokens. Increase it.")
    parts: list[Windows] = []
    for start in range(0, len(texts), WINDOW_CHUNK):
        part = None if questions is None else questions[start : start + WINDOW_CHUNK]
        parts.append(_windows(texts[start : start + WINDOW_CHUNK], part, tokenizer, max_length, stride))
    starts = range(0, len(texts), WINDOW_CHUNK)
    return Windows(
        concatenate_datasets([part.features for part in parts]),
        np.concatenate([part.rows + start for part, start in zip(parts, starts, strict=True)]),
        tuple(offsets for part in parts for offsets in part.offsets),
        np.concatenate([part.nulls for part in parts]),
    )


def _check_questions(
    questions: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, stride: int
) -> None:
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True) - stride
    lengths = [len(ids) for ids in tokenizer(list(questions), add_special_tokens=False)["input_ids"]]
    row = int(np.argmax(lengths))
    if lengths[row] >= room:
        raise DataError(
            f"`max_length` is {max_length}, but the question of row {row} alone has {lengths[row]} tokens, and windows "
            f"overlap by {stride}. Give at least {lengths[row] + max_length - room + 1}, or drop the row."
        )


def _windows(
    texts: Sequence[str],
    questions: Sequence[str] | None,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    stride: int,
) -> Windows:
    inputs: tuple[list[str], ...] = (list(texts),) if questions is None else (list(questions), list(texts))
    # The question comes first, whichever side the tokenizer truncates.
    encoded: Any = tokenizer(
        *inputs,
        truncation=True if questions is None else "only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    rows = np.array(encoded.pop("overflow_to_sample_mapping"), dtype=np.int64)
    spans = encoded.pop("offset_mapping")
    text_sequence = 0 if questions is None else 1
    offsets = []
    for window, pairs in enumerate(spans):
        in_text = np.array([number == text_sequence for number in encoded.sequence_ids(window)], dtype=bool)
        offsets.append(np.where(in_text[:, None], np.array(pairs, dtype=np.int32).reshape(-1, 2), np.int32(-1)))
    nulls = np.array([_null_token(ids, tokenizer) for ids in encoded["input_ids"]], dtype=np.int64)
    return Windows(Dataset.from_dict(dict(encoded)), rows, tuple(offsets), nulls)


def _null_token(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> int:
    """The token for "no answer": the CLS token, or without one the last token, which attends to all."""
    cls = tokenizer.cls_token_id
    return ids.index(cls) if cls is not None and cls in ids else len(ids) - 1
