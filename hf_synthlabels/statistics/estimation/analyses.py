"""Analyses of label columns: means, prevalence, F1 and group differences.

Each function estimates its quantities with every estimator; see `estimators`. All but the naive estimator are unbiased
for any LLM, as long as the inclusion probabilities are correct.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_synthlabels.statistics.arrays import (
    Floats,
    Mask,
    Names,
    Numbers,
    check_lengths,
    class_list,
    group_codes,
    number_column,
    numeric_values,
    one_hot,
)
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Ratios
from hf_synthlabels.statistics.estimation.estimate_notes import rare_classes
from hf_synthlabels.statistics.estimation.estimates import EstimateReport, estimate_all
from hf_synthlabels.statistics.estimation.label_rows import Inference, label_rows


def estimate_mean(human: Numbers, llm: Numbers, inference: Inference | None = None) -> EstimateReport:
    """The mean of a numeric label.

    Args:
        human: shape (rows,); None or nan where missing.
        llm: the same, on the same scale.
        inference: sampling design and settings.

    Raises:
        DataError: the lengths differ, a value is not a number or a probability, or one side has no label at all.
    """
    inference = inference or Inference()
    rows = label_rows(number_column(human, "human")[:, None], number_column(llm, "llm")[:, None], inference)
    return estimate_all("mean of the labels", [group_means(Quantity("mean", (1.0,)))], rows, inference)


def estimate_prevalence(
    human: Names, llm: Names, *, names: Sequence[Any] | None = None, inference: Inference | None = None
) -> EstimateReport:
    """The prevalence of each class.

    Args:
        human: class of each row, None where missing.
        llm: the same.
        names: the classes; by default all that occur, sorted.
        inference: sampling design and settings.

    Raises:
        DataError: as in `estimate_mean`, or a label is not one of `names`.
        ConfigError: `names` has a duplicate.
    """
    inference = inference or Inference()
    known = class_list(names, human, llm)
    rows = label_rows(one_hot(human, known, "human"), one_hot(llm, known, "llm"), inference)
    estimands = [group_means(Quantity(name, (1.0,), 0, 1, share=True), (), place) for place, name in enumerate(known)]
    notes = rare_classes(known, rows.human[rows.labeled].sum(axis=0).tolist())
    return estimate_all("share of the rows of each class", estimands, rows, inference, notes)


def estimate_f1(
    human: Names,
    llm: Names,
    *,
    prediction: Names | None = None,
    names: Sequence[Any] | None = None,
    inference: Inference | None = None,
) -> EstimateReport:
    """The F1 of predictions on all rows, per class and macro-averaged, by the delta method on the counts.

    Args:
        human: class of each row, None where missing.
        llm: the same.
        prediction: scored predictions, such as a student's; None counts as incorrect. By default the LLM labels, whose
            naive F1 is 1.
        names: the classes; by default all that occur, sorted.
        inference: sampling design and settings.

    Raises:
        DataError: as in `estimate_prevalence`.
        ConfigError: `names` has a duplicate.
    """
    inference = inference or Inference()
    scored = llm if prediction is None else prediction
    known = class_list(names, human, llm, scored)
    predicted = np.nan_to_num(one_hot(scored, known, "prediction"))
    truth = one_hot(human, known, "human")
    check_lengths(prediction=predicted, human=truth)
    rows = label_rows(truth, one_hot(llm, known, "llm"), inference, None if prediction is None else predicted)
    occurs = (predicted > 0) | (np.nan_to_num(truth) > 0)
    estimands: list[Estimand] = [_f1(predicted, [place], name, occurs[:, place]) for place, name in enumerate(known)]
    occurring = np.flatnonzero(occurs.any(axis=0)).tolist()
    if len(occurring) > 1:
        estimands.append(_f1(predicted, occurring, "macro F1"))
    notes = rare_classes(known, rows.human[rows.labeled].sum(axis=0).tolist())
    return estimate_all("F1 of the predictions on all rows", estimands, rows, inference, notes)


def estimate_difference(
    human: Any, llm: Any, groups: Names, *, positive: Any = None, inference: Inference | None = None
) -> EstimateReport:
    """The mean, or the prevalence of one class, in each group, and the differences from the first group.

    Args:
        human: numbers, or class names with `positive`; None where missing.
        llm: the same.
        groups: group of each row, none missing; the first, sorted, is the reference.
        positive: the class whose prevalence is compared.
        inference: sampling design and settings.
    """
    inference = inference or Inference()
    codes, known = group_codes(groups)
    ends = (-math.inf, math.inf) if positive is None else (0.0, 1.0)
    member = codes[:, None] == np.arange(len(known))
    truth, predicted = numeric_values(human, positive, "human")[:, None], numeric_values(llm, positive, "llm")[:, None]
    check_lengths(groups=codes, human=truth)
    # LLM errors that differ between groups bias naive differences, so DSL needs the interactions.
    interactions = member[:, 1:] * np.nan_to_num(predicted)
    known_columns = np.column_stack([member[:, 1:], interactions]).astype(np.float64)
    rows = label_rows(truth, predicted, inference, known_columns)
    parts = [member[:, place] for place in range(len(known))]
    estimands = [
        group_means(Quantity(name, (1.0,), *ends, (part,), positive is not None), [part])
        for name, part in zip(known, parts, strict=True)
    ]
    wide = ends[1] - ends[0]
    for name, part in zip(known[1:], parts[1:], strict=True):
        pair = (parts[0], part)
        estimands.append(group_means(Quantity(f"{name} - {known[0]}", (-1.0, 1.0), -wide, wide, pair), pair))
    what = "mean of the labels" if positive is None else f"share of {positive}"
    return estimate_all(f"{what} in each group, and differences from {known[0]}", estimands, rows, inference)


def group_means(quantity: Quantity, groups: Sequence[Mask] = (), column: int = 0) -> Ratios:
    """Means of one number of a label, in each group or, without groups, over all rows."""

    def under(labels: Floats) -> Floats:
        return np.column_stack(groups).astype(np.float64) if groups else np.ones((len(labels), 1))

    def over(labels: Floats) -> Floats:
        return under(labels) * labels[:, column : column + 1]

    return Ratios((quantity,), over, under, max(1, len(groups)))


def _f1(predicted: Floats, places: list[int], name: str, *parts: Mask) -> Ratios:
    """The mean F1 of some classes; `parts` are its groups of rows."""
    mine = predicted[:, places]
    quantity = Quantity(name, (1 / len(places),) * len(places), 0, 1, parts)
    return Ratios(
        (quantity,),
        lambda labels: 2 * labels[:, places] * mine,
        lambda labels: labels[:, places] + mine,
        len(places),
        label_free=False,
    )
