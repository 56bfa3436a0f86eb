"""The report of a regression by formula."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Self

from scipy import stats

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.estimation.estimands import Family
from hf_synthlabels.statistics.estimation.estimates import ESTIMATORS, EstimateReport, QuantityEstimate
from hf_synthlabels.statistics.exhibits import wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json
from hf_synthlabels.statistics.regression.coefficient_tables import (
    TITLES,
    Coefficient,
    as_csv,
    as_latex,
    as_markdown,
    text_blocks,
)

MAX_EXPONENT = 700
"""Above it an odds ratio is infinite in floating point."""


@dataclass(frozen=True, slots=True)
class RegressionReport(EstimateReport):
    """Estimates of a regression by formula. Print it for a table; `render` gives LaTeX, Markdown, CSV or JSON."""

    formula: str = ""
    family: Family = "linear"
    positive: str | None = None
    """Class of the outcome that counts as 1; None for numbers."""

    @classmethod
    def of(cls, report: EstimateReport, formula: str, family: Family, positive: str | None) -> Self:
        """The report of a regression's estimates."""
        values = {field.name: getattr(report, field.name) for field in fields(report)}
        return cls(**values, formula=formula, family=family, positive=positive)

    def coefficients(self, estimators: Collection[str] = ESTIMATORS) -> tuple[Coefficient, ...]:
        """Every term by some estimators.

        Raises:
            ConfigError: an estimator is unknown, or there is none.
        """
        if unknown := sorted(set(estimators) - set(ESTIMATORS)) or ([] if estimators else ["empty"]):
            raise ConfigError(f"`estimator` is {', '.join(unknown)}: give one of {', '.join(ESTIMATORS)}.")
        chosen = [name for name in ESTIMATORS if name in estimators]
        return tuple(self._coefficient(each, name) for name in chosen for each in self.estimates)

    def text(self, width: int | None = None, estimators: Collection[str] = ESTIMATORS) -> str:
        """A table for each estimator, for a terminal that is `width` characters wide; None for any width."""
        logistic = self.family == "logistic"
        blocks = text_blocks(self.coefficients(estimators), self.level, logistic, width)
        notes = [wrap(note, width) for note in self.notes]
        return "\n\n".join([self.head(width), *blocks, wrap(self._legend(), width), *notes])

    def render(self, suffix: str, estimators: Collection[str] = ESTIMATORS) -> str:
        """The table as `.csv`, `.json`, `.md` or `.tex`.

        Raises:
            ConfigError: the suffix is another one.
        """
        coefficients, logistic = self.coefficients(estimators), self.family == "logistic"
        if suffix == ".csv":
            return as_csv(coefficients)
        if suffix == ".md":
            return as_markdown(coefficients, self.level, logistic, self._caption(estimators))
        if suffix == ".tex":
            return as_latex(coefficients, self.level, logistic, self._caption(estimators))
        if suffix == ".json":
            values = self.to_dict() | {"coefficients": [fields_as_json(each) for each in coefficients]}
            return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        raise ConfigError(f"`output` ends in {suffix!r}: give .csv, .json, .md or .tex.")

    def _legend(self) -> str:
        odds = " OR: odds ratio." if self.family == "logistic" else ""
        return (
            f"n: human labels of each term. SE: robust standard error. p: of a coefficient of 0, by Student's t.{odds} "
            "Naive intervals do not reflect LLM errors."
        )

    def _caption(self, estimators: Collection[str]) -> str:
        """What a reader of a paper has to know, in sentences."""
        outcome = "" if self.positive is None else f" (outcome: {self.positive})"
        clusters = "" if self.n_clusters is None else f" in {self.n_clusters:,} clusters"
        named = ", ".join(TITLES[name] for name in ESTIMATORS if name in estimators)
        errors = "Robust (HC1)" if self.n_clusters is None else "Clustered"
        return (
            f"{self.family.capitalize()} regression {self.formula}{outcome}; {named}. N = {self.n_rows:,} rows, "
            f"{self.n_human:,} with human labels{clusters}. {self._legend().split(' SE:')[0]} {errors} standard errors."
        )

    def _coefficient(self, each: QuantityEstimate, estimator: str) -> Coefficient:
        interval: Interval = getattr(each, estimator)
        error = each.errors[estimator]
        sizes = {"naive": self.n_labelled, "classical": self.n_human}
        effective = {"classical": float(each.n), "ppi": each.effective_ppi, "dsl": each.effective_dsl}
        odds = [
            math.exp(min(value, MAX_EXPONENT)) if self.family == "logistic" else math.nan
            for value in (interval.estimate, interval.low, interval.high)
        ]
        return Coefficient(
            term=each.name,
            estimator=estimator,
            n=sizes.get(estimator, self.n_rows),
            n_human=each.n,
            estimate=interval.estimate,
            se=error.error,
            low=interval.low,
            high=interval.high,
            p=_p_value(interval.estimate, error.error, error.dof),
            odds_ratio=odds[0],
            odds_ratio_low=odds[1],
            odds_ratio_high=odds[2],
            effective_n=effective.get(estimator, math.nan),
            too_few=each.too_few,
        )


def _p_value(estimate: float, error: float, dof: float) -> float:
    if not error > 0 or math.isnan(estimate):
        return math.nan
    return float(2 * stats.t.sf(abs(estimate) / error, dof))
