"""Resamples: how often each cluster is drawn, once for all statistics, so that their differences are paired.

Every statistic of the audit is a function of the weights of clusters, shape (R, G), that gives its value in each of the
resamples at once: sums are `weights @ sums`, sums over pairs of rows are quadratic forms. The first resample is the
sample itself, so the first value is the estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from hf_synthlabels.judging.audit.audit_rows import Codes, Floats, Ints
from hf_synthlabels.statistics import BootstrapConfig, Interval
from hf_synthlabels.statistics.intervals import percentile_interval

Draws = Floats
"""A statistic's values, shape (1 + resamples,): the estimate first."""

MAX_CLUSTERS = 1000
"""Where there are more, clusters are put together at random into so many: whole clusters are still drawn together, and
the width of an interval from 1000 of them has an error of about 2 %."""


@dataclass(frozen=True, slots=True)
class Resamples:
    """The draws, and to which of the drawn groups each row belongs."""

    weights: Floats
    """Shape (1 + resamples, G): how often each group is drawn; 1 in the first row, the sample itself."""
    groups: Ints
    """Shape (rows,)."""
    clusters: int
    """How many there were before any were put together."""
    level: float

    def interval(self, draws: Draws, n: int) -> Interval:
        """The percentile interval of a statistic; its ends are nan for fewer than two clusters."""
        values = draws[1:] if self.clusters > 1 else np.empty(0)
        method = f"bootstrap: {self.clusters:,} clusters"
        return percentile_interval(values, float(draws[0]) if len(draws) else math.nan, self.level, method, n)


def draw_clusters(clusters: Codes, tasks: Codes, bootstrap: BootstrapConfig) -> Resamples:
    """Draw clusters with replacement, as many as there are, within each set of tasks that share clusters.

    Tasks that share source documents (the four qualities of one summary) are drawn together, so what is dependent stays
    so; tasks that share none are drawn apart, so that each keeps its number of clusters and none vanishes.
    """
    present, groups = np.unique(clusters.values, return_inverse=True)
    strata = _strata(groups, len(present), tasks)
    rng = np.random.default_rng(bootstrap.seed)
    if len(present) > MAX_CLUSTERS:
        groups, strata = _blocks(groups, strata, rng)
    weights = np.ones((1 + bootstrap.resamples, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        even = np.full(len(members), 1 / len(members))
        weights[1:, members] = rng.multinomial(len(members), even, size=bootstrap.resamples)
    return Resamples(weights, groups, len(present), bootstrap.level)


def cluster_sums(columns: Floats, groups: Ints, n_groups: int) -> Floats:
    """The sums of each column over the rows of each group: shape (G, d) from columns of shape (rows, d)."""
    out = np.zeros((n_groups, columns.shape[1]))
    np.add.at(out, groups, columns)
    return out


def _strata(groups: Ints, n_groups: int, tasks: Codes) -> Ints:
    """For each cluster the connected set of tasks that it is in."""
    n_tasks = len(tasks.names)
    links = sparse.coo_array(
        (np.ones(len(groups)), (groups, n_groups + tasks.values)), shape=(n_groups + n_tasks, n_groups + n_tasks)
    )
    _, component = csgraph.connected_components(links, directed=False)
    out: Ints = np.asarray(component[:n_groups], dtype=np.int64)
    return out


def _blocks(groups: Ints, strata: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Clusters put together at random within their stratum, `MAX_CLUSTERS` groups in all, at least 2 in a stratum."""
    block = np.empty(len(strata), dtype=np.int64)
    of_block: list[int] = []
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        size = min(len(members), max(2, round(MAX_CLUSTERS * len(members) / len(strata))))
        block[members] = len(of_block) + np.arange(len(members)) % size
        of_block += [int(stratum)] * size
    return block[groups], np.array(of_block, dtype=np.int64)
