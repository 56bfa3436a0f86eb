"""HumanSample: which human labels are scored, and how the rows that have them were sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.design.sampled_rows import PROBABILITY, DrawnRows, drawn_rows
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.label_ids import Ints
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_values

WEIGHTED = (
    f"Rows were sampled with unequal inclusion probabilities: scores weight each row by 1 / `{PROBABILITY}`; counts of "
    "rows and mistakes are unweighted."
)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The rows that scores are of."""

    counted: Mask
    """Shape (rows,)."""
    design: SamplingDesign | None
    """Of all rows; None for a simple random sample."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HumanSample:
    """What a table says of the sampling of its human-labelled rows."""

    table: Table
    clusters: tuple[str, Sequence[Any]] | None
    """Name and values of the column of cluster ids."""
    strata: tuple[str, Sequence[Any]] | None
    not_asked: Mask | None
    """Rows that were never sent to the annotator: they say nothing about it. None where no status says so."""

    @classmethod
    def read(cls, table: Table, clusters: str | None, strata: str | None, not_asked: Mask | None) -> Self:
        """Read the columns of cluster and stratum ids.

        Raises:
            DataError: a column is not there.
        """
        return cls(table, _ids(table, clusters), _ids(table, strata), not_asked)

    def scored(self, labelled: Mask) -> ScoredRows:
        """The rows that are scored, and their design.

        Args:
            labelled: the rows with a human label, shape (rows,).

        Raises:
            DataError: no human-labelled row was sent to the annotator, or a scored row has no cluster or stratum.
        """
        drawn = drawn_rows(self.table, labelled)
        counted = labelled if drawn is None else drawn.counted
        notes = () if drawn is None else drawn.notes
        if self.not_asked is not None and self.not_asked.any():
            lost = int((counted & self.not_asked).sum())
            counted = counted & ~self.not_asked
            if lost and not counted.any():
                raise DataError(
                    f"`status` is 'skipped' in all {lost:,} human-labelled rows: annotate these rows first."
                )
            notes += (
                f"{int(self.not_asked.sum()):,} rows were never sent to the annotator (status `skipped`), "
                f"{lost:,} of them with a human label. They are left out of every score.",
            )
        design = self._design(counted, drawn)
        weighted = design is not None and design.weights is not None
        return ScoredRows(counted, design, (*notes, WEIGHTED) if weighted else notes)

    def _design(self, counted: Mask, drawn: DrawnRows | None) -> SamplingDesign | None:
        weights = None
        if drawn is not None and not drawn.equal:
            weights = np.where(counted, 1 / drawn.chances, 0.0)
        design = SamplingDesign(weights, _codes(self.clusters, counted), _codes(self.strata, counted))
        return None if design.is_random else design


def _ids(table: Table, name: str | None) -> tuple[str, Sequence[Any]] | None:
    return None if name is None else (name, column_values(table, name))


def _codes(column: tuple[str, Sequence[Any]] | None, counted: Mask) -> Ints | None:
    if column is None:
        return None
    name, values = column
    missing = [row for row in np.flatnonzero(counted).tolist() if values[row] is None or values[row] != values[row]]
    if missing:
        raise DataError(
            f"`{name}` is missing in {len(missing):,} human-labelled rows, first in row {missing[0]:,}: "
            "give each row its value, or leave the option out."
        )
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(repr(value), len(codes)) for value in values], dtype=np.int64)
