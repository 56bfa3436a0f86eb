"""Rows that an audit reads, and the bootstrap weights of their clusters."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.intervals import percentile_interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Replicates = Floats
"""Values of a statistic, shape (1 + resamples,): the estimate, then its bootstrap replicates."""

MAX_CLUSTERS = 1000
"""More clusters are merged at random into this many groups. Whole clusters are still resampled together, and the width
of an interval from 1000 groups has an error of about 2%."""


@dataclass(frozen=True, slots=True)
class Codes:
    """A column of names as integers from 0, in order of first occurrence."""

    values: Ints
    names: tuple[str, ...]

    @classmethod
    def of(cls, column: Sequence[Hashable]) -> Codes:
        """Encode a column."""
        known: dict[Hashable, int] = {}
        values = np.fromiter((known.setdefault(value, len(known)) for value in column), np.int64, len(column))
        return cls(values, tuple(str(name) for name in known))

    def __getitem__(self, kept: Any) -> Codes:
        """The selected rows, with all names, so that codes of different selections are comparable."""
        return Codes(self.values[kept], self.names)


@dataclass(frozen=True, slots=True)
class AuditRows:
    """Scores with the human scores and the origin of each row; all columns have the same length."""

    scores: Floats
    """nan for a missing score."""
    human: Floats
    tasks: Codes
    clusters: Codes
    """Unit of resampling: the source document or question."""
    formats: Codes | None = None
    systems: Codes | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, kept: Any) -> AuditRows:
        """The selected rows, with all names."""
        return AuditRows(
            self.scores[kept],
            self.human[kept],
            self.tasks[kept],
            self.clusters[kept],
            None if self.formats is None else self.formats[kept],
            None if self.systems is None else self.systems[kept],
        )

    @property
    def scored(self) -> Bools:
        """Mask of the rows with a score."""
        mask: Bools = ~np.isnan(self.scores)
        return mask

    def with_scores(self, scores: Floats) -> AuditRows:
        """The same rows with the scores of another metric."""
        return replace(self, scores=scores)

    @classmethod
    def from_columns(
        cls,
        scores: Sequence[float | None],
        human: Sequence[float | None],
        tasks: Sequence[Hashable],
        *,
        items: Sequence[Hashable] | None = None,
        formats: Sequence[Hashable] | None = None,
        systems: Sequence[Hashable] | None = None,
    ) -> AuditRows:
        """Rows with a human score; the columns are those of `audit_metric`.

        Raises:
            DataError: the columns differ in length, a score is not in [0, 1], or a name is missing.
        """
        n = len(scores)
        check_lengths(n, human=human, tasks=tasks, items=items, formats=formats, systems=systems)
        target = numbers("human", human)
        rows = cls(
            numbers("scores", scores),
            target,
            _names("tasks", tasks),
            Codes.of(range(n)) if items is None else _names("items", items),
            None if formats is None else _names("formats", formats),
            None if systems is None else _names("systems", systems),
        )
        return rows[~np.isnan(target)]


def check_lengths(n: int, /, **columns: Sequence[Any] | None) -> None:
    """Reject columns that do not have `n` rows.

    Raises:
        DataError: a column has another length.
    """
    for name, column in columns.items():
        if column is not None and len(column) != n:
            raise DataError(f"`{name}` has {len(column)} rows instead of {n}: give one value for each row.")


def numbers(name: str, column: Sequence[Any], *, unit: bool = True) -> Floats:
    """A column of numbers; None and values that are not finite become nan.

    Numbers are rounded to 12 digits, so that means of the same values in another order are equal.

    Args:
        name: name of the column for errors.
        column: the values.
        unit: whether the numbers must be in [0, 1].

    Raises:
        DataError: a value is not a number, or not in [0, 1].
    """
    values = np.full(len(column), np.nan)
    for row, value in enumerate(column):
        if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            # A scalar of torch or numpy.
            value = value.item()
        if value is None:
            continue
        if not isinstance(value, float | int | np.number | np.bool_):
            raise DataError(f"`{name}` has {value!r} in row {row}: give numbers, or None for a missing one.")
        values[row] = round(float(value), 12) if math.isfinite(value) else np.nan
    invalid = np.flatnonzero((values < 0) | (values > 1)) if unit else np.empty(0, dtype=np.int64)
    if invalid.size:
        raise DataError(
            f"`{name}` has {values[invalid[0]]!s} in row {invalid[0]}: give scores from 0 (worst) to 1 (best), for "
            "example (score - lowest) / (highest - lowest)."
        )
    return values


def _names(name: str, column: Sequence[Hashable]) -> Codes:
    for row, value in enumerate(column):
        if value is None:
            raise DataError(f"`{name}` has None in row {row}: give a name for every row.")
    return Codes.of(column)


@dataclass(frozen=True, slots=True)
class Resamples:
    """Bootstrap weights of groups of clusters, shared by all statistics, so that their differences are paired.

    Every statistic is a vectorized function of the weights: sums are `weights @ sums`, sums over pairs of rows are
    quadratic forms.
    """

    weights: Floats
    """Shape (1 + resamples, groups): how often each group is sampled; 1 in the first row, the sample itself."""
    groups: Ints
    """Group of each row."""
    clusters: int
    """Number of clusters before merging."""
    level: float

    def interval(self, replicates: Replicates, n: int) -> Interval:
        """Percentile interval of a statistic; its limits are nan for fewer than two clusters."""
        values = replicates[1:] if self.clusters > 1 else np.empty(0)
        method = f"bootstrap: {self.clusters:,} clusters"
        estimate = float(replicates[0]) if len(replicates) else math.nan
        return percentile_interval(values, estimate, self.level, method, n)


def draw_clusters(clusters: Codes, tasks: Codes, bootstrap: BootstrapConfig) -> Resamples:
    """Resample clusters with replacement within each set of tasks that share clusters.

    Tasks that share source documents, such as the four qualities of one summary, are resampled together to keep their
    dependence. Other tasks are resampled separately, so that each keeps its number of clusters.
    """
    present, groups = np.unique(clusters.values, return_inverse=True)
    strata = _strata(groups, len(present), tasks)
    rng = np.random.default_rng(bootstrap.seed)
    if len(present) > MAX_CLUSTERS:
        groups, strata = _merged(groups, strata, rng)
    weights = np.ones((1 + bootstrap.resamples, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        uniform = np.full(len(members), 1 / len(members))
        weights[1:, members] = rng.multinomial(len(members), uniform, size=bootstrap.resamples)
    return Resamples(weights, groups, len(present), bootstrap.level)


def cluster_sums(columns: Floats, groups: Ints, n_groups: int) -> Floats:
    """Sums of each column over the rows of each group: shape (groups, d) from columns of shape (rows, d)."""
    sums = np.zeros((n_groups, columns.shape[1]))
    np.add.at(sums, groups, columns)
    return sums


def _strata(groups: Ints, n_groups: int, tasks: Codes) -> Ints:
    """The connected set of tasks of each cluster."""
    n_tasks = len(tasks.names)
    links = sparse.coo_array(
        (np.ones(len(groups)), (groups, n_groups + tasks.values)), shape=(n_groups + n_tasks, n_groups + n_tasks)
    )
    _, component = csgraph.connected_components(links, directed=False)
    strata: Ints = np.asarray(component[:n_groups], dtype=np.int64)
    return strata


def _merged(groups: Ints, strata: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Clusters merged at random within their stratum into `MAX_CLUSTERS` groups, at least 2 in each stratum."""
    merged = np.empty(len(strata), dtype=np.int64)
    stratum_of_group: list[int] = []
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        size = min(len(members), max(2, round(MAX_CLUSTERS * len(members) / len(strata))))
        merged[members] = len(stratum_of_group) + np.arange(len(members)) % size
        stratum_of_group += [int(stratum)] * size
    return merged[groups], np.array(stratum_of_group, dtype=np.int64)
