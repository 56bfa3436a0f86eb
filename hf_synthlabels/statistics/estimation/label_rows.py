"""Human labels of some rows and LLM labels of all rows, with the sampling design and the settings of an estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Ints, Numbers, check_level, cluster_codes, number_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """How the human labels were drawn, and how estimates are to be made of them.

    Raises:
        ConfigError: `level` is not between 0 and 1, there are fewer than 2 folds or no split, or `finite` and
            `clusters` are both given.
    """

    probabilities: Numbers | None = None
    """With what chance each row was chosen to get a human label, shape (rows,); only those of rows with one are read.
    None: all had the same chance."""
    clusters: ArrayLike | None = None
    """Which rows hang together, such as sentences of one article, shape (rows,); None if none do."""
    features: ArrayLike | None = None
    """More to guess a human label from than the LLM's and the predictors, such as its confidence: shape (rows,) or
    (rows, p), nothing missing. DSL alone uses them."""
    learner: Learner | None = None
    """Model of DSL: a function of features and labels to learn from, and features to predict for; default `ridge`."""
    folds: int = 5
    """Parts into which rows are cut for DSL, so that no guess has seen its own row's label."""
    splits: int = 10
    """How often they are cut anew; the median counts, so that the chance in one cut does not."""
    seed: int = 0
    """Of the cuts."""
    level: float = 0.95
    finite: bool = False
    """Whether the question is of these rows alone, and not of all that are like them: then only the drawing is by
    chance, a human label of every row leaves nothing open, and variances shrink by 1 - chance (Cochran 1977, 2.6;
    Hajek 1964 for unequal chances)."""

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.folds < 2:
            raise ConfigError(f"`folds` is {self.folds!r}: give 2 or more; 5 is usual.")
        if self.splits < 1:
            raise ConfigError(f"`splits` is {self.splits!r}: give 1 or more; 10 is usual.")
        if self.finite and self.clusters is not None:
            raise ConfigError(
                "`clusters` is given with `finite`: of these rows alone only the drawing is by chance, and rows were "
                "drawn one by one. Leave one of them out."
            )


Learner = Callable[[Floats, Floats, Floats], Floats]
"""Features and labels to learn from, (n, p) and (n, q), and features to guess for, (m, p): guesses, (m, q)."""


FEW_LABELS = 50
"""Human labels, or clusters of them, below which intervals may be too narrow."""

MIN_TO_LEARN = 10
"""Labelled rows, or clusters of them, below which no human label is guessed."""


@dataclass(frozen=True, slots=True)
class LabelRows:
    """Rows as estimators want them; N rows, q numbers to a label."""

    human: Floats
    """Shape (N, q); where there is no human label, the LLM's, which never counts as one."""
    llm: Floats
    """Shape (N, q); where there is none, the mean of the others."""
    labelled: NDArray[np.bool_]
    """Whether a row has a human label, shape (N,)."""
    scored: NDArray[np.bool_]
    """Whether it has an LLM label, shape (N,)."""
    chances: Floats | None
    """Of labelled rows, shape (N,) with 1 elsewhere; None where all are the same."""
    clusters: Ints | None
    features: Floats
    """What human labels are guessed from, shape (N, p)."""
    finite: bool = False
    """Whether the question is of these rows alone."""

    @property
    def undrawn(self) -> Floats:
        """1 - chance of labelled rows, 1 elsewhere: how much of a row's error is open. Shape (N,)."""
        chance = np.full(len(self.labelled), self.n / len(self.labelled)) if self.chances is None else self.chances
        left: Floats = np.where(self.labelled, np.clip(1 - chance, 0, 1), 1.0)
        return left

    @property
    def n(self) -> int:
        """Rows with a human label."""
        return int(self.labelled.sum())

    @property
    def units(self) -> int:
        """Rows with a human label, or clusters that have some."""
        return self.n if self.clusters is None else len(np.unique(self.clusters[self.labelled]))

    @property
    def weights(self) -> Floats:
        """Of labelled rows 1 / chance, the sum being 1; 0 elsewhere. Shape (N,)."""
        raw = self.labelled / (1.0 if self.chances is None else self.chances)
        total = raw.sum()
        shares: Floats = raw / total if total else raw
        return shares

    @property
    def inverse_chances(self) -> Floats:
        """1 / chance of labelled rows, by which they stand for all N; 0 elsewhere. Shape (N,)."""
        chance = self.n / len(self.labelled) if self.chances is None else self.chances
        stands: Floats = self.labelled / chance
        return stands

    @property
    def kish(self) -> float:
        """How many labelled rows of equal weight are worth as much as these (Kish 1965)."""
        return float(1 / (self.weights**2).sum()) if self.n else 0.0


def label_rows(human: Floats, llm: Floats, inference: Inference, known: Floats | None = None) -> LabelRows:
    """Put labels and the drawing together.

    Args:
        human: shape (N, q), nan in rows without a human label.
        llm: shape (N, q), nan in rows without an LLM label.
        inference: chances, clusters, features.
        known: columns that are known for all rows and may help to guess, shape (N, p).

    Raises:
        DataError: lengths differ, no row has a human or none an LLM label, or something is missing that may not be.
    """
    if len(human) != len(llm):
        raise DataError(f"`human` has {len(human):,} rows and `llm` {len(llm):,}: give one each per row.")
    labelled, scored = _complete_lines(human), _complete_lines(llm)
    if not labelled.any():
        raise DataError(f"`human` has no label in any of {len(human):,} rows: label some rows by hand first.")
    if not scored.any():
        raise DataError(f"`llm` has no label in any of {len(llm):,} rows: there is nothing to draw conclusions from.")
    filled = np.where(scored[:, None], llm, llm[scored].mean(axis=0))
    columns = [filled, (~scored)[:, None].astype(np.float64)]
    columns += [known] if known is not None else []
    columns += [_table(inference.features, len(llm))] if inference.features is not None else []
    chances = None if inference.probabilities is None else labeled_probabilities(inference.probabilities, labelled)
    if chances is not None and np.ptp(chances[labelled]) <= 1e-9 * chances[labelled].max():
        chances = None
    return LabelRows(
        human=np.where(labelled[:, None], human, filled),
        llm=filled,
        labelled=labelled,
        scored=scored,
        chances=chances,
        clusters=None if inference.clusters is None else cluster_codes(inference.clusters, len(llm)),
        features=np.column_stack(columns),
        finite=inference.finite,
    )


def labeled_probabilities(probabilities: Numbers, labelled: NDArray[np.bool_]) -> Floats:
    """The chance of each labelled row, and 1 for the others.

    Raises:
        DataError: there is not one for each row, or one of a labelled row is missing or no probability.
    """
    chances = number_column(probabilities, "probabilities")
    if len(chances) != len(labelled):
        raise DataError(
            f"`probabilities` has {len(chances):,} rows and `human` {len(labelled):,}: give one each per row."
        )
    mine = chances[labelled]
    if wrong := int((~((mine > 0) & (mine <= 1))).sum()):
        raise DataError(
            f"`probabilities` is not above 0 and at most 1 in {wrong:,} rows with a human label: "
            "give the chance with which each was chosen."
        )
    return np.where(labelled, chances, 1.0)


def _complete_lines(labels: Floats) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.asarray(~np.isnan(labels).any(axis=1))
    return found


def _table(features: ArrayLike, rows: int) -> Floats:
    table: Floats = np.asarray(features, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != rows:
        raise DataError(f"`features` has shape {table.shape} and there are {rows:,} rows: give one line for each.")
    if missing := int((~np.isfinite(table)).any(axis=1).sum()):
        raise DataError(f"`features` is missing or infinite in {missing:,} rows: fill them, such as with their mean.")
    return table
