"""Bootstrap of several conditions on the same test rows, so that any two of them are paired."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics.arrays import Floats, divided
from hf_synthlabels.statistics.bootstrap import BootstrapConfig, position_counts, resample_positions
from hf_synthlabels.statistics.intervals import Interval, percentile_interval

METHOD = "bootstrap: rows and paired seeds, smoothed"

CHUNK = 4_000_000
"""Numbers that are drawn at once."""

ConditionScore = Callable[[Floats, Floats], Floats]
"""Scores (..., seeds) from sums of features (..., seeds, d); the second are the sums of all rows once, (seeds, d)."""


@dataclass(frozen=True, slots=True, eq=False)
class RowFeatures:
    """What a test row adds to the scores if it is answered correctly, and if it is not."""

    right: Floats
    """Shape (rows, d)."""
    wrong: Floats
    """Shape (rows, d)."""
    scores: Mapping[str, ConditionScore]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreReplicates:
    """A score of one condition: by seed, and in every resample."""

    n: int
    """Test rows."""
    seeds: Floats
    """Shape (seeds,)."""
    values: Floats
    """Rows and seeds resampled, mean over seeds, shape (resamples,)."""
    by_rows: Floats
    """Only rows resampled: the score of each seed, shape (resamples, seeds)."""
    level: float

    @property
    def estimate(self) -> float:
        """The mean over seeds on all rows."""
        return float(self.seeds.mean())

    @property
    def interval(self) -> Interval:
        """Over rows and seeds."""
        return percentile_interval(self.values, self.estimate, self.level, METHOD, self.n)


@dataclass(frozen=True, slots=True, eq=False)
class PairedScore:
    """A score of condition a against condition b on the same rows and, if both have them, the same seeds."""

    a: ScoreReplicates
    b: ScoreReplicates

    @property
    def values(self) -> Floats:
        """The difference a - b in every resample, shape (resamples,)."""
        return self.a.values - self.b.values

    @property
    def difference(self) -> Interval:
        """The difference a - b."""
        return self._interval(self.values, self.a.estimate - self.b.estimate)

    @property
    def ratio(self) -> Interval:
        """The quotient a / b; nan where b is 0."""
        quotients = divided(self.a.values, np.maximum(self.b.values, 0))
        return self._interval(quotients, self.a.estimate / self.b.estimate if self.b.estimate else math.nan)

    @property
    def row_variance(self) -> float:
        """Variance of the difference over samples of test rows, given the seeds; it falls as 1/n."""
        return float(np.nanvar(self.a.by_rows.mean(axis=1) - self.b.by_rows.mean(axis=1)))

    @property
    def seed_variance(self) -> float:
        """Variance of the difference between seeds, with infinitely many test rows; 0 with one seed each.

        Seeds also differ by chance on few rows. Resampling the rows adds that part once more, so twice the observed
        variance less that of the replicates is free of it; at least 0.
        """
        a, b = self.a, self.b
        if len(a.seeds) == len(b.seeds):
            return _seed_part(a.seeds - b.seeds, a.by_rows - b.by_rows)
        return _seed_part(a.seeds, a.by_rows) + _seed_part(b.seeds, b.by_rows)

    def _interval(self, values: Floats, estimate: float) -> Interval:
        return percentile_interval(values, estimate, self.a.level, METHOD, self.a.n)


@dataclass(slots=True, eq=False)
class ConditionBootstrap:
    """Resamples of the test rows, the same for every condition.

    A resample draws rows with replacement, and as many seeds as a condition has: the pigeonhole bootstrap (Owen 2007)
    as in `compare_conditions`, with seeds paired by number. Rows are not resampled within human classes. Few seeds
    understate their variance: n seeds show (n - 1) / n of it.

    If two conditions give identical predictions, the interval of their difference would collapse to [0, 0]. So half a
    row that only a gets right and half a row that only b does, spread over all rows, are mixed in (the discordant half
    of Agresti & Min 2005); their weight fades as 1/n.

    Args:
        rows: what rows add.
        bootstrap: level, resamples and seed.

    Raises:
        DataError: the features do not fit each other, or there is no row.
    """

    rows: RowFeatures
    bootstrap: BootstrapConfig
    _weights: NDArray[np.float32] = field(init=False, repr=False)
    _pseudo: tuple[Floats, Floats] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        n = len(self.rows.right)
        if n == 0 or self.rows.right.shape != self.rows.wrong.shape:
            raise DataError(
                f"`right` has shape {self.rows.right.shape} and `wrong` {self.rows.wrong.shape}: give (rows, d) twice, "
                "and at least one row."
            )
        drawn = _draw(n, self.bootstrap)
        self._weights = drawn[:, :n]
        only_a, only_b = drawn[:, n : 2 * n], drawn[:, 2 * n :]
        right, wrong = (part.astype(np.float32) for part in (self.rows.right, self.rows.wrong))
        self._pseudo = (
            (only_a @ right + only_b @ wrong).astype(np.float64),
            (only_a @ wrong + only_b @ right).astype(np.float64),
        )

    def draw(self, features: Floats, score: str, *, second: bool = False) -> ScoreReplicates:
        """Replicates of a score of one condition.

        Args:
            features: what its answers add, shape (seeds, rows, d).
            score: one of `rows.scores`.
            second: whether it is condition b of a comparison.

        Raises:
            DataError: `features` does not fit the rows.
        """
        if features.ndim != 3 or features.shape[0] == 0 or features.shape[1:] != self.rows.right.shape:
            expected = ", ".join(map(str, self.rows.right.shape))
            raise DataError(f"`features` has shape {features.shape}: give (seeds, {expected}).")
        size, n, width = features.shape
        whole = features.sum(axis=1)
        flat = np.moveaxis(features, 0, 1).reshape(n, -1).astype(np.float32)
        sums = (self._weights @ flat).astype(np.float64).reshape(-1, size, width)
        sums += self._pseudo[int(second)][:, None, :]
        scores = self.rows.scores[score](sums, whole)
        # Conditions with equally many seeds draw the same ones.
        picks = np.random.default_rng([self.bootstrap.seed, size]).integers(size, size=scores.shape)
        return ScoreReplicates(
            n=n,
            seeds=self.rows.scores[score](whole, whole),
            values=np.take_along_axis(scores, picks, axis=1).mean(axis=1),
            by_rows=scores,
            level=self.bootstrap.level,
        )

    def compare(self, a: Floats, b: Floats, score: str) -> PairedScore:
        """A score of condition a against that of condition b; both as in `draw`."""
        return PairedScore(self.draw(a, score), self.draw(b, score, second=True))


def _seed_part(seeds: Floats, drawn: Floats) -> float:
    """Of the variance of a mean over seeds, from their values on all rows and in each draw of rows."""
    if len(seeds) < 2:
        return 0.0
    pure = 2 * seeds.var(ddof=1) - np.nanmean(drawn.var(axis=1, ddof=1))
    return float(max(0.0, pure) / len(seeds))


def _draw(n: int, bootstrap: BootstrapConfig) -> NDArray[np.float32]:
    """How often each row is drawn, as it is, as right for a alone, and as right for b alone: (resamples, 3 rows)."""
    rng = np.random.default_rng(bootstrap.seed)
    out = np.empty((bootstrap.resamples, 3 * n), dtype=np.float32)
    start = 0
    for positions in resample_positions(n, bootstrap.resamples, rng, max(1, CHUNK // (3 * n))):
        # One pseudo-row in all: half of it is right for a alone, half for b alone.
        uniform = rng.random(positions.shape) * (n + 1)
        block = np.where(uniform < n, 0, np.where(uniform < n + 0.5, 1, 2))
        out[start : start + len(positions)] = position_counts(positions + block * n, 3 * n)
        start += len(positions)
    return out
