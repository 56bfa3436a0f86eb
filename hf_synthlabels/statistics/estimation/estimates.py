"""Estimates of each quantity by every estimator, as values, text and JSON, with notes on their limits."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity
from hf_synthlabels.statistics.estimation.estimate_notes import MIN_OF_A_GROUP, label_notes, undefined_reason
from hf_synthlabels.statistics.estimation.estimators import PointEstimate, classical, dsl, naive, ppi, predicted_labels
from hf_synthlabels.statistics.estimation.label_rows import Inference, LabelRows
from hf_synthlabels.statistics.estimation.variance import own_rows
from hf_synthlabels.statistics.exhibits import align, shorten, wrap
from hf_synthlabels.statistics.intervals import Interval, fields_as_json
from hf_synthlabels.statistics.missing_labels.bounds import QuantityBounds, bounds_table

NAME_WIDTH = 30

ESTIMATORS = ("naive", "classical", "ppi", "dsl")


@dataclass(frozen=True, slots=True)
class StandardError:
    """Standard error of an estimate; nan where it is undefined."""

    error: float
    dof: float
    """Degrees of freedom of Student's t."""


@dataclass(frozen=True, slots=True)
class QuantityEstimate:
    """One quantity by each estimator."""

    name: str
    naive: Interval
    """LLM labels treated as human labels; its interval does not reflect LLM errors."""
    classical: Interval
    """Human labels only, inverse-probability weighted."""
    ppi: Interval
    """PPI++: LLM labels, bias-corrected with human labels."""
    dsl: Interval
    """Design-based supervised learning: predicted human labels, bias-corrected with human labels."""
    lam: float
    """Weight of the LLM labels in PPI++, from 0 to 1."""
    effective_ppi: float
    """Effective sample size of PPI++: human labels with the same precision; nan where nothing varies."""
    effective_dsl: float
    """Effective sample size of DSL."""
    errors: Mapping[str, StandardError]
    """Standard errors by estimator."""
    too_few: bool = False
    """Whether a group has too few human labels for an interval; then all but `naive` are nan."""

    @property
    def n(self) -> int:
        """Human labels of its group, class or category."""
        return self.classical.n

    def to_dict(self) -> dict[str, Any]:
        """The fields and `n` as JSON types; nan becomes None."""
        return {**fields_as_json(self), "n": self.n}


@dataclass(frozen=True, slots=True)
class EstimateReport:
    """Estimates of one analysis. Print it for a table; `to_json` keeps everything."""

    what: str
    """Description of the analysis."""
    level: float
    n_rows: int
    """Rows with and without a human label."""
    n_human: int
    """Rows with a human label."""
    n_labelled: int
    """Rows with an LLM label."""
    n_clusters: int | None
    """Clusters with a human label; None without clusters."""
    equal_probabilities: bool
    """Whether all rows had the same inclusion probability."""
    estimates: tuple[QuantityEstimate, ...]
    notes: tuple[str, ...] = ()
    bounds: tuple[QuantityBounds, ...] = ()
    """Worst and best case of quantities with missing labels."""

    def __iter__(self) -> Iterator[QuantityEstimate]:
        return iter(self.estimates)

    def __getitem__(self, name: str) -> QuantityEstimate:
        """The quantity of that name.

        Raises:
            DataError: there is none.
        """
        for each in self.estimates:
            if each.name == name:
                return each
        raise DataError(f"`{name}` is not estimated here; available: {', '.join(each.name for each in self)}.")

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The table for a terminal that is `width` characters wide; None for any width."""
        caption = (
            f"{100 * self.level:g}% intervals; n: human labels; effective n: human labels with the same precision. "
            "Naive intervals do not reflect LLM errors."
        )
        notes = [wrap(note, width) for note in self.notes]
        notes += [bounds_table(self.bounds, self.level, width)] if self.bounds else []
        return "\n\n".join(
            [self.head(width), align(self._cells(width), {1, 6, 7}, width), wrap(caption, width), *notes]
        )

    def head(self, width: int | None = None) -> str:
        """What is estimated, and from how many rows."""
        sampling = "equal" if self.equal_probabilities else "unequal, known"
        clusters = "" if self.n_clusters is None else f", in {self.n_clusters:,} clusters"
        counts = (
            f"rows {self.n_rows:,}, with an LLM label {self.n_labelled:,}, with a human label "
            f"{self.n_human:,}{clusters}; inclusion probabilities: {sampling}"
        )
        return "\n".join(part if width is None else wrap(part, width) for part in (self.what, counts))

    def _cells(self, width: int | None) -> list[tuple[str, ...]]:
        # In a narrow table the last two columns need not be side by side.
        last = "DSL" if width is None else "effective n: DSL"
        lines: list[tuple[str, ...]] = [("", "n", "naive", "classical", "PPI++", "DSL", "effective n: PPI++", last)]
        for each in self.estimates:
            corrected = (each.classical, each.ppi, each.dsl)
            lines.append(
                (
                    shorten(each.name, NAME_WIDTH),
                    f"{each.n:,}",
                    _interval_text(each.naive),
                    *("too few" if each.too_few else _interval_text(interval) for interval in corrected),
                    *("-" if math.isnan(n) else f"{n:,.0f}" for n in (each.effective_ppi, each.effective_dsl)),
                )
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; None where undefined."""
        return fields_as_json(self)

    def to_csv(self) -> str:
        """A table with one line per quantity: human labels, then estimate and interval limits of each estimator."""
        estimators = ("naive", "classical", "ppi", "dsl")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = (f"{name}{end}" for name in estimators for end in ("", "_low", "_high"))
        writer.writerow(["quantity", "n", *names])
        for each in self.estimates:
            intervals = [getattr(each, name) for name in estimators]
            values = (value for interval in intervals for value in (interval.estimate, interval.low, interval.high))
            cells = ("" if math.isnan(value) else repr(float(value)) for value in values)
            writer.writerow([each.name, each.n, *cells])
        return text.getvalue()

    def to_json(self) -> str:
        """`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def _interval_text(interval: Interval) -> str:
    """Three decimals, or as many digits as a narrow interval needs, such as that of a coefficient of income."""
    width = interval.high - interval.low
    if not math.isfinite(width) or width == 0 or 0.002 <= width < 1e6:
        return str(interval)
    decimals = 2 - math.floor(math.log10(width))
    numbers = (interval.estimate, interval.low, interval.high)
    if 0 <= decimals <= 6:
        estimate, low, high = (f"{value:.{decimals}f}" for value in numbers)
    else:
        estimate, low, high = (f"{value:.3e}" for value in numbers)
    return f"{estimate} [{low}, {high}]"


def estimate_all(
    what: str,
    estimands: Sequence[Estimand],
    rows: LabelRows,
    inference: Inference,
    notes: Sequence[str] = (),
    dependent: Sequence[str] = (),
) -> EstimateReport:
    """Estimate each quantity with the naive, classical, PPI++ and DSL estimators.

    Args:
        what: description of the analysis.
        estimands: with their quantities.
        rows: labels and sampling design.
        inference: settings.
        notes: further notes.
        dependent: predictors that are linear combinations of others.
    """
    predictions = predicted_labels(rows, inference)
    estimates: list[QuantityEstimate] = []
    reasons: dict[str, list[str]] = {}
    for estimand in estimands:
        results = [estimator(estimand, rows, inference) for estimator in (naive, classical, ppi)]
        results.append(dsl(estimand, rows, inference, predictions))
        for quantity, *points in zip(estimand.quantities, *results, strict=True):
            estimate = _quantity_estimate(rows, quantity, *points)
            estimates.append(estimate)
            if math.isnan(estimate.classical.low) and not estimate.too_few:
                reasons.setdefault(undefined_reason(estimand, rows, dependent), []).append(estimate.name)
    undefined = [f"{', '.join(names)}: no estimate, because {reason}." for reason, names in reasons.items()]
    return EstimateReport(
        what=what,
        level=inference.level,
        n_rows=len(rows.llm),
        n_human=rows.n,
        n_labelled=int(rows.scored.sum()),
        n_clusters=None if rows.clusters is None else rows.units,
        equal_probabilities=rows.probabilities is None,
        estimates=tuple(estimates),
        notes=(*label_notes(rows, estimates), *notes, *undefined),
    )


def _quantity_estimate(
    rows: LabelRows,
    quantity: Quantity,
    from_llm: PointEstimate,
    from_human: PointEstimate,
    from_ppi: PointEstimate,
    from_dsl: PointEstimate,
) -> QuantityEstimate:
    n = int(sum(group.sum() for group in own_rows(quantity, rows)))
    size = int(sum(part.sum() for part in quantity.parts)) if quantity.parts else len(rows.llm)
    # In a finite population, a group that was labeled completely is known.
    unknown = [part for part in quantity.parts if not (rows.finite and (rows.population_correction[part] == 0).all())]
    too_few = any((rows.labeled & part).sum() < MIN_OF_A_GROUP for part in unknown)

    def effective_n(estimate: PointEstimate) -> float:
        if not (estimate.variance > 0 and from_human.variance > 0) or too_few:
            return math.nan
        ratio = from_human.variance / estimate.variance
        # In a finite population the variance is (1 / n - 1 / N) times that of a row, and all N rows are the most.
        least = 1 / size if rows.finite else 0.0
        return min(float(size), 1 / ((1 / n - least) / ratio + least))

    def interval(estimate: PointEstimate) -> Interval:
        shown = estimate.interval
        return Interval.undefined(shown.level, shown.method, shown.n) if too_few else shown

    return QuantityEstimate(
        name=quantity.name,
        naive=from_llm.interval,
        classical=interval(from_human),
        ppi=interval(from_ppi),
        dsl=interval(from_dsl),
        lam=from_ppi.lam,
        effective_ppi=effective_n(from_ppi),
        effective_dsl=effective_n(from_dsl),
        errors={
            name: StandardError(math.nan if too_few and name != "naive" else _root(point.variance), point.dof)
            for name, point in zip(ESTIMATORS, (from_llm, from_human, from_ppi, from_dsl), strict=True)
        },
        too_few=too_few,
    )


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance >= 0 else math.nan
