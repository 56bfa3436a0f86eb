"""BLEU as a measure of short answers: correct from a threshold on (arXiv 2312.14423), with a threshold sweep."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError, import_extra
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.agreement.chance_corrected import cohen_kappa
from hf_synthlabels.statistics.intervals import wilson

Normalization = Literal["paper", "both_sides"]
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

TOLERANCE = 1e-9
"""Tolerance of a threshold: exp(log(1/3)) does not equal 1/3 on every machine."""

REMOVED = str.maketrans("", "", '"?!')
DOT_OUTSIDE_NUMBERS = re.compile(r"(?<!\d)\.(?!\d)")

UNIGRAMS, UP_TO_FOUR = (1.0,), (0.25, 0.25, 0.25, 0.25)


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """Results at one threshold."""

    threshold: float
    accuracy: Interval
    """Proportion of rows that reach the threshold."""
    agreement: Interval | None
    """Proportion of rows on which it agrees with the human verdict; None without human verdicts."""
    kappa: float | None
    """Cohen's kappa; nan if neither varies."""


@dataclass(frozen=True, slots=True)
class BleuAccuracy:
    """The proportion of answers that are correct by BLEU."""

    accuracy: Interval
    """At `threshold`, with Wilson's interval; a row without a prediction is incorrect."""
    coverage: Interval
    """Proportion of rows with a prediction."""
    mean_bleu: float
    threshold: float
    sweep: tuple[ThresholdPoint, ...]
    scores: tuple[float, ...]
    """Score of each row; nan for a row without a reference."""
    right: tuple[bool | None, ...]
    """Whether each row reaches `threshold`; None for a row without a reference."""
    n: int
    """Rows with a reference, the denominator of both proportions."""
    n_unlabelled: int
    n_unreferenced: int
    n_unjudged: int
    """Rows without a human verdict, excluded from the agreement; 0 without the column."""


def bleu_accuracy(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str] | None],
    *,
    verdicts: Sequence[bool | None] | None = None,
    threshold: float = 0.5,
    thresholds: Sequence[float] = THRESHOLDS,
    normalization: Normalization = "paper",
    level: float = 0.95,
) -> BleuAccuracy:
    """The proportion of answers whose `answer_bleu` is at least the threshold, also at other thresholds.

    With human verdicts, the sweep reports the agreement at each threshold. The best threshold of a sweep is optimistic:
    evaluate it on other rows.

    Args:
        predictions: answer of each row; None or a blank answer is incorrect.
        references: correct answers of each row, of which the best counts; a row without any is excluded.
        verdicts: whether a human accepted the answer; None for an unjudged row.
        threshold: minimum BLEU of a correct answer.
        thresholds: thresholds of the sweep.
        normalization: see `answer_words`.
        level: confidence level.

    Raises:
        ConfigError: a threshold is not in (0, 1], or the normalization is unknown.
        DataError: the columns differ in length, or hold other values than texts.
        MissingExtraError: nltk is not installed.
    """
    check_bleu_options(threshold, thresholds, normalization)
    _check_columns(predictions, references, verdicts)
    texts = [[text for text in row or () if text is not None] for row in references]
    scores = [
        answer_bleu(prediction, row, normalization) if row else math.nan
        for prediction, row in zip(predictions, texts, strict=True)
    ]
    kept = [row for row, known in enumerate(texts) if known]
    values = np.array([scores[row] for row in kept], dtype=np.float64)
    human = None if verdicts is None else [verdicts[row] for row in kept]
    n_unlabelled = sum(_is_blank(predictions[row]) for row in kept)
    return BleuAccuracy(
        accuracy=_accuracy(values, threshold, level),
        coverage=wilson(len(kept) - n_unlabelled, len(kept), level),
        mean_bleu=float(values.mean()) if kept else math.nan,
        threshold=threshold,
        sweep=tuple(_point(values, human, each, level) for each in thresholds),
        scores=tuple(scores),
        right=tuple(None if math.isnan(value) else bool(_reaches(value, threshold)) for value in scores),
        n=len(kept),
        n_unlabelled=n_unlabelled,
        n_unreferenced=len(texts) - len(kept),
        n_unjudged=0 if human is None else sum(verdict is None for verdict in human),
    )


def answer_bleu(prediction: str | None, references: Sequence[str], normalization: Normalization = "paper") -> float:
    """The larger of BLEU-4 and BLEU-1 of an answer, in [0, 1], by nltk; the best reference counts.

    BLEU-4 is smoothed by the NIST geometric sequence (method 3 of Chen & Cherry 2014). BLEU-1 is unigram precision.
    Both have the brevity penalty of Papineni et al. (2002). BLEU-4 is larger only if words repeat cyclically. A missing
    or blank answer scores 0.

    Raises:
        MissingExtraError: nltk is not installed.
    """
    if prediction is None or _is_blank(prediction):
        return 0.0
    bleu: Any = import_extra("nltk.translate.bleu_score", "scores")
    smoothing = bleu.SmoothingFunction().method3
    words = answer_words(prediction, "prediction", normalization)
    best = 0.0
    for reference in references:
        reference_words = answer_words(reference, "reference", normalization)
        best = max(best, *bleu.sentence_bleu([reference_words], words, [UP_TO_FOUR, UNIGRAMS], smoothing))
    return best


def answer_words(
    text: str, side: Literal["prediction", "reference"], normalization: Normalization = "paper"
) -> list[str]:
    """The lower-case words of an answer, without quotation, question and exclamation marks.

    `paper` reproduces the paper's code: it removes dots outside numbers from the prediction but not from the reference,
    so that "St. Petersburg" never equals itself, and splits at single spaces. `both_sides` removes dots from both, and
    splits at any white space.
    """
    if side == "prediction" or normalization == "both_sides":
        text = DOT_OUTSIDE_NUMBERS.sub("", text)
    text = text.translate(REMOVED).lower()
    return text.split() if normalization == "both_sides" else text.split(" ")


def check_normalization(normalization: str) -> None:
    """Reject an unknown normalization.

    Raises:
        ConfigError: the normalization is unknown.
    """
    if normalization not in NORMALIZATIONS:
        raise ConfigError(f"`normalization` is {normalization!r}: give one of {', '.join(NORMALIZATIONS)}.")


def check_bleu_options(threshold: float, thresholds: Sequence[float], normalization: str) -> None:
    """Reject options that `bleu_accuracy` does not accept.

    Raises:
        ConfigError: a threshold is not in (0, 1], or the normalization is unknown.
    """
    check_normalization(normalization)
    if not isinstance(thresholds, list | tuple):
        raise ConfigError(f"`thresholds` is {thresholds!r}: give a list of numbers, such as [0.4, 0.5, 0.6].")
    for name, value in (("threshold", threshold), *(("thresholds", each) for each in thresholds)):
        # At 0 every answer would be correct.
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise ConfigError(f"`{name}` has {value!r}: give numbers above 0 and at most 1.")


def _check_columns(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str] | None],
    verdicts: Sequence[bool | None] | None,
) -> None:
    columns: dict[str, Sequence[object]] = {"predictions": predictions, "references": references}
    if verdicts is not None:
        columns["verdicts"] = verdicts
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"`{name}` {len(column):,}" for name, column in columns.items())
        raise DataError(f"The columns differ in length: {lengths} rows. Give one value each per row.")
    for row, (prediction, texts) in enumerate(zip(predictions, references, strict=True)):
        if prediction is not None and not isinstance(prediction, str):
            raise DataError(f"`predictions` has {prediction!r} in row {row}: give texts, or None if one is missing.")
        if isinstance(texts, str) or any(not isinstance(text, str | None) for text in texts or ()):
            raise DataError(f"`references` has {texts!r} in row {row}: give a list of correct answers per row.")


def _is_blank(prediction: str | None) -> bool:
    return prediction is None or not prediction.strip()


def _reaches(scores: Any, threshold: float) -> Any:
    return scores >= threshold - TOLERANCE


def _accuracy(scores: Any, threshold: float, level: float) -> Interval:
    return wilson(int(_reaches(scores, threshold).sum()), len(scores), level)


def _point(scores: Any, verdicts: Sequence[bool | None] | None, threshold: float, level: float) -> ThresholdPoint:
    accuracy = _accuracy(scores, threshold, level)
    if verdicts is None:
        return ThresholdPoint(threshold, accuracy, None, None)
    judged = [row for row, verdict in enumerate(verdicts) if verdict is not None]
    human = ["right" if verdicts[row] else "wrong" for row in judged]
    by_bleu = ["right" if reached else "wrong" for reached in _reaches(scores[judged], threshold)]
    agreeing = sum(a == b for a, b in zip(human, by_bleu, strict=True))
    kappa = cohen_kappa(human, by_bleu) if judged else math.nan
    return ThresholdPoint(threshold, accuracy, wilson(agreeing, len(judged), level), kappa)
