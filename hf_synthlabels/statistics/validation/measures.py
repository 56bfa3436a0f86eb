"""Measures: the names of all scores, by the kind of label that they belong to."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

from hf_synthlabels.errors import ConfigError

CLASSIFICATION = {
    "coverage": "coverage",
    "accuracy": "accuracy",
    "accuracy_answered": "accuracy, answered rows",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "kappa": "kappa",
}

TEXTS = {
    "coverage": "coverage",
    "identical": "identical",
    "exact_match": "exact match",
    "exact_match_answered": "EM, answered rows",
    "token_f1": "token F1",
    "token_f1_answered": "token F1, answered rows",
}

MEASURES: Mapping[str, Mapping[str, str]] = {
    "text-classification": CLASSIFICATION,
    "text-pair": CLASSIFICATION,
    "multi-label": {
        "coverage": "coverage",
        "accuracy": "accuracy, whole set",
        "accuracy_answered": "accuracy, answered rows",
        "micro_f1": "micro F1",
        "macro_f1": "macro F1",
        "weighted_f1": "weighted F1",
        "jaccard": "Jaccard",
        "hamming_loss": "Hamming loss",
    },
    "text-scale": {
        "coverage": "coverage",
        "accuracy": "accuracy, exact value",
        "accuracy_answered": "accuracy, answered rows",
        "within_one": "within one step",
        "mae": "mean absolute error",
        "mae_answered": "MAE, answered rows",
        "rmse": "root mean square error",
        "rmse_answered": "RMSE, answered rows",
        "bias": "bias (LLM - human)",
        "pearson": "Pearson r",
        "spearman": "Spearman rho",
        "kendall": "Kendall tau-b",
        "weighted_kappa": "weighted kappa",
        "icc": "ICC(A,1)",
    },
    "token-classification": {
        "coverage": "coverage",
        "accuracy": "accuracy, whole row",
        "accuracy_answered": "accuracy, answered rows",
        "entity_precision": "entity precision",
        "entity_recall": "entity recall",
        "entity_f1": "entity F1",
        "entity_f1_answered": "entity F1, answered rows",
        "macro_f1": "macro F1",
        "boundary_f1": "boundary F1",
        "token_accuracy": "token accuracy",
    },
    "question-answering": {**TEXTS, "span_overlap": "span overlap"},
    "text-generation": TEXTS,
}
"""For each kind its scores and how a table calls them, in the order of the table."""

ERRORS = frozenset({"hamming_loss", "mae", "mae_answered", "rmse", "rmse_answered"})
"""Scores of which less is better."""

UNBOUNDED = frozenset({"mae", "mae_answered", "rmse", "rmse_answered"})

SIGNED = frozenset({"kappa", "pearson", "spearman", "kendall", "weighted_kappa", "icc"})

UNGATED = frozenset({"bias"})
"""No gate: neither more nor less is better."""


def check_measure(metric: str, kind: str | None = None) -> None:
    """Refuse a score that no gate can use, or that the task type does not have, with a ConfigError."""
    kinds = MEASURES if kind is None else {kind: MEASURES[kind]}
    known = list(dict.fromkeys(name for names in kinds.values() for name in names if name not in UNGATED))
    # The least used one comes last.
    known.sort(key="coverage".__eq__)
    if metric in known:
        return
    if metric in UNGATED:
        raise ConfigError(f"`metric` is {metric!r}, of which neither more nor less is better: ask for mae or rmse.")
    close = difflib.get_close_matches(str(metric), known, n=1, cutoff=0.5)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    of_kind = "" if kind is None else f", which {kind!r} does not have"
    raise ConfigError(f"`metric` is {metric!r}{of_kind}: give one of {', '.join(known)}.{meant}")


def check_threshold(metric: str, threshold: float) -> None:
    """Refuse a threshold outside the range of the score, with a ConfigError."""
    lowest, highest = (-1 if metric in SIGNED else 0), (math.inf if metric in UNBOUNDED else 1)
    if not lowest <= threshold <= highest or math.isinf(threshold):  # nan, too, ends here
        upwards = f"of at least {lowest}, such as 0.5" if highest > 1 else f"from {lowest} to 1, such as 0.7"
        raise ConfigError(f"`threshold` is {threshold!r}: give a number {upwards}.")


def check_validated_kind(kind: str) -> None:
    """Refuse an unknown task type, with a ConfigError."""
    if kind not in MEASURES:
        close = difflib.get_close_matches(str(kind), list(MEASURES), n=1, cutoff=0.5)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"`kind` is {kind!r}: give one of {', '.join(MEASURES)}.{meant}")
