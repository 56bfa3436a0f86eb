"""Estimates from the label columns of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Mask
from hf_synthlabels.statistics.design.human_rows import SampledRows, sampled_rows
from hf_synthlabels.statistics.estimation.analyses import (
    estimate_difference,
    estimate_f1,
    estimate_mean,
    estimate_prevalence,
)
from hf_synthlabels.statistics.estimation.estimands import Family
from hf_synthlabels.statistics.estimation.estimates import EstimateReport
from hf_synthlabels.statistics.estimation.label_rows import Inference
from hf_synthlabels.statistics.regression.formula_data import estimate_columns, formula_data, with_columns, with_default
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    column_feature,
    column_values,
    feature_kind,
    one_spelling,
    read_names,
)

EstimandName = Literal["prevalence", "mean", "f1"]


def estimate(
    dataset: Table,
    *,
    human: str = "label",
    llm: str = "llm_label",
    estimand: EstimandName | None = None,
    groups: str | None = None,
    formula: str | None = None,
    variables: Mapping[str, tuple[str, str]] | None = None,
    family: Family | None = None,
    positive: str | None = None,
    prediction: str | None = None,
    clusters: str | None = None,
    inference: Inference | None = None,
    normalize_labels: bool = False,
) -> EstimateReport:
    """Estimate one quantity with the naive, the classical, the PPI++ and the DSL estimator.

    The column `inclusion_probability` has the inclusion probabilities, null for rows that were not sampled. The column
    `<llm>_confidence` helps DSL to predict human labels.

    Args:
        dataset: one split, for example a `datasets.Dataset`.
        human: column of human labels, None where missing.
        llm: column of LLM labels.
        estimand: "prevalence" of each class (default for names), "mean" (default for numbers), or "f1" of predictions.
        groups: column whose groups are compared.
        formula: regression, such as "bias ~ topic * year + C(outlet)"; text and class names are categories.
        variables: LLM variables of the formula by name: columns of LLM and of human labels. `llm` is one with `human`.
        family: "linear" or "logistic"; by default logistic if the outcome has classes.
        positive: class of groups, or of a regression's outcome; by default the second of two classes, sorted.
        prediction: column of the predictions that F1 scores; by default the LLM labels.
        clusters: column of cluster ids.
        inference: level, folds and seed; its probabilities, clusters and features are those of the columns.
        normalize_labels: whether names that differ only in case or white space are one class.

    Raises:
        DataError: a column is missing or holds other values, or no human label counts.
        ConfigError: the options contradict each other.
    """
    inference = inference or Inference()
    if formula is not None:
        if groups or estimand:
            raise ConfigError("`formula` cannot be combined with `groups` or `estimand`: leave them out.")
        declared = with_default(dataset, variables, human, llm)
        data = formula_data(dataset, formula, declared, clusters, inference, normalize=normalize_labels)
        return estimate_columns(formula, data, family=family, positive=positive)
    numeric = feature_kind(column_feature(dataset, llm)) == "text-scale" if estimand is None else estimand == "mean"
    labels = _read_labels(dataset, (human, llm, prediction), numeric=numeric, normalize=normalize_labels)
    return _weighted(dataset, labels, inference, clusters, (human, llm), estimand, groups, positive)


def _weighted(
    dataset: Table,
    labels: _Labels,
    inference: Inference,
    clusters: str | None,
    columns: tuple[str, str],
    estimand: str | None,
    groups: str | None,
    positive: str | None,
) -> EstimateReport:
    """The analysis with the sampling design of the data set."""
    human, llm = columns
    sample = sampled_rows(dataset, labels.labeled(human))
    inference = with_columns(inference, dataset, [llm], sample, clusters)
    report = _analyze(dataset, labels.sampled(sample), inference, estimand, groups, positive)
    return replace(report, notes=(*labels.notes, *(() if sample is None else sample.notes), *report.notes))


def _analyze(
    dataset: Table,
    labels: _Labels,
    inference: Inference,
    estimand: str | None,
    groups: str | None,
    positive: str | None,
) -> EstimateReport:
    """The analysis that the options of `estimate` ask for."""
    human, llm = labels.human, labels.llm
    if groups is not None:
        members, positive = column_values(dataset, groups), labels.positive(positive)
        return estimate_difference(human, llm, members, positive=positive, inference=inference)
    if labels.numeric:
        return estimate_mean(human, llm, inference)
    if estimand == "f1":
        return estimate_f1(human, llm, prediction=labels.prediction, names=labels.names, inference=inference)
    if estimand in (None, "prevalence"):
        return estimate_prevalence(human, llm, names=labels.names, inference=inference)
    raise ConfigError(f"`estimand` is {estimand!r}: give prevalence, mean or f1, or use `groups` or `formula`.")


@dataclass(frozen=True, slots=True)
class _Labels:
    """Labels of each row, with the classes if they are known."""

    name: str
    """Of the column of LLM labels."""
    human: Sequence[Any]
    llm: Sequence[Any]
    prediction: Sequence[Any] | None
    names: Sequence[str] | None
    numeric: bool
    normalize: bool
    notes: tuple[str, ...] = ()

    def labeled(self, column: str) -> Mask:
        """Whether each row has a human label.

        Raises:
            DataError: none has.
        """
        labeled = np.array([value is not None and value == value for value in self.human])
        if not labeled.any():
            raise DataError(f"`{column}` has no label in any of {len(labeled):,} rows: label some rows by hand first.")
        return labeled

    def sampled(self, sample: SampledRows | None) -> _Labels:
        """The labels without the human labels of rows that were not sampled."""
        if sample is None:
            return self
        return replace(
            self, human=[value if counts else None for value, counts in zip(self.human, sample.counted, strict=True)]
        )

    def positive(self, name: str | None) -> str | None:
        """The positive class, spelled as in the labels; by default the second of two classes.

        Raises:
            ConfigError: no class is named and there are not two.
        """
        if self.numeric:
            return None
        names = sorted({str(label) for label in (*self.human, *self.llm) if label is not None})
        if name is not None:
            return one_spelling([[name]], names, normalize=True)[0][0][0] if self.normalize else name
        if len(names) != 2:
            raise ConfigError(f"`positive` is missing and there are {len(names)} classes: name the positive class.")
        return names[1]


def _read_labels(
    dataset: Table,
    columns: tuple[str, str, str | None],
    *,
    numeric: bool,
    normalize: bool,
) -> _Labels:
    present = [column for column in columns if column]
    if numeric:
        known, notes = None, tuple[str, ...]()
        values: list[Any] = [column_values(dataset, column) for column in present]
    else:
        read = [read_names(dataset, column) for column in present]
        known = next((each for _, each in read[:2] if each), None)
        values, notes = one_spelling([each for each, _ in read], known or (), normalize=normalize)
    prediction = values[2] if columns[2] else None
    return _Labels(columns[1], values[0], values[1], prediction, known, numeric, normalize, notes)
