"""Agreement among the labels of several variants: Krippendorff's alpha with intervals, and labels that change.

Alpha among paraphrases of a prompt is the prompt stability score (Barrie, Palaiologou & Törnberg 2024,
arXiv 2407.02039); among repeated samples of one prompt it is that score within a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, Mask, label_codes, rating_table
from hf_synthlabels.statistics.bootstrap import BootstrapConfig
from hf_synthlabels.statistics.intervals import Interval, percentile_interval, wilson

AlphaScale = Literal["nominal", "interval"]

METHOD = "bootstrap: rows"
CHUNK = 100
"""Resamples whose counts are in memory at once."""

RESAMPLES = 1000


def alpha_interval(
    ratings: Any,
    scale: AlphaScale = "nominal",
    groups: Sequence[Sequence[int]] | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> Interval:
    """Krippendorff's alpha among variants, with a bootstrap interval over rows.

    Args:
        ratings: labels, shape (rows, variants); None or nan where a variant gave none.
        scale: "nominal" for classes, "interval" for numbers.
        groups: columns that are compared with each other; the result is the mean alpha of these groups. By default
            all columns are one group.
        bootstrap: level, resamples and seed; 1,000 resamples by default.

    Returns:
        n: rows with labels of two or more variants of one group. Undefined where all labels are equal.

    Raises:
        DataError: `ratings` does not have two dimensions, or holds other values than the scale has.
    """
    bootstrap = bootstrap or BootstrapConfig(resamples=RESAMPLES)
    table = label_codes(ratings)[0] if scale == "nominal" else rating_table(ratings)
    columns = [list(group) for group in groups] if groups is not None else [list(range(table.shape[1]))]
    if not columns or any(len(group) < 2 for group in columns):
        raise DataError("`groups` has a group with fewer than two variants: alpha compares at least two.")
    parts = [_contributions(table[:, group], scale) for group in columns]
    rated = np.any([part[:, 0] > 0 for part in parts], axis=0)
    n = int(rated.sum())
    point = _mean_alpha([part.sum(axis=0, keepdims=True) for part in parts], scale)[0]
    if math.isnan(point):
        return Interval.undefined(bootstrap.level, METHOD, n)
    if n < 2:
        return Interval(float(point), math.nan, math.nan, bootstrap.level, METHOD, n)
    parts = [part[rated] for part in parts]
    values = [_mean_alpha([counts @ part for part in parts], scale) for counts in _resample_counts(n, bootstrap)]
    return percentile_interval(np.concatenate(values), float(point), bootstrap.level, METHOD, n)


def _resample_counts(n: int, bootstrap: BootstrapConfig) -> Iterator[Floats]:
    """How often each of n rows is drawn, in chunks of shape (resamples, n)."""
    rng = np.random.default_rng(bootstrap.seed)
    for start in range(0, bootstrap.resamples, CHUNK):
        count = min(CHUNK, bootstrap.resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=count).astype(np.float64)


def _contributions(table: Floats, scale: AlphaScale) -> Floats:
    """What each row adds to alpha, shape (rows, 2 + terms): labels, observed disagreement, then the labels' totals."""
    known = ~np.isnan(table)
    given = known.sum(axis=1)
    counts = given * (given > 1)
    rest = np.maximum(given - 1, 1)
    if scale == "nominal":
        n_classes = int(np.nanmax(table)) + 1 if known.any() else 1
        totals = np.stack([(table == code).sum(axis=1) for code in range(n_classes)], axis=1) * (given > 1)[:, None]
        observed = (totals * (counts[:, None] - totals)).sum(axis=1) / rest
        return np.column_stack([counts, observed, totals]).astype(np.float64)
    filled = np.where(known, table, 0.0)
    # Differences do not depend on the origin, and sums of squares near it lose fewer digits.
    filled = np.where(known, filled - (filled.sum() / max(1, known.sum())), 0.0) * (given > 1)[:, None]
    sums, squares = filled.sum(axis=1), (filled**2).sum(axis=1)
    observed = 2 * (counts * squares - sums**2) / rest
    return np.column_stack([counts, observed, sums, squares])


def _mean_alpha(totals: Sequence[Floats], scale: AlphaScale) -> Floats:
    """Mean over the groups with variation of alpha from summed contributions, shape (resamples,); nan without any."""
    alphas = np.array([_alpha(total, scale) for total in totals])
    varies = ~np.isnan(alphas)
    sums, counts = np.where(varies, alphas, 0.0).sum(axis=0), varies.sum(axis=0)
    means: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)
    return means


def _alpha(totals: Floats, scale: AlphaScale) -> Floats:
    n, observed, terms = totals[:, 0], totals[:, 1], totals[:, 2:]
    pairs = n**2 - (terms**2).sum(axis=1) if scale == "nominal" else 2 * (n * terms[:, 1] - terms[:, 0] ** 2)
    varies = pairs > 1e-9 * np.maximum(1.0, n)
    alphas: Floats = np.where(varies, 1 - (n - 1) * observed / np.where(varies, pairs, 1.0), math.nan)
    return alphas


@dataclass(frozen=True, slots=True)
class Movement:
    """Rows whose label changes among variants."""

    moved: int
    compared: int
    """Rows with a label of at least two variants."""
    share: Interval


def moved_rows(ratings: Any, level: float = 0.95) -> Movement:
    """Rows with two or more different labels among the variants that gave one.

    Args:
        ratings: labels, shape (rows, variants); None or nan where a variant gave none.
        level: of the Wilson interval.
    """
    table = label_codes(ratings)[0]
    compared: Mask = (~np.isnan(table)).sum(axis=1) > 1
    kept = table[compared]
    moved = int((np.nanmax(kept, axis=1) > np.nanmin(kept, axis=1)).sum()) if len(kept) else 0
    return Movement(moved, len(kept), wilson(moved, len(kept), level))


def groups_by_choice(choices: Sequence[Mapping[str, str]]) -> dict[str, list[list[int]]]:
    """For each choice the groups of variants that differ in it alone.

    Args:
        choices: of each variant, by name of the choice.

    Returns:
        Groups of two or more positions, by name of the choice; a choice without such a group is left out.
    """
    names = list(dict.fromkeys(name for each in choices for name in each))
    groups: dict[str, list[list[int]]] = {}
    for name in names:
        others: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for place, each in enumerate(choices):
            if name in each:
                key = tuple(sorted((other, value) for other, value in each.items() if other != name))
                others.setdefault(key, []).append(place)
        kept = [places for places in others.values() if len(places) > 1]
        if kept:
            groups[name] = kept
    return groups
