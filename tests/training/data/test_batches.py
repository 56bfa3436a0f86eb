from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hf_synthlabels.training.data.batches import BucketedPadding, padding_buckets, split_batch


def test_padding_buckets_are_quantiles_in_multiples_of_eight() -> None:
    # Quintiles of the rows: 5, 9, 17, 30 and 100 tokens.
    lengths = np.repeat([5, 9, 17, 30, 100], 20)
    assert padding_buckets(lengths, 128) == [8, 16, 24, 32, 104, 128]
    assert padding_buckets(lengths, 64) == [8, 16, 24, 32, 64]
    assert padding_buckets(np.array([3]), 16) == [8, 16]


def test_batches_are_padded_to_the_next_length() -> None:
    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        return {
            "input_ids": torch.full((2, 5), 7),
            "attention_mask": torch.ones(2, 5, dtype=torch.long),
            # Five classes, as many as tokens.
            "labels": torch.ones(2, 5, dtype=torch.long),
            "label_probs": torch.ones(2, 5),
        }

    per_row = BucketedPadding(collate, (4, 8), 9, labels_per_token=False)([])
    assert per_row["input_ids"].tolist() == [[7] * 5 + [9] * 3] * 2
    assert per_row["attention_mask"].tolist() == [[1] * 5 + [0] * 3] * 2
    assert per_row["labels"].shape == per_row["label_probs"].shape == (2, 5)
    per_token = BucketedPadding(collate, (4, 8), 9, labels_per_token=True)([])
    assert per_token["labels"].tolist() == [[1] * 5 + [-100] * 3] * 2
    assert per_token["label_probs"].shape == (2, 5)
    # A batch longer than all lengths keeps its length.
    assert BucketedPadding(collate, (4,), 9, labels_per_token=True)([])["input_ids"].shape == (2, 5)


def test_a_split_batch_has_every_row_once_in_parts_of_similar_size() -> None:
    batch = {"input_ids": torch.arange(14).view(7, 2), "labels": torch.arange(7), "scale": torch.tensor(2.0)}
    parts = list(split_batch(batch, 3))
    assert [len(part["labels"]) for part in parts] == [2, 2, 3]
    assert torch.equal(torch.cat([part["input_ids"] for part in parts]), batch["input_ids"])
    assert all(part["scale"] == 2 for part in parts)
    assert len(list(split_batch(batch, 99))) == 7
