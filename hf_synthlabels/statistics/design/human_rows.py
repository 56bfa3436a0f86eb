"""Human-labeled rows of a table: which ones are scored, and how they were sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, Mask, number_column
from hf_synthlabels.statistics.design.sampling_design import SamplingDesign
from hf_synthlabels.statistics.validation.dataset_columns import Table, column_values

PROBABILITY = "inclusion_probability"
"""The column of inclusion probabilities, None for rows that were not sampled."""

MAX_STRATA = 50
"""Different probabilities beyond which they are not taken for those of strata."""

WEIGHTED = (
    f"Rows were sampled with unequal inclusion probabilities: scores weight each row by 1 / `{PROBABILITY}`; counts of "
    "rows and mistakes are unweighted."
)


@dataclass(frozen=True, slots=True)
class SampledRows:
    """Human labels that count, and their inclusion probabilities."""

    counted: Mask
    """Sampled rows with a human label, shape (N,)."""
    probabilities: Floats
    """Of counted rows the probability of a human label; nan elsewhere."""
    notes: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether all counted rows have the same probability."""
        counted = self.probabilities[self.counted]
        return not len(counted) or bool(np.ptp(counted) <= 1e-9 * counted.max())


def sampled_rows(dataset: Table, labeled: Mask) -> SampledRows | None:
    """The sampled rows according to the column `inclusion_probability`; None without it.

    If some sampled rows have no human label yet, inclusion probabilities are multiplied by the response rate: that of
    the rows with the same probability, which are a stratum, or of all if probabilities are many. So labels are assumed
    to be missing at random within strata.

    Args:
        dataset: the rows.
        labeled: rows with a human label, shape (N,).

    Raises:
        DataError: the column holds no probabilities, or no sampled row has a label.
    """
    if PROBABILITY not in (dataset.column_names or ()):
        return None
    probabilities = number_column(column_values(dataset, PROBABILITY), PROBABILITY)
    drawn = ~np.isnan(probabilities)
    if wrong := int((~((probabilities[drawn] > 0) & (probabilities[drawn] <= 1))).sum()):
        raise DataError(
            f"`{PROBABILITY}` is not above 0 and at most 1 in {wrong:,} rows: give probabilities, None for rows not "
            "drawn."
        )
    counted = drawn & labeled
    n_drawn, n_counted = int(drawn.sum()), int(counted.sum())
    if not n_counted:
        raise DataError(
            f"`{PROBABILITY}` says that {n_drawn:,} rows were drawn, and none of them has a human label: label them."
        )
    notes = []
    if outside := int((labeled & ~drawn).sum()):
        notes.append(
            f"{outside:,} rows have a human label and were not drawn for it (no `{PROBABILITY}`): they are not counted."
        )
    if missing := n_drawn - n_counted:
        notes.append(
            f"{missing:,} of {n_drawn:,} sampled rows have no human label. They are assumed "
            "missing at random (within strata, if the sample is stratified)."
        )
    rates = _response_rates(probabilities, drawn, counted)
    return SampledRows(counted, np.where(counted, probabilities * rates, np.nan), tuple(notes))


def _response_rates(probabilities: Floats, drawn: Mask, counted: Mask) -> Floats:
    """The share of sampled rows with a label among those with the same probability, shape (N,)."""
    overall = counted.sum() / drawn.sum()
    rates = np.full(len(probabilities), overall)
    cells, place = np.unique(np.round(probabilities[drawn], 9), return_inverse=True)
    if len(cells) <= MAX_STRATA:
        answered = np.bincount(place, weights=counted[drawn]) / np.bincount(place)
        # A stratum without an answer has no row to weight.
        rates[drawn] = np.where(answered > 0, answered, overall)[place]
    return rates


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The rows that scores are of."""

    counted: Mask
    """Shape (rows,)."""
    design: SamplingDesign | None
    """Of all rows; None for a simple random sample."""
    notes: tuple[str, ...]


def scored_rows(
    table: Table, labeled: Mask, *, clusters: str | None, strata: str | None, skipped: Mask | None
) -> ScoredRows:
    """The rows that are scored, and their sampling design.

    Args:
        table: with the columns of inclusion probabilities, cluster ids and stratum ids.
        labeled: rows with a human label, shape (rows,).
        clusters: name of the column of cluster ids.
        strata: name of the column of stratum ids.
        skipped: rows that the annotator did not have to code, which say nothing about it; None if unknown.

    Raises:
        DataError: a column is missing, no human-labeled row was sent to the annotator, or a scored row has no cluster
            or stratum.
    """
    ids = [None if name is None else column_values(table, name) for name in (clusters, strata)]
    drawn = sampled_rows(table, labeled)
    counted, notes = (labeled, ()) if drawn is None else (drawn.counted, drawn.notes)
    if skipped is not None and skipped.any():
        lost = int((counted & skipped).sum())
        counted = counted & ~skipped
        if lost and not counted.any():
            raise DataError(f"`status` is 'skipped' in all {lost:,} human-labeled rows: annotate these rows first.")
        notes += (
            f"{int(skipped.sum()):,} rows were not coded by the annotator (status `skipped`: no text, or a condition "
            f"that does not hold), {lost:,} of them with a human label. They are excluded from every score.",
        )
    weights = None
    if drawn is not None and not drawn.equal:
        weights = np.where(counted, 1 / drawn.probabilities, 0.0)
        notes += (WEIGHTED,)
    codes = [_codes(name, values, counted) for name, values in zip((clusters, strata), ids, strict=True)]
    design = SamplingDesign(weights, codes[0], codes[1])
    return ScoredRows(counted, None if design.is_random else design, notes)


def _codes(name: str | None, values: Sequence[Any] | None, counted: Mask) -> Ints | None:
    if values is None:
        return None
    missing = [row for row in np.flatnonzero(counted).tolist() if values[row] is None or values[row] != values[row]]
    if missing:
        raise DataError(
            f"`{name}` is missing in {len(missing):,} human-labeled rows, first in row {missing[0]:,}: "
            "give each row its value, or leave the option out."
        )
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(repr(value), len(codes)) for value in values], dtype=np.int64)
