"""Bounds of the accuracy of a validation, over rows without an LLM label or without a human label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_synthlabels.statistics.arrays import Mask, number_column
from hf_synthlabels.statistics.design.human_rows import PROBABILITY, scored_rows
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign, subset_design
from hf_synthlabels.statistics.missing_labels.bounds import Bounds, share_bounds
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_values, read_names
from hf_synthlabels.statistics.validation.table_variables import TableVariable, correct_rows, human_values


@dataclass(frozen=True, slots=True)
class BoundedRows:
    """Rows that a validation should score."""

    rows: Mask
    """Sampled rows that the LLM was to label; without a sample the human-labeled ones. Shape (rows of the table,)."""
    design: SamplingDesign | None
    """Of these rows, shape (bounded rows,)."""


def accuracy_bounds(
    table: Table,
    variable: TableVariable,
    *,
    clusters: str | None = None,
    strata: str | None = None,
    normalize: bool = False,
    level: float = 0.95,
) -> Bounds | None:
    """Bounds of the share of correct LLM labels: rows with a missing label are all wrong, or all right.

    Args:
        table: one split.
        variable: columns of human and LLM labels.
        clusters: column of cluster ids.
        strata: column of stratum ids.
        normalize: whether class names that differ only in case or white space are equal.
        level: confidence level.

    Returns:
        None where no label is missing.
    """
    labeled, correct = correct_rows(table, variable, normalize=normalize)
    answered = np.array([value is not None for value in human_values(table, _llm_as_human(variable))])
    bounded = bounded_rows(table, variable, labeled, clusters=clusters, strata=strata)
    known = (labeled & answered)[bounded.rows]
    if known.all() or not known.any():
        return None
    return share_bounds(correct[bounded.rows], known, bounded.design, level)


def bounded_rows(
    table: Table, variable: TableVariable, labeled: Mask, *, clusters: str | None, strata: str | None
) -> BoundedRows:
    """The rows that should have both labels."""
    rows = labeled
    if PROBABILITY in table.column_names:
        rows = ~np.isnan(number_column(column_values(table, PROBABILITY), PROBABILITY))
    skipped, status = None, f"{variable.llm}_status"
    if status in table.column_names:
        skipped = np.array([name == "skipped" for name in read_names(table, status)[0]])
    # All sampled rows count as labeled, so that the probabilities are not adjusted for missing labels.
    scored = scored_rows(table, rows, clusters=clusters, strata=strata, skipped=skipped)
    return BoundedRows(scored.counted, subset_design(scored.design, scored.counted))


def _llm_as_human(variable: TableVariable) -> TableVariable:
    return TableVariable(variable.llm, variable.llm, variable.kind, variable.schema, variable.tokens)
