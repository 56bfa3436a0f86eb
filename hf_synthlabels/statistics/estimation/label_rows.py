"""Human labels of some rows and LLM labels of all rows, with the sampling design and the settings of an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import (
    Floats,
    Ints,
    Mask,
    Numbers,
    check_lengths,
    check_level,
    cluster_codes,
    number_column,
)

FEW_LABELS = 50
"""Human labels, or clusters of them, below which intervals may be too narrow."""

MIN_TO_LEARN = 10
"""Labeled rows, or clusters of them, below which DSL does not predict human labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """Sampling design of the human labels, and settings of the estimators.

    Raises:
        ConfigError: `level` is not between 0 and 1, `folds` is less than 2, `splits` is less than 1, or both `finite`
            and `clusters` are given.
    """

    probabilities: Numbers | None = None
    """Inclusion probabilities, read for rows with a human label only, shape (rows,); None if all are equal."""
    clusters: ArrayLike | None = None
    """Cluster of each row, such as its article, shape (rows,)."""
    features: ArrayLike | None = None
    """More features of DSL, such as the LLM's confidence, without missing values, shape (rows,) or (rows, p)."""
    folds: int = 5
    """Folds of the cross-fitting in DSL."""
    splits: int = 10
    """Random splits into folds; DSL takes the median over them."""
    seed: int = 0
    """Of the splits."""
    level: float = 0.95
    finite: bool = False
    """Whether the estimand is of these rows only, not of a population that they represent. The variance then has the
    finite-population correction (Cochran 1977, 2.6; Hajek 1964 for unequal probabilities)."""

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.folds < 2:
            raise ConfigError(f"`folds` is {self.folds!r}: give 2 or more; 5 is usual.")
        if self.splits < 1:
            raise ConfigError(f"`splits` is {self.splits!r}: give 1 or more; 10 is usual.")
        if self.finite and self.clusters is not None:
            raise ConfigError("`clusters` cannot be combined with `finite`, which assumes that rows were drawn singly.")


@dataclass(frozen=True, slots=True)
class LabelRows:
    """Labels of N rows with q numbers per label, and their sampling design."""

    human: Floats
    """Shape (N, q); the LLM label where there is no human label, which never counts as one."""
    llm: Floats
    """Shape (N, q); the mean of the others where there is none."""
    labeled: Mask
    """Rows with a human label, shape (N,)."""
    scored: Mask
    """Rows with an LLM label, shape (N,)."""
    probabilities: Floats | None
    """Inclusion probabilities of labeled rows, 1 elsewhere, shape (N,); None if all are equal."""
    clusters: Ints | None
    features: Floats
    """Features of DSL, shape (N, p)."""
    finite: bool = False
    domain: Mask | None = None
    """Rows whose labels count in the estimand, shape (N,); None for all."""

    @property
    def n(self) -> int:
        """Rows with a human label."""
        return int(self.labeled.sum())

    @property
    def units(self) -> int:
        """Rows of the domain with a human label, or clusters that have some."""
        counted = self.in_domain(self.labeled)
        return int(counted.sum()) if self.clusters is None else len(np.unique(self.clusters[counted]))

    @property
    def population_correction(self) -> Floats:
        """1 - inclusion probability of labeled rows, 1 elsewhere, shape (N,)."""
        probabilities = self.n / len(self.labeled) if self.probabilities is None else self.probabilities
        correction: Floats = np.where(self.labeled, np.clip(1 - probabilities, 0, 1), 1.0)
        return correction

    @property
    def weights(self) -> Floats:
        """Inverse-probability weights of labeled rows with the sum 1, 0 elsewhere; shape (N,)."""
        raw = self.labeled / (1.0 if self.probabilities is None else self.probabilities)
        total = raw.sum()
        weights: Floats = raw / total if total else raw
        return weights

    @property
    def inverse_probabilities(self) -> Floats:
        """Inverse inclusion probabilities of labeled rows, 0 elsewhere; shape (N,)."""
        probabilities = self.n / len(self.labeled) if self.probabilities is None else self.probabilities
        inverse: Floats = self.labeled / probabilities
        return inverse

    @property
    def kish(self) -> float:
        """Effective number of labeled rows of the domain given their weights (Kish 1965)."""
        weights = self.weights if self.domain is None else self.weights[self.domain]
        squares = (weights**2).sum()
        return float(weights.sum() ** 2 / squares) if squares else 0.0

    def in_domain(self, rows: Mask) -> Mask:
        """Those of some rows whose labels count."""
        return rows if self.domain is None else rows & self.domain


def label_rows(human: Floats, llm: Floats, inference: Inference, known: Floats | None = None) -> LabelRows:
    """Combine labels with their sampling design.

    Args:
        human: shape (N, q), nan in rows without a human label.
        llm: shape (N, q), nan in rows without an LLM label.
        inference: probabilities, clusters and features.
        known: further features of DSL, known for all rows, shape (N, p).

    Raises:
        DataError: lengths differ, one side has no label at all, or values are missing where they may not be.
    """
    check_lengths(human=human, llm=llm)
    labeled: Mask = np.asarray(~np.isnan(human).any(axis=1))
    scored: Mask = np.asarray(~np.isnan(llm).any(axis=1))
    if not labeled.any():
        raise DataError(f"`human` has no label in any of {len(human):,} rows: label some rows by hand first.")
    if not scored.any():
        raise DataError(f"`llm` has no label in any of {len(llm):,} rows: annotate some rows first.")
    filled = np.where(scored[:, None], llm, llm[scored].mean(axis=0))
    columns = [filled, (~scored)[:, None].astype(np.float64)]
    columns += [known] if known is not None else []
    columns += [_feature_table(inference.features, len(llm))] if inference.features is not None else []
    probabilities = None
    if inference.probabilities is not None:
        probabilities = labeled_probabilities(inference.probabilities, labeled)
        if np.ptp(probabilities[labeled]) <= 1e-9 * probabilities[labeled].max():
            probabilities = None
    return LabelRows(
        human=np.where(labeled[:, None], human, filled),
        llm=filled,
        labeled=labeled,
        scored=scored,
        probabilities=probabilities,
        clusters=None if inference.clusters is None else cluster_codes(inference.clusters, len(llm)),
        features=np.column_stack(columns),
        finite=inference.finite,
    )


def labeled_probabilities(probabilities: Numbers, labeled: Mask) -> Floats:
    """Inclusion probabilities of the labeled rows, 1 for the others; refuse those that are no probabilities."""
    column = number_column(probabilities, "probabilities")
    check_lengths(probabilities=column, human=labeled)
    values = column[labeled]
    if wrong := int((~((values > 0) & (values <= 1))).sum()):
        raise DataError(
            f"`probabilities` is not above 0 and at most 1 in {wrong:,} rows with a human label: "
            "give the inclusion probability of each."
        )
    return np.where(labeled, column, 1.0)


def _feature_table(features: ArrayLike, rows: int) -> Floats:
    table: Floats = np.asarray(features, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != rows:
        raise DataError(f"`features` has shape {table.shape} and there are {rows:,} rows: give one line per row.")
    if missing := int((~np.isfinite(table)).any(axis=1).sum()):
        raise DataError(f"`features` is missing or infinite in {missing:,} rows: fill them, for example with the mean.")
    return table
