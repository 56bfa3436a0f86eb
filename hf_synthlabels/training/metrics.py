"""Accuracy and macro-F1 of a student on rows with labels."""

from __future__ import annotations

import numpy as np
from transformers import EvalPrediction

__all__ = ["classification_metrics"]


def classification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """`accuracy` and `f1_macro`: the mean F1 of the classes that occur among labels or predictions.

    Args:
        prediction: logits, shape (rows, classes), and label codes, shape (rows,).
    """
    logits = prediction.predictions
    if isinstance(logits, tuple):
        logits = logits[0]
    guess, label = np.argmax(logits, axis=-1), np.asarray(prediction.label_ids)
    f1 = []
    for code in np.union1d(guess, label):
        hits = np.sum((guess == code) & (label == code))
        f1.append(2 * hits / (np.sum(guess == code) + np.sum(label == code)))
    return {"accuracy": float(np.mean(guess == label)), "f1_macro": float(np.mean(f1))}
