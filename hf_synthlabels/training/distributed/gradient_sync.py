"""Gradients that processes exchange after their backward passes, so that one whose memory runs out can try again.

`DistributedDataParallel` exchanges them during the backward pass: a process whose memory runs out in it has sent a part
of what the others wait for, and can not begin again. Updates in which memory is likely to run out exchange afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# As much as DistributedDataParallel sends at a time.
BUCKET_BYTES = 25 * 2**20
# The optimizer makes its state in the first update, so that what fitted there need not fit in the second.
FIRST_UPDATES = 2


class LateExchange:
    """Says which updates exchange their gradients afterwards: the first two, and those with larger batches than before.

    All processes agree, for each hears how large the batches of the others are.
    """

    def __init__(self) -> None:
        self.now = False
        """Whether the update under way does."""
        self._group: Any = None
        self._updates = 0
        self._largest = torch.zeros(2)

    def begin_run(self, *, several: bool) -> None:
        """Begin a training; every process must call it.

        Args:
            several: whether several processes hold a whole model each. With one, or with parts, none of this is done.
        """
        self.now, self._updates, self._largest = False, 0, torch.zeros(2)
        # Of its own and on the CPU: a GPU would have to finish what is under way before it could tell.
        self._group = dist.new_group(backend="gloo") if several and dist.is_initialized() else None

    def begin_update(self, batches: Iterable[Mapping[str, Any]]) -> None:
        """Hear of the batches of an update, all accumulation steps of it."""
        if self._group is None:
            return
        sizes = [
            (batch["input_ids"].numel(), batch["input_ids"].shape[-1]) for batch in batches if "input_ids" in batch
        ]
        largest = torch.tensor(sizes or [(0, 0)], dtype=torch.float64).amax(dim=0)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._group)
        self.now = self._updates < FIRST_UPDATES or bool((largest > self._largest).any())
        self._updates += 1
        self._largest = largest if self._updates <= FIRST_UPDATES else torch.maximum(self._largest, largest)

    def end_run(self) -> None:
        """Let go of what was opened."""
        if self._group is not None:
            dist.destroy_process_group(self._group)
        self.now, self._group = False, None


@contextmanager
def unsynced(model: nn.Module) -> Iterator[None]:
    """Backward passes in which this process waits for no other; nothing where it is alone."""
    if not isinstance(model, DistributedDataParallel):
        yield
        return
    with model.no_sync():
        yield


@contextmanager
def late(model: nn.Module, *, active: bool) -> Iterator[None]:
    """Passes of an update that exchanges afterwards: they wait for no other process and can be taken again.

    Args:
        model: of this process.
        active: whether the update does so; every process must say the same.
    """
    if not active or not isinstance(model, DistributedDataParallel):
        yield
        return
    # After an exchange the first forward pass would wait for the buffers of the first process, and again when it is
    # taken again. What these models have in buffers never changes.
    model.require_forward_param_sync = False
    with model.no_sync():
        yield


def exchange_gradients(model: Any) -> None:
    """Give every process the mean gradient of all, as `DistributedDataParallel` does it during the backward pass.

    Args:
        model: wrapped by it.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    used = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.uint8, device=weights[0].device)
    dist.all_reduce(used, dist.ReduceOp.MAX, group=model.process_group)
    gradients = []
    for weight, known in zip(weights, used.tolist(), strict=True):
        if known:
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            gradients.append(weight.grad)
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket]).div_(dist.get_world_size(model.process_group))
        dist.all_reduce(flat, group=model.process_group)
        for gradient, mean in zip(bucket, torch.split(flat, [one.numel() for one in bucket]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients of one type and up to so many bytes together."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        own = gradient.numel() * gradient.element_size()
        if bucket and (size + own > BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += own
    if bucket:
        yield bucket
