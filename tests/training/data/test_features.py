from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer, DataCollatorWithPadding

from hf_synthlabels.errors import DataError
from hf_synthlabels.training import StudentConfig
from hf_synthlabels.training.data import features as data
from hf_synthlabels.training.tasks import student_task


@pytest.fixture
def rows_of_three() -> Dataset:
    return Dataset.from_dict(
        {
            "text": ["the film", None, "a match of the team on a"],
            "other": ["plot", "plot", "plot"],
            "label": ["film", None, "sport"],
            "p": [[0.5, 0.5], None, [0.25, 0.75]],
            "w": [1.0, 1.0, 2.0],
        }
    )


def test_tokenize_keeps_every_row_without_padding(
    encoder: str, rows_of_three: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "CHUNK", 2)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    tokens = data.tokenize(rows_of_three, tokenizer, text_columns=["text"], max_length=6)
    # [CLS] the film [SEP] · an empty text · seven words cut to four.
    assert np.asarray(data.row_lengths(tokens)).tolist() == [4, 2, 6]
    assert np.asarray(data.row_lengths([{"input_ids": [1, 2]}, {"input_ids": [1]}])).tolist() == [2, 1]
    # A selection reads through its index.
    assert np.asarray(data.row_lengths(tokens.select([2, 0]))).tolist() == [6, 4]
    # Texts, images and single numbers have no length in tokens.
    assert data.row_lengths(rows_of_three) is None
    assert data.row_lengths([{"pixels": [1.0]}, {"pixels": [2.0]}]) is None
    assert data.row_lengths(Dataset.from_dict({"input_ids": [1, 2]})) is None


def test_tokenize_a_pair_joins_both_columns(encoder: str, rows_of_three: Dataset) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    tokens = data.tokenize(rows_of_three, tokenizer, text_columns=["text", "other"], max_length=32)
    assert tokenizer.decode(tokens[0]["input_ids"]) == "[CLS] the film [SEP] plot [SEP]"


def test_features_have_labels_probabilities_and_weights(encoder: str, rows_of_three: Dataset) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    config = StudentConfig(probs_column="p", weight_column="w", max_length=32, use_cpu=True)
    task = student_task(config, ["film", "sport"])
    features = task.features(rows_of_three, task.rows(rows_of_three), tokenizer)
    assert features[data.LABELS][:] == [0, 1]
    assert features[data.PROBS][:] == [[0.5, 0.5], [0.25, 0.75]]
    assert features[data.WEIGHT][:] == [1.0, 2.0]
    batch = DataCollatorWithPadding(tokenizer)(list(features))
    assert batch["input_ids"].shape == (2, 9)
    assert batch[data.PROBS].dtype == torch.float32


def test_a_column_that_is_no_text_is_refused(encoder: str, toy: Callable[..., Dataset]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    with pytest.raises(DataError, match="`label`"):
        data.tokenize(toy(2), tokenizer, text_columns=["label"], max_length=8)
    with pytest.raises(DataError, match="`text_columns`"):
        data.tokenize(toy(2), tokenizer, text_columns=["body"], max_length=8)
