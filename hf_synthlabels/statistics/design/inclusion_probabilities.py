"""Inclusion probabilities of samples that are drawn in several steps.

A row is in the sample if the first step drew it, or if the first did not and the second did: its probability is
pi = pi_1 + (1 - pi_1) pi_2. So pi_1 is needed of every row, and it is stored of the drawn ones only. It follows from
the design: within an LLM label it is the same for all rows, or a function of the LLM's confidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, Ints

Bools = NDArray[np.bool_]


SAME = 1e-9


def stratum_codes(names: Sequence[str]) -> Ints:
    """Strata as numbers from 0, in the order of their names."""
    return np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)


def earlier_probabilities(
    earlier: ArrayLike | Sequence[float | None] | None, strata: Ints, doubt: Floats | None, *, within: bool
) -> tuple[Bools, Floats]:
    """Which rows an earlier sample drew, and the probability with which it drew each row, drawn or not.

    Args:
        earlier: True for drawn rows, which are taken for a random sample within each stratum; or the stored inclusion
            probabilities, None or nan for rows that were not drawn. Shape (N,).
        strata: which LLM label each row has, shape (N,).
        doubt: of the LLM, on which probabilities may depend, shape (N,); None where it is not known.
        within: whether rows are now drawn within strata, given how many of each were drawn. A sample that is random
            within strata then has the probability n_h / N_h, whatever its size was meant to be.

    Raises:
        DataError: `earlier` does not fit the rows, or the probability of some rows does not follow from it.
    """
    if earlier is None:
        return np.zeros(len(strata), dtype=np.bool_), np.zeros(len(strata))
    values = np.array(earlier)
    if values.shape != strata.shape:
        raise DataError(f"`earlier` has shape {values.shape} and there are {len(strata):,} rows: give one for each.")
    if values.dtype == np.bool_:
        return values, _shares(values, strata)
    stored = values.astype(np.float64)
    drawn = ~np.isnan(stored)
    if wrong := int((~((stored[drawn] > 0) & (stored[drawn] <= 1))).sum()):
        raise DataError(f"`earlier` is not above 0 and at most 1 in {wrong:,} rows: give inclusion probabilities.")
    if not drawn.any():
        return drawn, np.zeros(len(strata))
    groups = [drawn & (strata == code) for code in range(int(strata.max()) + 1)]
    if all(_same(stored[group]) for group in groups):
        return drawn, _shares(drawn, strata) if within else _by_stratum(stored, drawn, groups, strata)
    if doubt is None:
        raise DataError(
            "`earlier` has several probabilities within an LLM label, as samples by confidence do, and there is no "
            "`confidence` to explain them: give the LLM's confidence."
        )
    return drawn, _by_doubt(stored, drawn, groups, strata, doubt)


def _same(values: Floats) -> bool:
    return not len(values) or bool(np.ptp(values) <= SAME)


def _shares(drawn: Bools, strata: Ints) -> Floats:
    """The share of each row's stratum that was drawn."""
    shares: Floats = (np.bincount(strata, weights=drawn) / np.bincount(strata))[strata]
    return shares


def _by_stratum(stored: Floats, drawn: Bools, groups: Sequence[Bools], strata: Ints) -> Floats:
    if _same(stored[drawn]):
        return np.full(len(stored), stored[drawn][0])
    known = np.array([stored[group][0] if group.any() else np.nan for group in groups])
    if np.isnan(known).any():
        raise DataError(
            "`earlier` drew no row of some LLM label, whose probability is therefore unknown: draw with the design "
            "'stratified'."
        )
    return known[strata]


def _by_doubt(stored: Floats, drawn: Bools, groups: Sequence[Bools], strata: Ints, doubt: Floats) -> Floats:
    """Probabilities of drawn rows carried over to rows with the same doubt, and between them along a line."""
    if _follows(stored[drawn], doubt[drawn]):
        return np.where(drawn, stored, _carried(doubt, doubt[drawn], stored[drawn]))
    out = stored.copy()
    for code, group in enumerate(groups):
        members = strata == code
        if not group.any() or not _follows(stored[group], doubt[group]):
            raise DataError(
                "`earlier` has probabilities that follow neither from the LLM's labels nor from its confidence, or "
                "none of some label: draw as many rows as you need at once, from the table before that sample."
            )
        out[members] = _carried(doubt[members], doubt[group], stored[group])
    return np.where(drawn, stored, out)


def _follows(values: Floats, doubt: Floats) -> bool:
    """Whether rows with the same doubt have the same probability, and it never falls as doubt rises."""
    order = np.lexsort((values, doubt))
    steps, rises = np.diff(values[order]), np.diff(doubt[order])
    return bool((np.abs(steps[rises <= SAME]) <= 1e-6).all() and (steps >= -1e-6).all())


def _carried(doubt: Floats, known: Floats, values: Floats) -> Floats:
    places, first = np.unique(known, return_index=True)
    heights = values[first]
    if len(places) == 1:
        return np.full(len(doubt), heights[0])
    found = np.interp(doubt, places, heights)
    # Beyond the drawn rows along the nearest line.
    for outside, a, b in ((doubt < places[0], 0, 1), (doubt > places[-1], -1, -2)):
        slope = (heights[b] - heights[a]) / (places[b] - places[a])
        found = np.where(outside, heights[a] + slope * (doubt - places[a]), found)
    return np.clip(found, heights[0] / 2, 1.0)
