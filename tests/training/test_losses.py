from __future__ import annotations

import math

import pytest
import torch

from hf_synthlabels.training import weighted_cross_entropy
from hf_synthlabels.training.tasks.losses import IGNORED, row_weights


def test_loss_is_the_weighted_sum_over_rows() -> None:
    # Equal logits: each row costs ln 2. 1·ln 2 + 3·ln 2 = 4·ln 2.
    loss = weighted_cross_entropy(torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx(4 * math.log(2))


def test_soft_target_costs_the_expected_loss_of_its_labels() -> None:
    # Logits (ln 3, 0) give probabilities (3/4, 1/4): 0.2·ln(4/3) + 0.8·ln 4.
    logits, soft = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[0.2, 0.8]])
    loss = weighted_cross_entropy(logits, soft, torch.ones(1))
    assert loss.item() == pytest.approx(0.2 * math.log(4 / 3) + 0.8 * math.log(4))


def test_one_hot_target_costs_what_its_code_costs() -> None:
    logits, codes = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    one_hot = torch.eye(3, dtype=torch.float64)[codes]
    for smoothing in (0.0, 0.1):
        hard = weighted_cross_entropy(logits, codes, torch.ones(5), label_smoothing=smoothing)
        soft = weighted_cross_entropy(logits, one_hot, torch.ones(5), label_smoothing=smoothing)
        torch.testing.assert_close(hard, soft)


def test_low_precision_logits_are_summed_in_float32() -> None:
    loss = weighted_cross_entropy(torch.zeros(3, 2, dtype=torch.bfloat16), torch.tensor([0, 1, 0]), torch.ones(3))
    assert loss.dtype == torch.float32


def test_rows_without_a_label_weigh_nothing() -> None:
    labels = torch.tensor([1, IGNORED, 0])
    assert row_weights(labels).tolist() == [1, 0, 1]
    assert row_weights(labels, torch.tensor([0.5, 2.0, 3.0])).tolist() == [0.5, 0, 3]
    loss = weighted_cross_entropy(torch.zeros(3, 2), labels, row_weights(labels))
    assert loss.item() == pytest.approx(2 * math.log(2))
