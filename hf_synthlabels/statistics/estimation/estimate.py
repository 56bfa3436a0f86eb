"""Estimates from the label columns of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Mask, class_list, number_column
from hf_synthlabels.statistics.design.human_rows import PROBABILITY, SampledRows, sampled_rows
from hf_synthlabels.statistics.estimation.analyses import (
    estimate_difference,
    estimate_f1,
    estimate_mean,
    estimate_prevalence,
)
from hf_synthlabels.statistics.estimation.estimands import Family
from hf_synthlabels.statistics.estimation.estimates import EstimateReport
from hf_synthlabels.statistics.estimation.label_rows import Inference
from hf_synthlabels.statistics.missing_labels.bounds import QuantityBounds
from hf_synthlabels.statistics.missing_labels.estimate_bounds import ReportedLabels, estimate_bounds
from hf_synthlabels.statistics.raters.table_raters import soft_labels, with_majority
from hf_synthlabels.statistics.raters.votes import read_votes, votes_columns
from hf_synthlabels.statistics.regression.domain import Domain
from hf_synthlabels.statistics.regression.formula_data import estimate_columns, with_columns, with_default
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    column_feature,
    column_values,
    feature_kind,
    one_spelling,
    read_names,
)

KINDS = {True: "text-scale", False: "text-classification"}
"""Task type of labels by whether they are numbers."""

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
    votes: str | Sequence[str] | None = None,
    soft: bool = False,
    normalize_labels: bool = False,
    domain: Domain | None = None,
) -> EstimateReport:
    """Estimate one quantity with the naive, the classical, the PPI++ and the DSL estimator.

    Args:
        dataset: one split, for example a `datasets.Dataset`.
        human: column of human labels, None where missing. `inclusion_probability` is null for rows not sampled.
        llm: column of LLM labels. `<llm>_confidence` helps DSL to predict human labels.
        estimand: "prevalence" of each class (default for names), "mean" (default for numbers), or "f1" of predictions.
        groups: column whose groups are compared.
        formula: regression, such as "bias ~ topic * year + C(outlet)"; text and class names are categories.
        variables: LLM variables of the formula by name: columns of LLM and of human labels. `llm` is one with `human`.
        family: "linear" or "logistic" (default of classes).
        positive: class of groups, or of a regression's outcome; by default the second of two classes, sorted.
        prediction: column of the predictions that F1 scores; by default the LLM labels.
        clusters: column of cluster ids.
        inference: level, folds and seed; its probabilities, clusters and features are those of the columns.
        votes: as in `validate`. Human labels of rows without a majority are the shares of their votes.
        soft: whether those of all rows with votes are.
        normalize_labels: whether names that differ only in case or white space are one class.
        domain: rows of the regression, by LLM labels and by human labels; by default all.

    Raises:
        DataError: a column is missing or holds other values, or no human label counts.
        ConfigError: the options contradict each other.
    """
    inference, numeric = inference or Inference(), _is_numeric(dataset, llm, formula, groups, estimand)
    voted = with_majority(dataset, human, llm, KINDS[numeric], votes, normalize=normalize_labels)
    if formula is not None:
        columns = (formula, with_default(voted, variables, human, llm), clusters, inference)
        return estimate_columns(voted, columns, family, positive, normalize=normalize_labels, domain=domain)
    labels = _labels(voted, (human, llm, prediction), votes, numeric=numeric, soft=soft, normalize=normalize_labels)
    return _weighted(dataset, labels, inference, clusters, (human, llm), estimand, groups, positive)


def _is_numeric(dataset: Table, llm: str, formula: str | None, groups: str | None, estimand: str | None) -> bool:
    """Whether labels are numbers, by the estimand or the type of the column.

    Raises:
        ConfigError: the options contradict each other.
    """
    if formula is not None and (groups or estimand):
        raise ConfigError("`formula` cannot be combined with `groups` or `estimand`: leave them out.")
    return feature_kind(column_feature(dataset, llm)) == "text-scale" if estimand is None else estimand == "mean"


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
    labels = labels.sampled(sample)
    report = _analyze(dataset, labels, inference, estimand, groups, positive)
    bounds = () if estimand == "f1" else _bounds(dataset, labels, inference, groups, positive, report)
    notes = (*labels.notes, *(() if sample is None else sample.notes), *report.notes)
    return replace(report, notes=notes, bounds=bounds)


def _bounds(
    dataset: Table,
    labels: _Labels,
    inference: Inference,
    groups: str | None,
    positive: str | None,
    report: EstimateReport,
) -> tuple[QuantityBounds, ...]:
    """Bounds of the quantities for missing labels."""
    sampled = np.array([label is not None and label == label for label in labels.human])
    if PROBABILITY in (dataset.column_names or ()):
        probabilities = number_column(column_values(dataset, PROBABILITY), PROBABILITY)
        sampled = ~np.isnan(probabilities)
        inference = replace(inference, probabilities=np.where(sampled, probabilities, 1.0))
    members = None if groups is None else column_values(dataset, groups)
    positive = None if groups is None else labels.positive(positive)
    known = ReportedLabels(labels.human, labels.llm, labels.numeric, members, positive)
    return estimate_bounds(known.quantities(report), sampled, known.scale(), inference, report)


def _labels(
    dataset: Table,
    columns: tuple[str, str, str | None],
    votes_column: str | Sequence[str] | None,
    *,
    numeric: bool,
    soft: bool,
    normalize: bool,
) -> _Labels:
    """Labels in which rows without a majority have the shares of their votes, with a note."""
    labels = _read_labels(dataset, columns, numeric=numeric, normalize=normalize)
    voted = votes_columns(dataset, columns[0], votes_column)
    if not voted:
        return labels
    votes = read_votes(dataset, voted, KINDS[labels.numeric], normalize=labels.normalize)
    human = soft_labels(votes, labels.human, numeric=labels.numeric, every=soft)
    changed = sum(new is not old for new, old in zip(human, labels.human, strict=True))
    if not changed:
        return labels
    what = "the mean of their votes" if labels.numeric else "the shares of their votes"
    note = f"{changed:,} rows without a majority of the votes have {what} as the human label: each vote counts equally."
    if soft:
        note = f"{changed:,} rows have {what} as the human label: estimates are of what a random rater would answer."
    return replace(labels, human=human, notes=(*labels.notes, note))


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
        names = class_list(None, self.human, self.llm)
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
