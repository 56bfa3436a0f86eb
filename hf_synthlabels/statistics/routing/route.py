"""Routing of LLM labels: the labels to keep, and the rows that humans or another annotator label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Mask, number_column
from hf_synthlabels.statistics.design.human_rows import WEIGHTED, ScoredRows, scored_rows
from hf_synthlabels.statistics.intervals import wilson
from hf_synthlabels.statistics.routing.routing_report import RoutedColumns, RoutingReport
from hf_synthlabels.statistics.routing.routing_target import RoutingTarget
from hf_synthlabels.statistics.routing.threshold_tests import equal_probability_rows
from hf_synthlabels.statistics.routing.thresholds import RoutingRows, check_thresholds
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_feature, column_values, read_names
from hf_synthlabels.statistics.validation.table_variables import CHOICES, TableVariable, correct_rows

KEEP = "keep"
"""Route of a row whose LLM label is kept."""
HUMAN = "human"
"""Route of a row that a human or another annotator labels. Rows that the target does not cover have none."""


def route_labels(
    table: Table,
    variable: TableVariable,
    target: RoutingTarget,
    *,
    risk: float = 0.05,
    confidence: str | None = None,
    seed: int = 0,
    normalize: bool = False,
) -> tuple[RoutingReport, list[str | None]]:
    """Find the largest share of rows whose LLM labels can be kept, such that a target is missed with at most `risk`.

    Human-labeled rows are a random sample, or have their probability in the column `inclusion_probability`.

    Args:
        table: one split.
        variable: columns of LLM and human labels.
        target: metric and value.
        risk: probability of keeping labels that miss it.
        confidence: column of the confidence; only its order matters (default: `<llm>_confidence`).
        seed: of the subsample that is used if inclusion probabilities are unequal.
        normalize: whether class names that differ only in case or white space are equal.

    Returns: the report, and the route of each row: "keep", "human", or None if the target does not cover it.

    Raises:
        DataError: a column is missing, no row has a confidence, or the class occurs in no row.
        ConfigError: `risk` is invalid, or the task type has no precision and recall.
    """
    column = confidence or f"{variable.llm}_confidence"
    routable = _routable(table, variable, target, column, seed, normalize=normalize)
    rows, known = routable.rows, ~np.isnan(routable.rows.confidence)
    tests = check_thresholds(rows, target.value, risk)
    kept = rows.kept(math.inf if tests.selected is None else tests.selected.threshold)
    routed = routable.inside & ~kept
    report = RoutingReport(
        columns=RoutedColumns(variable.llm, variable.human, column),
        target=target,
        risk=risk,
        tests=tests,
        kept=wilson(int(kept.sum()), len(kept)),
        n_covered=int(rows.covered.sum()),
        n_confident=int((rows.covered & known).sum()),
        n_human=int(rows.counted.sum()),
        n_routed=int(routed.sum()),
        n_routed_labeled=int((routed & routable.labeled).sum()),
        seed=seed,
        notes=routable.notes,
    )
    return report, [KEEP if keep else HUMAN if human else None for keep, human in zip(kept, routed, strict=True)]


class _Routable(NamedTuple):
    """The rows of a table as routing sees them."""

    rows: RoutingRows
    labeled: Mask
    """Rows with a human label."""
    inside: Mask
    """Rows that have a route: those that the target covers, and those that the LLM left without a label."""
    notes: tuple[str, ...]


def _routable(
    table: Table, variable: TableVariable, target: RoutingTarget, column: str, seed: int, *, normalize: bool
) -> _Routable:
    """Read the rows, and check that they can be routed."""
    values = _confidence(table, column)
    kind = variable.kind_in(table)
    if target.metric != "accuracy" and kind not in CHOICES:
        raise ConfigError(f"`target` is {target}, and kind {kind!r} has no classes: give an accuracy.")
    labeled, correct = correct_rows(table, variable, normalize=normalize)
    if not labeled.any():
        raise DataError(f"`{variable.human}` has no label in any of {len(labeled):,} rows: label some rows by hand.")
    sent, answered = _answered(table, variable.llm)
    scored = scored_rows(table, labeled, clusters=None, strata=None, skipped=~sent)
    rows = _metric_rows(table, variable, target, values, answered, scored.counted, correct)
    rows, notes = _equally_sampled(rows, scored, seed)
    return _Routable(rows, labeled, sent & (rows.covered | ~answered), notes)


def _confidence(table: Table, column: str) -> Floats:
    """The confidence of each row."""
    if column not in (table.column_names or ()):
        present = [name for name in table.column_names if name.endswith("confidence")]
        others = f" Columns of confidences: {', '.join(present)}." if present else ""
        raise DataError(f"`{column}` is not a column: name the confidence with `--confidence`.{others}")
    return number_column(column_values(table, column), column)


def _answered(table: Table, llm: str) -> tuple[Mask, Mask]:
    """The rows that were sent to the annotator, and those with an LLM label."""
    status = f"{llm}_status"
    if status in (table.column_names or ()):
        names = read_names(table, status)[0]
        return np.array([name != "skipped" for name in names]), np.array([name == "labelled" for name in names])
    missing: Sequence[object] = (-1, "") if hasattr(column_feature(table, llm), "int2str") else ("",)
    values = column_values(table, llm)
    answered = [value is not None and value == value and value not in missing for value in values]
    return np.ones(len(values), dtype=np.bool_), np.array(answered)


def _equally_sampled(rows: RoutingRows, scored: ScoredRows, seed: int) -> tuple[RoutingRows, tuple[str, ...]]:
    """The rows with a subsample of equal inclusion probabilities, and the notes of the report."""
    if scored.design is None or scored.design.weights is None:
        return rows, scored.notes
    weights = scored.design.weights
    probabilities = np.divide(1.0, weights, out=np.ones(len(weights)), where=weights > 0)
    used = equal_probability_rows(probabilities, rows.counted, seed)
    notes = tuple(note for note in scored.notes if note != WEIGHTED)
    n_used, n = int(used.sum()), int(rows.counted.sum())
    if n_used < n:
        notes += (
            f"Rows were sampled with unequal inclusion probabilities: {n_used:,} of {n:,} human-labeled rows are used, "
            f"drawn such that all rows have the same probability (seed {seed}).",
        )
    return replace(rows, counted=used), notes


def _metric_rows(
    table: Table,
    variable: TableVariable,
    target: RoutingTarget,
    confidence: Floats,
    answered: Mask,
    counted: Mask,
    correct: Mask,
) -> RoutingRows:
    """The rows that a target covers, and the human-labeled rows that its metric counts."""
    if target.class_name is None:
        return RoutingRows(confidence, answered, counted & answered, correct)
    llm, human = (
        np.array([label == target.class_name for label in read_names(table, column)[0]])
        for column in (variable.llm, variable.human)
    )
    if not (llm | human).any():
        raise DataError(f"`target` names the class {target.class_name!r}, which occurs in no row: check its spelling.")
    if target.metric == "precision":
        return RoutingRows(confidence, answered & llm, counted & answered & llm, correct)
    return RoutingRows(confidence, answered & ~llm, counted & human, correct, counts_routed=True)
