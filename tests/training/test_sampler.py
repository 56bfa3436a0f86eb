from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from hf_synthlabels.training import LengthBucketedSampler, LongestFirstSampler


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


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_rows_that_fill_whole_steps_are_read_exactly_once(world: int) -> None:
    dealt = shards(8 * world * 5, 8, world, epoch=1)
    seen = sorted(row for rank in dealt for chunk in rank for row in chunk)
    assert seen == list(range(8 * world * 5))


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


@pytest.mark.parametrize("world", [1, 2])
def test_bucketed_batches_are_padded_by_little(world: int) -> None:
    drawn = np.array(lengths(1000))
    chunks = [chunk for rank in shards(1000, 16, world, epoch=0) for chunk in rank]
    padded = sum(max(drawn[chunk]) * len(chunk) for chunk in chunks)
    real = sum(drawn[chunk].sum() for chunk in chunks)
    # Random batches of these lengths are padded to about twice their tokens.
    assert padded / real < 1.12


def test_batches_are_shuffled_and_differ_between_epochs() -> None:
    drawn = np.array(lengths(640))
    one, two = (shards(640, 16, 1, epoch)[0] for epoch in (0, 1))
    means = [drawn[chunk].mean() for chunk in one]
    assert means != sorted(means)
    assert {frozenset(chunk) for chunk in one} != {frozenset(chunk) for chunk in two}


def test_longest_first_reads_every_row_in_falling_length() -> None:
    sampler = LongestFirstSampler([3, 9, 3, 7])
    assert list(sampler) == [1, 3, 0, 2]
    assert len(sampler) == 4


def test_no_rows_give_no_order() -> None:
    assert list(LengthBucketedSampler([], 4, seed=0)) == []
    assert list(LongestFirstSampler([])) == []
