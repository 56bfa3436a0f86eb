"""Drawn rows: the human labels that count, by the chances that were stored when rows were drawn for labelling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.label_ids import Floats
from hf_synthlabels.statistics.raters.ratings import number_column
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_values

PROBABILITY = "inclusion_probability"
"""The column that a sample writes: the chance with which a row was chosen, None where it was not."""


MAX_STRATA = 50
"""Different probabilities beyond which they are not taken for those of strata."""


@dataclass(frozen=True, slots=True)
class DrawnRows:
    """Which human labels count, and with what chance each row got one."""

    counted: NDArray[np.bool_]
    """Rows with a human label that were drawn for it, shape (N,)."""
    chances: Floats
    """Of counted rows the chance of a human label; nan elsewhere."""
    notes: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether all counted rows had the same chance."""
        mine = self.chances[self.counted]
        return not len(mine) or bool(np.ptp(mine) <= 1e-9 * mine.max())


def drawn_rows(dataset: Table, labelled: NDArray[np.bool_], column: str | None = None) -> DrawnRows | None:
    """What a stored sample says of the human labels; None where there is no such column.

    Where some drawn rows have no human label yet, inclusion probabilities are multiplied by the response rate: that of
    the rows with the same probability, which are a stratum, or of all where probabilities are many. So labels are taken
    to be missing at random within strata.

    Args:
        dataset: the rows.
        labelled: which have a human label, shape (N,).
        column: of the chances; by default `inclusion_probability` if there is one.

    Raises:
        DataError: the column that was named is not there, holds no probabilities, or no row that was drawn has a label.
    """
    if column is None and PROBABILITY not in (dataset.column_names or ()):
        return None
    name = column or PROBABILITY
    chances = number_column(column_values(dataset, name), name)
    drawn = ~np.isnan(chances)
    if wrong := int((~((chances[drawn] > 0) & (chances[drawn] <= 1))).sum()):
        raise DataError(
            f"`{name}` is not above 0 and at most 1 in {wrong:,} rows: give chances, None for rows not drawn."
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
            f"{missing:,} of {int(drawn.sum()):,} rows that were drawn have no human label: the others stand for them, "
            "which is right if they are missing at random (within strata, where the sample is stratified)."
        )
    return DrawnRows(counted, np.where(counted, chances * _response(chances, drawn, counted), np.nan), tuple(notes))


def _response(chances: Floats, drawn: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Floats:
    """The share of drawn rows with a label among those with the same probability, shape (N,)."""
    overall = counted.sum() / drawn.sum()
    cells, place = np.unique(np.round(chances[drawn], 9), return_inverse=True)
    rates = np.full(len(chances), overall)
    if len(cells) > MAX_STRATA:
        return rates
    answered = np.bincount(place, weights=counted[drawn]) / np.bincount(place)
    # A stratum without an answer has no row to weight.
    rates[drawn] = np.where(answered > 0, answered, overall)[place]
    return rates
