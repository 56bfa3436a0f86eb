"""estimate: a question to the label columns of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, number_column
from hf_synthlabels.statistics.design.human_rows import SampledRows, sampled_rows
from hf_synthlabels.statistics.estimation.analyses import (
    estimate_difference,
    estimate_f1,
    estimate_mean,
    estimate_prevalence,
    estimate_regression,
)
from hf_synthlabels.statistics.estimation.estimands import Family
from hf_synthlabels.statistics.estimation.label_rows import Inference
from hf_synthlabels.statistics.estimation.report import EstimateReport
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    column_feature,
    column_values,
    feature_kind,
    one_spelling,
    read_names,
)

Ask = Literal["prevalence", "mean", "f1"]


def estimate(
    dataset: Table,
    *,
    human: str = "label",
    llm: str = "llm_label",
    ask: Ask | None = None,
    groups: str | None = None,
    regress: Sequence[str] = (),
    outcome: str | None = None,
    family: Family | None = None,
    positive: str | None = None,
    prediction: str | None = None,
    names: Sequence[str] | None = None,
    probabilities: str | None = None,
    confidence: str | None = None,
    clusters: str | None = None,
    inference: Inference | None = None,
    normalize_labels: bool = False,
) -> EstimateReport:
    """Answer one question four ways: from the LLM's labels alone, human labels alone, by PPI++ and by DSL.

    Args:
        dataset: one split, for example a `datasets.Dataset`.
        human: the column of human labels, None where there is none.
        llm: the column of LLM labels.
        ask: "prevalence" of each class, the "mean" of numbers, or "f1" of predictions; by default prevalence of names
            and the mean of numbers.
        groups: a column to compare groups by, instead.
        regress: columns to regress on, instead; with `outcome` the label is one more of them. Text and class names
            are categories, coded as indicators with the first, sorted, as the reference level.
        outcome: the column of numbers that a regression explains; by default the label.
        family: "linear" or "logistic"; by default logistic where a `positive` class is the outcome.
        positive: the class that groups and regressions ask for; of two classes by default the last, sorted.
        prediction: the column of predictions whose F1 is asked for; by default the LLM's labels.
        names: the classes; by default those that the columns know, or that occur.
        probabilities: the column of chances of a human label; by default `inclusion_probability` if there is one. Rows
            without a chance were not drawn, and their human labels do not count.
        confidence: a column of numbers that may help to guess human labels; by default `<llm>_confidence` if there
            is one.
        clusters: a column that says which rows hang together.
        inference: level, cuts and seed; its chances, clusters and features are those of the columns.
        normalize_labels: whether names that differ only in case or white space are one class, as in `validate`.

    Raises:
        DataError: a column is not there or holds what it should not, or no human label counts.
        ConfigError: the question makes no sense.
    """
    numeric = feature_kind(column_feature(dataset, llm)) == "text-scale" if ask is None else ask == "mean"
    columns, known, spelling = _labels(
        dataset, [human, llm, *([prediction] if prediction else [])], names, numeric, normalize_labels
    )
    truth, said, other = columns[0], columns[1], columns[2] if prediction else None
    labelled = np.array([value is not None and value == value for value in truth])
    if not labelled.any():
        raise DataError(f"`{human}` has no label in any of {len(truth):,} rows: label some rows by hand first.")
    drawn = sampled_rows(dataset, labelled, probabilities)
    if drawn is not None:
        truth = [value if counts else None for value, counts in zip(truth, drawn.counted, strict=True)]
    how = _how(dataset, llm, drawn, confidence, clusters, inference or Inference())
    found: EstimateReport
    if groups is not None or regress or outcome is not None:
        if groups is not None and (regress or outcome is not None):
            raise ConfigError("`groups` and `regress` are two questions: ask one.")
        positive = None if numeric else _spelled(positive, truth, said, normalize_labels) or _second(truth, said)
        if groups is not None:
            found = estimate_difference(truth, said, column_values(dataset, groups), positive=positive, inference=how)
        else:
            found = _regressed(dataset, truth, said, regress, outcome, family, positive, llm, how)
    elif numeric:
        found = estimate_mean(truth, said, how)
    elif ask == "f1":
        found = estimate_f1(truth, said, prediction=other, names=known, inference=how)
    elif ask in (None, "prevalence"):
        found = estimate_prevalence(truth, said, names=known, inference=how)
    else:
        raise ConfigError(f"`ask` is {ask!r}: give prevalence, mean or f1, or name `groups` or `regress`.")
    return replace(found, notes=(*spelling, *(() if drawn is None else drawn.notes), *found.notes))


def _labels(
    dataset: Table, columns: Sequence[str], names: Sequence[str] | None, numeric: bool, normalize: bool
) -> tuple[list[list[Any]], Sequence[str] | None, tuple[str, ...]]:
    """The labels of each column, the names of the classes where they are known, and a note on their spelling."""
    if numeric:
        return [column_values(dataset, column) for column in columns], None, ()
    read = [read_names(dataset, column) for column in columns]
    known = names or next((each for _, each in read[:2] if each), None)
    labels, spelling = one_spelling([labels for labels, _ in read], known or (), normalize=normalize)
    return labels, known, spelling


def _spelled(positive: str | None, truth: Sequence[Any], said: Sequence[Any], normalize: bool) -> str | None:
    """The positive class as the labels spell it."""
    if positive is None or not normalize:
        return positive
    names = {str(label) for label in (*truth, *said) if label is not None}
    return one_spelling([[positive]], sorted(names), normalize=True)[0][0][0]


def _how(
    dataset: Table,
    llm: str,
    drawn: SampledRows | None,
    confidence: str | None,
    clusters: str | None,
    inference: Inference,
) -> Inference:
    column = confidence or f"{llm}_confidence"
    features: Floats | None = None
    if confidence is not None or column in (dataset.column_names or ()):
        values = number_column(column_values(dataset, column), column)
        missing = np.isnan(values)
        if not missing.all():
            features = np.column_stack([np.where(missing, values[~missing].mean(), values), missing])
    return replace(
        inference,
        probabilities=None if drawn is None else np.nan_to_num(drawn.chances, nan=1.0),
        clusters=None if clusters is None else _texts(dataset, clusters),
        features=features,
    )


def _texts(dataset: Table, column: str) -> Any:
    values = column_values(dataset, column)
    return np.array([None if value is None or value != value else str(value) for value in values], dtype=object)


def _second(truth: Sequence[Any], said: Sequence[Any]) -> str:
    names = sorted({str(value) for value in (*truth, *said) if value is not None})
    if len(names) != 2:
        raise ConfigError(f"`positive` is missing: there are {len(names)} classes. Name the one that is asked for.")
    return names[1]


def _predictor(dataset: Table, name: str) -> Any:
    """A column of numbers, or the names of its categories: codes of a ClassLabel are no numbers to regress on."""
    values = column_values(dataset, name)
    if hasattr(column_feature(dataset, name), "int2str") or any(isinstance(value, str) for value in values):
        return list(read_names(dataset, name)[0])
    return number_column(values, name)


def _regressed(
    dataset: Table,
    truth: Sequence[Any],
    said: Sequence[Any],
    regress: Sequence[str],
    outcome: str | None,
    family: Family | None,
    positive: str | None,
    llm: str,
    how: Inference,
) -> EstimateReport:
    goal = None if outcome is None else number_column(column_values(dataset, outcome), outcome)
    kind: Family = family or ("logistic" if goal is None and positive is not None else "linear")
    return estimate_regression(
        truth,
        said,
        {name: _predictor(dataset, name) for name in regress},
        family=kind,
        outcome=goal,
        positive=positive,
        label=llm if positive is None else f"{llm} = {positive}",
        inference=how,
    )
