"""Scorer: what a judge is compared with; one interface for every scorer of arXiv 2310.14103."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from hf_synthlabels.errors import ConfigError, DataError


@runtime_checkable
class Scorer(Protocol):
    """Scores texts, most often by how close they come to a reference.

    Every scorer here keeps to this: one score for each row, in the order of the rows; of several references the one
    with the best score counts; nan where nothing can be scored, because there is no prediction (None) or, for a scorer
    that needs one, no reference. Scores are in [0, 1] unless the scorer says otherwise. Equal inputs give equal scores.
    """

    @property
    def name(self) -> str:
        """What its column is called."""
        ...

    def score(
        self,
        predictions: Sequence[str | None],
        references: Sequence[Sequence[str]],
        inputs: Sequence[str] | None = None,
    ) -> list[float]:
        """The score of each prediction.

        Args:
            predictions: the text of each row; None for a row without one.
            references: right texts of each row.
            inputs: what each text answers; only a reward model asks for it.

        Raises:
            DataError: the columns differ in length, or hold something else than texts.
            MissingExtraError: a library that the scorer needs is not installed; the message names the extra.
        """
        ...


def score_table(
    scorers: Sequence[Scorer],
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]],
    inputs: Sequence[str] | None = None,
) -> dict[str, list[float]]:
    """The scores of several scorers on the same rows, by name.

    Raises:
        ConfigError: two scorers have the same name.
        DataError: the columns differ in length, or hold something else than texts.
        MissingExtraError: a library that a scorer needs is not installed.
    """
    names = [scorer.name for scorer in scorers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"`scorers` has {twice[0]!r} twice: a table has one column of each name. Leave one out.")
    return {scorer.name: scorer.score(predictions, references, inputs) for scorer in scorers}


def best_scores(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]],
    closeness: Callable[[str, str], float],
) -> list[float]:
    """The best closeness of each prediction to one of its references; nan where either is missing.

    Labels repeat, so equal pairs are scored once.

    Args:
        predictions: as `Scorer.score` has them.
        references: as `Scorer.score` has them.
        closeness: of a prediction and one reference.

    Raises:
        DataError: the columns differ in length, or hold something else than texts.
    """
    check_score_columns(predictions, references)
    known: dict[tuple[str, str], float] = {}
    out = []
    for prediction, golds in zip(predictions, references, strict=True):
        if prediction is None or not golds:
            out.append(math.nan)
            continue
        for gold in golds:
            if (prediction, gold) not in known:
                known[prediction, gold] = closeness(prediction, gold)
        out.append(max(known[prediction, gold] for gold in golds))
    return out


def check_score_columns(
    predictions: Sequence[str | None],
    references: Sequence[Sequence[str]] | None,
    inputs: Sequence[str] | None = None,
) -> None:
    """Refuse columns that are no rows of texts.

    Raises:
        DataError: the columns differ in length, or hold something else than texts.
    """
    for name, column in (("predictions", predictions), ("references", references), ("inputs", inputs)):
        if isinstance(column, str):
            raise DataError(f"`{name}` is the text {column[:40]!r}: give a list with one value per row.")
        if column is not None and len(column) != len(predictions):
            raise DataError(
                f"`{name}` has {len(column):,} rows and `predictions` {len(predictions):,}: give one each per row."
            )
    for row, prediction in enumerate(predictions):
        if prediction is not None and not isinstance(prediction, str):
            raise DataError(f"`predictions` has {prediction!r} in row {row}: give a text, or None where there is none.")
    for row, golds in enumerate(references or ()):
        if isinstance(golds, str) or not isinstance(golds, Sequence) or any(not isinstance(g, str) for g in golds):
            raise DataError(f"`references` has {golds!r} in row {row}: give a list of texts, such as [{golds!r}].")
    for row, text in enumerate(inputs or ()):
        if not isinstance(text, str):
            raise DataError(f"`inputs` has {text!r} in row {row}: give the text that was answered.")
