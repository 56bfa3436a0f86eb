from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_synthlabels.errors import DataError
from hf_synthlabels.training import StudentConfig, TokenBudgetSampler, train_student

BUDGET = 128


def lengths(count: int) -> list[int]:
    drawn: list[int] = np.random.default_rng(count).lognormal(3.0, 0.7, count).astype(int).clip(3, 100).tolist()
    return drawn


def dealt(count: int, world: int, epoch: int) -> list[list[list[int]]]:
    """The batches of each process, as accelerate deals them out; each process has a sampler of its own."""
    found = []
    for rank in range(world):
        sampler = TokenBudgetSampler(lengths(count), BUDGET, seed=7, processes=world)
        sampler.set_epoch(epoch)
        # Another process is somewhere else in the global random sequence.
        torch.manual_seed(rank)
        found.append(list(sampler if world == 1 else BatchSamplerShard(sampler, world, rank)))
    return found


@settings(max_examples=100, deadline=None)
@given(count=st.integers(1, 200), world=st.integers(1, 4), accumulation=st.integers(1, 4), epoch=st.integers(0, 5))
def test_no_row_is_lost_or_doubled_and_no_batch_is_over_the_budget(
    count: int, world: int, accumulation: int, epoch: int
) -> None:
    own, batches = lengths(count), dealt(count, world, epoch)
    seen = Counter(row for rank in batches for batch in rank for row in batch)
    assert set(seen) == set(range(count))
    if count >= world:
        assert seen.total() == count
    assert len({len(rank) for rank in batches}) == 1
    assert all(len(batch) * max(own[row] for row in batch) <= BUDGET for rank in batches for batch in rank)
    # Updates of several batches hold all of them, the last one perhaps fewer.
    steps = [batches[0][start : start + accumulation] for start in range(0, len(batches[0]), accumulation)]
    assert sum(map(len, steps)) == len(batches[0])
    # As many batches in every epoch: the length of training is known.
    assert len(batches[0]) == len(dealt(count, world, epoch + 1)[0])


def test_epochs_differ_and_the_global_random_state_does_not_matter() -> None:
    assert dealt(80, 1, 0) == dealt(80, 1, 0) != dealt(80, 1, 1)


def test_a_budget_below_the_longest_row_is_refused() -> None:
    with pytest.raises(DataError, match=r"`token_budget` is 50, but the longest row has 60 tokens. Give 60"):
        TokenBudgetSampler([3, 60], 50, seed=0)


def test_a_student_trains_by_a_token_budget(config: Callable[..., StudentConfig], toy: Callable[..., Dataset]) -> None:
    data = toy(160)
    chosen = config(token_budget=320, gradient_accumulation_steps=2, num_train_epochs=9, learning_rate=3e-3)
    student = train_student(chosen, data, names=["film", "sport"], eval=toy(40, seed=1))
    assert student.metrics["eval_accuracy"] >= 0.9
    sampler = TokenBudgetSampler([len(row) for row in student.trainer.train_dataset["input_ids"][:]], 320, seed=42)
    # Each epoch ends with its own update, whole or not.
    assert student.metrics["train_steps"] == 9 * -(-len(sampler) // 2)
    few = config(token_budget=320, max_steps=3)
    one, two = (train_student(few, data, names=["film", "sport"]).predict(data).probabilities for _ in range(2))
    np.testing.assert_array_equal(one, two)
