"""Tune and holdout parts of a human-labeled sample: one chooses a prompt or model, the other validates and estimates.

A prompt that was chosen on some human-labeled rows agrees with these rows better than with new ones. So the rows that
choose are kept apart from those that validate and estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Mask, number_column
from hf_synthlabels.statistics.design.human_rows import PROBABILITY
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_feature, column_values

SAMPLE_PART = "sample_part"
"""The column of parts: `tune` or `holdout`, None for rows that were not sampled."""

Part = Literal["tune", "holdout", "all"]

TUNE: Part = "tune"
HOLDOUT: Part = "holdout"


def assign_parts(
    drawn: Mask, n_tune: int, seed: int = 0, existing: Sequence[str | None] | None = None
) -> list[str | None]:
    """The part of each row: `n_tune` random rows of the sample are tune rows, the others holdout rows.

    Args:
        drawn: sampled rows, shape (rows,).
        n_tune: number of tune rows.
        seed: of the draw.
        existing: parts of an earlier sample, which are kept; rows that were added to it are holdout rows.

    Raises:
        ConfigError: `n_tune` leaves one part without a row, or the parts were drawn before.
    """
    places = np.flatnonzero(drawn)
    if existing is not None and any(existing):
        if n_tune:
            raise ConfigError(
                f"`tune` is {n_tune}, but the column `{SAMPLE_PART}` already has tune rows: leave it out to keep them."
            )
        tuned = {row for row, part in enumerate(existing) if part == TUNE}
    else:
        if not 0 < n_tune < len(places):
            raise ConfigError(f"`tune` is {n_tune} of {len(places):,} sampled rows: give 1 to {len(places) - 1:,}.")
        tuned = set(np.random.default_rng(seed).permutation(places)[:n_tune].tolist())
    return [(TUNE if row in tuned else HOLDOUT) if is_drawn else None for row, is_drawn in enumerate(drawn.tolist())]


def tune_rows(dataset: Table) -> Mask | None:
    """Rows of the tune part, shape (rows,); None without the column `sample_part` or without tune rows.

    Raises:
        DataError: the column has other values.
    """
    if SAMPLE_PART not in (dataset.column_names or ()):
        return None
    values = [value if value and value == value else None for value in column_values(dataset, SAMPLE_PART)]
    if unknown := sorted({repr(value) for value in values} - {repr(None), repr(TUNE), repr(HOLDOUT)}):
        raise DataError(f"`{SAMPLE_PART}` has {unknown[0]}: give '{TUNE}' or '{HOLDOUT}', None for rows not sampled.")
    tune = np.array([value == TUNE for value in values])
    return tune if tune.any() else None


def part_columns(dataset: Table, tune: Mask, part: Part, humans: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of one part: human labels and inclusion probabilities of its rows, None elsewhere.

    A row is in a part with its inclusion probability times the part's share of the sample.

    Args:
        dataset: the rows.
        tune: tune rows, shape (rows,).
        part: `tune` or `holdout`; `all` changes nothing.
        humans: columns of human labels.
    """
    if part == "all":
        return {}
    names = dataset.column_names or ()
    if PROBABILITY in names:
        probabilities: Floats = number_column(column_values(dataset, PROBABILITY), PROBABILITY)
    else:
        labels = [column_values(dataset, human) for human in humans]
        labeled = np.array(
            [any(value is not None and value == value for value in row) for row in zip(*labels, strict=True)]
        )
        labeled |= tune
        probabilities = np.where(labeled, labeled.mean(), np.nan)
    drawn = ~np.isnan(probabilities)
    inside = drawn & (tune if part == TUNE else ~tune)
    share = inside.sum() / drawn.sum()
    columns: dict[str, list[Any]] = {
        PROBABILITY: [float(value * share) if kept else None for value, kept in zip(probabilities, inside, strict=True)]
    }
    outside = tune if part == HOLDOUT else ~tune
    for human in humans:
        values = column_values(dataset, human)
        columns[human] = [None if out else value for value, out in zip(values, outside.tolist(), strict=True)]
    return columns


class ReplacedColumns:
    """A data set some of whose columns have other values."""

    def __init__(self, dataset: Table, columns: Mapping[str, Sequence[Any]]) -> None:
        self._dataset, self._columns = dataset, columns
        self.column_names = [*dict.fromkeys([*(dataset.column_names or ()), *columns])]
        self.features = {name: column_feature(dataset, name) for name in self.column_names}

    def __getitem__(self, column: str) -> Sequence[Any]:
        return self._columns[column] if column in self._columns else column_values(self._dataset, column)


def holdout_table(dataset: Table, tune: Mask, human: str) -> Table:
    """The data set without the human labels of the tune rows."""
    return ReplacedColumns(dataset, part_columns(dataset, tune, HOLDOUT, [human]))
