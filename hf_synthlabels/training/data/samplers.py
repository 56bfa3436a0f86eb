"""The order in which rows are read: batches of similar length for training, longest first for evaluation.

A padded batch costs its longest row times its rows, so rows of similar length belong together. Both samplers yield
single rows whose consecutive runs of `batch_size` are the batches, because that is what survives being split over
processes by accelerate's `BatchSamplerShard`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler
from transformers import TrainerCallback

# Lengths are compared after multiplying each by a random factor within ±5 %, so that batches differ between epochs.
# Wider mixes better and pads more; at ±5 % the padding stays within a few per cent of a full sort.
JITTER = 0.05


class LengthBucketedSampler(Sampler[int]):
    """Every row once per epoch, in shuffled batches of similar length, in the same order on every process.

    The order depends on the seed and the epoch alone, never on the global random state, which drifts apart between
    processes (there the length sampler of transformers loses rows). The incomplete step, if there is one, comes last
    and is cut from a random place of the length scale; accelerate fills it up with rows of the first step of the
    epoch (`even_batches`), and those are the only rows read twice.
    """

    def __init__(
        self, lengths: Sequence[int] | NDArray[np.int64], batch_size: int, *, seed: int, processes: int = 1
    ) -> None:
        """Prepare the order.

        Args:
            lengths: tokens of each row.
            batch_size: rows of one batch on one process.
            seed: with the epoch, what decides the order.
            processes: batches that are read side by side; a step waits for the longest, so all are alike.
        """
        self._lengths = torch.as_tensor(np.asarray(lengths), dtype=torch.float64)
        self._step = batch_size * processes
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the first is 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        # A shuffle before the stable sort mixes rows of equal length.
        rows = torch.randperm(len(self), generator=generator)
        factor = 1 + JITTER * (2 * torch.rand(len(self), generator=generator, dtype=torch.float64) - 1)
        rows = rows[torch.argsort(self._lengths[rows] * factor, stable=True)]
        whole, rest = divmod(len(self), self._step)
        cut = int(torch.randint(whole + 1, (1,), generator=generator)) * self._step
        tail = rows[cut : cut + rest]
        steps = torch.cat([rows[:cut], rows[cut + rest :]]).view(whole, self._step)
        steps = steps[torch.randperm(whole, generator=generator)]
        yield from torch.cat([steps.flatten(), tail]).tolist()


class LongestFirstSampler(Sampler[int]):
    """Every row once, longest first: least padding, and a batch that does not fit into memory fails at once."""

    def __init__(self, lengths: Sequence[int] | NDArray[np.int64]) -> None:
        """Prepare the order.

        Args:
            lengths: tokens of each row.
        """
        self.order: NDArray[np.int64] = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
        """Row numbers in the order in which they are read, shape (rows,)."""

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        yield from self.order.tolist()


def bucketed(trainer: Any, lengths: NDArray[np.int64]) -> LengthBucketedSampler:
    """The sampler of a trainer's training rows, which follows its epochs."""
    args = trainer.args
    sampler = LengthBucketedSampler(
        lengths,
        trainer._train_batch_size,
        seed=args.seed if args.data_seed is None else args.data_seed,
        processes=args.world_size,
    )
    SetEpoch.install(trainer, sampler)
    return sampler


class SetEpoch(TrainerCallback):
    """Tells the sampler the epoch also after resuming on several processes, where accelerate does not reach it.

    `DataLoaderShard.set_epoch` looks two wrappers deep; `skip_first_batches` adds a third (accelerate 1.15). Remove
    when it looks through `SkipBatchSampler`.
    """

    def __init__(self, sampler: Any) -> None:
        """Prepare.

        Args:
            sampler: with a method `set_epoch`.
        """
        self.sampler = sampler

    @classmethod
    def install(cls, trainer: Any, sampler: Any) -> None:
        """Follow the epochs of a trainer with this sampler, and with no other."""
        trainer.remove_callback(cls)
        trainer.add_callback(cls(sampler))

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Tell the sampler the epoch."""
        self.sampler.set_epoch(int(state.epoch or 0))
