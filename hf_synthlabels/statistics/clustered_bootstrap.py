"""Cluster bootstrap: intervals of any statistic of rows that hang together, such as several answers to one question."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.intervals import Interval, percentile_interval
from hf_synthlabels.statistics.label_ids import Ints
from hf_synthlabels.statistics.row_bootstrap import BootstrapConfig

RowStatistic = Callable[[Ints], float]
"""A statistic of the rows with these positions; a row that was drawn twice stands there twice."""


def cluster_bootstrap(statistic: RowStatistic, clusters: ArrayLike, drawing: BootstrapConfig | None = None) -> Interval:
    """The percentile interval of a statistic when whole clusters are drawn (Davison & Hinkley 1997, section 3.8).

    Rows of one cluster are not independent: drawing them one by one would give intervals that are too narrow. With
    few clusters percentiles are still a little narrow: in 600 simulated samples each, 95 % ones of a mean held the
    truth in 90 % with 10 clusters and in 92 to 94 % with 20 to 100. `method` says how many clusters there were.

    Args:
        statistic: takes row positions, shape (drawn rows,), and returns a number; nan where it is undefined.
        clusters: which cluster each row is in, shape (rows,): numbers or strings.
        drawing: level, resamples and seed.

    Returns:
        An interval whose `n` is the number of rows. Resamples that are nan are left out. The ends are nan for fewer
        than two clusters or where the statistic of all rows is nan.

    Raises:
        DataError: `clusters` has not one dimension, or its values can not be compared with each other.
    """
    drawing = drawing or BootstrapConfig()
    members = _members(clusters)
    n = sum(map(len, members))
    method = f"bootstrap: {len(members):,} clusters"
    estimate = float(statistic(np.arange(n))) if n else math.nan
    if len(members) < 2 or math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan, drawing.level, method, n)
    values = np.array([statistic(rows) for rows in _draws(members, drawing)], dtype=np.float64)
    return percentile_interval(values, estimate, drawing.level, method, n)


def cluster_draws(clusters: ArrayLike, drawing: BootstrapConfig | None = None) -> Iterator[Ints]:
    """The row positions of each resample of `cluster_bootstrap`, for several statistics from the same draws.

    Args:
        clusters: as in `cluster_bootstrap`.
        drawing: level (not used), resamples and seed.

    Raises:
        DataError: as in `cluster_bootstrap`.
    """
    return _draws(_members(clusters), drawing or BootstrapConfig())


def cluster_codes(clusters: ArrayLike, rows: int | None = None) -> Ints:
    """Clusters as numbers from 0, in the order of their values, shape (rows,).

    Args:
        clusters: as in `cluster_bootstrap`.
        rows: how many there must be.

    Raises:
        DataError: as in `cluster_bootstrap`, or there are not as many as there are rows.
    """
    values = np.asarray(clusters)
    if values.ndim != 1:
        raise DataError(f"`clusters` has shape {values.shape}: give one cluster for each row.")
    if rows is not None and len(values) != rows:
        raise DataError(f"`clusters` has shape {values.shape} and there are {rows:,} rows: give one for each.")
    if missing := sum(value is None or value != value for value in values.tolist()):
        raise DataError(f"`clusters` is missing in {missing:,} rows: give each row its cluster.")
    try:
        return np.unique(values, return_inverse=True)[1].astype(np.int64)
    except TypeError as error:
        raise DataError(
            "`clusters` mixes values that can not be compared: give numbers only or strings only."
        ) from error


def _members(clusters: ArrayLike) -> list[Ints]:
    """The row positions of each cluster, clusters in the order of their values."""
    place = cluster_codes(clusters)
    if place.size == 0:
        return []
    order = np.argsort(place, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(place[order])) + 1)


def _draws(members: list[Ints], drawing: BootstrapConfig) -> Iterator[Ints]:
    rng = np.random.default_rng(drawing.seed)
    for _ in range(drawing.resamples if members else 0):
        drawn = rng.integers(len(members), size=len(members))
        yield np.concatenate([members[k] for k in drawn])
