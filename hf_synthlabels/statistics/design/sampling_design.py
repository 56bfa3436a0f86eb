"""SamplingDesign: weights, clusters and strata of the human-labeled rows, and what they do to a variance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats, Ints, Mask


@dataclass(frozen=True, slots=True, eq=False)
class SamplingDesign:
    """How rows were drawn: each its weight, its cluster and its stratum. All arrays have the shape (rows,)."""

    weights: Floats | None = None
    """Inverse inclusion probabilities, above 0; None where all are the same."""
    clusters: Ints | None = None
    """Codes of the primary sampling units, such as articles or authors; None where rows were drawn one by one."""
    strata: Ints | None = None
    """Codes of the strata from which units were drawn separately; None for one stratum."""

    @property
    def is_random(self) -> bool:
        """Whether it is a simple random sample."""
        return self.weights is None and not self.has_units

    @property
    def has_units(self) -> bool:
        """Whether there are clusters or strata."""
        return self.clusters is not None or self.strata is not None

    def take(self, rows: Mask | Ints) -> SamplingDesign:
        """The design of some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        clusters, strata = (None if part is None else part[rows] for part in (self.clusters, self.strata))
        return SamplingDesign(weights, clusters, strata)

    def scaled(self) -> SamplingDesign:
        """The same with weights of mean 1."""
        if self.weights is None or not len(self.weights):
            return self
        return replace(self, weights=self.weights / self.weights.mean())

    def units(self, rows: int) -> tuple[Ints, Ints]:
        """The unit of each row, and the stratum of each unit.

        A stratum with a single unit has no variance, so all such strata are merged.

        Args:
            rows: the number of rows.
        """
        unit = np.arange(rows) if self.clusters is None else np.unique(self.clusters, return_inverse=True)[1]
        if self.strata is None:
            return unit, np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.int64)
        stratum = np.unique(self.strata, return_inverse=True)[1]
        # A cluster that spans strata is a unit in each of them.
        unit = np.unique(np.column_stack([unit, stratum]), axis=0, return_inverse=True)[1].ravel()
        of_unit = np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.int64)
        of_unit[unit] = stratum
        alone = np.bincount(of_unit)[of_unit] == 1
        of_unit[alone] = of_unit.max(initial=0) + 1
        return unit, np.unique(of_unit, return_inverse=True)[1].astype(np.int64)

    def variance_of_total(self, values: Floats) -> float:
        """The linearised variance of a sum of row values (Lohr 2022, section 9.1): between units, within strata.

        Args:
            values: shape (rows,), such as weighted residuals.
        """
        unit, stratum = self.units(len(values))
        totals = np.bincount(unit, weights=values, minlength=len(stratum))
        sizes = np.bincount(stratum)
        means = np.bincount(stratum, weights=totals) / sizes
        each = (totals - means[stratum]) ** 2 * (sizes / np.maximum(sizes - 1, 1))[stratum]
        return float(each.sum())

    def degrees_of_freedom(self, rows: int) -> int:
        """Units less strata, at least 1."""
        _, stratum = self.units(rows)
        return max(1, len(stratum) - int(stratum.max(initial=-1)) - 1)

    def widening(self, rows: int, level: float) -> float:
        """How much wider an interval of few clusters is than a normal one: Student's quantile over the normal one."""
        if self.clusters is None:
            return 1.0
        free = self.degrees_of_freedom(rows)
        ratio = stats.t.ppf((1 + level) / 2, free) / stats.norm.ppf((1 + level) / 2)
        return float(ratio * math.sqrt((free + 1) / free))

    def effective_rows(self, hits: Mask, counted: Mask, level: float) -> tuple[float, float]:
        """A weighted share, and how many rows of a simple random sample would vary as much.

        Args:
            hits: which rows are hits, shape (rows,).
            counted: which rows the share is of; at least one.
            level: confidence level; few clusters have fewer effective rows.

        Returns:
            The share, and p (1 - p) over its linearised variance, without strata at most the rows there are (Korn &
            Graubard 1998).
            For a share of 0 or 1, whose variance is not known, Kish's effective number of units (1965).
        """
        weights = np.where(counted, 1.0 if self.weights is None else self.weights, 0.0)
        total, n = weights.sum(), int(counted.sum())
        share = float(weights @ hits / total)
        if 0 < share < 1 and n > 1:
            kept = self if self.has_units and self.strata is not None else self.take(counted)
            values = weights * (hits - share)
            variance = kept.variance_of_total(values if kept is self else values[counted]) / total**2
            rows = share * (1 - share) / variance if variance > 0 else float(n)
            # Only strata can make a sample better than a random one; anything else is noise of the estimate. A stratum
            # whose rows are all hits, or none, shows no variance, but may have some.
            rows = rows if self.strata is not None and _all_vary(hits[counted], self.strata[counted]) else min(n, rows)
        else:
            unit, stratum = self.units(len(hits))
            sizes = np.bincount(unit, weights=weights, minlength=len(stratum))
            rows = float(total**2 / (sizes @ sizes))
        return share, float(rows / self.take(counted).widening(n, level) ** 2)

    def effect(self, hits: Mask, level: float) -> float:
        """The design effect of clusters on a share, at least 1."""
        if self.clusters is None or not len(hits):
            return 1.0
        unclustered = replace(self, clusters=None)
        every = np.ones(len(hits), dtype=np.bool_)
        share, rows = replace(self, strata=None).effective_rows(hits, every, level)
        if not 0 < share < 1:
            return max(1.0, len(hits) / rows)
        return max(1.0, replace(unclustered, strata=None).effective_rows(hits, every, level)[1] / rows)


def _all_vary(hits: Mask, strata: Ints) -> bool:
    """Whether each stratum has hits and other rows."""
    _, stratum = np.unique(strata, return_inverse=True)
    among = np.bincount(stratum, weights=hits)
    return bool(((among > 0) & (among < np.bincount(stratum))).all())


def taken(design: SamplingDesign | None, rows: Mask) -> SamplingDesign | None:
    """The design of some rows, with weights of mean 1; None for a simple random sample."""
    return None if design is None else design.take(rows).scaled()
