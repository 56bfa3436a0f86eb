"""Drawn rows: the human labels that count, by the chances that were stored when rows were drawn for labelling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.codes import Floats
from hf_synthlabels.statistics.columns import Table, column_values
from hf_synthlabels.statistics.ratings import number_column

__all__ = ["PROBABILITY", "DrawnRows", "drawn_rows"]

PROBABILITY = "human_probability"
"""The column that a sample writes: the chance with which a row was chosen, None where it was not."""


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

    Where some drawn rows have no human label yet, all chances are taken to be smaller by the share that has one: as
    if the rows that are missing were missing by chance.

    Args:
        dataset: the rows.
        labelled: which have a human label, shape (N,).
        column: of the chances; by default `human_probability` if there is one.

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
    share = counted.sum() / drawn.sum()
    if share < 1:
        missing = int(drawn.sum() - counted.sum())
        notes.append(
            f"{missing:,} of {int(drawn.sum()):,} rows that were drawn have no human label: the others stand for them, "
            "which is right if they are missing by chance."
        )
    return DrawnRows(counted, np.where(counted, chances * share, np.nan), tuple(notes))
