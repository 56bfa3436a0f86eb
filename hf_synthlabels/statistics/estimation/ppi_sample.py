"""Samples for PPI++: corrected means, their variances and intervals.

A sample has rows with a human label and a judge's score, and rows with a judge's score only. Its corrected mean is
lam x (mean score of all rows - mean score of the labeled rows) + mean label. The labeled rows remove the bias of any
judge; the better its scores predict the labels, the smaller the variance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hf_synthlabels.statistics.arrays import Floats, Ints, Numbers, check_lengths, cluster_codes, number_column
from hf_synthlabels.statistics.bootstrap import MAX_NUMBERS, BootstrapConfig, resample_positions
from hf_synthlabels.statistics.estimation.label_rows import labeled_probabilities
from hf_synthlabels.statistics.estimation.variance import mean_square_change, missing_events
from hf_synthlabels.statistics.intervals import normal_quantile


class VarianceComponent(NamedTuple):
    """A component of a variance and its degrees of freedom."""

    variance: float
    dof: float


@dataclass(frozen=True, slots=True)
class PPISample:
    """Labels and scores of one sample."""

    labels: Floats
    """Human labels, shape (n,)."""
    scores: Floats
    """The judge's scores of the same rows, shape (n,)."""
    others: Floats
    """The judge's scores of the rows without a human label, shape (N,)."""
    weights: Floats | None
    """Inverse inclusion probabilities of the labeled rows, up to a factor, shape (n,); None if all are equal."""
    clusters: Ints | None
    """Of the labeled rows, then of the others, shape (n + N,)."""
    fixed_lam: float | None
    """The value of `lam`; None tunes it."""
    clip: bool
    """Whether a tuned `lam` stays between 0 and 1."""
    sign: int
    """-1 if the mean is subtracted."""
    judge_mean: float
    """The mean of the scores; nan without any."""
    n_unscored: int
    """Rows without a score; they have the mean score."""

    @classmethod
    def read(
        cls,
        columns: Mapping[str, Numbers],
        probabilities: Numbers | None,
        clusters: ArrayLike | None,
        *,
        lam: float | None,
        clip: bool,
        sign: int = 1,
    ) -> PPISample:
        """The sample of a column of labels and a column of scores, given by name; nan or None where missing."""
        numbers = {name: number_column(values, name) for name, values in columns.items()}
        check_lengths(**numbers)
        labels, scores = numbers.values()
        labeled, scored = ~np.isnan(labels), ~np.isnan(scores)
        judge_mean = float(scores[scored].mean()) if scored.any() else math.nan
        filled = np.where(scored, scores, judge_mean if scored.any() else 0.0)
        codes = None if clusters is None else cluster_codes(clusters, len(labels))
        return cls(
            labels=labels[labeled],
            scores=filled[labeled],
            others=filled[~labeled],
            weights=None if probabilities is None else 1 / labeled_probabilities(probabilities, labeled)[labeled],
            clusters=None if codes is None else np.concatenate([codes[labeled], codes[~labeled]]),
            fixed_lam=lam,
            clip=clip,
            sign=sign,
            judge_mean=judge_mean,
            n_unscored=int((~scored).sum()),
        )

    @property
    def n(self) -> int:
        """Number of labeled rows."""
        return len(self.labels)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.labels) + len(self.others)

    @property
    def units(self) -> int:
        """Labeled rows, or clusters that have some."""
        return self.n if self.clusters is None else len(np.unique(self.clusters[: self.n]))

    @property
    def has_constant_error(self) -> bool:
        """Whether judge and human differ by the same amount in all labeled rows."""
        tolerance = 1e-12 * (np.abs(self.labels).max(initial=0) + np.abs(self.scores).max(initial=0))
        return self.n > 1 and bool(np.ptp(self.labels - self.scores) <= tolerance)

    @property
    def lam(self) -> float:
        """Weight of the judge: the fixed value, or the one with the smallest variance (power tuning)."""
        if self.fixed_lam is not None:
            return self.fixed_lam
        return float(self._tuned(np.arange(len(self.labels))[None])[0]) if len(self.labels) else 0.0

    @property
    def n_params(self) -> int:
        """Degrees of freedom used by the mean and by a tuned `lam`."""
        return 1 + (self.fixed_lam is None and self._scores_vary)

    def mean(self) -> float:
        """The corrected mean; nan without labels."""
        if not len(self.labels):
            return math.nan
        lam = self.lam
        unlabeled = _mean(self.others) if self.weights is None else _mean(self._all_scores)
        return lam * unlabeled + float(np.average(self.labels - lam * self.scores, weights=self.weights))

    def influences(self) -> Floats:
        """Contribution of each row, labeled rows first, to the error; the sum of squares is the variance."""
        lam = self.lam
        if self.weights is None:
            residual = self.labels - lam * self.scores
            labeled = (residual - _mean(residual)) / max(1, len(residual))
            return np.concatenate([labeled, lam * (self.others - _mean(self.others)) / max(1, len(self.others))])
        if not len(self.labels):
            return np.zeros(len(self.others))
        a, b = self._linearized(np.arange(len(self.labels))[None])
        every = self._all_scores
        return np.concatenate([(a + lam * b)[0], lam * (self.others - _mean(every))]) / len(every)

    def components(self, *, corrected: bool = True) -> list[VarianceComponent]:
        """Variance components of the labeled rows and of the others, without clusters.

        `corrected` takes degrees of freedom into account; those of weights are Kish's (1965).
        """
        n, others, lam = self.n, len(self.others), self.lam
        if not n:
            return [VarianceComponent(math.nan, 0)]
        if self.weights is None:
            dof = n - self.n_params if corrected else n
            residual = self.labels - lam * self.scores
            labeled = VarianceComponent(_squares(residual) / dof / n if dof > 0 else math.nan, dof)
            free = max(1, others - corrected)
            unlabeled = VarianceComponent(lam**2 * _squares(self.others) / free / max(1, others), free)
        else:
            variance = float(self._labeled_variance(np.arange(n)[None], np.array([lam]))[0])
            kish = float(self.weights.sum() ** 2 / (self.weights**2).sum()) - self.n_params
            if corrected:
                variance = variance * n / (n - self.n_params) if n > self.n_params and kish > 0 else math.nan
            labeled = VarianceComponent(variance, kish)
            unlabeled = VarianceComponent(lam**2 * self._other_squares() / self.n_rows**2, others)
        return [labeled, unlabeled] if lam and others else [labeled]

    def pseudo_error_component(self, level: float) -> VarianceComponent | None:
        """Variance of errors that the labeled rows happen not to show; for clusters, as if one row were a cluster."""
        clusters = None if self.clusters is None else self.clusters[: self.n]
        missing = missing_events((self.labels - self.scores)[:, None], clusters) if self.n and self.lam else 0.0
        if not missing:
            return None
        weights = 1 / self.n if self.weights is None else self.weights / self.weights.sum()
        change = mean_square_change(self.labels, np.broadcast_to(weights, self.labels.shape))
        variance = normal_quantile(level) ** 2 / 2 * missing * change * (self.n / self.units)
        return VarianceComponent(variance, math.inf)

    def resampled(self, rng: np.random.Generator, resamples: int) -> tuple[Floats, Floats]:
        """Means and variances of resamples, each of shape (resamples,).

        Labeled rows are drawn with replacement, with their weights; the mean of the other rows is drawn from a normal
        distribution, because they are many.
        """
        n, means, variances = len(self.labels), [], []
        chunk = max(1, min(resamples, MAX_NUMBERS // max(1, n)))
        for rows in resample_positions(n, resamples, rng, chunk):
            lam = np.full(len(rows), self.fixed_lam) if self.fixed_lam is not None else self._tuned(rows)
            mean, variance = (
                self._resampled_equal(rows, lam, rng)
                if self.weights is None
                else self._resampled_weighted(self.weights, rows, lam, rng)
            )
            means.append(mean)
            variances.append(variance)
        return np.concatenate(means), np.concatenate(variances)

    def _resampled_equal(self, rows: Ints, lam: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        n, others = len(self.labels), len(self.others)
        spread = _squares(self.others) / max(1, others - 1) / others if others else 0.0
        other_mean = _mean(self.others) + math.sqrt(spread) * rng.standard_normal(len(rows))
        residual = self.labels[rows] - lam[:, None] * self.scores[rows]
        variance = residual.var(axis=1) / max(1, n - self.n_params) + lam**2 * spread
        return lam * other_mean + residual.mean(axis=1), variance

    def _resampled_weighted(
        self, weights: Floats, rows: Ints, lam: Floats, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        n, others = len(self.labels), len(self.others)
        noise = math.sqrt(_squares(self.others) / others) if others else 0.0
        other_sum = self.others.sum() + noise * math.sqrt(others) * rng.standard_normal(len(rows))
        every = (self.scores[rows].sum(axis=1) + other_sum) / self.n_rows
        drawn = weights[rows]
        residual = self.labels[rows] - lam[:, None] * self.scores[rows]
        mean = lam * every + (drawn * residual).sum(axis=1) / drawn.sum(axis=1)
        rest = lam**2 * self._other_squares() / self.n_rows**2
        return mean, n / max(1, n - self.n_params) * self._labeled_variance(rows, lam) + rest

    @property
    def _all_scores(self) -> Floats:
        return np.concatenate([self.scores, self.others])

    @property
    def _scores_vary(self) -> bool:
        """Whether the scores of the other rows can help at all."""
        return len(self.others) > 0 and bool(np.ptp(self._all_scores) > 0)

    def _tuned(self, rows: Ints) -> Floats:
        """The tuned `lam` of each resample, shape (R,).

        With equal probabilities cov(label, score) / ((1 + n / N) var(score)), with the variance over all rows.
        """
        n, others = len(self.labels), len(self.others)
        if not self._scores_vary:
            return np.zeros(len(rows))
        if self.weights is None:
            labels, scores = self.labels[rows], self.scores[rows]
            across = ((labels - labels.mean(axis=1, keepdims=True)) * scores).mean(axis=1)
            lam: Floats = across / ((1 + n / others) * float(self._all_scores.var(ddof=1)))
        else:
            a, b = self._linearized(rows)
            under = (b**2).sum(axis=1) + self._other_squares()
            across = -(a * b).sum(axis=1)
            lam = np.divide(across, under, out=np.zeros_like(across), where=under > 0)
        return np.clip(lam, 0, 1) if self.clip else lam

    def _linearized(self, rows: Ints) -> tuple[Floats, Floats]:
        """Contribution of each labeled row to the weighted estimate, a + lam b, in units of one row of all; (R, n)."""
        assert self.weights is not None
        weights, labels, scores = self.weights[rows], self.labels[rows], self.scores[rows]
        total = weights.sum(axis=1, keepdims=True)
        proportion = weights / total * self.n_rows
        mean_label, mean_score = ((weights * v).sum(axis=1, keepdims=True) / total for v in (labels, scores))
        return proportion * (labels - mean_label), (scores - _mean(self._all_scores)) - proportion * (
            scores - mean_score
        )

    def _labeled_variance(self, rows: Ints, lam: Floats) -> Floats:
        """Variance component of the labeled rows, shape (R,)."""
        a, b = self._linearized(rows)
        variance: Floats = ((a + lam[:, None] * b) ** 2).sum(axis=1) / self.n_rows**2
        return variance

    def _other_squares(self) -> float:
        return float(((self.others - _mean(self._all_scores)) ** 2).sum())


def student_quantile(components: Sequence[VarianceComponent], level: float) -> float:
    """Student's quantile with Welch's degrees of freedom (Welch 1947); nan if a component is."""
    variance = sum(component.variance for component in components)
    if math.isnan(variance):
        return math.nan
    under = sum(component.variance**2 / component.dof for component in components)
    return float(stats.t.ppf((1 + level) / 2, variance**2 / under)) if under > 0 else normal_quantile(level)


def studentized_quantiles(
    samples: Sequence[PPISample], estimate: float, bootstrap: BootstrapConfig
) -> tuple[float, float]:
    """Quantiles of (replicate - estimate) / its standard error (Efron & Tibshirani 1993, section 12.5)."""
    rng = np.random.default_rng(bootstrap.seed)
    means, variances = np.zeros(bootstrap.resamples), np.zeros(bootstrap.resamples)
    for sample in samples:
        mean, variance = sample.resampled(rng, bootstrap.resamples)
        means, variances = means + sample.sign * mean, variances + variance
    # A resample of equal rows has no standard error.
    usable = variances > 1e-12 * variances.max()
    if not usable.any():
        return 0.0, 0.0
    scores = (means[usable] - estimate) / np.sqrt(variances[usable])
    low, high = np.quantile(scores, [(1 - bootstrap.level) / 2, (1 + bootstrap.level) / 2])
    return float(low), float(high)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def _squares(values: Floats) -> float:
    """The sum of squared distances from the mean."""
    return float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
