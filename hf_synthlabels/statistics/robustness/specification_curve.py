"""Specification curves from the label columns of a data set: one analysis under each variant.

Specification curves were proposed by Simonsohn, Simmons & Nelson (2020). Here the specifications are the prompts,
models and settings of the annotator, whose choice changes conclusions from uncorrected LLM labels (Baumann et al. 2025,
arXiv 2509.08825).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Mask
from hf_synthlabels.statistics.estimation.estimate import estimate
from hf_synthlabels.statistics.estimation.estimates import EstimateReport, QuantityEstimate
from hf_synthlabels.statistics.estimation.label_rows import Inference
from hf_synthlabels.statistics.regression.coefficients import RegressionReport
from hf_synthlabels.statistics.regression.design import INTERCEPT
from hf_synthlabels.statistics.robustness.curve_report import SpecificationReport
from hf_synthlabels.statistics.robustness.quantity_curve import QuantityCurve, VariantEstimate
from hf_synthlabels.statistics.robustness.selection import is_known, label_matrix, select_variant
from hf_synthlabels.statistics.robustness.tuned_rows import holdout_table, tuned_note
from hf_synthlabels.statistics.robustness.variant_agreement import alpha_interval, groups_by_choice
from hf_synthlabels.statistics.robustness.variants import Variant
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_values

Corrected = Literal["ppi", "dsl"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What the curve is about."""

    quantities: Sequence[str] = ()
    """Names of quantities; by default differences, coefficients, or the last of two classes."""
    null: float | None = None
    """The value that estimates are compared with; by default 0 for differences and coefficients."""
    estimator: Corrected = "ppi"
    """The corrected estimator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Options of `estimate` that are the same for all variants."""

    human: str = "label"
    llm: str = "llm_label"
    """Name of the variants' labels in a formula."""
    formula: str | None = None
    groups: str | None = None
    variables: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options: estimand, family, positive, clusters, normalize_labels."""
    inference: Inference = field(default_factory=Inference)

    def humans(self) -> list[str]:
        """The columns of human labels that the analysis reads."""
        return list(dict.fromkeys([self.human, *(human for _, human in self.variables.values())]))

    def under(self, dataset: Table, variant: Variant, level: float) -> EstimateReport:
        """The estimates of one variant."""
        options = {**self.options, "human": self.human, "inference": replace(self.inference, level=level)}
        if self.formula is None:
            return estimate(dataset, llm=variant.column, groups=self.groups, **options)
        declared = {**self.variables, self.llm: (variant.column, self.human)}
        return estimate(dataset, llm=self.llm, formula=self.formula, variables=declared, **options)


def specification_curve(
    dataset: Table,
    variants: Sequence[Variant],
    analysis: Analysis | None = None,
    conclusion: Conclusion | None = None,
    tune: Mask | None = None,
) -> SpecificationReport:
    """Estimate the same quantities from the labels of each variant.

    Args:
        dataset: one split, with a column of labels for each variant.
        variants: two or more.
        analysis: what is estimated.
        conclusion: quantities, null value and corrected estimator.
        tune: rows whose human labels choose a variant and do not count in the estimates, shape (rows,).

    Raises:
        DataError: a column is missing, or a quantity is not estimated.
        ConfigError: fewer than two variants have labels, or options contradict each other.
    """
    analysis, conclusion = analysis or Analysis(), conclusion or Conclusion()
    _check(analysis, conclusion, variants)
    kept = [each for each in variants if any(is_known(value) for value in column_values(dataset, each.column))]
    if len(kept) < 2:
        raise ConfigError(f"`variants` has labels in {len(kept)} column: give two or more columns with labels.")
    level = analysis.inference.level
    columns = [each.column for each in kept]
    chosen = None if tune is None else select_variant(dataset, columns, analysis.human, tune, level)
    table = dataset if tune is None else holdout_table(dataset, tune, analysis.humans())
    reports = _reports(table, kept, analysis, conclusion)
    first = reports[0][0]
    names, null = _quantities(first, analysis, conclusion)
    curves = tuple(_curve(name, null, conclusion.estimator, kept, reports) for name in names)
    notes = _left_out([each.name for each in variants if each not in kept], tune)
    matrix, scale = label_matrix(dataset, columns)
    groups = groups_by_choice([dict(each.choices) for each in kept])
    groups = groups if len(groups) > 1 else {}
    return SpecificationReport(
        what=first.what,
        level=level,
        estimator=conclusion.estimator,
        n_rows=first.n_rows,
        n_human=first.n_human,
        curves=curves,
        agreement=alpha_interval(matrix, scale),
        agreement_by_choice={name: alpha_interval(matrix, scale, places) for name, places in groups.items()},
        selection=chosen,
        notes=(*notes, *_shared_notes(reports)),
    )


Reports = Sequence[tuple[EstimateReport, EstimateReport]]
"""For each variant its estimates, and those with the level that all variants together need."""


def _reports(dataset: Table, variants: Sequence[Variant], analysis: Analysis, conclusion: Conclusion) -> Reports:
    if conclusion.estimator == "ppi":
        # The splits into folds are those of DSL.
        analysis = replace(analysis, inference=replace(analysis.inference, splits=1))
    level = analysis.inference.level
    together = 1 - (1 - level) / len(variants)
    return [(analysis.under(dataset, each, level), analysis.under(dataset, each, together)) for each in variants]


def _left_out(empty: Sequence[str], tune: Mask | None) -> list[str]:
    """Notes on variants without labels and on tuned rows."""
    notes = [f"{', '.join(empty)}: no label in any row, left out."] if empty else []
    return notes if tune is None else [*notes, tuned_note(tune)]


def _check(analysis: Analysis, conclusion: Conclusion, variants: Sequence[Variant]) -> None:
    if conclusion.estimator not in ("ppi", "dsl"):
        raise ConfigError(f"`estimator` is {conclusion.estimator!r}: give ppi or dsl, which correct each variant.")
    if any(each.column == analysis.human for each in variants):
        raise ConfigError(f"`variants` includes {analysis.human!r}, the human labels: name columns of LLM labels.")


def _quantities(
    report: EstimateReport, analysis: Analysis, conclusion: Conclusion
) -> tuple[Sequence[str], float | None]:
    """The quantities with a curve, and their null value."""
    names = [each.name for each in report]
    if isinstance(report, RegressionReport):
        default, null = [name for name in names if name != INTERCEPT], 0.0
    elif analysis.groups is not None:
        # Means of all groups, then their differences from the first.
        default, null = names[(len(names) + 1) // 2 :], 0.0
    else:
        default, null = (names[1:] if len(names) == 2 else names), None
    for name in conclusion.quantities:
        report[name]
        # A mean of a group has no natural null value.
        null = null if name in default else None
    return conclusion.quantities or default or names, null if conclusion.null is None else conclusion.null


def _curve(
    name: str,
    null: float | None,
    estimator: str,
    variants: Sequence[Variant],
    reports: Reports,
) -> QuantityCurve:
    estimates = []
    for variant, (report, together) in zip(variants, reports, strict=True):
        own, wide = _named(report, name), _named(together, name)
        if own is None or wide is None:
            raise DataError(f"`{name}` is not estimated for variant {variant.name!r}: its labels lack a class.")
        estimates.append(
            VariantEstimate(variant, report.n_labelled, own.naive, getattr(own, estimator), getattr(wide, estimator))
        )
    estimates.sort(key=lambda each: (each.naive.estimate, each.variant.name))
    return QuantityCurve(name, null, reports[0][0][name].classical, tuple(estimates))


def _named(report: EstimateReport, name: str) -> QuantityEstimate | None:
    return next((each for each in report if each.name == name), None)


def _shared_notes(reports: Reports) -> tuple[str, ...]:
    """Notes that hold for every variant, each once."""
    notes = [set(report.notes) for report, _ in reports]
    shared = set.intersection(*notes)
    return tuple(note for note in reports[0][0].notes if note in shared)
