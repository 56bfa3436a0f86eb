"""Estimates of each quantity by every estimator, with notes on their limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hf_synthlabels.statistics.estimation.dsl import dsl, guesses
from hf_synthlabels.statistics.estimation.estimands import Estimand, Quantity, Regression
from hf_synthlabels.statistics.estimation.estimators import PointEstimate, classical, naive, ppi_plus_plus
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
    """Estimate each quantity from the LLM's labels, from the human ones, by PPI++ and by DSL.

    Args:
        what: the question, in words.
        estimands: with their quantities.
        rows: labels and the drawing.
        inference: level, splits and seed.
        notes: more notes.
        dependent: predictors that are linear combinations of others.
    """
    guessed = guesses(rows, inference)
    estimates: list[QuantityEstimate] = []
    reasons: dict[str, list[str]] = {}
    for estimand in estimands:
        four = zip(
            estimand.quantities,
            naive(estimand, rows, inference),
            classical(estimand, rows, inference),
            ppi_plus_plus(estimand, rows, inference),
            dsl(estimand, rows, inference, guessed),
            strict=True,
        )
        for quantity, *found in four:
            each = _conclusion(rows, quantity, *found)
            estimates.append(each)
            if math.isnan(each.classical.low) and not each.too_few:
                reasons.setdefault(_reason(estimand, rows, dependent), []).append(each.name)
    lost = [f"There is no number for {', '.join(names)}: {reason}." for reason, names in reasons.items()]
    return EstimateReport(
        what=what,
        level=inference.level,
        n_rows=len(rows.llm),
        n_human=rows.n,
        n_labelled=int(rows.scored.sum()),
        n_clusters=None if rows.clusters is None else rows.units,
        equal_probabilities=rows.chances is None,
        estimates=tuple(estimates),
        notes=(*_notes(rows, estimates), *notes, *lost),
    )


def rare_classes(names: Sequence[str], counts: Sequence[float]) -> list[str]:
    """A note on classes with few human labels."""
    few = [f"{name} ({int(n)})" for name, n in zip(names, counts, strict=True) if n < MIN_OF_A_GROUP]
    if not few:
        return []
    return [
        f"Fewer than {MIN_OF_A_GROUP} human labels of {', '.join(few)}: their intervals are approximate. More human "
        "labels of rare classes come from `--design stratified --allocation equal`."
    ]


def _conclusion(
    rows: LabelRows,
    quantity: Quantity,
    llm: PointEstimate,
    human: PointEstimate,
    ppi: PointEstimate,
    by_dsl: PointEstimate,
) -> QuantityEstimate:
    own = own_rows(quantity, rows)
    n = int(sum(part.sum() for part in own))
    size = int(sum(part.sum() for part in quantity.parts)) if quantity.parts else len(rows.llm)

    def worth(found: PointEstimate) -> float:
        if not (found.variance > 0 and human.variance > 0) or too_few:
            return math.nan
        ratio = human.variance / found.variance
        # Of these rows alone the variance is (1 / n - 1 / N) times that of a row. All N rows are the most there is.
        least = 1 / size if rows.finite else 0.0
        return min(float(size), 1 / ((1 / n - least) / ratio + least))

    # A group that was drawn whole is known for sure where no other rows are asked about.
    unknown = [part for part in quantity.parts if not (rows.finite and (rows.undrawn[part] == 0).all())]
    too_few = any((rows.labelled & part).sum() < MIN_OF_A_GROUP for part in unknown)

    def shown(interval: Interval) -> Interval:
        return replace(interval, estimate=math.nan, low=math.nan, high=math.nan) if too_few else interval

    return QuantityEstimate(
        name=quantity.name,
        naive=llm.interval,
        classical=shown(human.interval),
        ppi=shown(ppi.interval),
        dsl=shown(by_dsl.interval),
        lam=ppi.lam,
        effective_ppi=worth(ppi),
        effective_dsl=worth(by_dsl),
        too_few=too_few,
    )


def _reason(estimand: Estimand, rows: LabelRows, dependent: Sequence[str]) -> str:
    """Why an estimate from the human labels alone is undefined."""
    if dependent:
        return f"{', '.join(dependent)} is a linear combination of other predictors, so leave it out"
    if rows.n <= estimand.size:
        return f"{rows.n:,} human labels are too few for {estimand.size:,} parameters"
    if rows.clusters is not None and rows.units <= estimand.size:
        return f"{rows.units:,} clusters with human labels are too few"
    if not isinstance(estimand, Regression):
        return "no human label of its rows"
    x = estimand.predictors[rows.labelled]
    if estimand.outcome is not None:
        x = np.column_stack([x, rows.human[rows.labelled]])
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return "among the human-labelled rows a predictor is constant or a linear combination of others"
    if estimand.family == "logistic":
        return "the predictors separate the classes of the human-labelled rows, so coefficients are infinite"
    return "too few human labels"


def _notes(rows: LabelRows, estimates: Sequence[QuantityEstimate]) -> list[str]:
    notes = []
    what = "human labels" if rows.clusters is None else "clusters with human labels"
    if rows.units < FEW_LABELS:
        notes.append(
            f"{rows.units:,} {what} are few: below {FEW_LABELS} intervals may be too narrow, above all where most "
            "labels are the same."
        )
    if rows.units < MIN_TO_LEARN:
        notes.append(f"DSL learns from {MIN_TO_LEARN} {what} or more.")
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
    elif (rows.human == rows.llm)[rows.labelled].all():
        notes.append(
            f"The LLM's label equals the human one in all {rows.n:,} labelled rows. Intervals by PPI++ and DSL allow "
            "for errors that these rows do not show."
        )
    census = rows.finite and rows.labelled.all()
    if not census and (alike := [each.name for each in estimates if each.classical.high == each.classical.low]):
        notes.append(f"{', '.join(alike)}: all labelled rows are alike, so that what else occurs cannot be seen.")
    if few := [each.name for each in estimates if each.too_few]:
        notes.append(
            f"Too few human labels for {', '.join(few)}: a group with fewer than {MIN_OF_A_GROUP} gets no interval."
        )
    return notes
