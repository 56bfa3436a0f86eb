from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_synthlabels.training import (
    AnswerSpan,
    Classification,
    Completion,
    MultiLabel,
    Objective,
    ScaleRegression,
    TokenTags,
)
from hf_synthlabels.training.data.features import IGNORED
from hf_synthlabels.training.tasks.objectives import label_weights

LN2, LN3, LN4 = math.log(2), math.log(3), math.log(4)


def terms(objective: Objective, logits: Tensor, **batch: Any) -> list[list[float]]:
    """Loss and weight of each row."""
    outputs = {"logits": logits}
    tensors = {name: torch.as_tensor(value) for name, value in batch.items()}
    losses, weights = objective.row_losses(outputs, tensors), objective.row_weights(tensors)
    assert losses.dtype == weights.dtype == torch.float32
    rows: list[list[float]] = torch.stack([losses, weights], dim=-1).tolist()
    return rows


def test_one_name_costs_its_cross_entropy_times_its_weight() -> None:
    # Logits (ln 3, 0) give (3/4, 1/4); a row without a label counts nothing.
    found = terms(Classification(), torch.tensor([[LN3, 0.0]] * 3), labels=[0, 1, -100], label_weight=[1.0, 2.0, 5.0])
    assert found[0] == pytest.approx([math.log(4 / 3), 1])
    assert found[1] == pytest.approx([2 * LN4, 2])
    assert found[2] == [0, 0]


def test_several_names_cost_the_mean_over_names_and_count_as_one_row() -> None:
    # Logits 0: each name costs ln 2. Logit ln 3 of a name that is there costs ln 4/3, of one that is not, ln 4.
    found = terms(MultiLabel(), torch.tensor([[0.0, 0.0], [LN3, LN3]]), labels=[[1, 0], [1, 0]])
    assert found[0] == pytest.approx([LN2, 1])
    assert found[1] == pytest.approx([(math.log(4 / 3) + LN4) / 2, 1])


def test_the_weight_of_a_class_counts_where_it_is_there() -> None:
    # The first name three times: (3 ln 2 + ln 2) / 2 where it is there, ln 2 where it is not.
    found = terms(MultiLabel(class_weights=(3.0, 1.0)), torch.zeros(2, 2), labels=[[1, 0], [0, 0]])
    assert [row[0] for row in found] == pytest.approx([2 * LN2, LN2])


def test_numbers_cost_their_squared_error_and_a_missing_one_nothing() -> None:
    found = terms(
        ScaleRegression(),
        torch.tensor([[0.5], [0.0], [9.0]]),
        labels=[0.25, 1.0, math.nan],
        label_weight=[2.0, 1.0, 1.0],
    )
    assert found == [[pytest.approx(0.125), 2], [1, 1], [0, 0]]


def test_steps_cost_the_more_the_farther_they_are_off() -> None:
    # Sure that the first of three steps is reached and no other: label 1 costs least, label 3 most.
    logits = torch.tensor([[4.0, -4.0, -4.0]] * 4)
    costs = [row[0] for row in terms(MultiLabel(), logits, labels=[[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])]
    # ln(1 + e^4) of each question that is wrong, ln(1 + e^-4) of each that is right, of three.
    wrong, right = math.log1p(math.exp(4)), math.log1p(math.exp(-4))
    assert costs == pytest.approx(
        [(wrong + 2 * right) / 3, right, (wrong + 2 * right) / 3, (2 * wrong + right) / 3], rel=1e-5
    )


def test_tokens_count_each_and_carry_the_weight_of_their_row() -> None:
    logits = torch.zeros(2, 3, 4)
    found = terms(TokenTags(), logits, labels=[[-100, 1, 2], [3, -100, -100]], label_weight=[1.0, 0.5])
    assert found == [[pytest.approx(2 * LN4), 2], [pytest.approx(LN4 / 2), 0.5]]


def test_a_completion_is_learnt_from_what_stands_before_each_token() -> None:
    # The model says after token t that t+1 follows: with labels that do so it costs next to nothing.
    ids = torch.tensor([[0, 1, 2, 3]])
    logits = 50.0 * torch.nn.functional.one_hot((ids + 1) % 4, 4).float()
    (right,) = terms(Completion(), logits, labels=[[-100, 1, 2, 3]])
    assert right == pytest.approx([0, 3], abs=1e-6)
    # The first label is never asked for; weights of tokens are shifted with them.
    (found,) = terms(Completion(), torch.zeros(1, 4, 4), labels=[[0, 1, -100, 3]], label_weight=[[9.0, 2.0, 9.0, 0.5]])
    assert found == [pytest.approx(2.5 * LN4), 2.5]


def test_an_answer_costs_the_mean_of_start_and_end_among_the_tokens_that_are_there() -> None:
    # Of four tokens the last is padding: three are equally likely starts, and the end is sure.
    batch = {
        "start_positions": torch.tensor([0]),
        "end_positions": torch.tensor([1]),
        "attention_mask": torch.tensor([[1, 1, 1, 0]]),
    }
    outputs = {
        "start_logits": torch.tensor([[0.0, 0.0, 0.0, 99.0]]),
        "end_logits": torch.tensor([[0.0, 99.0, 0.0, 99.0]]),
    }
    objective = AnswerSpan()
    assert objective.row_losses(outputs, batch).item() == pytest.approx(LN3 / 2)
    assert objective.row_weights(batch).item() == 1
    # Smoothing spreads over those three: the start costs ln 3 as before, of the end two thirds of a tenth lie 99 off.
    smoothed = objective.row_losses(outputs, batch, label_smoothing=0.1).item()
    assert smoothed == pytest.approx((LN3 + 0.1 * 99 * 2 / 3) / 2, rel=1e-4)


def test_a_soft_label_costs_the_expected_loss_of_its_labels() -> None:
    # Logits (ln 3, 0) give probabilities (3/4, 1/4): 0.2·ln(4/3) + 0.8·ln 4.
    (row,) = terms(Classification(), torch.tensor([[LN3, 0.0]]), labels=[1], label_probs=[[0.2, 0.8]])
    assert row == pytest.approx([0.2 * math.log(4 / 3) + 0.8 * LN4, 1])


def test_a_one_hot_soft_label_costs_what_its_code_costs() -> None:
    outputs, codes = {"logits": torch.randn(5, 3)}, torch.tensor([0, 2, 1, 1, 0])
    one_hot = torch.eye(3, dtype=torch.float64)[codes]
    for smoothing in (0.0, 0.1):
        hard = Classification().row_losses(outputs, {"labels": codes}, label_smoothing=smoothing)
        soft = Classification().row_losses(
            outputs, {"labels": codes, "label_probs": one_hot}, label_smoothing=smoothing
        )
        torch.testing.assert_close(hard, soft)


def test_low_precision_logits_give_losses_in_float32() -> None:
    terms(Classification(), torch.zeros(3, 2, dtype=torch.bfloat16), labels=[0, 1, 0])


def test_rows_without_a_label_have_weight_0() -> None:
    labels = torch.tensor([1, IGNORED, 0])
    assert label_weights(labels).tolist() == [1, 0, 1]
    assert label_weights(labels, torch.tensor([0.5, 2.0, 3.0])).tolist() == [0.5, 0, 3]
