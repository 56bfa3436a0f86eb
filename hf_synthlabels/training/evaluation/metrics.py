"""Evaluation during training: metrics on labeled rows, computed once and in row order."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import EvalPrediction

from hf_synthlabels.training.data.samplers import LongestFirstSampler

Metrics = Callable[[EvalPrediction], dict[str, Any]]


def classification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy` and `f1_macro`, the mean F1 of the classes that occur among labels or predictions.

    Args:
        prediction: logits, shape (rows, classes), and label codes, shape (rows,).
    """
    predicted, label = np.argmax(_logits(prediction), axis=-1), np.asarray(prediction.label_ids)
    f1 = []
    for code in np.union1d(predicted, label):
        hits = np.sum((predicted == code) & (label == code))
        f1.append(2 * hits / (np.sum(predicted == code) + np.sum(label == code)))
    return {"accuracy": float(np.mean(predicted == label)), "f1_macro": float(np.mean(f1))}


def multilabel_metrics(prediction: EvalPrediction, *, threshold: float = 0.5) -> dict[str, float]:
    """`f1_micro` over all classes, `f1_macro` over the classes that occur, and `accuracy` (exact match).

    Args:
        prediction: logits and labels of 0 and 1, both of shape (rows, classes).
        threshold: probability from which a class is predicted.
    """
    predicted = _logits(prediction) >= np.log(threshold / (1 - threshold))
    label = np.asarray(prediction.label_ids).astype(bool)
    hits, total = 2 * np.sum(predicted & label, axis=0), np.sum(predicted, axis=0) + np.sum(label, axis=0)
    occurring = total > 0
    return {
        # Without any class in labels and predictions, the agreement is perfect.
        "f1_micro": float(hits.sum() / total.sum()) if total.sum() else 1.0,
        "f1_macro": float(np.mean(hits[occurring] / total[occurring])) if occurring.any() else 1.0,
        "accuracy": float(np.mean(np.all(predicted == label, axis=-1))),
    }


def scale_metrics(predicted: NDArray[np.float64], label: NDArray[np.float64]) -> dict[str, float]:
    """`mae` in units of the scale, and `spearman`, NaN if all predictions or all labels are equal."""
    from scipy.stats import rankdata

    ranks = [rankdata(predicted), rankdata(label)]
    constant = any(np.ptp(rank) == 0 for rank in ranks)
    spearman = float("nan") if constant else float(np.corrcoef(ranks[0], ranks[1])[0, 1])
    return {"mae": float(np.mean(np.abs(predicted - label))), "spearman": spearman}


def entity_metrics(predicted: Sequence[Sequence[Any]], label: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Strict `entity_precision`, `entity_recall` and `entity_f1` over all rows, as in the CoNLL scorer.

    Args:
        predicted: entities of each row as (start, end, label).
        label: the human entities.
    """
    pairs = [(set(a), set(b)) for a, b in zip(predicted, label, strict=True)]
    hits = sum(len(a & b) for a, b in pairs)
    n_predicted, n_human = sum(len(a) for a, _ in pairs), sum(len(b) for _, b in pairs)
    return {
        "entity_precision": hits / n_predicted if n_predicted else 0.0,
        "entity_recall": hits / n_human if n_human else 0.0,
        "entity_f1": 2 * hits / (n_predicted + n_human) if n_predicted + n_human else 1.0,
    }


def reading_order(dataloader: Any) -> NDArray[np.int64] | None:
    """Row indices in the order in which a loader reads them; None for a loader with its own sampler."""
    batch_sampler: Any = getattr(dataloader, "batch_sampler", None)
    # On several processes accelerate wraps the batch sampler.
    while batch_sampler is not None and hasattr(batch_sampler, "batch_sampler"):
        batch_sampler = batch_sampler.batch_sampler
    sampler = getattr(batch_sampler, "sampler", None)
    return np.asarray(sampler.order) if isinstance(sampler, LongestFirstSampler) else None


@contextmanager
def keep_last_batch(args: Any) -> Iterator[None]:
    """Build evaluation loaders that keep the last, incomplete batch, regardless of `dataloader_drop_last`."""
    drop, args.dataloader_drop_last = args.dataloader_drop_last, False
    try:
        yield
    finally:
        args.dataloader_drop_last = drop


def to_row_order(values: Any, order: NDArray[np.int64] | None) -> Any:
    """An array, or each array of a tuple or list, sorted from reading order into row order.

    Args:
        values: outputs in reading order.
        order: the row indices in reading order; None returns the values unchanged.
    """
    if values is None or order is None:
        return values
    if isinstance(values, tuple | list):
        return type(values)(to_row_order(value, order) for value in values)
    return values[np.argsort(order[: len(values)])]


def metrics_in_row_order(metrics: Metrics, order: NDArray[np.int64] | None) -> Metrics:
    """Metrics that receive their inputs in row order, for example to look up another column."""

    def ordered(prediction: EvalPrediction) -> dict[str, Any]:
        parts = ("predictions", "label_ids", "inputs", "losses")
        return metrics(EvalPrediction(**{part: to_row_order(getattr(prediction, part), order) for part in parts}))

    return ordered


def mean_loss(terms: list[Tensor]) -> float:
    """Σ loss / Σ weight over all rows; Trainer's mean over batches is biased if batches differ in weight.

    Args:
        terms: loss and weight of each row, shape (rows, 2), one tensor per batch.
    """
    loss, weight = torch.cat(terms).double().sum(dim=0).tolist()
    return float(loss / weight) if weight else 0.0


def main_process_only(metrics: Metrics) -> Metrics:
    """A `compute_metrics` that runs on the main process only; the other processes wait for its result.

    Trainer gathers all predictions and calls `compute_metrics` in every process, so each of them would pay for a judge
    behind an API. `StudentTrainer` wraps its metrics itself; wrap them by hand for a plain `Trainer`. Raise
    `ddp_timeout` of the training arguments for a slow judge.

    Raises:
        RuntimeError: in the other processes, if the metrics raised in the main process.
    """

    @functools.wraps(metrics)
    def on_main_process(prediction: EvalPrediction) -> dict[str, Any]:
        from accelerate import PartialState
        from accelerate.utils import broadcast_object_list

        state = PartialState()
        if state.num_processes == 1:
            return metrics(prediction)
        shared: list[Any] = [None, None]
        raised: Exception | None = None
        if state.is_main_process:
            try:
                shared[0] = metrics(prediction)
            except Exception as error:
                # Raised after the broadcast, for which the other processes wait.
                raised = error
                shared[1] = f"{type(error).__name__}: {error}"
        broadcast_object_list(shared, from_process=0)
        if raised is not None:
            raise raised
        if shared[1] is not None:
            raise RuntimeError(f"`compute_metrics` failed in the main process: {shared[1]}")
        scores: dict[str, Any] = shared[0]
        return scores

    return on_main_process


@contextmanager
def preserve_rng_state() -> Iterator[None]:
    """Restore the random states of all libraries afterwards, so that an evaluation does not change the training."""
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def _logits(prediction: EvalPrediction) -> NDArray[Any]:
    # Some heads return more than logits, which come first.
    outputs: Any = prediction.predictions
    logits: NDArray[Any] = outputs[0] if isinstance(outputs, tuple) else outputs
    return logits
