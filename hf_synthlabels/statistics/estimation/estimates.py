"""Estimates of each quantity by every estimator, with notes on their limits."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hf_synthlabels.statistics.estimation.dsl import dsl, predicted_labels
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Regression
from hf_synthlabels.statistics.estimation.estimators import Estimator, PointEstimate, classical, naive, ppi
from hf_synthlabels.statistics.estimation.label_rows import FEW_LABELS, MIN_TO_LEARN, Inference, LabelRows
from hf_synthlabels.statistics.estimation.report import EstimateReport, QuantityEstimate
from hf_synthlabels.statistics.estimation.variance import own_rows
from hf_synthlabels.statistics.intervals import Interval

MIN_OF_A_GROUP = 10
"""Human labels of a group, class or category below which it gets no interval."""


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
    estimators: list[Estimator] = [
        naive,
        classical,
        ppi,
        functools.partial(dsl, predictions=predicted_labels(rows, inference)),
    ]
    estimates: list[QuantityEstimate] = []
    reasons: dict[str, list[str]] = {}
    for estimand in estimands:
        results = [estimator(estimand, rows, inference) for estimator in estimators]
        for quantity, *points in zip(estimand.quantities, *results, strict=True):
            estimate = _quantity_estimate(rows, quantity, *points)
            estimates.append(estimate)
            if math.isnan(estimate.classical.low) and not estimate.too_few:
                reasons.setdefault(_undefined_reason(estimand, rows, dependent), []).append(estimate.name)
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
        notes=(*_notes(rows, estimates), *notes, *undefined),
    )


def rare_classes(names: Sequence[str], counts: Sequence[float]) -> list[str]:
    """A note on classes with few human labels."""
    rare = [f"{name} ({int(n)})" for name, n in zip(names, counts, strict=True) if n < MIN_OF_A_GROUP]
    if not rare:
        return []
    return [
        f"Classes with fewer than {MIN_OF_A_GROUP} human labels: {', '.join(rare)}. Their intervals are approximate. "
        "Sample more rows of rare classes with `--design stratified --allocation equal`."
    ]


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
        return replace(shown, estimate=math.nan, low=math.nan, high=math.nan) if too_few else shown

    return QuantityEstimate(
        name=quantity.name,
        naive=from_llm.interval,
        classical=interval(from_human),
        ppi=interval(from_ppi),
        dsl=interval(from_dsl),
        lam=from_ppi.lam,
        effective_ppi=effective_n(from_ppi),
        effective_dsl=effective_n(from_dsl),
        too_few=too_few,
    )


def _undefined_reason(estimand: Estimand, rows: LabelRows, dependent: Sequence[str]) -> str:
    """Why the classical estimate is undefined."""
    if dependent:
        return f"{', '.join(dependent)} is a linear combination of other predictors: omit it"
    if rows.n <= estimand.size:
        return f"{rows.n:,} human labels are too few for {estimand.size:,} parameters"
    if rows.clusters is not None and rows.units <= estimand.size:
        return f"{rows.units:,} clusters with human labels are too few"
    if not isinstance(estimand, Regression):
        return "none of its rows has a human label"
    x = estimand.predictors[rows.labeled]
    if estimand.outcome is not None:
        x = np.column_stack([x, rows.human[rows.labeled]])
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return "in the human-labeled rows a predictor is constant or collinear with others"
    if estimand.family == "logistic":
        return "the predictors separate the classes of the human-labeled rows perfectly"
    return "there are too few human labels"


def _notes(rows: LabelRows, estimates: Sequence[QuantityEstimate]) -> list[str]:
    notes = []
    what = "human labels" if rows.clusters is None else "clusters with human labels"
    if rows.units < FEW_LABELS:
        notes.append(
            f"There are only {rows.units:,} {what}. Below {FEW_LABELS} intervals may be too narrow, especially where "
            "most labels are equal."
        )
    if rows.units < MIN_TO_LEARN:
        notes.append(f"DSL needs at least {MIN_TO_LEARN} {what}.")
    if unscored := int((~rows.scored).sum()):
        notes.append(
            f"{unscored:,} rows have no LLM label. The naive estimator omits them; the others use the mean LLM label "
            "of the remaining rows."
        )
    if rows.finite:
        notes.append(
            f"Estimates are for these {len(rows.llm):,} rows, with the finite-population correction; they are less "
            "certain for a larger population. Naive intervals have no width."
        )
    if rows.labeled.all():
        notes.append("All rows have a human label, so the LLM adds nothing.")
    elif (rows.human == rows.llm)[rows.labeled].all():
        notes.append(
            f"LLM and human labels are equal in all {rows.n:,} human-labeled rows. PPI++ and DSL intervals allow for "
            "errors that these rows do not show."
        )
    census = rows.finite and rows.labeled.all()
    constant = [each.name for each in estimates if each.classical.high == each.classical.low]
    if constant and not census:
        notes.append(f"{', '.join(constant)}: all human-labeled rows are equal, so other values are unobserved.")
    if few := [each.name for each in estimates if each.too_few]:
        notes.append(f"{', '.join(few)}: a group with fewer than {MIN_OF_A_GROUP} human labels gets no interval.")
    return notes
