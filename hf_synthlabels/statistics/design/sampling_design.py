"""Weights, clusters and strata of human-labeled rows, and shares of rows with design-based intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats, Ints, Mask
from hf_synthlabels.statistics.intervals import Interval, normal_quantile, score_interval, wilson


@dataclass(frozen=True, slots=True, eq=False)
class SamplingDesign:
    """Weight, cluster and stratum of each row. All arrays have the shape (rows,)."""

    weights: Floats | None = None
    """Inverse inclusion probabilities, above 0; None if all are equal."""
    clusters: Ints | None = None
    """Codes of the primary sampling units, such as articles; None if rows were sampled singly."""
    strata: Ints | None = None
    """Codes of the strata within which units were sampled; None for one stratum."""

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

    def method_name(self, method: str, rows: int) -> str:
        """The name of a method followed by the parts of the design."""
        if self.is_random:
            return method
        unit, stratum = self.units(rows)
        parts = ["weighted"] if self.weights is not None else []
        parts += [f"{len(np.unique(unit)):,} clusters"] if self.clusters is not None else []
        parts += [f"{len(np.unique(stratum)):,} strata"] if self.strata is not None else []
        return ", ".join([method, *parts])

    def variance_of_total(self, values: Floats) -> float:
        """The linearized variance of a sum of row values, between units within strata (Lohr 2022, section 9.1).

        Args:
            values: such as weighted residuals, shape (rows,).
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
        """A weighted share of hits, and the rows of a simple random sample with the same variance.

        These are p (1 - p) / variance (Korn & Graubard 1998), without strata at most the rows there are. For a share
        of 0 or 1 they are Kish's effective number of units (1965). Few clusters have fewer effective rows.

        Args:
            hits: which rows are hits, shape (rows,).
            counted: the rows of the denominator, at least one.
            level: confidence level.
        """
        weights = np.where(counted, 1.0 if self.weights is None else self.weights, 0.0)
        total, n = weights.sum(), int(counted.sum())
        share = float(weights @ hits / total)
        if 0 < share < 1 and n > 1:
            kept = self if self.strata is not None else self.take(counted)
            values = weights * (hits - share)
            variance = kept.variance_of_total(values if kept is self else values[counted]) / total**2
            rows = share * (1 - share) / variance if variance > 0 else float(n)
            # Only strata make a sample better than a random one; otherwise it is noise of the estimate. A stratum whose
            # rows are all hits, or none, shows no variance, but may have some.
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
        every = np.ones(len(hits), dtype=np.bool_)
        share, rows = replace(self, strata=None).effective_rows(hits, every, level)
        if not 0 < share < 1:
            return max(1.0, len(hits) / rows)
        unclustered = replace(self, clusters=None, strata=None)
        return max(1.0, unclustered.effective_rows(hits, every, level)[1] / rows)


def _all_vary(hits: Mask, strata: Ints) -> bool:
    """Whether each stratum has hits and other rows."""
    _, stratum = np.unique(strata, return_inverse=True)
    among = np.bincount(stratum, weights=hits)
    return bool(((among > 0) & (among < np.bincount(stratum))).all())


def subset_design(design: SamplingDesign | None, rows: Mask | Ints) -> SamplingDesign | None:
    """The design of some rows, with weights of mean 1; None for a simple random sample."""
    return None if design is None else design.take(rows).scaled()


def share_interval(hits: Mask, counted: Mask | None, design: SamplingDesign | None, level: float = 0.95) -> Interval:
    """The share of hits among rows with Wilson's interval, for the effective number of rows of a design.

    Args:
        hits: which rows are hits, shape (rows,).
        counted: the rows of the denominator; None for all.
        design: of all rows; None for a simple random sample. A weighted share is a ratio of sums (Hajek 1971).
        level: confidence level.
    """
    counted = np.ones(len(hits), dtype=np.bool_) if counted is None else counted
    n = int(counted.sum())
    if design is None or design.is_random:
        return wilson(int((hits & counted).sum()), n, level)
    method = design.method_name("wilson", len(hits))
    if not n:
        return Interval.undefined(level, method)
    share, effective = design.effective_rows(hits & counted, counted, level)
    return Interval(share, *score_interval(share, effective, normal_quantile(level)), level, method, n)


def weighted_mean(values: Floats, weights: Floats, level: float = 0.95) -> Interval:
    """The weighted mean of numbers from 0 to 1, with a normal interval of its linearized variance (Hajek 1971).

    Args:
        values: shape (rows,).
        weights: inverse inclusion probabilities, above 0.
        level: confidence level.
    """
    n, method = len(values), "normal, weighted"
    if not n:
        return Interval.undefined(level, method)
    mean = float(weights @ values / weights.sum())
    if n == 1:
        return Interval(mean, 0.0, 1.0, level, method, n)
    variance = float(((weights * (values - mean)) ** 2).sum() / weights.sum() ** 2 * n / (n - 1))
    half = normal_quantile(level) * math.sqrt(variance)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), level, method, n)
