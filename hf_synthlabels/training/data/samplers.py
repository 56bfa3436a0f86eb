"""Samplers: batches of similar length for training, longest first for evaluation.

A padded batch costs its longest row times its number of rows, so rows of similar length belong together. The row
samplers yield single rows whose consecutive runs of `batch_size` are the batches, because accelerate's
`BatchSamplerShard` preserves these runs on several processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import has_length

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training.data.features import row_lengths

# Lengths are multiplied by a random factor within ±5% before sorting, so that batches differ between epochs. A wider
# range mixes better and pads more; at ±5% the padding stays within a few percent of a full sort.
JITTER = 0.05


class LengthBucketedSampler(Sampler[int]):
    """Every row once per epoch, in shuffled batches of similar length, in the same order on every process.

    The order depends on the seed and the epoch only, not on the global random state, which may differ between processes
    (the length sampler of transformers loses rows there). An incomplete last step is cut from a random position of the
    length scale; accelerate fills it with rows of the first step (`even_batches`), which are the only rows read twice.
    """

    def __init__(
        self, lengths: Sequence[int] | NDArray[np.int64], batch_size: int, *, seed: int, processes: int = 1
    ) -> None:
        """Prepare the order; `batch_size` is that of one process, and a step waits for the slowest process."""
        self._lengths = torch.as_tensor(np.asarray(lengths), dtype=torch.float64)
        self._step = batch_size * processes
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0, that determines the next order."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        # The shuffle before the stable sort mixes rows of equal length.
        rows = torch.randperm(len(self), generator=generator)
        factor = 1 + JITTER * (2 * torch.rand(len(self), generator=generator, dtype=torch.float64) - 1)
        rows = rows[torch.argsort(self._lengths[rows] * factor, stable=True)]
        steps, rest = divmod(len(self), self._step)
        cut = int(torch.randint(steps + 1, (1,), generator=generator)) * self._step
        tail = rows[cut : cut + rest]
        batches = torch.cat([rows[:cut], rows[cut + rest :]]).view(steps, self._step)
        batches = batches[torch.randperm(steps, generator=generator)]
        yield from torch.cat([batches.flatten(), tail]).tolist()


class LongestFirstSampler(Sampler[int]):
    """Every row once, longest first: minimal padding, and a batch that does not fit into memory fails at once."""

    def __init__(self, lengths: Sequence[int] | NDArray[np.int64]) -> None:
        """Sort the rows by length."""
        self.order: NDArray[np.int64] = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
        """Row indices in reading order, shape (rows,)."""

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        yield from self.order.tolist()


class TokenBudgetSampler:
    """A batch sampler: every row once per epoch, in batches whose rows times longest row is at most a budget.

    Batches come in groups of one per process, of similar length, from which accelerate gives each process one. The
    number of batches is the same in every epoch; their rows and the order of groups change. A row is read twice only if
    there are fewer rows than processes.
    """

    # Without a fixed size accelerate assigns whole batches to processes.
    batch_size: int | None = None
    drop_last = False

    def __init__(
        self, lengths: Sequence[int] | NDArray[np.int64], budget: int, *, seed: int, processes: int = 1
    ) -> None:
        """Cut the batches; the budget is in tokens per batch of one process, padding included.

        Raises:
            DataError: the longest row exceeds the budget.
        """
        self._lengths = np.asarray(lengths, dtype=np.int64)
        longest = int(self._lengths.max(initial=0))
        if longest > budget:
            raise DataError(
                f"`token_budget` is {budget}, but the longest row has {longest} tokens. Give at least {longest}, or "
                "lower `max_length`."
            )
        self._processes = processes
        self._ends = _batch_ends(np.sort(self._lengths), budget, processes)
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0, that determines the next order."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._ends) // self._processes) * self._processes

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        # Rows of equal length are shuffled; lengths have no jitter, so every epoch has the same batch ends.
        shuffled = torch.randperm(len(self._lengths), generator=generator).numpy()
        rows = shuffled[np.argsort(self._lengths[shuffled], kind="stable")]
        batches = [part.tolist() for part in np.split(rows, self._ends[:-1])] if len(self._ends) else []
        # With fewer rows than processes the first batches repeat.
        batches += [batches[index % len(batches)] for index in range(len(self) - len(batches))]
        groups = torch.randperm(len(batches) // self._processes, generator=generator).tolist()
        for group in groups:
            yield from batches[group * self._processes : (group + 1) * self._processes]


def check_full_batch(trainer: Any) -> None:
    """Reject a training set that does not fill a single batch.

    Raises:
        ConfigError: `dataloader_drop_last` would drop all rows.
    """
    args, dataset = trainer.args, trainer.train_dataset
    if not args.dataloader_drop_last or args.token_budget is not None or dataset is None or not has_length(dataset):
        return
    size = args.train_batch_size * args.world_size
    if len(dataset) < size:
        raise ConfigError(
            f"`dataloader_drop_last` is true, but {len(dataset)} training rows do not fill one batch of {size}. Leave "
            "it out, or lower `per_device_train_batch_size`."
        )


def bucketed_sampler(trainer: Any, lengths: NDArray[np.int64]) -> LengthBucketedSampler:
    """The sampler of a trainer's training rows; it follows the trainer's epochs."""
    sampler = LengthBucketedSampler(
        lengths, trainer._train_batch_size, seed=_data_seed(trainer.args), processes=trainer.args.world_size
    )
    SetEpoch.install(trainer, sampler)
    return sampler


def token_budget_loader(trainer: Trainer, dataset: Any) -> DataLoader[Any]:
    """A data loader of batches within the trainer's `token_budget`, built like Trainer's own loader.

    Raises:
        ConfigError: the rows have no `input_ids`.
    """
    args, collator = trainer.args, trainer.data_collator
    lengths = row_lengths(dataset)
    if lengths is None:
        raise ConfigError(f"`token_budget` is {args.token_budget}, but the rows have no `input_ids`. Leave it out.")
    batches = TokenBudgetSampler(lengths, args.token_budget, seed=_data_seed(args), processes=args.world_size)
    SetEpoch.install(trainer, batches)
    # As in Trainer: columns that neither the model nor the loss reads are removed.
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


class SetEpoch(TrainerCallback):
    """Sets the epoch of a sampler also after resuming on several processes, where accelerate does not reach it.

    `DataLoaderShard.set_epoch` looks through two wrappers; `skip_first_batches` adds a third (accelerate 1.15). Remove
    when it looks through `SkipBatchSampler`.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    @classmethod
    def install(cls, trainer: Any, sampler: Any) -> None:
        """Make this sampler, and no other, follow the epochs of a trainer."""
        trainer.remove_callback(cls)
        trainer.add_callback(cls(sampler))

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Set the sampler's epoch."""
        self.sampler.set_epoch(int(state.epoch or 0))


def _data_seed(args: Any) -> int:
    return int(args.seed if args.data_seed is None else args.data_seed)


def _batch_ends(lengths: NDArray[np.int64], budget: int, processes: int) -> list[int]:
    """The end of each batch of rows sorted by length; the number of batches is a multiple of the processes."""
    ends: list[int] = []
    first = 0
    for row, length in enumerate(lengths.tolist()):
        if row > first and (row + 1 - first) * length > budget:
            ends.append(row)
            first = row
    if len(lengths):
        ends.append(len(lengths))
    # Halve the batch with the most rows until every process gets the same number of batches.
    while len(ends) % processes:
        sizes = np.diff([0, *ends])
        largest = int(np.argmax(sizes))
        if sizes[largest] < 2:
            break
        ends.insert(largest, ends[largest] - int(sizes[largest]) // 2)
    return ends
