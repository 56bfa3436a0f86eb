"""The confidence of a label column of a table, with the human labels that tell which labels are right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, Mask, encode, number_column
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.confidence.brier import BrierScore, multiclass_brier
from hf_synthlabels.statistics.confidence.confidence_report import confidence_report
from hf_synthlabels.statistics.confidence.recalibration import Method, recalibrate
from hf_synthlabels.statistics.confidence.reliability_table import ConfidentRows
from hf_synthlabels.statistics.design.human_rows import scored_rows
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.validation.dataset_columns import (
    Table,
    class_names,
    column_feature,
    column_values,
    read_names,
)
from hf_synthlabels.statistics.validation.report import ValidationReport
from hf_synthlabels.statistics.validation.table_variables import CHOICES, TableVariable, correct_rows


@dataclass(frozen=True, slots=True)
class ConfidenceCheck:
    """What `validate` does with a confidence."""

    column: str | None = None
    """The confidence; by default `<llm>_confidence`, else `<llm>_probs`."""
    recalibrate: Method | None = None
    """How it is corrected by the human labels; None to leave it as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class ConfidenceColumn:
    """A confidence for each row of a table, and the rows in which it can be checked."""

    name: str
    values: Floats
    """Shape (table rows,); nan where there is none."""
    counted: Mask
    """Rows with a confidence, an LLM label and a human label, shape (table rows,)."""
    rows: ConfidentRows
    """The counted rows."""
    n_without: int
    """Rows with both labels, but no confidence."""
    names: Sequence[str] | None
    """Class names in the order of the probabilities; None without probabilities of classes."""
    probabilities: Floats | None
    """Shape (table rows, classes), nan in rows without; None without probabilities of classes."""

    def class_rows(self) -> Mask:
        """The counted rows with class probabilities, shape (table rows,)."""
        if self.probabilities is None:
            return np.zeros(len(self.values), dtype=np.bool_)
        return self.counted & ~np.isnan(self.probabilities).any(axis=1)


def read_confidence(
    table: Table,
    variable: TableVariable,
    column: str | None = None,
    *,
    clusters: str | None = None,
    strata: str | None = None,
    normalize: bool = False,
) -> ConfidenceColumn | None:
    """Read the confidence of a variable, and which of its labels are right.

    Args:
        table: one split.
        variable: its columns of human and LLM labels.
        column: the confidence, from 0 to 1, or `<llm>_probs` for the probability of the label. By default
            `<llm>_confidence`, else `<llm>_probs`.
        clusters: column of cluster ids.
        strata: column of the strata within which rows were sampled.
        normalize: whether class names that differ only in case or white space are equal.

    Returns:
        None if no column is named, and no row with both labels has a confidence.

    Raises:
        DataError: the named column is missing, has no confidence in rows with both labels, or has other values.
    """
    known, stored = set(table.column_names or ()), f"{variable.llm}_probs"
    names, probabilities = _class_probabilities(table, variable) if stored in known else (None, None)
    labeled, right = correct_rows(table, variable, normalize=normalize)
    scored = scored_rows(table, labeled, clusters=clusters, strata=strata, skipped=None)
    both = scored.counted & _answered(table, variable)
    for name in [column] if column is not None else [f"{variable.llm}_confidence", stored]:
        if column is None and (name not in known or (name == stored and names is None)):
            continue
        values = _values(table, variable, name, names, probabilities)
        counted = both & ~np.isnan(values)
        if counted.any():
            design = None if scored.design is None else scored.design.take(counted)
            rows = ConfidentRows(values[counted], right[counted], design)
            return ConfidenceColumn(name, values, counted, rows, int((both & ~counted).sum()), names, probabilities)
    if column is None:
        return None
    raise DataError(
        f"`{column}` has no confidence in any of {int(both.sum()):,} rows with a human and an LLM label: name another "
        "column."
    )


def with_confidence(
    report: ValidationReport, table: Table, variable: TableVariable, check: ConfidenceCheck, **options: Any
) -> ValidationReport:
    """A validation with the report on the confidence; options as for `read_confidence`.

    A default column that does not hold confidences, such as one of words, gives a note instead of an error.

    Raises:
        DataError: the named column does not hold confidences, or there is none to recalibrate.
    """
    bootstrap = BootstrapConfig(report.level, report.resamples, report.seed)
    try:
        source = read_confidence(table, variable, check.column, **options)
    except DataError as error:
        if check.column is not None or check.recalibrate is not None:
            raise
        return replace(report, notes=(*report.notes, f"The confidence is not checked: {error}"))
    if source is None:
        if check.recalibrate is not None:
            raise DataError(f"`recalibrate` needs a confidence of `{report.llm}`: name its column with `confidence`.")
        return report
    confidence = confidence_report(
        source.rows,
        source.name,
        bootstrap=bootstrap,
        n_without=source.n_without,
        classes=_classes(table, variable, source, bootstrap),
    )
    if check.recalibrate is not None:
        recalibrated = recalibrate(source.rows, check.recalibrate, bootstrap=bootstrap)
        confidence = replace(confidence, recalibrated=recalibrated)
    return replace(report, confidence=confidence)


def _answered(table: Table, variable: TableVariable) -> Mask:
    """Rows with an LLM label."""
    if variable.kind_in(table) in CHOICES:
        labels: Sequence[Any] = read_names(table, variable.llm)[0]
    else:
        labels = column_values(table, variable.llm)
    answered = np.array([label is not None and label != "" and label == label for label in labels], dtype=np.bool_)
    if f"{variable.llm}_status" in (table.column_names or ()):
        statuses = read_names(table, f"{variable.llm}_status")[0]
        answered &= np.array([status in (None, "labelled") for status in statuses], dtype=np.bool_)
    return answered


def _class_probabilities(table: Table, variable: TableVariable) -> tuple[Sequence[str] | None, Floats | None]:
    """The class names and the probabilities of one class per row; None for other kinds and unknown names."""
    names = class_names(column_feature(table, variable.llm))
    if variable.schema is not None and variable.schema.names:
        names = variable.schema.names
    if variable.kind_in(table) not in CHOICES or not names:
        return None, None
    column = f"{variable.llm}_probs"
    rows = [json.loads(cell) if isinstance(cell, str) and cell else cell for cell in column_values(table, column)]
    empty = [np.nan] * len(names)
    cells = [empty if row is None or len(row) == 0 else list(row) for row in rows]
    if wrong := [row for row in cells if len(row) != len(names)]:
        raise DataError(f"`{column}` has a row of {len(wrong[0])} numbers for {len(names)} classes: give one for each.")
    return names, np.array(cells, dtype=np.float64)


def _values(
    table: Table, variable: TableVariable, column: str, names: Sequence[str] | None, probabilities: Floats | None
) -> Floats:
    """The confidence of each row: the column, or of class probabilities that of the LLM label; nan without one."""
    if column != f"{variable.llm}_probs" or names is None or probabilities is None:
        return number_column(column_values(table, column), column)
    codes = encode(read_names(table, variable.llm)[0], names, field=variable.llm)
    values = probabilities[np.arange(len(codes)), codes]
    return np.where(codes >= 0, values, np.nan)


def _classes(
    table: Table, variable: TableVariable, source: ConfidenceColumn, bootstrap: BootstrapConfig
) -> BrierScore | None:
    """The Brier score of the class probabilities; None without any."""
    counted = source.class_rows()
    if source.probabilities is None or source.names is None or not counted.any():
        return None
    human = read_names(table, variable.human)[0]
    truth = encode([human[row] for row in np.flatnonzero(counted)], source.names, field=variable.human)
    design: SamplingDesign | None = source.rows.design
    if design is not None:
        design = design.take(counted[source.counted])
    totals = source.probabilities[counted].sum(axis=1, keepdims=True)
    # Shares are stored as 32-bit numbers, whose sum is 1 only up to rounding.
    return multiclass_brier(source.probabilities[counted] / totals, truth, design, bootstrap=bootstrap)
