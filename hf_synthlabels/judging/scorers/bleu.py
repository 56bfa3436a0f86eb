"""BLEU as a judge of short answers: right from a threshold on (arXiv 2312.14423), and what another threshold says."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError, import_extra
from hf_synthlabels.statistics import Interval
from hf_synthlabels.statistics.agreement.confusion import ConfusionMatrix, score
from hf_synthlabels.statistics.intervals import wilson

Normalisation = Literal["paper", "both_sides"]
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

CLOSE = 1e-9
"""A score this little below a threshold has reached it: exp(log(1/3)) is not 1/3 on every machine."""

DROPPED = str.maketrans("", "", '"?!')
DOT_OUTSIDE_NUMBERS = re.compile(r"(?<!\d)\.(?!\d)")

UNIGRAMS, UP_TO_FOUR = (1.0,), (0.25, 0.25, 0.25, 0.25)


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """What one threshold says of the rows."""

    threshold: float
    accuracy: Interval
    """The share of rows that reach it."""
    agreement: Interval | None
    """The share of rows in which it and the human say the same; None where no human was asked."""
    kappa: float | None
    """Cohen's kappa of both; nan where neither varies."""


@dataclass(frozen=True, slots=True)
class BleuAccuracy:
    """The share of answers that BLEU calls right."""

    accuracy: Interval
    """At `threshold`, with its Wilson interval; a row without a prediction is wrong."""
    coverage: Interval
    """The share of rows with a prediction."""
    mean_bleu: float
    threshold: float
    sweep: tuple[ThresholdPoint, ...]
    scores: tuple[float, ...]
    """One for each row in the order given; nan for a row without a reference."""
    right: tuple[bool | None, ...]
    """Whether each row reaches `threshold`; None for a row without a reference."""
    n: int
    """The rows that have a reference: the denominator of both shares."""
    n_unlabelled: int
    n_unreferenced: int
    n_unjudged: int
    """Rows without a human verdict, which say nothing on agreement; 0 where no verdicts are given."""


def bleu_accuracy(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str] | None],
    *,
    verdicts: Sequence[bool | None] | None = None,
    threshold: float = 0.5,
    thresholds: Sequence[float] = THRESHOLDS,
    normalisation: Normalisation = "paper",
    level: float = 0.95,
) -> BleuAccuracy:
    """The share of answers whose `answer_bleu` is at least the threshold, and what other thresholds would say.

    Whether .5 is a good threshold the paper does not ask. With human verdicts on some rows the sweep tells how well
    each threshold agrees with them; the best one of a sweep is the best of these rows, so try it on others.

    Args:
        predictions: the answer of each row; None, or a blank one, is wrong.
        references: one or more right answers of each row, of which the best counts; a row without any is left out.
        verdicts: whether a human called the answer right; None where nobody looked.
        threshold: from this BLEU on an answer is right.
        thresholds: of the sweep.
        normalisation: see `answer_words`.
        level: confidence level of the intervals.

    Raises:
        ConfigError: a threshold is not above 0 and at most 1, or an option is unknown.
        DataError: the columns differ in length, or hold something else than texts.
        MissingExtraError: nltk is not installed.
    """
    check_bleu_options(threshold, thresholds, normalisation)
    _check_columns(predictions, references, verdicts)
    golds = [[gold for gold in each or () if gold is not None] for each in references]
    scores = [
        answer_bleu(prediction, own, normalisation) if own else math.nan
        for prediction, own in zip(predictions, golds, strict=True)
    ]
    kept = [row for row, own in enumerate(golds) if own]
    found = np.array([scores[row] for row in kept], dtype=np.float64)
    said = None if verdicts is None else [verdicts[row] for row in kept]
    unlabelled = sum(_is_blank(predictions[row]) for row in kept)
    return BleuAccuracy(
        accuracy=_reaching(found, threshold, level),
        coverage=wilson(len(kept) - unlabelled, len(kept), level),
        mean_bleu=float(found.mean()) if kept else math.nan,
        threshold=threshold,
        sweep=tuple(_point(found, said, each, level) for each in thresholds),
        scores=tuple(scores),
        right=tuple(None if math.isnan(each) else bool(_reached(each, threshold)) for each in scores),
        n=len(kept),
        n_unlabelled=unlabelled,
        n_unreferenced=len(golds) - len(kept),
        n_unjudged=0 if said is None else sum(verdict is None for verdict in said),
    )


def answer_bleu(prediction: str | None, references: Sequence[str], normalisation: Normalisation = "paper") -> float:
    """The larger of BLEU-4 and BLEU-1 of an answer, in [0, 1], by nltk; of several references the best counts.

    BLEU-4 is smoothed by the geometric sequence of NIST (method 3 of Chen & Cherry 2014), BLEU-1 is unigram precision;
    both have the brevity penalty exp(1 - reference words / answer words) (Papineni et al. 2002). BLEU-4 is the larger
    one only where words of the answer repeat in a circle, so what counts is nearly always BLEU-1. An answer that is
    missing or blank scores 0.

    Raises:
        MissingExtraError: nltk is not installed.
    """
    if prediction is None or _is_blank(prediction):
        return 0.0
    bleu: Any = import_extra("nltk.translate.bleu_score", "scores")
    smoothing = bleu.SmoothingFunction().method3
    said = answer_words(prediction, "prediction", normalisation)
    best = 0.0
    for reference in references:
        gold = answer_words(reference, "reference", normalisation)
        best = max(best, *bleu.sentence_bleu([gold], said, [UP_TO_FOUR, UNIGRAMS], smoothing))
    return best


def answer_words(
    text: str, side: Literal["prediction", "reference"], normalisation: Normalisation = "paper"
) -> list[str]:
    """The words of an answer as BLEU compares them: lower case, without quotes, question and exclamation marks.

    `paper` is what the paper's code does: dots outside numbers are dropped from the prediction, but not from the
    reference, so that "St. Petersburg" never equals itself; words are what single spaces part. `both_sides` drops dots
    from both, and parts words by any white space.
    """
    if side == "prediction" or normalisation == "both_sides":
        text = DOT_OUTSIDE_NUMBERS.sub("", text)
    text = text.translate(DROPPED).lower()
    return text.split() if normalisation == "both_sides" else text.split(" ")


def check_bleu_options(threshold: float, thresholds: Sequence[float], normalisation: str) -> None:
    """Refuse what `bleu_accuracy` can not do.

    Raises:
        ConfigError: a threshold is not above 0 and at most 1, or the normalisation is unknown.
    """
    if normalisation not in NORMALISATIONS:
        raise ConfigError(f"`normalisation` is {normalisation!r}: give one of {', '.join(NORMALISATIONS)}.")
    if not isinstance(thresholds, list | tuple):
        raise ConfigError(f"`thresholds` is {thresholds!r}: give a list of numbers, such as [0.4, 0.5, 0.6].")
    for name, value in (("threshold", threshold), *(("thresholds", each) for each in thresholds)):
        # At 0 every answer would be right.
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
    for row, (prediction, golds) in enumerate(zip(predictions, references, strict=True)):
        if prediction is not None and not isinstance(prediction, str):
            raise DataError(f"`predictions` has {prediction!r} in row {row}: give texts, or None for no answer.")
        if isinstance(golds, str) or any(not isinstance(gold, str | None) for gold in golds or ()):
            raise DataError(f"`references` has {golds!r} in row {row}: give a list of right answers per row.")


def _is_blank(prediction: str | None) -> bool:
    return prediction is None or not prediction.strip()


def _reached(scores: Any, threshold: float) -> Any:
    return scores >= threshold - CLOSE


def _reaching(scores: Any, threshold: float, level: float) -> Interval:
    return wilson(int(_reached(scores, threshold).sum()), len(scores), level)


def _point(scores: Any, verdicts: Sequence[bool | None] | None, threshold: float, level: float) -> ThresholdPoint:
    accuracy = _reaching(scores, threshold, level)
    if verdicts is None:
        return ThresholdPoint(threshold, accuracy, None, None)
    judged = [row for row, verdict in enumerate(verdicts) if verdict is not None]
    human = ["right" if verdicts[row] else "wrong" for row in judged]
    said = ["right" if reached else "wrong" for reached in _reached(scores[judged], threshold)]
    same = sum(a == b for a, b in zip(human, said, strict=True))
    kappa = score("kappa", ConfusionMatrix.from_labels(human, said).array) if judged else math.nan
    return ThresholdPoint(threshold, accuracy, wilson(same, len(judged), level), float(kappa))
