"""Token budget: training batches that hold as many rows of similar length as fit into so many tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from transformers import Trainer

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training.data.features import row_lengths
from hf_synthlabels.training.data.samplers import SetEpoch


class TokenBudgetSampler:
    """Every row once per epoch, in batches whose rows times longest row is at most a budget; a batch sampler.

    Batches stand in groups of as many as there are processes, of similar length, so that accelerate gives each process
    one of a group. There are as many batches in every epoch: which rows are in them changes, and the order of groups.
    Only where there are fewer rows than processes is a row read twice.
    """

    # Not of one size: accelerate then deals out whole batches.
    batch_size: int | None = None
    drop_last = False

    def __init__(
        self, lengths: Sequence[int] | NDArray[np.int64], budget: int, *, seed: int, processes: int = 1
    ) -> None:
        """Cut the batches.

        Args:
            lengths: tokens of each row.
            budget: tokens of one batch on one process, padding included.
            seed: with the epoch, what decides the order.
            processes: batches that are read side by side.

        Raises:
            DataError: the longest row alone is over the budget.
        """
        self._lengths = np.asarray(lengths, dtype=np.int64)
        longest = int(self._lengths.max(initial=0))
        if longest > budget:
            raise DataError(
                f"`token_budget` is {budget}, but the longest row has {longest} tokens. Give {longest} or more, or "
                "lower `max_length`."
            )
        self._processes = processes
        self._ends = _cuts(np.sort(self._lengths), budget, processes)
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the first is 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._ends) // self._processes) * self._processes

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        # Rows of equal length change places; lengths are not blurred, so that every epoch has the same cuts.
        shuffled = torch.randperm(len(self._lengths), generator=generator).numpy()
        rows = shuffled[np.argsort(self._lengths[shuffled], kind="stable")]
        batches = [part.tolist() for part in np.split(rows, self._ends[:-1])] if len(self._ends) else []
        # Fewer rows than processes: the first ones are read again.
        batches += [batches[place % len(batches)] for place in range(len(self) - len(batches))]
        groups = torch.randperm(len(batches) // self._processes, generator=generator).tolist()
        for group in groups:
            yield from batches[group * self._processes : (group + 1) * self._processes]


def budget_loader(trainer: Trainer, dataset: Any) -> DataLoader[Any]:
    """A loader of batches within the trainer's `token_budget`, built as its own loader is.

    Raises:
        ConfigError: the rows have no tokens.
    """
    args, collator = trainer.args, trainer.data_collator
    lengths = row_lengths(dataset)
    if lengths is None:
        raise ConfigError(
            f"`token_budget` is {args.token_budget}, but the rows have no `input_ids`. Leave the option out."
        )
    seed = args.seed if args.data_seed is None else args.data_seed
    batches = TokenBudgetSampler(lengths, args.token_budget, seed=seed, processes=args.world_size)
    SetEpoch.install(trainer, batches)
    # Trainer leaves out columns that neither the model nor the loss reads.
    if isinstance(dataset, Dataset):
        dataset = trainer._remove_unused_columns(dataset, description="training")
    else:
        collator = trainer._get_collator_with_removed_columns(collator, description="training")
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collator,
        num_workers=args.dataloader_num_workers,
        pin_memory=args.dataloader_pin_memory,
        persistent_workers=args.dataloader_persistent_workers,
        prefetch_factor=args.dataloader_prefetch_factor,
    )
    prepared: DataLoader[Any] = trainer.accelerator.prepare(loader)
    return prepared


def _cuts(lengths: NDArray[np.int64], budget: int, processes: int) -> list[int]:
    """Where batches of rows in ascending order of length end, so many that each process gets as many."""
    ends: list[int] = []
    first = 0
    for row, length in enumerate(lengths.tolist()):
        if row > first and (row + 1 - first) * length > budget:
            ends.append(row)
            first = row
    if len(lengths):
        ends.append(len(lengths))
    # The batch with most rows is halved until the processes have as many each.
    while len(ends) % processes:
        sizes = np.diff([0, *ends])
        largest = int(np.argmax(sizes))
        if sizes[largest] < 2:
            break
        ends.insert(largest, ends[largest] - int(sizes[largest]) // 2)
    return ends
