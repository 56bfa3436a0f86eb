"""Notes on the limits of estimates: few labels, missing labels, and why an estimate is undefined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from hf_synthlabels.statistics.estimation.estimands import Estimand, Regression
from hf_synthlabels.statistics.estimation.label_rows import FEW_LABELS, MIN_TO_LEARN, LabelRows
from hf_synthlabels.statistics.intervals import Interval

MIN_OF_A_GROUP = 10
"""Human labels of a group, class or category below which it gets no interval."""


class Estimated(Protocol):
    """What notes read of an estimate."""

    @property
    def name(self) -> str:
        """Of the quantity."""

    @property
    def classical(self) -> Interval:
        """From human labels only."""

    @property
    def ppi(self) -> Interval:
        """By PPI++."""

    @property
    def dsl(self) -> Interval:
        """By DSL."""

    @property
    def too_few(self) -> bool:
        """Whether a group has too few human labels."""


def rare_classes(names: Sequence[str], counts: Sequence[float]) -> list[str]:
    """A note on classes with few human labels."""
    rare = [f"{name} ({int(n)})" for name, n in zip(names, counts, strict=True) if n < MIN_OF_A_GROUP]
    if not rare:
        return []
    return [
        f"Classes with fewer than {MIN_OF_A_GROUP} human labels: {', '.join(rare)}. Their intervals are approximate. "
        "Sample more rows of rare classes with `--design stratified --allocation equal`."
    ]


def undefined_reason(estimand: Estimand, rows: LabelRows, dependent: Sequence[str]) -> str:
    """Why the classical estimate is undefined."""
    if dependent:
        return f"{', '.join(dependent)} is a linear combination of other predictors: omit it"
    if (n := int(rows.in_domain(rows.labeled).sum())) <= estimand.size:
        return f"{n:,} human labels are too few for {estimand.size:,} parameters"
    if rows.clusters is not None and rows.units <= estimand.size:
        return f"{rows.units:,} clusters with human labels are too few"
    if not isinstance(estimand, Regression):
        return "none of its rows has a human label"
    x = estimand.predictors(rows.human)[rows.labeled]
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return "in the human-labeled rows a predictor is constant or collinear with others"
    if estimand.family == "logistic":
        return "the predictors separate the classes of the human-labeled rows perfectly"
    return "there are too few human labels"


def label_notes(rows: LabelRows, estimates: Sequence[Estimated]) -> list[str]:
    """Notes on the labels, and on estimates without an interval."""
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
    notes += _unsolved(rows, estimates)
    if few := [each.name for each in estimates if each.too_few]:
        notes.append(f"{', '.join(few)}: a group with fewer than {MIN_OF_A_GROUP} human labels gets no interval.")
    return notes


def _unsolved(rows: LabelRows, estimates: Sequence[Estimated]) -> list[str]:
    """Notes on estimates that human labels have and a corrected estimator does not."""
    notes = []
    for method, name in (("ppi", "PPI++"), ("dsl", "DSL")):
        defined = [each for each in estimates if not math.isnan(each.classical.low)]
        terms = [each.name for each in defined if math.isnan(getattr(each, method).low)]
        if terms and not (method == "dsl" and rows.units < MIN_TO_LEARN):
            notes.append(f"{', '.join(terms)}: {name} has no solution with so few human labels: label more rows.")
    return notes
