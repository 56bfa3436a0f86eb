"""Tuned rows: human-labeled rows that chose a prompt or model, kept apart from those that validate and estimate.

A prompt that was chosen on some human-labeled rows agrees with these rows better than with new ones. So the rows that
choose do not count in estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics.arrays import Floats, Mask, number_column
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_feature, column_values

TUNED_ON = "tuned_on"
"""Column that marks rows that helped to write or choose the prompt."""

YES = ("true", "1", "1.0", "yes")


def draw_tuned(drawn: Mask, n_tune: int, seed: int = 0, existing: Mask | None = None) -> Mask:
    """Random rows of a sample on which a prompt or model may be chosen, shape (rows,).

    Args:
        drawn: sampled rows, shape (rows,).
        n_tune: number of tuned rows.
        seed: of the draw.
        existing: tuned rows of an earlier sample.

    Raises:
        ConfigError: there are tuned rows already, or no sampled row would be left to estimate from.
    """
    if existing is not None and existing.any():
        raise ConfigError(
            f"`tune` is {n_tune}, but the column `{TUNED_ON}` already marks {int(existing.sum()):,} rows: leave it out "
            "to keep them."
        )
    places = np.flatnonzero(drawn)
    if not 0 < n_tune < len(places):
        raise ConfigError(f"`tune` is {n_tune} of {len(places):,} sampled rows: give 1 to {len(places) - 1:,}.")
    tuned = np.zeros(len(drawn), dtype=np.bool_)
    tuned[np.random.default_rng(seed).permutation(places)[:n_tune]] = True
    return tuned


def tuned_rows(dataset: Table) -> Mask | None:
    """The rows that the column `tuned_on` marks, shape (rows,); None if there are none."""
    if TUNED_ON not in (dataset.column_names or ()):
        return None
    marks = [str(value).strip().casefold() in YES for value in column_values(dataset, TUNED_ON)]
    return np.array(marks, dtype=np.bool_) if any(marks) else None


def holdout_columns(dataset: Table, tuned: Mask, humans: Sequence[str]) -> dict[str, list[Any]]:
    """Human labels and inclusion probabilities without those of tuned rows.

    The probability of a row that is left is multiplied by the share of the sample that is left.

    Args:
        dataset: the rows.
        tuned: tuned rows, shape (rows,).
        humans: columns of human labels.
    """
    probabilities = _probabilities(dataset, tuned, humans)
    drawn = ~np.isnan(probabilities)
    left = drawn & ~tuned
    share = left.sum() / max(1, drawn.sum())
    columns: dict[str, list[Any]] = {
        PROBABILITY: [float(value * share) if kept else None for value, kept in zip(probabilities, left, strict=True)]
    }
    for human in humans:
        values = column_values(dataset, human)
        columns[human] = [None if out else value for value, out in zip(values, tuned.tolist(), strict=True)]
    return columns


def _probabilities(dataset: Table, tuned: Mask, humans: Sequence[str]) -> Floats:
    """Inclusion probabilities, nan outside the sample; labeled rows are a simple random sample without them."""
    if PROBABILITY in (dataset.column_names or ()):
        return number_column(column_values(dataset, PROBABILITY), PROBABILITY)
    columns = [column_values(dataset, human) for human in humans]
    labeled = tuned | np.array(
        [any(value is not None and value == value for value in row) for row in zip(*columns, strict=True)]
    )
    return np.where(labeled, labeled.mean(), np.nan)


class ReplacedColumns:
    """A data set some of whose columns have other values."""

    def __init__(self, dataset: Table, columns: Mapping[str, Sequence[Any]]) -> None:
        self._dataset, self._columns = dataset, columns
        self.column_names = [*dict.fromkeys([*(dataset.column_names or ()), *columns])]
        self.features = {name: column_feature(dataset, name) for name in self.column_names}

    def __getitem__(self, column: str) -> Sequence[Any]:
        return self._columns[column] if column in self._columns else column_values(self._dataset, column)


def holdout_table(dataset: Table, tuned: Mask, humans: Sequence[str]) -> Table:
    """The data set without the human labels of tuned rows."""
    return ReplacedColumns(dataset, holdout_columns(dataset, tuned, humans))


def tuned_note(tuned: Mask) -> str:
    """What a report says about tuned rows."""
    return (
        f"{int(tuned.sum()):,} rows are marked in `{TUNED_ON}`: they helped to write or choose the prompt, so their "
        "human labels do not count here."
    )
