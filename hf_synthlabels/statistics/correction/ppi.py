"""PPI++: means of human labels from a few of them and a judge's scores of all rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.clustered_bootstrap import cluster_codes
from hf_synthlabels.statistics.correction.ppi_estimate import PPIEstimate
from hf_synthlabels.statistics.correction.ppi_samples import ClassicalSample, Sample, VarianceComponent, WeightedSample
from hf_synthlabels.statistics.design.small_samples import mean_square_change, missing_events
from hf_synthlabels.statistics.estimation.label_rows import chances_of
from hf_synthlabels.statistics.intervals import Interval, normal_quantile
from hf_synthlabels.statistics.label_ids import Ints
from hf_synthlabels.statistics.raters.ratings import Numbers, number_column
from hf_synthlabels.statistics.row_bootstrap import BootstrapConfig

PPIMethod = Literal["auto", "normal", "student", "bootstrap"]
METHODS: tuple[PPIMethod, ...] = ("auto", "normal", "student", "bootstrap")

FEW_LABELS = 50
"""Human labels below which an interval rests on a bootstrap and is to be read with caution."""


def ppi_mean(
    human: Numbers,
    judge: Numbers,
    *,
    probabilities: Numbers | None = None,
    clusters: ArrayLike | None = None,
    lam: float | None = None,
    clip: bool = True,
    method: PPIMethod = "auto",
    drawing: BootstrapConfig | None = None,
) -> PPIEstimate:
    """The mean of the human labels that all rows would have, from those that some have and a judge's scores of all.

    PPI++ (Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453): lam x mean(judge, rows without a label) +
    mean(human - lam x judge, rows with one), with lam tuned to the least variance. It is right however wrong the judge
    is, as long as the labelled rows were drawn at random. What a row without a judge's score is given (the mean of the
    others) does not matter for that, either.

    With `probabilities`, labelled rows count with 1 / probability in the second mean, which is then a ratio (Hajek
    1971), and the first mean is of all rows; the variance is that of the linearised estimator.

    "student" takes residuals on n - 2 degrees of freedom and Welch's t; "normal" is the paper's and ppi_py's.
    "bootstrap" is the studentised bootstrap of the labelled rows, but never narrower than "student". "auto" is
    "student" from 50 labels on, which is too few for skewed scores: of intervals for new rows from 100 labels of
    SummEval, 91 to 97 % covered the true mean, the fewest where most labels are equal (docs/results/ppi_coverage.md).

    With `clusters`, such as the question that answers belong to, what the rows of one cluster add to the estimate is
    added up before it is squared (Liang & Zeger 1986), and degrees of freedom are those of the clusters with labels.

    Args:
        human: labels, shape (rows,); None or nan where there is none. True is 1.
        judge: scores, shape (rows,); None or nan for unscored. On the same scale, or else set `clip` to False.
        probabilities: with what chance each row was given a human label, shape (rows,); only those of labelled rows
            are read. None if all had the same chance.
        clusters: which rows hang together, shape (rows,); None if none do.
        lam: how much the judge is to be used; None tunes it. 0 is the classical mean, 1 is PPI without tuning.
        clip: whether a tuned `lam` stays within 0 and 1.
        method: of the interval.
        drawing: level, resamples and seed.

    Returns:
        The estimate. It is nan without labels, and its ends are with one or two.

    Raises:
        DataError: the lengths differ, or something is no number, or a probability is not above 0 and at most 1.
        ConfigError: there is no such method, or `lam` is not finite, or clusters were to be bootstrapped.
    """
    _check_method(method, lam)
    part = _part((human, judge), probabilities, clusters, (lam, clip))
    return _estimate([part], method, drawing or BootstrapConfig())


def ppi_difference(
    human_a: Numbers,
    judge_a: Numbers,
    human_b: Numbers,
    judge_b: Numbers,
    *,
    paired: bool,
    clusters: ArrayLike | None = None,
    clusters_b: ArrayLike | None = None,
    lam: float | None = None,
    clip: bool = True,
    method: PPIMethod = "auto",
    drawing: BootstrapConfig | None = None,
) -> PPIEstimate:
    """The difference of two means, a - b, of human labels; see `ppi_mean`.

    Paired rows, such as the answers of two systems to the same questions, are taken as one sample of differences: a row
    is labelled when both its answers are, and scored when both are. Otherwise the two samples are independent, and
    each has its own `lam`.

    Args:
        human_a: labels of a, as in `ppi_mean`.
        judge_a: scores of a.
        human_b: labels of b.
        judge_b: scores of b.
        paired: whether row i of a and row i of b are of the same thing.
        clusters: as in `ppi_mean`, of the rows of a.
        clusters_b: of the rows of b, where they are not paired; a cluster may have rows of both.
        lam: as in `ppi_mean`, for both.
        clip: as in `ppi_mean`.
        method: as in `ppi_mean`; of two independent samples the smaller decides whether there are few labels.
        drawing: level, resamples and seed.

    Raises:
        DataError: as in `ppi_mean`, or paired samples differ in length.
        ConfigError: as in `ppi_mean`.
    """
    _check_method(method, lam)
    drawing, how = drawing or BootstrapConfig(), (lam, clip)
    if paired:
        columns = [
            number_column(values, name)
            for values, name in ((human_a, "human_a"), (judge_a, "judge_a"), (human_b, "human_b"), (judge_b, "judge_b"))
        ]
        if len({len(column) for column in columns}) > 1:
            raise DataError(
                f"`human_a`, `judge_a`, `human_b` and `judge_b` have {', '.join(f'{len(c):,}' for c in columns)} rows: "
                "paired samples have one of each per row."
            )
        part = _part((columns[0] - columns[2], columns[1] - columns[3]), None, clusters, how)
        return _estimate([part], method, drawing)
    if (clusters is None) != (clusters_b is None):
        raise DataError("`clusters` and `clusters_b` go together where rows are not paired: give both or neither.")
    if clusters is not None and clusters_b is not None:
        first, second = np.asarray(clusters), np.asarray(clusters_b)
        codes = cluster_codes(np.concatenate([first, second]))
        clusters, clusters_b = codes[: len(first)], codes[len(first) :]
    parts = [
        _part((human_a, judge_a), None, clusters, how, names=("human_a", "judge_a")),
        _part((human_b, judge_b), None, clusters_b, how, names=("human_b", "judge_b"), sign=-1),
    ]
    return _estimate(parts, method, drawing)


@dataclass(frozen=True, slots=True)
class _Part:
    """One sample of an estimate, and what is told of it."""

    sign: int
    sample: Sample
    rows: int
    labels: int
    unscored: int
    judge_mean: float
    tuned: bool
    same: bool
    """Whether judge and human differ by the same amount in all its labelled rows."""
    missing: float
    """Which part of the pseudo-errors is added, see `small_samples`."""
    clusters: Ints | None
    """Of the labelled rows and then of the others."""

    def of_humans(self) -> _Part:
        """The same without the judge."""
        return replace(self, sample=self.sample.of_humans())


def _part(
    columns: tuple[Numbers, Numbers],
    probabilities: Numbers | None,
    clusters: ArrayLike | None,
    how: tuple[float | None, bool],
    *,
    names: tuple[str, str] = ("human", "judge"),
    sign: int = 1,
) -> _Part:
    labels, scores = (number_column(values, name) for values, name in zip(columns, names, strict=True))
    if len(labels) != len(scores):
        raise DataError(
            f"`{names[0]}` has {len(labels):,} rows and `{names[1]}` {len(scores):,}: give one each per row."
        )
    labelled, scored = ~np.isnan(labels), ~np.isnan(scores)
    judge_mean = float(scores[scored].mean()) if scored.any() else math.nan
    filled = np.where(scored, scores, judge_mean if scored.any() else 0.0)
    mine, theirs, others = labels[labelled], filled[labelled], filled[~labelled]
    sample: Sample
    if probabilities is None:
        sample = ClassicalSample(mine, theirs, others, *how)
    else:
        sample = WeightedSample(mine, theirs, others, 1 / chances_of(probabilities, labelled)[labelled], *how)
    codes = None if clusters is None else cluster_codes(clusters, len(labels))
    difference = mine - theirs
    order = None if codes is None else np.concatenate([codes[labelled], codes[~labelled]])
    missing = missing_events(difference[:, None], None if codes is None else codes[labelled]) if len(mine) else 0.0
    return _Part(
        sign,
        sample,
        len(labels),
        len(mine),
        int((~scored).sum()),
        judge_mean,
        how[0] is None,
        len(mine) > 1 and bool(np.ptp(difference) <= 1e-12 * (np.abs(mine).max() + np.abs(theirs).max())),
        missing,
        order,
    )


def _estimate(parts: Sequence[_Part], method: PPIMethod, drawing: BootstrapConfig) -> PPIEstimate:
    clustered = parts[0].clusters is not None
    if clustered and method in ("bootstrap", "normal"):
        raise ConfigError(f"`method` is {method!r}, which knows no clusters: leave it, or `clusters`, out.")
    fewest = min(_units(part) for part in parts)
    if method == "auto":
        method = "student" if fewest >= FEW_LABELS or clustered else "bootstrap"
    n, rows = sum(part.labels for part in parts), sum(part.rows for part in parts)
    humans = [part.of_humans() for part in parts]
    precise, plain = (_variance(_pieces(each, drawing.level)) for each in (parts, humans))
    return PPIEstimate(
        interval=_interval(parts, method, drawing, n),
        classical=_interval(humans, "normal" if method == "normal" else "student", drawing, n),
        judge_mean=sum(part.sign * part.judge_mean for part in parts),
        lam=tuple(part.sample.lam for part in parts),
        n_rows=rows,
        n_unscored=sum(part.unscored for part in parts),
        effective_n=min(float(rows), n * plain / precise) if precise > 0 else math.nan,
        notes=tuple(_notes(parts, fewest)),
    )


def _units(part: _Part) -> int:
    """Labelled rows, or clusters that have some."""
    return part.labels if part.clusters is None else len(np.unique(part.clusters[: part.labels]))


def _notes(parts: Sequence[_Part], fewest: int) -> list[str]:
    notes = []
    if fewest < FEW_LABELS:
        what = "human labels" if parts[0].clusters is None else "clusters with human labels"
        notes.append(
            f"{fewest:,} {what} are few: below {FEW_LABELS} the interval may be too narrow, above all where "
            "most labels are the same."
        )
    if any(part.same for part in parts):
        notes.append(
            "Judge and human differ by the same amount in all labelled rows: what else occurs can not be seen."
        )
    if any(part.labels == part.rows for part in parts):
        notes.append("All rows have a human label: the judge adds nothing.")
    elif parts[0].tuned and not any(part.sample.lam for part in parts):
        notes.append("The judge does not follow the human labels and is not used.")
    if unscored := sum(part.unscored for part in parts):
        notes.append(f"{unscored:,} rows have no judge's score and count with the mean of the others.")
    return notes


def _pieces(parts: Sequence[_Part], level: float, *, corrected: bool = True) -> list[VarianceComponent]:
    unseen = [
        VarianceComponent(_pseudo_errors(part, level), math.inf)
        for part in parts
        if corrected and part.missing and part.sample.lam
    ]
    if parts[0].clusters is None:
        return [*(piece for part in parts for piece in part.sample.pieces(corrected=corrected)), *unseen]
    # What rows of one cluster add is added up, over both samples of a difference.
    clusters = np.concatenate([part.clusters for part in parts if part.clusters is not None])
    influences = np.concatenate([part.sign * part.sample.influences() for part in parts])
    sums = np.bincount(clusters, weights=influences)
    units = min(_units(part) for part in parts)
    free = units - max(part.sample.spent for part in parts)
    return [VarianceComponent(float((sums**2).sum()) * units / free if free > 0 else math.nan, free), *unseen]


def _pseudo_errors(part: _Part, level: float) -> float:
    """The variance that errors add which the labelled rows happen not to show; of clusters, as if a row were one."""
    sample = part.sample
    weights = sample.weights / sample.weights.sum() if isinstance(sample, WeightedSample) else 1 / part.labels
    change = mean_square_change(sample.labels, np.broadcast_to(weights, sample.labels.shape))
    return normal_quantile(level) ** 2 / 2 * part.missing * change * (part.labels / _units(part))


def _variance(pieces: Sequence[VarianceComponent]) -> float:
    return sum(piece.variance for piece in pieces)


def _interval(parts: Sequence[_Part], method: PPIMethod, drawing: BootstrapConfig, n: int) -> Interval:
    level = drawing.level
    estimate = sum(part.sign * part.sample.mean() for part in parts)
    name = "PPI++: " if any(part.sample.lam for part in parts) else ""
    name += "studentised bootstrap" if method == "bootstrap" else method
    if parts[0].clusters is not None:
        name += f", {min(_units(part) for part in parts):,} clusters with labels"
    if math.isnan(estimate):
        return Interval(math.nan, math.nan, math.nan, level, name, n)
    if method == "normal":
        half = normal_quantile(level) * math.sqrt(_variance(_pieces(parts, level, corrected=False)))
        return Interval(estimate, estimate - half, estimate + half, level, name, n)
    pieces = _pieces(parts, level)
    error = math.sqrt(_variance(pieces))
    half = error * _student_quantile(pieces, level)
    below, above = half, half
    if method == "bootstrap" and half > 0:
        low, high = _studentised(parts, estimate, drawing)
        below, above = max(half, high * error), max(half, -low * error)
    return Interval(estimate, estimate - below, estimate + above, level, name, n)


def _student_quantile(pieces: Sequence[VarianceComponent], level: float) -> float:
    """Student's quantile on Welch's degrees of freedom (Welch 1947); nan when a piece is."""
    variance = _variance(pieces)
    if math.isnan(variance):
        return math.nan
    under = sum(piece.variance**2 / piece.free for piece in pieces)
    return float(stats.t.ppf((1 + level) / 2, variance**2 / under)) if under > 0 else normal_quantile(level)


def _studentised(parts: Sequence[_Part], estimate: float, drawing: BootstrapConfig) -> tuple[float, float]:
    """Quantiles of (drawn mean - estimate) / its standard error (Efron & Tibshirani 1993, section 12.5)."""
    rng = np.random.default_rng(drawing.seed)
    means, variances = np.zeros(drawing.resamples), np.zeros(drawing.resamples)
    for part in parts:
        mean, variance = part.sample.drawn(rng, drawing.resamples)
        means, variances = means + part.sign * mean, variances + variance
    # A draw of rows that are all alike has no standard error.
    usable = variances > 1e-12 * variances.max()
    if not usable.any():
        return 0.0, 0.0
    scores = (means[usable] - estimate) / np.sqrt(variances[usable])
    low, high = np.quantile(scores, [(1 - drawing.level) / 2, (1 + drawing.level) / 2])
    return float(low), float(high)


def _check_method(method: str, lam: float | None) -> None:
    if method not in METHODS:
        raise ConfigError(f"`method` is {method!r}: give one of {', '.join(METHODS)}.")
    if lam is not None and not math.isfinite(lam):
        raise ConfigError(f"`lam` is {lam!r}: give a number, such as 1, or None to have it tuned.")
