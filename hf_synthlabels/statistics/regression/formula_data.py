"""The columns of a data set that a formula names, with their LLM and human labels and their sampling design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.arrays import Floats, Mask, number_column
from hf_synthlabels.statistics.design.human_rows import SampledRows, sampled_rows
from hf_synthlabels.statistics.estimation.estimands import Family
from hf_synthlabels.statistics.estimation.label_rows import Inference
from hf_synthlabels.statistics.regression.coefficients import RegressionReport
from hf_synthlabels.statistics.regression.domain import Domain
from hf_synthlabels.statistics.regression.formula import parse_formula
from hf_synthlabels.statistics.regression.formula_regression import estimate_formula
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    column_feature,
    column_values,
    one_spelling,
    read_names,
)

DECLARE = "declare it with `--variable name=llm_column:human_column` (in Python `variables`)"


@dataclass(frozen=True, slots=True)
class FormulaData:
    """What `estimate_formula` gets from a data set."""

    columns: Mapping[str, Any]
    variables: Mapping[str, tuple[Any, Any]]
    inference: Inference
    notes: tuple[str, ...]
    normalize: bool
    domain: Domain | None = None

    def spelled(self, positive: str | None) -> str | None:
        """The positive class as it is spelled in the labels."""
        if positive is None or not self.normalize:
            return positive
        names = {name for sides in self.variables.values() for side in sides for name in side if isinstance(name, str)}
        return one_spelling([[positive]], sorted(names), normalize=True)[0][0][0]


def with_default(
    dataset: Table, variables: Mapping[str, tuple[str, str]] | None, human: str, llm: str
) -> dict[str, tuple[str, str]]:
    """The declared variables, and the pair of `llm` and `human` if the data set has it."""
    present = set(dataset.column_names or ())
    default = {llm: (llm, human)} if {llm, human} <= present else {}
    return {**default, **(variables or {})}


def formula_data(
    dataset: Table,
    formula: str,
    variables: Mapping[str, tuple[str, str]],
    clusters: str | None,
    inference: Inference,
    *,
    normalize: bool,
    domain: Domain | None = None,
) -> FormulaData:
    """Read the columns that a formula names.

    Args:
        dataset: one split.
        formula: names columns and variables.
        variables: columns of LLM labels and of human labels by name.
        clusters: column of cluster ids.
        inference: settings, which get the probabilities, clusters and features of the data set.
        normalize: whether names that differ only in case or white space are one class.
        domain: rows of the regression.

    Raises:
        DataError: a column is missing or holds other values.
        ConfigError: a column has labels and no human labels are declared for it.
    """
    columns: dict[str, Any] = {}
    pairs: dict[str, tuple[Any, Any]] = {}
    notes: tuple[str, ...] = ()
    for name in parse_formula(formula).columns:
        if name not in variables:
            _check_known(dataset, name, variables)
            columns[name] = _values(dataset, name)
            continue
        llm, human = (_values(dataset, column) for column in variables[name])
        if isinstance(llm, list) and isinstance(human, list):
            (llm, human), spelling = one_spelling([llm, human], normalize=normalize)
            notes += spelling
        pairs[name] = (llm, human)
    labeled = _labeled(pairs, domain)
    sample = sampled_rows(dataset, labeled) if labeled.any() else None
    if sample is not None:
        notes += sample.notes
        # Rows that were not sampled have no inclusion probability, so that their labels cannot count.
        outside = labeled & ~sample.counted
        domain = None if domain is None else domain.without(outside)
        pairs = {name: (llm, _without(human, outside)) for name, (llm, human) in pairs.items()}
    llm_columns = [variables[name][0] for name in pairs]
    inference = with_columns(inference, dataset, llm_columns, sample, clusters)
    return FormulaData(columns, pairs, inference, notes, normalize, domain)


def estimate_columns(
    dataset: Table,
    columns: tuple[str, Mapping[str, tuple[str, str]], str | None, Inference],
    family: Family | None,
    positive: str | None,
    *,
    normalize: bool,
    domain: Domain | None = None,
) -> RegressionReport:
    """The regression of a data set's columns, with the notes on reading them.

    Args:
        dataset: one split.
        columns: formula, variables, clusters and settings; see `formula_data`.
        family: linear or logistic.
        positive: class of the outcome that counts as 1.
        normalize: see `formula_data`.
        domain: rows of the regression.
    """
    formula, data = columns[0], formula_data(dataset, *columns, normalize=normalize, domain=domain)
    report = estimate_formula(
        formula,
        data.columns,
        data.variables,
        family=family,
        positive=data.spelled(positive),
        inference=data.inference,
        domain=data.domain,
    )
    return replace(report, notes=(*data.notes, *report.notes))


def with_columns(
    inference: Inference, dataset: Table, llm: Sequence[str], sample: SampledRows | None, clusters: str | None
) -> Inference:
    """The settings with the probabilities, clusters and confidences of the data set.

    Args:
        inference: settings.
        dataset: one split.
        llm: columns of LLM labels, whose confidences are features of DSL.
        sample: inclusion probabilities.
        clusters: column of cluster ids.
    """
    features: list[Floats] = []
    for column in (f"{name}_confidence" for name in llm):
        if column in (dataset.column_names or ()):
            values = number_column(column_values(dataset, column), column)
            missing = np.isnan(values)
            if not missing.all():
                features += [np.where(missing, values[~missing].mean(), values), missing.astype(np.float64)]
    return replace(
        inference,
        probabilities=None if sample is None else np.nan_to_num(sample.probabilities, nan=1.0),
        clusters=None if clusters is None else _texts(column_values(dataset, clusters)),
        features=np.column_stack(features) if features else None,
    )


def _check_known(dataset: Table, name: str, variables: Mapping[str, tuple[str, str]]) -> None:
    """Refuse labels that would be taken as known without error."""
    for variable, (_, human) in variables.items():
        if name == human:
            raise ConfigError(
                f"`formula` names `{name}`, the human labels of `{variable}`: write `{variable}` instead."
            )
    if f"{name}_status" in (dataset.column_names or ()):
        raise ConfigError(
            f"`formula` names `{name}`, which has LLM labels, but no human labels of it are known: {DECLARE}."
        )


def _values(dataset: Table, name: str) -> Any:
    """A column of numbers, or the names of its categories: codes of a ClassLabel are not numbers."""
    values = column_values(dataset, name)
    if hasattr(column_feature(dataset, name), "int2str") or any(isinstance(value, str) for value in values):
        # A CSV file has no other way to leave a cell out.
        return [label or None for label in read_names(dataset, name)[0]]
    return number_column(values, name)


def _labeled(pairs: Mapping[str, tuple[Any, Any]], domain: Domain | None) -> Mask:
    """Rows whose human labels are known."""
    if not pairs:
        return np.zeros(0, dtype=np.bool_)
    present: Mask = np.all([_present(human) for _, human in pairs.values()], axis=0)
    return present if domain is None else domain.labeled(present)


def _present(values: Any) -> Mask:
    return np.array([value is not None and value == value for value in values], dtype=np.bool_)


def _without(values: Any, rows: Mask) -> Any:
    """The values without those of some rows."""
    if isinstance(values, list):
        return [None if out else value for value, out in zip(values, rows, strict=True)]
    return np.where(rows, np.nan, values)


def _texts(values: Sequence[Any]) -> Any:
    return np.array([None if value is None or value != value else str(value) for value in values], dtype=object)
