"""Windows: long texts cut into pieces that a model can read, which share some tokens with their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from hf_synthlabels.errors import DataError, TrainingError

CHUNK = 2_000
"""Rows that are cut at once: the places of tokens take much more memory as Python numbers than as arrays."""

MAX_STRIDE = 128


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of all rows, one after the other."""

    features: Dataset
    """What the model reads of each window, not padded."""
    rows: NDArray[np.int64]
    """The row that each window is cut from, ascending."""
    offsets: tuple[NDArray[np.int32], ...]
    """Of each window: first character of each token in the row's text and the one after its last, shape (tokens, 2);
    -1 for tokens that are none of the text."""
    nulls: NDArray[np.int64]
    """The token of each window that stands for no answer."""

    def __len__(self) -> int:
        return len(self.rows)


def default_stride(max_length: int) -> int:
    """Tokens that neighbouring windows share where nobody says."""
    return min(MAX_STRIDE, max_length // 4)


def cut_windows(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int,
    stride: int | None = None,
    questions: Sequence[str] | None = None,
) -> Windows:
    """Cut texts into windows of at most `max_length` tokens, each with its row's question before it, if there is one.

    Args:
        texts: one for each row; each has one window at least.
        tokenizer: a fast one.
        max_length: of a window, with the question and special tokens.
        stride: tokens that neighbouring windows share; by default a quarter of `max_length`, at most 128.
        questions: one for each row.

    Raises:
        TrainingError: the tokenizer can not say which characters a token stands for.
        DataError: a question leaves no room for its text.
    """
    if not tokenizer.is_fast:
        raise TrainingError(
            f"`model` has the tokenizer {type(tokenizer).__name__}, which does not tell where its tokens stand in the "
            "text. Choose a model with a fast tokenizer."
        )
    stride = default_stride(max_length) if stride is None else stride
    if questions is not None:
        _check_questions(questions, tokenizer, max_length, stride)
    elif max_length - tokenizer.num_special_tokens_to_add() <= stride:
        raise DataError(f"`max_length` is {max_length}, and windows share {stride} tokens. Give a greater one.")
    parts: list[Windows] = []
    for start in range(0, len(texts), CHUNK):
        asked = None if questions is None else questions[start : start + CHUNK]
        parts.append(_windows(texts[start : start + CHUNK], asked, tokenizer, max_length, stride))
    starts = range(0, len(texts), CHUNK)
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
            f"share {stride}. Give at least {lengths[row] + max_length - room + 1}, or drop the row."
        )


def _windows(
    texts: Sequence[str],
    questions: Sequence[str] | None,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    stride: int,
) -> Windows:
    given: tuple[list[str], ...] = (list(texts),) if questions is None else (list(questions), list(texts))
    # Where there is a question it comes first, whatever side the tokenizer would cut.
    made: Any = tokenizer(
        *given,
        truncation=True if questions is None else "only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    rows = np.array(made.pop("overflow_to_sample_mapping"), dtype=np.int64)
    places = made.pop("offset_mapping")
    of_text = 0 if questions is None else 1
    offsets = []
    for window, pairs in enumerate(places):
        own = np.array([number == of_text for number in made.sequence_ids(window)], dtype=bool)
        offsets.append(np.where(own[:, None], np.array(pairs, dtype=np.int32).reshape(-1, 2), np.int32(-1)))
    nulls = np.array([_null(ids, tokenizer) for ids in made["input_ids"]], dtype=np.int64)
    return Windows(Dataset.from_dict(dict(made)), rows, tuple(offsets), nulls)


def _null(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> int:
    """The token for no answer: the one that stands for the whole, or where there is none the last, which sees all."""
    cls = tokenizer.cls_token_id
    return ids.index(cls) if cls is not None and cls in ids else len(ids) - 1
