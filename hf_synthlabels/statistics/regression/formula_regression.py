"""Regressions by formula: the moments of the whole regression are corrected with human labels.

Any of the outcome and the predictors may be LLM variables. The moments of a row, X x (y - expected y), are computed
from its human labels, from its LLM labels, and for DSL from predicted labels, and corrected like a mean: see
`estimators`. A row counts as human-labeled only if all LLM variables of the formula have a human label in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import MAX_SHOWN, Floats, Mask, number_column, plain_column
from hf_synthlabels.statistics.estimation.estimands import Family, Regression
from hf_synthlabels.statistics.estimation.estimate_notes import rare_classes
from hf_synthlabels.statistics.estimation.estimates import estimate_all
from hf_synthlabels.statistics.estimation.label_rows import Inference, LabelRows, label_rows
from hf_synthlabels.statistics.regression.coefficients import RegressionReport
from hf_synthlabels.statistics.regression.design import (
    INTERCEPT,
    Coding,
    Design,
    build_design,
    code_factor,
    orthogonal_basis,
    regression_of,
)
from hf_synthlabels.statistics.regression.domain import Domain, members, on_domain
from hf_synthlabels.statistics.regression.factors import Column, Factor, as_names, level_name, sorted_levels
from hf_synthlabels.statistics.regression.formula import Formula, parse_formula


def estimate_formula(
    formula: str,
    columns: Mapping[str, Any],
    variables: Mapping[str, tuple[Any, Any]],
    *,
    family: Family | None = None,
    positive: Any = None,
    inference: Inference | None = None,
    domain: Domain | None = None,
) -> RegressionReport:
    """The coefficients of a regression that a formula describes.

    Args:
        formula: outcome and predictors, such as "bias ~ topic * year + C(outlet)".
        columns: values by name, known for all rows. Text is coded as indicators, with the first category, sorted, as
            the reference level. Rows with a missing value are left out.
        variables: LLM labels and human labels by name, None or nan where missing.
        family: "linear" for least squares, or "logistic" for log odds; by default logistic for classes.
        positive: the class of the outcome that counts as 1; by default the second of two, sorted.
        inference: sampling design and settings.
        domain: rows of the regression by LLM labels and by human labels; by default all.

    Raises:
        DataError: a column is unknown or unusable, or a variable has no human label.
        ConfigError: the formula or an option is invalid.
    """
    if family not in (None, "linear", "logistic"):
        raise ConfigError(f"`family` is {family!r}: give 'linear' or 'logistic'.")
    parsed = parse_formula(formula)
    data = _read(parsed, columns, variables if domain is None else domain.inside(variables))
    kept, notes = data.complete()
    domain = None if domain is None else domain.take(kept)
    outcome, positive = _outcome(data, parsed.outcome, positive)
    family = family or ("linear" if positive is None else "logistic")
    codings = {text: data.coding(factor, kept) for text, factor in parsed.factors.items()}
    known_outcome = None if outcome.human is not None else outcome.llm[kept, 0]
    products = parsed.products([text for text, coding in codings.items() if coding.levels])
    design, *labels = build_design(parsed, products, codings, known_outcome, int(kept.sum()))
    if outcome.human is not None:
        labels = [np.column_stack([outcome.llm[kept], labels[0]]), np.column_stack([outcome.human[kept], labels[1]])]
    if family == "logistic":
        _check_unit_interval(outcome)
    rows = _label_rows(design, labels, _subset(inference or Inference(), kept), domain)
    estimand, dependent = _estimand(design, rows, codings, family)
    notes += [] if domain is None else [domain.note()]
    notes += _variable_notes(data, codings, rows.labeled, kept, outcome, positive)
    what = f"{family} regression: {parsed.text}"
    report = estimate_all(what, [estimand], rows, inference or Inference(), notes, dependent)
    return RegressionReport.of(report, parsed.text, family, None if positive is None else str(positive))


@dataclass(frozen=True, slots=True)
class _Data:
    """Columns of a formula by LLM labels and by human labels; the same where a column is known."""

    llm: Mapping[str, Column]
    human: Mapping[str, Column]
    variables: tuple[str, ...]
    """Names of the LLM variables in the formula."""

    @property
    def rows(self) -> int:
        return len(next(iter(self.llm.values())))

    def labeled(self) -> Mask:
        """Rows with a human label of every LLM variable."""
        labeled: Mask = np.all([~_missing(self.human[name]) for name in self.variables], axis=0)
        return labeled

    def complete(self) -> tuple[Mask, list[str]]:
        """Rows in which all known columns have a value, and notes on the others.

        Raises:
            DataError: there is none.
        """
        notes = []
        missing = {name: _missing(column) for name, column in self.llm.items() if name not in self.variables}
        kept = ~np.any(list(missing.values()), axis=0) if missing else np.ones(self.rows, dtype=np.bool_)
        if not kept.any():
            raise DataError("`formula` has no row in which all of its known columns have a value: fill them first.")
        if left_out := int((~kept).sum()):
            named = ", ".join(f"`{name}` ({int(rows.sum()):,})" for name, rows in missing.items() if rows.any())
            notes.append(f"{left_out:,} of {self.rows:,} rows are left out, because values are missing: {named}.")
        labeled = np.array([~_missing(self.human[name]) for name in self.variables])
        if partly := int((labeled.any(axis=0) & ~labeled.all(axis=0) & kept).sum()):
            notes.append(
                f"{partly:,} rows have a human label of some, but not of all of {', '.join(self.variables)}: they "
                "count as unlabeled."
            )
        return np.asarray(kept), notes

    def reads_labels(self, factor: Factor) -> bool:
        """Whether a factor depends on an LLM variable."""
        return any(name in self.variables for name in factor.columns)

    def coding(self, factor: Factor, kept: Mask | None = None) -> Coding:
        """A factor as numbers."""
        sides = [factor.values(self.llm)]
        sides += [factor.values(self.human)] if self.reads_labels(factor) else []
        if kept is not None:
            sides = [_take(side, kept) for side in sides]
        return code_factor(factor, sides[0], sides[1] if len(sides) > 1 else None)


def _read(parsed: Formula, columns: Mapping[str, Any], variables: Mapping[str, tuple[Any, Any]]) -> _Data:
    llm: dict[str, Column] = {}
    human: dict[str, Column] = {}
    names = tuple(name for name in parsed.columns if name in variables)
    if not names:
        known = ", ".join(f"`{name}`" for name in variables) or "none is declared"
        raise ConfigError(
            f"`formula` has no LLM variable ({known}), so there is nothing to correct: name one, or declare it with "
            "`--variable name=llm_column:human_column` (in Python `variables`)."
        )
    for name in parsed.columns:
        if name in variables:
            llm[name], human[name] = _alike(name, *variables[name])
        elif name in columns:
            llm[name] = human[name] = _column(columns[name], name)
        else:
            known = ", ".join(f"`{each}`" for each in (*variables, *columns))
            raise DataError(f"`formula` names `{name}`, which is not a column: give one of {known}.")
    lengths = {name: len(values) for name, values in (*llm.items(), *human.items())}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"`{name}` {length:,}" for name, length in lengths.items())
        raise DataError(f"`columns` differ in their number of rows ({shown}): give one value for each row.")
    data = _Data(llm, human, names)
    for name in names:
        if _missing(llm[name]).all():
            raise DataError(f"`{name}` has no LLM label in any row: annotate some rows first.")
        if _missing(human[name]).all():
            raise DataError(f"`{name}` has no human label in any of {data.rows:,} rows: label some rows by hand first.")
    if not data.labeled().any():
        raise DataError(f"`formula` has no row with human labels of all of {', '.join(names)}: label the same rows.")
    return data


def _column(values: Any, name: str) -> Column:
    """Numbers, or names if any value is text."""
    array = np.asarray(values, dtype=object)
    texts = sum(isinstance(value, str) for value in array.tolist()) if array.ndim == 1 else 0
    if not texts:
        return number_column(values, name)
    names = plain_column(values, name)
    if numbers := len(names) - names.count(None) - texts:
        raise DataError(f"`{name}` has text and, in {numbers:,} rows, numbers: give numbers only or text only.")
    return names


def _alike(name: str, llm: Any, human: Any) -> tuple[Column, Column]:
    """Labels by the LLM and by humans, both as names if either is."""
    sides = [_column(llm, name), _column(human, name)]
    if any(isinstance(side, list) for side in sides):
        return as_names(sides[0]), as_names(sides[1])
    return sides[0], sides[1]


def _missing(column: Column) -> Mask:
    if isinstance(column, list):
        return np.array([value is None for value in column], dtype=np.bool_)
    return np.isnan(column)


def _take(column: Column, kept: Mask) -> Column:
    if isinstance(column, list):
        return [value for value, keep in zip(column, kept, strict=True) if keep]
    return column[kept]


def _outcome(data: _Data, factor: Factor, positive: Any) -> tuple[Coding, str | None]:
    """The outcome as numbers, and the class that counts as 1 where it has classes."""
    sides = [factor.values(data.llm)]
    sides += [factor.values(data.human)] if data.reads_labels(factor) else []
    if positive is None and not any(isinstance(side, list) for side in sides):
        numbers = [np.asarray(side, dtype=np.float64)[:, None] for side in sides]
        return Coding(factor.text, factor.text, numbers[0], numbers[1] if len(numbers) > 1 else None), None
    names = [as_names(side) for side in sides]
    classes = sorted_levels(*names)
    if positive is None and len(classes) != 2:
        shown = ", ".join(classes[:MAX_SHOWN])
        raise ConfigError(
            f"`positive` is missing and `{factor.text}` has {len(classes):,} classes ({shown}): name the class that "
            "counts as 1."
        )
    chosen = classes[1] if positive is None else level_name(positive)
    if chosen not in names[-1]:
        raise DataError(f"`{factor.text}` is {chosen!r} in no row with a known label: check `positive`.")
    coded = [np.array([np.nan if name is None else float(name == chosen) for name in side])[:, None] for side in names]
    return Coding(factor.text, factor.text, coded[0], coded[1] if len(coded) > 1 else None), chosen


def _label_rows(design: Design, labels: Sequence[Floats], inference: Inference, domain: Domain | None) -> LabelRows:
    """The labels by the LLM and by humans with their sampling design, and of a domain with the membership."""
    llm, human = labels if domain is None else domain.with_membership(*labels)
    rows = label_rows(human, llm, inference)
    features = np.column_stack([rows.features, design.features(rows.llm)])
    return replace(rows, features=features, domain=None if domain is None else members(rows.human))


def _estimand(
    design: Design, rows: LabelRows, codings: dict[str, Coding], family: Family
) -> tuple[Regression, list[str]]:
    """The regression, and the columns that are linear combinations of others."""
    basis = orthogonal_basis(_basis_rows(design, rows), INTERCEPT in design.names)
    regression = regression_of(design, basis, codings, family)
    dependent = [design.names[place] for place in basis.dependent]
    return regression if rows.domain is None else on_domain(regression, rows.domain), dependent


def _basis_rows(design: Design, rows: LabelRows) -> Floats:
    """The rows by which columns become orthogonal: by LLM labels and by human labels, of a domain those in it."""
    by_llm, by_human = np.ones(len(rows.labeled), dtype=np.bool_), rows.labeled
    if rows.domain is not None:
        by_llm, by_human = members(rows.llm), rows.domain & rows.labeled
    if design.label_free:
        return design.known[by_llm | by_human]
    return np.concatenate([design.matrix(rows.llm)[by_llm], design.matrix(rows.human)[by_human]])


def _subset(inference: Inference, kept: Mask) -> Inference:
    """The settings of the rows that are kept."""
    if kept.all():
        return inference
    given = {name: getattr(inference, name) for name in ("probabilities", "clusters", "features")}
    parts: dict[str, ArrayLike] = {
        name: np.asarray(values)[kept] for name, values in given.items() if values is not None
    }
    return replace(inference, **parts)  # type: ignore[arg-type]


def _check_unit_interval(outcome: Coding) -> None:
    for values in (outcome.llm, outcome.human):
        if values is not None and ((values < 0) | (values > 1)).any():
            raise DataError(
                f"`{outcome.text}` has values outside 0 to 1: a logistic regression needs an outcome from 0 to 1, or "
                "classes."
            )


def _variable_notes(
    data: _Data, codings: Mapping[str, Coding], labeled: Mask, kept: Mask, outcome: Coding, positive: str | None
) -> list[str]:
    """Notes on which columns are corrected, on reference levels, and on classes with few human labels."""
    known = [name for name in data.llm if name not in data.variables]
    note = f"LLM variables, corrected with human labels: {', '.join(data.variables)}."
    notes = [f"{note} Taken as known without error: {', '.join(known)}." if known else note]
    references = [f"{coding.name} = {coding.levels[coding.reference]}" for coding in codings.values() if coding.levels]
    if references:
        notes.append(f"Reference levels: {', '.join(references)}.")
    names, counts = [], []
    for coding in codings.values():
        if coding.levels and coding.human is not None:
            names += [f"{coding.name} = {level}" for level in coding.levels]
            counts += np.nansum(coding.human[labeled], axis=0).tolist()
    if positive is not None and outcome.human is not None:
        share = float(outcome.human[kept][labeled].sum())
        names += [f"{outcome.text} = {positive}", f"{outcome.text} = other"]
        counts += [share, int(labeled.sum()) - share]
    return [*notes, *rare_classes(names, counts)]
