"""Scores of the rows of a table that people have labeled so far, with intervals for any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.agreement.base import KindAgreement
from hf_synthlabels.statistics.arrays import Floats, Mask, number_column
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.sequential.anytime_agreement import NOTE, Look, row_shares
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_values
from hf_synthlabels.statistics.validation.table_variables import TableVariable, label_pairs, pair_is_correct
from hf_synthlabels.statistics.validation.task_agreement import row_score

ROW_MEANS = {
    "multi-label": "jaccard",
    "text-scale": "mae",
    "question-answering": "token_f1",
    "text-generation": "token_f1",
}
"""The score that is a mean of row scores, by task type."""

TEXT_KINDS = ("question-answering", "text-generation")


def look_at(table: Table, counted: Mask, level: float, clusters: str | None = None) -> Look:
    """The weights of the counted rows.

    Weights are those of the whole sample: rows that are labeled in random order need no correction for those that are
    still to come.

    Args:
        table: with the column of inclusion probabilities, if the rows were sampled.
        counted: labeled rows that are scored, shape (rows,).
        level: confidence level.
        clusters: column of cluster ids, of which no sequence is known.

    Raises:
        ConfigError: there are clusters.
    """
    if clusters is not None:
        raise ConfigError(
            f"`clusters` is {clusters!r}, but intervals for any time are of single rows: leave out `--clusters`, or "
            "validate the finished sample without `--sequential`."
        )
    if PROBABILITY not in (table.column_names or ()):
        return Look(None, 1.0, level)
    probabilities = number_column(column_values(table, PROBABILITY), PROBABILITY)
    sampled = probabilities[~np.isnan(probabilities)]
    if not len(sampled) or np.ptp(sampled) <= 1e-9 * sampled.max():
        return Look(None, 1.0, level)
    return Look(1 / probabilities[counted], float(1 / sampled.min()), level)


def anytime_kind_agreement(
    result: KindAgreement,
    table: Table,
    variable: TableVariable,
    counted: Mask,
    scale: Any,
    level: float,
    clusters: str | None = None,
) -> KindAgreement:
    """The agreement with scores for any time instead of those of a finished sample; see `kind_scores`."""
    scores = kind_scores(table, variable, counted, scale, look_at(table, counted, level, clusters))
    return replace(result, scores=scores, classes=(), notes=(*result.notes, NOTE))


def kind_scores(table: Table, variable: TableVariable, counted: Mask, scale: Any, look: Look) -> dict[str, Interval]:
    """Coverage, accuracy and the mean row score of any task type except single-label classification.

    Args:
        table: one split.
        variable: its columns and kind.
        counted: rows that are scored, shape (rows,).
        scale: the `Scale` of numbers; without it they have no mean error.
        look: weights and level.
    """
    kind = variable.kind_in(table)
    pairs = [pair for pair, is_counted in zip(label_pairs(table, variable), counted, strict=True) if is_counted]
    answered = np.array([llm is not None for _, llm in pairs], dtype=np.bool_)
    correct = np.array([pair_is_correct(kind, human, llm) for human, llm in pairs], dtype=np.bool_)
    name = "exact_match" if kind in TEXT_KINDS else "accuracy"
    scores = row_shares(answered, correct, look, name)
    if kind not in ROW_MEANS or (kind == "text-scale" and scale is None):
        return scores
    values: Floats = np.array(
        [row_score(kind, scale, human, _worst(scale, human) if llm is None else llm) for human, llm in pairs]
        if scale is not None
        else [0.0 if llm is None else row_score(kind, scale, human, llm) for human, llm in pairs]
    )
    mean = look.mean(values)
    if scale is not None:
        mean = _as_error(mean, scale.high - scale.low)
    return {**scores, ROW_MEANS[kind]: mean}


def _worst(scale: Any, human: float) -> float:
    """The label that is farthest from the human one: the error of a missing label."""
    return float(scale.low if human - scale.low > scale.high - human else scale.high)


def _as_error(mean: Interval, length: float) -> Interval:
    """The mean absolute error from the mean of 1 - error / length of the scale."""
    estimate, low, high = (length * (1 - value) for value in (mean.estimate, mean.high, mean.low))
    return Interval(estimate, low, high, mean.level, mean.method, mean.n)


def check_has_sequence(metric: str, scores: Mapping[str, Interval]) -> None:
    """Refuse the gate of a score that has no interval for any time, with a ConfigError."""
    if metric not in scores:
        raise ConfigError(
            f"`gate` is of {metric!r}, which has no interval for any time: give one of {', '.join(scores)}, or "
            "validate the finished sample without `--sequential`."
        )
