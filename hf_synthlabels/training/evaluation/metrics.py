"""What is measured of a student on rows with labels while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import EvalPrediction


def classification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy` and `f1_macro`: the mean F1 of the classes that occur among labels or predictions.

    Args:
        prediction: logits, shape (rows, classes), and label codes, shape (rows,).
    """
    guess, label = np.argmax(_logits(prediction), axis=-1), np.asarray(prediction.label_ids)
    f1 = []
    for code in np.union1d(guess, label):
        hits = np.sum((guess == code) & (label == code))
        f1.append(2 * hits / (np.sum(guess == code) + np.sum(label == code)))
    return {"accuracy": float(np.mean(guess == label)), "f1_macro": float(np.mean(f1))}


def multilabel_metrics(prediction: EvalPrediction, *, threshold: float = 0.5) -> dict[str, float]:
    """`f1_micro` over all names together, `f1_macro` over the names that occur, and `accuracy`: rows with all right.

    Args:
        prediction: logits and labels of 0 and 1, both of shape (rows, classes).
        threshold: the probability from which on a row has a class.
    """
    guess = _logits(prediction) >= np.log(threshold / (1 - threshold))
    label = np.asarray(prediction.label_ids).astype(bool)
    hits, either = 2 * np.sum(guess & label, axis=0), np.sum(guess, axis=0) + np.sum(label, axis=0)
    occurring = either > 0
    return {
        # Where nobody says any name, all agree.
        "f1_micro": float(hits.sum() / either.sum()) if either.sum() else 1.0,
        "f1_macro": float(np.mean(hits[occurring] / either[occurring])) if occurring.any() else 1.0,
        "accuracy": float(np.mean(np.all(guess == label, axis=-1))),
    }


def scale_metrics(numbers: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    """`mae`, the mean absolute error in units of the scale, and `spearman`, NaN where all numbers are the same."""
    from scipy.stats import rankdata

    ranks = [rankdata(numbers), rankdata(truth)]
    alike = any(np.ptp(rank) == 0 for rank in ranks)
    spearman = float("nan") if alike else float(np.corrcoef(ranks[0], ranks[1])[0, 1])
    return {"mae": float(np.mean(np.abs(numbers - truth))), "spearman": spearman}


def entity_metrics(found: Sequence[Sequence[Any]], truth: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Strict `entity_precision`, `entity_recall` and `entity_f1` over all rows together, as the CoNLL scorer has them.

    Args:
        found: of each row the entities as (start, end, label).
        truth: the same, by people.
    """
    pairs = [(set(a), set(b)) for a, b in zip(found, truth, strict=True)]
    hits = sum(len(a & b) for a, b in pairs)
    predicted, human = sum(len(a) for a, _ in pairs), sum(len(b) for _, b in pairs)
    return {
        "entity_precision": hits / predicted if predicted else 0.0,
        "entity_recall": hits / human if human else 0.0,
        "entity_f1": 2 * hits / (predicted + human) if predicted + human else 1.0,
    }


def _logits(prediction: EvalPrediction) -> NDArray[Any]:
    # Some heads return more than logits, which come first.
    found: Any = prediction.predictions
    logits: NDArray[Any] = found[0] if isinstance(found, tuple) else found
    return logits
