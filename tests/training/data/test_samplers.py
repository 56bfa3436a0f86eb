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
from torch.utils.data import BatchSampler

from hf_synthlabels.errors import DataError
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.data.samplers import LengthBucketedSampler, LongestFirstSampler, TokenBudgetSampler


def lengths(count: int) -> list[int]:
    drawn: list[int] = np.random.default_rng(count).lognormal(3.3, 0.7, count).astype(int).clip(3).tolist()
    return drawn


def shards(count: int, batch: int, world: int, epoch: int) -> list[list[list[int]]]:
    """The batches of each process, as accelerate deals them out; each process has a sampler of its own."""
    dealt = []
    for rank in range(world):
        sampler = LengthBucketedSampler(lengths(count), batch, seed=7, processes=world)
        sampler.set_epoch(epoch)
        # Another process is somewhere else in the global random sequence.
        torch.manual_seed(rank)
        batches = BatchSampler(sampler, batch, drop_last=False)
        # A single process reads the batches as they are.
        dealt.append(list(batches if world == 1 else BatchSamplerShard(batches, world, rank)))
    return dealt


@settings(max_examples=150, deadline=None)
@given(count=st.integers(1, 200), batch=st.integers(1, 17), world=st.integers(1, 4), epoch=st.integers(0, 5))
def test_no_row_is_lost_or_doubled_across_processes(count: int, batch: int, world: int, epoch: int) -> None:
    dealt = shards(count, batch, world, epoch)
    seen = Counter(row for rank in dealt for chunk in rank for row in chunk)
    assert set(seen) == set(range(count))
    steps = -(-count // (batch * world))
    assert {len(rank) for rank in dealt} == {steps}
    # With one process the last batch is short; with more, accelerate fills up the last step and no other.
    assert seen.total() == (count if world == 1 else steps * batch * world)
    whole = count // (batch * world)
    first = [row for step in range(whole) for rank in dealt for row in rank[step]]
    assert len(set(first)) == len(first) == whole * batch * world
    if count == whole * batch * world:
        assert sorted(first) == list(range(count))


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    sampler = LengthBucketedSampler(lengths(50), 4, seed=1)
    torch.manual_seed(0)
    first = list(sampler)
    state = torch.random.get_rng_state()
    assert list(sampler) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(LengthBucketedSampler(lengths(50), 4, seed=2)) != first


def test_batches_are_padded_by_little_shuffled_and_differ_between_epochs() -> None:
    drawn = np.array(lengths(1000))
    for world in (1, 2):
        chunks = [chunk for rank in shards(1000, 16, world, epoch=0) for chunk in rank]
        padded = sum(max(drawn[chunk]) * len(chunk) for chunk in chunks)
        # Random batches of these lengths are padded to about twice their tokens.
        assert padded / sum(drawn[chunk].sum() for chunk in chunks) < 1.12
    one, two = (shards(1000, 16, 1, epoch)[0] for epoch in (0, 1))
    means = [drawn[chunk].mean() for chunk in one]
    assert means != sorted(means)
    assert {frozenset(chunk) for chunk in one} != {frozenset(chunk) for chunk in two}


def test_longest_first_reads_every_row_in_falling_length() -> None:
    sampler = LongestFirstSampler([3, 9, 3, 7])
    assert list(sampler) == [1, 3, 0, 2]
    assert len(sampler) == 4
    assert list(LengthBucketedSampler([], 4, seed=0)) == list(LongestFirstSampler([])) == []


BUDGET = 128


def short_lengths(count: int) -> list[int]:
    drawn: list[int] = np.random.default_rng(count).lognormal(3.0, 0.7, count).astype(int).clip(3, 100).tolist()
    return drawn


def dealt(count: int, world: int, epoch: int) -> list[list[list[int]]]:
    """The batches of each process, as accelerate deals them out; each process has a sampler of its own."""
    found = []
    for rank in range(world):
        sampler = TokenBudgetSampler(short_lengths(count), BUDGET, seed=7, processes=world)
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
    own, batches = short_lengths(count), dealt(count, world, epoch)
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


def test_epochs_differ_and_a_budget_below_the_longest_row_is_an_error() -> None:
    assert dealt(80, 1, 0) == dealt(80, 1, 0) != dealt(80, 1, 1)
    with pytest.raises(DataError, match="`token_budget`"):
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
