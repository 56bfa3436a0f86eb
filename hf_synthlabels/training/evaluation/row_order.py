"""Evaluation: rows are read longest first, and everything that is returned is in row order again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import EvalPrediction

from hf_synthlabels.training.data.samplers import LongestFirstSampler


def reading_order(dataloader: Any) -> NDArray[np.int64] | None:
    """The row numbers in the order in which a loader reads them; None for a loader with an order of its own."""
    batch_sampler: Any = getattr(dataloader, "batch_sampler", None)
    # On several processes accelerate wraps the batch sampler in another one.
    while batch_sampler is not None and hasattr(batch_sampler, "batch_sampler"):
        batch_sampler = batch_sampler.batch_sampler
    sampler = getattr(batch_sampler, "sampler", None)
    return np.asarray(sampler.order) if isinstance(sampler, LongestFirstSampler) else None


@contextmanager
def every_row(args: Any) -> Iterator[None]:
    """Build evaluation loaders that keep the last, incomplete batch, whatever `dataloader_drop_last` says."""
    drop, args.dataloader_drop_last = args.dataloader_drop_last, False
    try:
        yield
    finally:
        args.dataloader_drop_last = drop


def index_select(values: Any, order: NDArray[np.int64] | None) -> Any:
    """The rows of an array, or of each array of a tuple or list, in row order.

    Args:
        values: outputs of the rows that were read, in reading order.
        order: the row numbers in reading order; None leaves the values as they are.
    """
    if values is None or order is None:
        return values
    if isinstance(values, tuple | list):
        return type(values)(index_select(value, order) for value in values)
    return values[np.argsort(order[: len(values)])]


def in_row_order(
    metrics: Callable[[EvalPrediction], dict[str, Any]], order: NDArray[np.int64] | None
) -> Callable[[EvalPrediction], dict[str, Any]]:
    """Metrics that may rely on row order, for instance to look up another column."""

    def ordered(prediction: EvalPrediction) -> dict[str, Any]:
        return metrics(
            EvalPrediction(
                predictions=index_select(prediction.predictions, order),
                label_ids=index_select(prediction.label_ids, order),
                inputs=index_select(prediction.inputs, order),
                losses=index_select(prediction.losses, order),
            )
        )

    return ordered


def mean_of_terms(terms: list[Tensor]) -> float:
    """Σ loss / Σ items over all rows; Trainer's mean over batches is off when batches differ in what counts.

    Args:
        terms: the loss and the items of each row, shape (rows, 2), one tensor per batch.
    """
    loss, items = torch.cat(terms).double().sum(dim=0).tolist()
    return float(loss / items) if items else 0.0
