"""Interface of the scorers that judges are compared with, and helpers for scorers of text pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from hf_synthlabels.errors import ConfigError, DataError


@runtime_checkable
class Scorer(Protocol):
    """Scores texts, usually by their similarity to references.

    Every scorer returns one score per row, in row order. Of several references, the best score counts. A row without a
    prediction, or without a reference that the scorer needs, has the score nan. Scores are in [0, 1] unless stated
    otherwise. Equal inputs have equal scores.
    """

    @property
    def name(self) -> str:
        """Name of the scorer's column."""
        ...

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,
    ) -> list[float]:
        """Score each prediction.

        Args:
            predictions: text of each row; None for a row without one.
            references: correct texts of each row.
            inputs: prompt of each row, for scorers that need it.

        Raises:
            DataError: the columns differ in length, or hold other values than texts.
            MissingExtraError: a required library is not installed; the message names the extra.
        """
        ...


def score_table(
    scorers: Sequence[Scorer],
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]],
    inputs: Sequence[str] | None = None,
) -> dict[str, list[float]]:
    """Scores of several scorers on the same rows, by name.

    Raises:
        ConfigError: two scorers have the same name.
        DataError: the columns differ in length, or hold other values than texts.
        MissingExtraError: a library that a scorer requires is not installed.
    """
    names = [scorer.name for scorer in scorers]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"`scorers` has {duplicates[0]!r} twice, but each scorer needs its own column. Remove one.")
    return {scorer.name: scorer.score(predictions, references, inputs) for scorer in scorers}


def best_scores(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]],
    similarity: Callable[[str, str], float],
) -> list[float]:
    """The best similarity of each prediction to one of its references; nan if either is missing.

    Equal pairs are scored once.

    Raises:
        DataError: the columns differ in length, or hold other values than texts.
    """
    check_score_columns(predictions, references)
    known: dict[tuple[str, str], float] = {}
    scores = []
    for prediction, row_references in zip(predictions, references, strict=True):
        if prediction is None or not row_references:
            scores.append(math.nan)
            continue
        for reference in row_references:
            if (prediction, reference) not in known:
                known[prediction, reference] = similarity(prediction, reference)
        scores.append(max(known[prediction, reference] for reference in row_references))
    return scores


def check_score_columns(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]] | None,
    inputs: Sequence[str] | None = None,
) -> None:
    """Reject columns that do not hold one text, or one list of references, per row.

    Raises:
        DataError: the columns differ in length, or hold other values than texts.
    """
    for name, column in (("predictions", predictions), ("references", references), ("inputs", inputs)):
        if isinstance(column, str):
            raise DataError(f"`{name}` is the text {column[:40]!r}: give a list with one value per row.")
        if column is not None and len(column) != len(predictions):
            raise DataError(
                f"`{name}` has {len(column):,} rows and `predictions` has {len(predictions):,}: give one per row."
            )
    for row, prediction in enumerate(predictions):
        if prediction is not None and not isinstance(prediction, str):
            raise DataError(f"`predictions` has {prediction!r} in row {row}: give a text, or None if it is missing.")
    for row, texts in enumerate(references or ()):
        if isinstance(texts, str) or not isinstance(texts, Sequence) or any(not isinstance(t, str) for t in texts):
            raise DataError(f"`references` has {texts!r} in row {row}: give a list of texts, such as [{texts!r}].")
    for row, text in enumerate(inputs or ()):
        if not isinstance(text, str):
            raise DataError(f"`inputs` has {text!r} in row {row}: give the prompt as a text.")
