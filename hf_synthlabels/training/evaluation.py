"""Evaluation: outputs and losses of rows, read longest first, back in row order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from transformers import EvalPrediction

from hf_synthlabels.training.sampler import LongestFirstSampler

__all__ = ["Evaluated", "apart", "before_terms", "in_row_order", "row_positions", "take"]


def row_positions(dataloader: DataLoader[Any]) -> NDArray[np.int64] | None:
    """Where each row stands in the output of a loader; None when the loader reads in an order of its own."""
    batch_sampler: Any = dataloader.batch_sampler
    # On several processes accelerate wraps the batch sampler in another one.
    while batch_sampler is not None and hasattr(batch_sampler, "batch_sampler"):
        batch_sampler = batch_sampler.batch_sampler
    sampler = None if batch_sampler is None else batch_sampler.sampler
    return np.argsort(sampler.order) if isinstance(sampler, LongestFirstSampler) else None


class Evaluated(NamedTuple):
    """The outputs of an evaluation as Trainer gives them, and the loss and items of each row, shape (rows, 2)."""

    outputs: Any
    terms: NDArray[np.float32] | None


def apart(predictions: Any, *, attached: bool) -> Evaluated:
    """Takes off what stands behind the outputs: of all rows, or of each batch where they are not concatenated."""
    if not attached or predictions is None:
        return Evaluated(predictions, None)
    if isinstance(predictions, list):
        parts = [apart(batch, attached=True) for batch in predictions]
        return Evaluated([part.outputs for part in parts], np.concatenate([part.terms for part in parts]))
    *outputs, terms = predictions
    return Evaluated(outputs[0] if len(outputs) == 1 else tuple(outputs), terms)


def before_terms(preprocess: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A user's preprocessing of outputs that have losses and items behind them."""

    def preprocessed(logits: Any, labels: Any) -> Any:
        outputs, terms = apart(logits, attached=True)
        made = preprocess(outputs, labels)
        return (*(made if isinstance(made, tuple) else (made,)), terms)

    return preprocessed


def take(values: Any, positions: NDArray[np.int64] | None) -> Any:
    """The rows at `positions` of an array, or of each array of a tuple or list of them."""
    if values is None or positions is None:
        return values
    if isinstance(values, tuple | list):
        return type(values)(take(value, positions) for value in values)
    return values[positions]


def in_row_order(
    metrics: Callable[[EvalPrediction], dict[str, Any]], positions: NDArray[np.int64] | None
) -> Callable[[EvalPrediction], dict[str, Any]]:
    """Metrics that may rely on row order, for instance to look up another column."""

    def ordered(prediction: EvalPrediction) -> dict[str, Any]:
        return metrics(
            EvalPrediction(
                predictions=take(apart(prediction.predictions, attached=True).outputs, positions),
                label_ids=take(prediction.label_ids, positions),
                inputs=take(prediction.inputs, positions),
                losses=take(prediction.losses, positions),
            )
        )

    return ordered
