"""Human-labeled rows: which ones are scored, and how they were sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, Mask, number_column
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_values

PROBABILITY = "inclusion_probability"
"""The column that a sample writes: the chance with which a row was chosen, None where it was not."""


MAX_STRATA = 50
"""Different probabilities beyond which they are not taken for those of strata."""


@dataclass(frozen=True, slots=True)
class SampledRows:
    """Human labels that count, and their inclusion probabilities."""

    counted: NDArray[np.bool_]
    """Sampled rows with a human label, shape (N,)."""
    probabilities: Floats
    """Of counted rows the chance of a human label; nan elsewhere."""
    notes: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether all counted rows had the same chance."""
        mine = self.probabilities[self.counted]
        return not len(mine) or bool(np.ptp(mine) <= 1e-9 * mine.max())


def sampled_rows(dataset: Table, labelled: NDArray[np.bool_], column: str | None = None) -> SampledRows | None:
    """What a stored sample says of the human labels; None where there is no such column.

    Where some drawn rows have no human label yet, inclusion probabilities are multiplied by the response rate: that of
    the rows with the same probability, which are a stratum, or of all where probabilities are many. So labels are taken
    to be missing at random within strata.

    Args:
        dataset: the rows.
        labelled: which have a human label, shape (N,).
        column: of the probabilities; by default `inclusion_probability` if there is one.

    Raises:
        DataError: the column that was named is not there, holds no probabilities, or no row that was drawn has a label.
    """
    if column is None and PROBABILITY not in (dataset.column_names or ()):
        return None
    name = column or PROBABILITY
    probabilities = number_column(column_values(dataset, name), name)
    drawn = ~np.isnan(probabilities)
    if wrong := int((~((probabilities[drawn] > 0) & (probabilities[drawn] <= 1))).sum()):
        raise DataError(
            f"`{name}` is not above 0 and at most 1 in {wrong:,} rows: give probabilities, None for rows not drawn."
        )
    counted = drawn & labelled
    if not counted.any():
        raise DataError(
            f"`{name}` says that {int(drawn.sum()):,} rows were drawn, and none of them has a human label: label them."
        )
    notes = []
    if outside := int((labelled & ~drawn).sum()):
        notes.append(
            f"{outside:,} rows have a human label and were not drawn for it (no `{name}`): they are not counted."
        )
    if missing := int(drawn.sum() - counted.sum()):
        notes.append(
            f"{missing:,} of {int(drawn.sum()):,} sampled rows have no human label. They are assumed "
            "missing at random (within strata, if the sample is stratified)."
        )
    return SampledRows(
        counted, np.where(counted, probabilities * _response(probabilities, drawn, counted), np.nan), tuple(notes)
    )


def _response(probabilities: Floats, drawn: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Floats:
    """The share of drawn rows with a label among those with the same probability, shape (N,)."""
    overall = counted.sum() / drawn.sum()
    cells, place = np.unique(np.round(probabilities[drawn], 9), return_inverse=True)
    rates = np.full(len(probabilities), overall)
    if len(cells) > MAX_STRATA:
        return rates
    answered = np.bincount(place, weights=counted[drawn]) / np.bincount(place)
    # A stratum without an answer has no row to weight.
    rates[drawn] = np.where(answered > 0, answered, overall)[place]
    return rates


WEIGHTED = (
    f"Rows were sampled with unequal inclusion probabilities: scores weight each row by 1 / `{PROBABILITY}`; counts of "
    "rows and mistakes are unweighted."
)


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The rows that scores are of."""

    counted: Mask
    """Shape (rows,)."""
    design: SamplingDesign | None
    """Of all rows; None for a simple random sample."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """What a table says of the sampling of its human-labeled rows."""

    table: Table
    clusters: tuple[str, Sequence[Any]] | None
    """Name and values of the column of cluster ids."""
    strata: tuple[str, Sequence[Any]] | None
    skipped: Mask | None
    """Rows that were never sent to the annotator: they say nothing about it. None where no status says so."""

    @classmethod
    def read(cls, table: Table, clusters: str | None, strata: str | None, skipped: Mask | None) -> Self:
        """Read the columns of cluster and stratum ids.

        Raises:
            DataError: a column is not there.
        """
        return cls(table, _ids(table, clusters), _ids(table, strata), skipped)

    def scored(self, labelled: Mask) -> ScoredRows:
        """The rows that are scored, and their design.

        Args:
            labelled: the rows with a human label, shape (rows,).

        Raises:
            DataError: no human-labeled row was sent to the annotator, or a scored row has no cluster or stratum.
        """
        drawn = sampled_rows(self.table, labelled)
        counted = labelled if drawn is None else drawn.counted
        notes = () if drawn is None else drawn.notes
        if self.skipped is not None and self.skipped.any():
            lost = int((counted & self.skipped).sum())
            counted = counted & ~self.skipped
            if lost and not counted.any():
                raise DataError(f"`status` is 'skipped' in all {lost:,} human-labeled rows: annotate these rows first.")
            notes += (
                f"{int(self.skipped.sum()):,} rows were never sent to the annotator (status `skipped`), "
                f"{lost:,} of them with a human label. They are left out of every score.",
            )
        design = self._design(counted, drawn)
        weighted = design is not None and design.weights is not None
        return ScoredRows(counted, design, (*notes, WEIGHTED) if weighted else notes)

    def _design(self, counted: Mask, drawn: SampledRows | None) -> SamplingDesign | None:
        weights = None
        if drawn is not None and not drawn.equal:
            weights = np.where(counted, 1 / drawn.probabilities, 0.0)
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
            f"`{name}` is missing in {len(missing):,} human-labeled rows, first in row {missing[0]:,}: "
            "give each row its value, or leave the option out."
        )
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(repr(value), len(codes)) for value in values], dtype=np.int64)
