"""Valid conclusions: questions to the labels of a data set of which humans have labelled some rows.

Each function answers its question four ways: from the LLM's labels alone, from the human labels alone, by PPI++ and by
DSL; see `estimators`. The last three are right however wrong the LLM is, as long as the chances with which rows were
chosen for a human label are the ones that are said. `docs/valid_conclusions.md` is for users.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.codes import Floats
from hf_synthlabels.statistics.conclusions import Conclusion, Conclusions
from hf_synthlabels.statistics.estimands import Estimand, Family, Quantity, Ratios, Regression
from hf_synthlabels.statistics.estimators import Found, dsl, guesses, human_only, naive, ppi_plus_plus
from hf_synthlabels.statistics.inference import Inference
from hf_synthlabels.statistics.label_rows import FEWEST_TO_LEARN, LabelRows, label_rows
from hf_synthlabels.statistics.ppi import FEW_LABELS
from hf_synthlabels.statistics.question_columns import (
    Names,
    class_list,
    complete_column,
    group_codes,
    numbers_of,
    one_hot,
)
from hf_synthlabels.statistics.ratings import Numbers, number_column

__all__ = ["valid_difference", "valid_f1", "valid_mean", "valid_prevalence", "valid_regression"]


def valid_mean(human: Numbers, llm: Numbers, inference: Inference | None = None) -> Conclusions:
    """The mean of a number that humans gave to some rows and an LLM to all.

    Args:
        human: shape (rows,); None or nan where there is none.
        llm: the same, on the same scale.
        inference: how the human labels were drawn, and how estimates are made.

    Raises:
        DataError: the lengths differ, something is no number or no probability, or one side has no label at all.
    """
    inference = inference or Inference()
    rows = label_rows(number_column(human, "human")[:, None], number_column(llm, "llm")[:, None], inference)
    return _concluded("mean of the labels", [_means((Quantity("mean", (1.0,)),), [None])], rows, inference)


def valid_prevalence(
    human: Names, llm: Names, *, names: Sequence[Any] | None = None, inference: Inference | None = None
) -> Conclusions:
    """The share of the rows that are of each class.

    Args:
        human: the name of each row, None where there is none.
        llm: the same.
        names: the classes; by default all that occur, sorted.
        inference: how the human labels were drawn, and how estimates are made.

    Raises:
        DataError: as in `valid_mean`, or a label is not one of `names`.
        ConfigError: `names` has a duplicate.
    """
    inference = inference or Inference()
    known = class_list(names, human, llm)
    rows = label_rows(one_hot(human, known, "human"), one_hot(llm, known, "llm"), inference)
    estimands: list[Estimand] = [
        Ratios((Quantity(name, (1.0,), 0, 1),), *_class_sums(place), 1) for place, name in enumerate(known)
    ]
    return _concluded("share of the rows of each class", estimands, rows, inference)


def valid_f1(
    human: Names,
    llm: Names,
    *,
    prediction: Names | None = None,
    names: Sequence[Any] | None = None,
    inference: Inference | None = None,
) -> Conclusions:
    """The F1 of predictions on all rows, for each class and their mean, by the delta method on the counts.

    F1 is 2 x right / (predicted + human). Predictions are known for all rows; what humans would have said is known
    for some, and the LLM's labels help for the rest.

    Args:
        human: the name of each row, None where there is none.
        llm: the same. Without `prediction`, these are what is scored, and the naive estimate is 1 of itself.
        prediction: what is scored, such as a student's; None in a row is no prediction and so a miss.
        names: the classes; by default all that occur, sorted.
        inference: how the human labels were drawn, and how estimates are made.

    Raises:
        DataError: as in `valid_prevalence`.
        ConfigError: `names` has a duplicate.
    """
    inference = inference or Inference()
    scored = llm if prediction is None else prediction
    known = class_list(names, human, llm, scored)
    said = np.nan_to_num(one_hot(scored, known, "prediction"))
    truth = one_hot(human, known, "human")
    if len(said) != len(truth):
        raise DataError(f"`prediction` has {len(said):,} rows and `human` {len(truth):,}: give one each per row.")
    rows = label_rows(truth, one_hot(llm, known, "llm"), inference, None if prediction is None else said)
    estimands: list[Estimand] = [_f1(said, [place], name) for place, name in enumerate(known)]
    occurring = np.flatnonzero((said.sum(axis=0) > 0) | (np.nansum(truth, axis=0) > 0)).tolist()
    if len(occurring) > 1:
        estimands.append(_f1(said, occurring, "macro F1"))
    return _concluded("F1 of the predictions on all rows", estimands, rows, inference)


def valid_difference(
    human: Any, llm: Any, groups: Names, *, positive: Any = None, inference: Inference | None = None
) -> Conclusions:
    """The mean, or the share of one class, in each group, and how far each group is from the first.

    Args:
        human: numbers, or with `positive` names; None where there is none.
        llm: the same.
        groups: the group of each row; none missing. The first one, sorted, is what the others are compared with.
        positive: the class whose share is asked for.
        inference: how the human labels were drawn, and how estimates are made.

    Raises:
        DataError: as in `valid_mean`, a row has no group, or there is only one.
    """
    inference = inference or Inference()
    codes, known = group_codes(groups)
    ends = (-math.inf, math.inf) if positive is None else (0.0, 1.0)
    member = codes[:, None] == np.arange(len(known))
    truth, said = (numbers_of(values, positive, field)[:, None] for values, field in ((human, "human"), (llm, "llm")))
    if len(codes) != len(truth):
        raise DataError(f"`groups` has {len(codes):,} rows and `human` {len(truth):,}: give one each per row.")
    # That the LLM errs differently in each group is what naive differences are wrong by: guesses must see it.
    seen = member[:, 1:] * np.nan_to_num(said)
    rows = label_rows(truth, said, inference, np.column_stack([member[:, 1:], seen]).astype(np.float64))
    estimands: list[Estimand] = [
        _means((Quantity(name, (1.0,), *ends),), [member[:, place]]) for place, name in enumerate(known)
    ]
    wide = ends[1] - ends[0]
    estimands += [
        _means((Quantity(f"{name} - {known[0]}", (-1.0, 1.0), -wide, wide),), [member[:, 0], member[:, place]])
        for place, name in enumerate(known)
        if place
    ]
    what = "mean of the labels" if positive is None else f"share of {positive}"
    return _concluded(f"{what} in each group, and differences from {known[0]}", estimands, rows, inference)


def valid_regression(
    human: Any,
    llm: Any,
    predictors: Mapping[str, Numbers],
    *,
    family: Family = "linear",
    outcome: Numbers | None = None,
    positive: Any = None,
    label: str = "label",
    inference: Inference | None = None,
) -> Conclusions:
    """The coefficients of a regression with the label as its outcome, or as a predictor.

    Args:
        human: numbers, or with `positive` names, which count as 1 where they are that one and as 0 elsewhere.
        llm: the same.
        predictors: columns that are known for all rows, by name; the intercept is added.
        family: "linear" for least squares, "logistic" for log odds of an outcome between 0 and 1.
        outcome: known for all rows. None: the label is the outcome; else it is one more predictor, called `label`.
        positive: the class that counts as 1.
        label: what the label's coefficient is called.
        inference: how the human labels were drawn, and how estimates are made.

    Returns:
        Coefficients that are nan, with a note, where there is no such number, as where predictors tell the same.

    Raises:
        DataError: as in `valid_mean`, or a predictor or the outcome is missing somewhere, or the outcome of a logistic
            regression is not between 0 and 1.
        ConfigError: there is no such family, or a predictor has a name that is taken.
    """
    inference = inference or Inference()
    if family not in ("linear", "logistic"):
        raise ConfigError(f"`family` is {family!r}: give 'linear' or 'logistic'.")
    truth, said = numbers_of(human, positive, "human"), numbers_of(llm, positive, "llm")
    columns = {name: complete_column(values, name, len(truth)) for name, values in predictors.items()}
    if taken := {"(intercept)", label} & set(columns):
        raise ConfigError(f"`predictors` has a column called {taken.pop()!r}, a name that is taken: call it otherwise.")
    table = np.column_stack([np.ones(len(truth)), *columns.values()])
    goal = None if outcome is None else complete_column(outcome, "outcome", len(truth))
    if family == "logistic":
        for values, field in ((truth, "human"), (said, "llm")) if goal is None else ((goal, "outcome"),):
            known = values[~np.isnan(values)]
            if ((known < 0) | (known > 1)).any():
                raise DataError(f"`{field}` is not between 0 and 1 somewhere: logistic regression needs 0 and 1.")
    names = ["(intercept)", *columns, *([] if goal is None else [label])]
    quantities = tuple(Quantity(name, tuple(row)) for name, row in zip(names, np.eye(len(names)), strict=True))
    known = table[:, 1:] if goal is None else np.column_stack([table[:, 1:], goal])
    rows = label_rows(truth[:, None], said[:, None], inference, known)
    what = f"{family} regression of {'the label' if goal is None else 'the outcome'} on {', '.join(names[1:])}"
    return _concluded(what, [Regression(quantities, table, family, goal)], rows, inference)


def _concluded(what: str, estimands: Sequence[Estimand], rows: LabelRows, inference: Inference) -> Conclusions:
    guessed = guesses(rows, inference)
    estimates: list[Conclusion] = []
    for estimand in estimands:
        four = zip(
            estimand.quantities,
            naive(estimand, rows, inference),
            human_only(estimand, rows, inference),
            ppi_plus_plus(estimand, rows, inference),
            dsl(estimand, rows, inference, guessed),
            strict=True,
        )
        estimates += [_conclusion(rows, *each) for each in four]
    return Conclusions(
        what=what,
        level=inference.level,
        n_rows=len(rows.llm),
        n_human=rows.n,
        n_labelled=int(rows.scored.sum()),
        n_clusters=None if rows.clusters is None else rows.units,
        equal_chances=rows.chances is None,
        estimates=tuple(estimates),
        notes=tuple(_notes(rows, estimates)),
    )


def _conclusion(rows: LabelRows, quantity: Quantity, llm: Found, human: Found, ppi: Found, by_dsl: Found) -> Conclusion:
    def worth(found: Found) -> float:
        if not (found.variance > 0 and human.variance > 0):
            return math.nan
        ratio, n = human.variance / found.variance, rows.n
        # Of these rows alone the variance is (1 / n - 1 / N) times that of a row, and no number is worth more than all.
        least = 1 / len(rows.llm) if rows.finite else 0.0
        return 1 / ((1 / n - least) / ratio + least)

    return Conclusion(
        name=quantity.name,
        naive=llm.interval,
        human=human.interval,
        ppi=ppi.interval,
        dsl=by_dsl.interval,
        lam=ppi.lam,
        effective_ppi=worth(ppi),
        effective_dsl=worth(by_dsl),
    )


def _notes(rows: LabelRows, estimates: Sequence[Conclusion]) -> list[str]:
    notes = []
    what = "human labels" if rows.clusters is None else "clusters with human labels"
    if rows.units < FEW_LABELS:
        notes.append(
            f"{rows.units:,} {what} are few: below {FEW_LABELS} intervals may be too narrow, above all where most "
            "labels are the same."
        )
    if rows.units < FEWEST_TO_LEARN:
        notes.append(f"DSL learns from {FEWEST_TO_LEARN} {what} or more.")
    if unscored := int((~rows.scored).sum()):
        notes.append(
            f"{unscored:,} rows have no LLM label: the first column leaves them out, the others count them, with the "
            "mean of the other rows' LLM labels in place of theirs."
        )
    if rows.finite:
        notes.append(
            f"Of these {len(rows.llm):,} rows alone: what would hold of more rows like them is less sure. The LLM "
            "labels are known of all of them, so that their column has no width."
        )
    if rows.labelled.all():
        notes.append("All rows have a human label: the LLM adds nothing.")
    if alike := [each.name for each in estimates if each.human.high == each.human.low]:
        notes.append(f"{', '.join(alike)}: all labelled rows are alike, so that what else occurs can not be seen.")
    if lost := [each.name for each in estimates if math.isnan(each.human.low)]:
        notes.append(
            f"There is no number for {', '.join(lost)}: too few human labels, a class or group without one, or "
            "predictors that tell the same or tell the label for sure."
        )
    return notes


def _means(quantities: tuple[Quantity, ...], members: Sequence[Any]) -> Ratios:
    """Means of the first number of a label, over all rows (None) or over members."""
    masks = [None if member is None else np.asarray(member, dtype=np.float64) for member in members]

    def under(labels: Floats) -> Floats:
        return np.column_stack([np.ones(len(labels)) if mask is None else mask for mask in masks])

    return Ratios(quantities, lambda labels: under(labels) * labels[:, :1], under, len(masks))


def _class_sums(place: int) -> tuple[Any, Any]:
    return (lambda labels: labels[:, place : place + 1]), (lambda labels: np.ones((len(labels), 1)))


def _f1(said: Floats, places: list[int], name: str) -> Ratios:
    """The mean F1 of some classes."""
    mine = said[:, places]
    quantity = Quantity(name, (1 / len(places),) * len(places), 0, 1)
    return Ratios(
        (quantity,),
        lambda labels: 2 * labels[:, places] * mine,
        lambda labels: labels[:, places] + mine,
        len(places),
        label_free=False,
    )
