"""Samples for PPI: the corrected mean of one sample, its variance, and what both would be in other draws of rows.

A sample has rows with a human label and a judge's score and rows with a judge's score only. Its corrected mean is
lam x (mean score of all rows - mean score of the labelled ones) + mean label: however wrong the judge is, the
labelled rows take its error out, and the better it follows the labels, the less is left to chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from hf_synthlabels.statistics.label_ids import Floats, Ints

MAX_NUMBERS = 2_000_000
"""Resamples that are computed at once, times labelled rows."""


class VarianceComponent(NamedTuple):
    """A part of a variance, and on how many degrees of freedom its estimate rests."""

    variance: float
    free: float


class Sample(Protocol):
    """What an interval needs of a sample."""

    @property
    def labels(self) -> Floats:
        """Human labels, shape (n,)."""

    @property
    def lam(self) -> float:
        """How much the judge is used: 0 not at all, 1 as it is."""

    @property
    def spent(self) -> int:
        """Degrees of freedom that go into the mean and `lam`."""

    def mean(self) -> float:
        """The corrected mean."""

    def influences(self) -> Floats:
        """What each row adds to the estimate's error: labelled ones, then others; the squares' sum is the variance."""

    def pieces(self, *, corrected: bool = True) -> list[VarianceComponent]:
        """The parts of its variance; with `corrected`, degrees of freedom are allowed for."""

    def drawn(self, rng: np.random.Generator, resamples: int) -> tuple[Floats, Floats]:
        """Means and variances of resamples, each of shape (resamples,)."""

    def of_humans(self) -> Sample:
        """The same without the judge."""


@dataclass(frozen=True, slots=True)
class ClassicalSample:
    """Rows whose labelled part was drawn with equal chances, so that it looks like the rest."""

    labels: Floats
    """Human labels, shape (n,)."""
    scores: Floats
    """The judge's scores of the same rows, shape (n,)."""
    others: Floats
    """The judge's scores of the rows without a human label, shape (N,)."""
    given: float | None = None
    """`lam`, where it is not to be tuned."""
    clip: bool = True

    @property
    def lam(self) -> float:
        """The given one, or the one that makes the variance least: the power tuning of PPI++."""
        if self.given is not None:
            return self.given
        everyone = np.arange(len(self.labels))[None]
        return float(self._tuned(self.labels[everyone], self.scores[everyone])[0]) if len(self.labels) else 0.0

    def mean(self) -> float:
        """The others' mean score, of which `lam` counts, put right by the labelled rows; nan without labels."""
        if not len(self.labels):
            return math.nan
        lam = self.lam
        return lam * _mean(self.others) + float((self.labels - lam * self.scores).mean())

    def influences(self) -> Floats:
        """Distances from the two means, over the number of rows in each."""
        residual = self.labels - self.lam * self.scores
        mine = (residual - _mean(residual)) / max(1, len(residual))
        return np.concatenate([mine, self.lam * (self.others - _mean(self.others)) / max(1, len(self.others))])

    def pieces(self, *, corrected: bool = True) -> list[VarianceComponent]:
        """Of the labelled rows' residuals, and of the other rows' scores."""
        n, others, lam = len(self.labels), len(self.others), self.lam
        residual = self.labels - lam * self.scores
        free = n - self.spent if corrected else n
        found = [VarianceComponent(_squares(residual) / free / n if free > 0 else math.nan, free)]
        if lam and others:
            rest = max(1, others - corrected)
            found.append(VarianceComponent(lam**2 * _squares(self.others) / rest / others, rest))
        return found

    def drawn(self, rng: np.random.Generator, resamples: int) -> tuple[Floats, Floats]:
        """Labelled rows are drawn with replacement; the mean of the others, which are many, as a normal number."""
        n, others = len(self.labels), len(self.others)
        spread = _squares(self.others) / max(1, others - 1) / others if others else 0.0
        means, variances = [], []
        for rows in _rows(rng, n, resamples):
            labels, scores = self.labels[rows], self.scores[rows]
            lam = np.full(len(rows), self.given) if self.given is not None else self._tuned(labels, scores)
            other_mean = _mean(self.others) + math.sqrt(spread) * rng.standard_normal(len(rows))
            residual = labels - lam[:, None] * scores
            means.append(lam * other_mean + residual.mean(axis=1))
            variances.append(residual.var(axis=1) / max(1, n - self.spent) + lam**2 * spread)
        return np.concatenate(means), np.concatenate(variances)

    def of_humans(self) -> ClassicalSample:
        """The same with `lam` 0."""
        return ClassicalSample(self.labels, self.scores, self.others, given=0.0)

    @property
    def spent(self) -> int:
        """One, and another where `lam` is tuned."""
        return 1 + (self.given is None and _vary(self.scores, self.others))

    def _tuned(self, labels: Floats, scores: Floats) -> Floats:
        """cov(label, score) / ((1 + n / N) var(score)) of each resample, shape (R,); the variance is of all rows."""
        n, others = len(self.labels), len(self.others)
        if not _vary(self.scores, self.others):
            return np.zeros(len(labels))
        spread = float(np.concatenate([self.scores, self.others]).var(ddof=1))
        across = ((labels - labels.mean(axis=1, keepdims=True)) * scores).mean(axis=1)
        lam: Floats = across / ((1 + n / others) * spread)
        return np.clip(lam, 0, 1) if self.clip else lam


@dataclass(frozen=True, slots=True)
class WeightedSample:
    """Rows whose labelled part was drawn with known, unequal chances: each labelled row stands for 1 / chance rows."""

    labels: Floats
    scores: Floats
    others: Floats
    weights: Floats
    """1 / chance of the labelled rows, shape (n,); only their proportions matter (Hajek's estimator)."""
    given: float | None = None
    clip: bool = True

    @property
    def lam(self) -> float:
        """The given one, or the one that makes the linearised variance least."""
        if self.given is not None:
            return self.given
        everyone = np.arange(len(self.labels))[None]
        return float(self._tuned(everyone)[0]) if len(self.labels) else 0.0

    def mean(self) -> float:
        """As in `ClassicalSample`, with the score of all rows and weighted labelled ones; nan without labels."""
        if not len(self.labels):
            return math.nan
        lam = self.lam
        every = _mean(np.concatenate([self.scores, self.others]))
        return lam * every + float(np.average(self.labels - lam * self.scores, weights=self.weights))

    def influences(self) -> Floats:
        """Linearised: of the ratio of weighted sums, and of the mean of all scores."""
        if not len(self.labels):
            return np.zeros(len(self.others))
        a, b = self._influences(np.arange(len(self.labels))[None])
        every = np.concatenate([self.scores, self.others])
        return np.concatenate([(a + self.lam * b)[0], self.lam * (self.others - _mean(every))]) / len(every)

    def pieces(self, *, corrected: bool = True) -> list[VarianceComponent]:
        """Of the labelled rows, whose degrees of freedom are those of their weights (Kish 1965), and of the others."""
        n, others, lam = len(self.labels), len(self.others), self.lam
        if not n:
            return [VarianceComponent(math.nan, 0)]
        everyone = np.arange(n)[None]
        part = float(self._labelled(everyone, np.array([lam]))[0])
        free = float(self.weights.sum() ** 2 / (self.weights**2).sum()) - self.spent
        if corrected:
            part = part * n / (n - self.spent) if n > self.spent and free > 0 else math.nan
        found = [VarianceComponent(part, free)]
        if lam and others:
            found.append(VarianceComponent(lam**2 * self._other_squares() / (n + others) ** 2, others))
        return found

    def drawn(self, rng: np.random.Generator, resamples: int) -> tuple[Floats, Floats]:
        """As in `ClassicalSample`; a row brings its weight along."""
        n, others = len(self.labels), len(self.others)
        noise = math.sqrt(_squares(self.others) / others) if others else 0.0
        correction = n / max(1, n - self.spent)
        means, variances = [], []
        for rows in _rows(rng, n, resamples):
            lam = np.full(len(rows), self.given) if self.given is not None else self._tuned(rows)
            # The sum of the other rows' scores in another draw of as many.
            other_sum = self.others.sum() + noise * math.sqrt(others) * rng.standard_normal(len(rows))
            every = (self.scores[rows].sum(axis=1) + other_sum) / (n + others)
            weights = self.weights[rows]
            residual = self.labels[rows] - lam[:, None] * self.scores[rows]
            means.append(lam * every + (weights * residual).sum(axis=1) / weights.sum(axis=1))
            rest = lam**2 * self._other_squares() / (n + others) ** 2
            variances.append(correction * self._labelled(rows, lam) + rest)
        return np.concatenate(means), np.concatenate(variances)

    def of_humans(self) -> WeightedSample:
        """The same with `lam` 0."""
        return WeightedSample(self.labels, self.scores, self.others, self.weights, given=0.0)

    @property
    def spent(self) -> int:
        """As in `ClassicalSample`."""
        return 1 + (self.given is None and _vary(self.scores, self.others))

    def _influences(self, rows: Ints) -> tuple[Floats, Floats]:
        """What each labelled row adds to the estimate, (R, n): a + lam b, in units of one row among all."""
        every = _mean(np.concatenate([self.scores, self.others]))
        weights, labels, scores = self.weights[rows], self.labels[rows], self.scores[rows]
        total = weights.sum(axis=1, keepdims=True)
        share = weights / total * (len(self.labels) + len(self.others))
        mean_label, mean_score = ((weights * v).sum(axis=1, keepdims=True) / total for v in (labels, scores))
        return share * (labels - mean_label), (scores - every) - share * (scores - mean_score)

    def _labelled(self, rows: Ints, lam: Floats) -> Floats:
        """The labelled rows' part of the variance, shape (R,)."""
        a, b = self._influences(rows)
        found: Floats = ((a + lam[:, None] * b) ** 2).sum(axis=1) / (len(self.labels) + len(self.others)) ** 2
        return found

    def _other_squares(self) -> float:
        every = _mean(np.concatenate([self.scores, self.others]))
        return float(((self.others - every) ** 2).sum())

    def _tuned(self, rows: Ints) -> Floats:
        if not _vary(self.scores, self.others):
            return np.zeros(len(rows))
        a, b = self._influences(rows)
        under = (b**2).sum(axis=1) + self._other_squares()
        across = -(a * b).sum(axis=1)
        lam: Floats = np.divide(across, under, out=np.zeros_like(across), where=under > 0)
        return np.clip(lam, 0, 1) if self.clip else lam


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _vary(scores: Floats, others: Floats) -> bool:
    """Whether there is anything by which the other rows' scores could help."""
    return len(others) > 0 and bool(np.ptp(np.concatenate([scores, others])) > 0)


def _squares(values: Floats) -> float:
    """The sum of squared distances from the mean."""
    return float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0


def _rows(rng: np.random.Generator, n: int, resamples: int) -> Iterator[Ints]:
    """Positions of drawn rows, shape (R, n), in chunks."""
    chunk = max(1, min(resamples, MAX_NUMBERS // max(1, n)))
    for start in range(0, resamples, chunk):
        yield rng.integers(n, size=(min(chunk, resamples - start), n))
