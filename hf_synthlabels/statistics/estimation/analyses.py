"""Analyses of label columns: means, prevalence, F1, group differences and regressions.

Each function estimates its quantities with every estimator; see `estimators`. All but the naive estimator are unbiased
for any LLM, as long as the inclusion probabilities are correct.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Mask, Numbers, check_lengths, number_column
from hf_synthlabels.statistics.estimation.estimands import Estimand, Family, Quantity, Ratios, Regression
from hf_synthlabels.statistics.estimation.estimates import EstimateReport, estimate_all, rare_classes
from hf_synthlabels.statistics.estimation.label_rows import Inference, label_rows
from hf_synthlabels.statistics.estimation.variables import (
    INTERCEPT,
    Names,
    Predictors,
    class_list,
    complete_column,
    group_codes,
    numeric_values,
    one_hot,
    predictor_matrix,
)


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
    return estimate_all("mean of the labels", [_means(Quantity("mean", (1.0,)))], rows, inference)


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
    estimands = [_means(Quantity(name, (1.0,), 0, 1, share=True), (), place) for place, name in enumerate(known)]
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
        _means(Quantity(name, (1.0,), *ends, (part,), positive is not None), [part])
        for name, part in zip(known, parts, strict=True)
    ]
    wide = ends[1] - ends[0]
    for name, part in zip(known[1:], parts[1:], strict=True):
        pair = (parts[0], part)
        estimands.append(_means(Quantity(f"{name} - {known[0]}", (-1.0, 1.0), -wide, wide, pair), pair))
    what = "mean of the labels" if positive is None else f"share of {positive}"
    return estimate_all(f"{what} in each group, and differences from {known[0]}", estimands, rows, inference)


def estimate_regression(
    human: Any,
    llm: Any,
    predictors: Mapping[str, Numbers],
    *,
    family: Family = "linear",
    outcome: Numbers | None = None,
    positive: Any = None,
    label: str = "label",
    inference: Inference | None = None,
) -> EstimateReport:
    """The coefficients of a regression with the label as its outcome, or as a predictor.

    Args:
        human: numbers, or class names with `positive`.
        llm: the same.
        predictors: columns by name, known for all rows; the intercept is added. Text is coded as indicators, with the
            first category, sorted, as the reference level.
        family: "linear" for least squares, "logistic" for log odds of an outcome between 0 and 1.
        outcome: known for all rows; by default the label is the outcome, otherwise one more predictor.
        positive: the class that counts as 1; other classes count as 0.
        label: name of the label's coefficient.
        inference: sampling design and settings.

    Raises:
        DataError: as in `estimate_mean`, values are missing, or a logistic outcome is not between 0 and 1.
        ConfigError: `family` is unknown, or a predictor has a reserved name.
    """
    inference = inference or Inference()
    if family not in ("linear", "logistic"):
        raise ConfigError(f"`family` is {family!r}: give 'linear' or 'logistic'.")
    truth, predicted = numeric_values(human, positive, "human"), numeric_values(llm, positive, "llm")
    matrix = predictor_matrix(predictors, len(truth))
    if reserved := {label} & set(matrix.names) or {INTERCEPT} & set(matrix.names[1:]):
        raise ConfigError(f"`predictors` has a column called {reserved.pop()!r}, which is reserved: rename it.")
    goal = None if outcome is None else complete_column(outcome, "outcome", len(truth))
    if family == "logistic":
        _check_unit_interval(((truth, "human"), (predicted, "llm")) if goal is None else ((goal, "outcome"),))
    names = [*matrix.names, *([] if goal is None else [label])]
    # A label that is a predictor is standardized like the others.
    center, scale = (0.0, 1.0) if goal is None else _center_and_scale(predicted)
    quantities = _coefficients(matrix, names, center, scale)
    columns = matrix.columns[:, 1:] if goal is None else np.column_stack([matrix.columns[:, 1:], goal])
    rows = label_rows((truth[:, None] - center) / scale, (predicted[:, None] - center) / scale, inference, columns)
    what = f"{family} regression of {'the label' if goal is None else 'the outcome'} on {', '.join(names[1:])}"
    notes = [
        f"`{name}` is text: each coefficient compares a category with {first!r}." for name, first in matrix.references
    ]
    estimand = Regression(quantities, matrix.basis, family, goal)
    return estimate_all(what, [estimand], rows, inference, notes, matrix.dependent)


def _coefficients(matrix: Predictors, names: Sequence[str], center: float, scale: float) -> tuple[Quantity, ...]:
    """Coefficients in the users' units; the last name is the label where it is a predictor."""
    back, groups = matrix.back, [() if each is None else tuple(each.T > 0) for each in matrix.members]
    if len(names) > len(back):
        back = np.block([[back, np.zeros((len(back), 1))], [np.zeros((1, len(back))), np.full((1, 1), 1 / scale)]])
        back[0, -1] = -center / scale
        groups.append(())
    return tuple(
        Quantity(name, tuple(row), parts=parts) for name, row, parts in zip(names, back.tolist(), groups, strict=True)
    )


def _check_unit_interval(columns: Sequence[tuple[Floats, str]]) -> None:
    for values, field in columns:
        known = values[~np.isnan(values)]
        if ((known < 0) | (known > 1)).any():
            raise DataError(f"`{field}` has values outside 0 to 1: logistic regression needs an outcome from 0 to 1.")


def _center_and_scale(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    spread = float(known.std()) if len(known) else 0.0
    return (float(known.mean()), spread) if spread > 0 else (0.0, 1.0)


def _means(quantity: Quantity, groups: Sequence[Mask] = (), column: int = 0) -> Ratios:
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
