"""PPI++: means of human labels from a few of them and a judge's scores of all rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.codes import Floats
from hf_synthlabels.statistics.intervals import Interval, normal_quantile
from hf_synthlabels.statistics.ppi_samples import Piece, PlainSample, Sample, WeightedSample
from hf_synthlabels.statistics.ratings import Numbers, number_column
from hf_synthlabels.statistics.rows import Drawing

__all__ = ["FEW_LABELS", "PPIEstimate", "PPIMethod", "ppi_difference", "ppi_mean"]

PPIMethod = Literal["auto", "normal", "student", "bootstrap"]
METHODS: tuple[PPIMethod, ...] = ("auto", "normal", "student", "bootstrap")

FEW_LABELS = 50
"""Human labels below which an interval rests on a bootstrap and is to be read with caution."""


@dataclass(frozen=True, slots=True)
class PPIEstimate:
    """A mean of human labels, or a difference of two, that a judge's scores have made more precise."""

    interval: Interval
    """Its `n` is the number of human labels."""
    classical: Interval
    """From the human labels alone."""
    judge_mean: float
    """What the judge says alone, uncorrected: mean score of all scored rows, or the difference of two."""
    lam: tuple[float, ...]
    """How much the judge was used, from 0 (not at all) on; one for each sample."""
    n_rows: int
    """All rows, with and without a human label."""
    n_unscored: int
    """Rows without a judge's score; they count with the mean score of the others."""
    effective_n: float
    """How many human labels would have been as precise without the judge; nan where nothing varies."""
    notes: tuple[str, ...] = ()
    """What to keep in mind."""

    @property
    def bias(self) -> float:
        """What the judge says less the estimate: how far its uncorrected mean is off."""
        return self.judge_mean - self.interval.estimate

    @property
    def width_ratio(self) -> float:
        """The interval's width as a share of the classical one's."""
        classical = self.classical.high - self.classical.low
        return (self.interval.high - self.interval.low) / classical if classical > 0 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON; nan becomes None."""
        plain = {"judge_mean": self.judge_mean, "bias": self.bias, "effective_n": self.effective_n}
        plain["width_ratio"] = self.width_ratio
        return {
            "interval": self.interval.to_dict(),
            "classical": self.classical.to_dict(),
            **{name: None if math.isnan(value) else value for name, value in plain.items()},
            "lam": list(self.lam),
            "n_rows": self.n_rows,
            "n_unscored": self.n_unscored,
            "notes": list(self.notes),
        }


def ppi_mean(
    human: Numbers,
    judge: Numbers,
    *,
    probabilities: Numbers | None = None,
    lam: float | None = None,
    clip: bool = True,
    method: PPIMethod = "auto",
    drawing: Drawing | None = None,
) -> PPIEstimate:
    """The mean of the human labels that all rows would have, from those that some have and a judge's scores of all.

    PPI++ (Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453, example 6.1): lam x mean(judge, rows without a label) +
    mean(human - lam x judge, rows with one), with lam tuned to the least variance. It is right however wrong the judge
    is, as long as the labelled rows were drawn at random. What a row without a judge's score is given (the mean of the
    others) does not matter for that, either.

    With `probabilities`, labelled rows count with 1 / probability in the second mean, which is then a ratio (Hajek
    1971), and the first mean is of all rows; the variance is that of the linearised estimator.

    "student" takes residuals on n - 2 degrees of freedom and Welch's t; "normal" is the paper's and ppi_py's.
    "bootstrap" is the studentised bootstrap of the labelled rows, but never narrower than "student". "auto" is
    "student" from 50 labels on. 100 labels out of the 1,200 rows of SummEval gave intervals of which 94 to 96 % held
    the mean of all (docs/results/ppi_coverage.md). With fewer labels, or where most labels are the same, it is less.

    Args:
        human: labels, shape (rows,); None or nan where there is none. True is 1.
        judge: scores, shape (rows,); None or nan for unscored. On the same scale, or else set `clip` to False.
        probabilities: with what chance each row was given a human label, shape (rows,); only those of labelled rows
            are read. None if all had the same chance.
        lam: how much the judge is to be used; None tunes it. 0 is the classical mean, 1 is PPI without tuning.
        clip: whether a tuned `lam` stays within 0 and 1.
        method: of the interval.
        drawing: level, resamples and seed.

    Returns:
        The estimate. It is nan without labels, and its ends are with one or two.

    Raises:
        DataError: the lengths differ, or something is no number, or a probability is not above 0 and at most 1.
        ConfigError: there is no such method, or `lam` is not finite.
    """
    _check_method(method, lam)
    sample, tally = _sample(human, judge, probabilities, lam, clip, "human", "judge")
    return _estimate([(1, sample)], [tally], method, drawing or Drawing())


def ppi_difference(
    human_a: Numbers,
    judge_a: Numbers,
    human_b: Numbers,
    judge_b: Numbers,
    *,
    paired: bool,
    lam: float | None = None,
    clip: bool = True,
    method: PPIMethod = "auto",
    drawing: Drawing | None = None,
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
        lam: as in `ppi_mean`, for both.
        clip: as in `ppi_mean`.
        method: as in `ppi_mean`; of two independent samples the smaller decides whether there are few labels.
        drawing: level, resamples and seed.

    Raises:
        DataError: as in `ppi_mean`, or paired samples differ in length.
        ConfigError: as in `ppi_mean`.
    """
    _check_method(method, lam)
    drawing = drawing or Drawing()
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
        sample, tally = _sample(columns[0] - columns[2], columns[1] - columns[3], None, lam, clip, "human", "judge")
        return _estimate([(1, sample)], [tally], method, drawing)
    first, tally_a = _sample(human_a, judge_a, None, lam, clip, "human_a", "judge_a")
    second, tally_b = _sample(human_b, judge_b, None, lam, clip, "human_b", "judge_b")
    return _estimate([(1, first), (-1, second)], [tally_a, tally_b], method, drawing)


@dataclass(frozen=True, slots=True)
class _Tally:
    """What is told of one sample beside its mean."""

    rows: int
    labels: int
    unscored: int
    judge_mean: float
    tuned: bool
    same: bool
    """Whether all its labelled rows have the same residual."""


def _sample(
    human: Numbers,
    judge: Numbers,
    probabilities: Numbers | None,
    lam: float | None,
    clip: bool,
    human_field: str,
    judge_field: str,
) -> tuple[Sample, _Tally]:
    labels, scores = number_column(human, human_field), number_column(judge, judge_field)
    if len(labels) != len(scores):
        raise DataError(
            f"`{human_field}` has {len(labels):,} rows and `{judge_field}` {len(scores):,}: give one each per row."
        )
    labelled, scored = ~np.isnan(labels), ~np.isnan(scores)
    judge_mean = float(scores[scored].mean()) if scored.any() else math.nan
    filled = np.where(scored, scores, judge_mean if scored.any() else 0.0)
    mine, theirs, others = labels[labelled], filled[labelled], filled[~labelled]
    sample: Sample
    if probabilities is None:
        sample = PlainSample(mine, theirs, others, lam, clip)
    else:
        sample = WeightedSample(mine, theirs, others, 1 / _chances(probabilities, labelled), lam, clip)
    residual = mine - sample.lam * theirs
    same = len(mine) > 1 and bool(np.ptp(residual) <= 1e-12 * (1 + np.abs(residual).max()))
    return sample, _Tally(len(labels), len(mine), int((~scored).sum()), judge_mean, lam is None, same)


def _chances(probabilities: Numbers, labelled: Any) -> Floats:
    """The probabilities of the labelled rows."""
    chances = number_column(probabilities, "probabilities")
    if len(chances) != len(labelled):
        raise DataError(
            f"`probabilities` has {len(chances):,} rows and `human` {len(labelled):,}: give one each per row."
        )
    mine: Floats = chances[labelled]
    if wrong := int((~((mine > 0) & (mine <= 1))).sum()):
        raise DataError(
            f"`probabilities` is not above 0 and at most 1 in {wrong:,} rows with a human label: "
            "give the chance with which each was chosen."
        )
    return mine


def _estimate(
    samples: Sequence[tuple[int, Sample]], tallies: Sequence[_Tally], method: PPIMethod, drawing: Drawing
) -> PPIEstimate:
    fewest = min(tally.labels for tally in tallies)
    if method == "auto":
        method = "student" if fewest >= FEW_LABELS else "bootstrap"
    n = sum(tally.labels for tally in tallies)
    humans = [(sign, sample.of_humans()) for sign, sample in samples]
    precise, plain = _variance(_pieces(samples)), _variance(_pieces(humans))
    lams = tuple(sample.lam for _, sample in samples)
    judge_means = [sign * tally.judge_mean for (sign, _), tally in zip(samples, tallies, strict=True)]
    return PPIEstimate(
        interval=_interval(samples, method, drawing, n),
        classical=_interval(humans, "normal" if method == "normal" else "student", drawing, n),
        judge_mean=sum(judge_means),
        lam=lams,
        n_rows=sum(tally.rows for tally in tallies),
        n_unscored=sum(tally.unscored for tally in tallies),
        effective_n=n * plain / precise if precise > 0 else math.nan,
        notes=tuple(_notes(tallies, fewest, lams)),
    )


def _notes(tallies: Sequence[_Tally], fewest: int, lams: Sequence[float]) -> list[str]:
    notes = []
    if fewest < FEW_LABELS:
        notes.append(
            f"{fewest:,} human labels are few: below {FEW_LABELS} the interval may be too narrow, above all where most "
            "labels are the same."
        )
    if any(tally.same for tally in tallies):
        notes.append(
            "Judge and human differ by the same amount in all labelled rows: what else occurs can not be seen."
        )
    if any(tally.labels == tally.rows for tally in tallies):
        notes.append("All rows have a human label: the judge adds nothing.")
    elif not any(lams) and tallies[0].tuned:
        notes.append("The judge does not follow the human labels and is not used.")
    if unscored := sum(tally.unscored for tally in tallies):
        notes.append(f"{unscored:,} rows have no judge's score and count with the mean of the others.")
    return notes


def _pieces(samples: Sequence[tuple[int, Sample]], *, corrected: bool = True) -> list[Piece]:
    return [piece for _, sample in samples for piece in sample.pieces(corrected=corrected)]


def _variance(pieces: Sequence[Piece]) -> float:
    return sum(piece.variance for piece in pieces)


def _interval(samples: Sequence[tuple[int, Sample]], method: PPIMethod, drawing: Drawing, n: int) -> Interval:
    level = drawing.level
    estimate = sum(sign * sample.mean() for sign, sample in samples)
    name = "PPI++: " if any(sample.lam for _, sample in samples) else ""
    name += "studentised bootstrap" if method == "bootstrap" else method
    if math.isnan(estimate):
        return Interval(math.nan, math.nan, math.nan, level, name, n)
    if method == "normal":
        half = normal_quantile(level) * math.sqrt(_variance(_pieces(samples, corrected=False)))
        return Interval(estimate, estimate - half, estimate + half, level, name, n)
    pieces = _pieces(samples)
    error = math.sqrt(_variance(pieces))
    half = error * _student_quantile(pieces, level)
    below, above = half, half
    if method == "bootstrap" and half > 0:
        low, high = _studentised(samples, estimate, drawing)
        below, above = max(half, high * error), max(half, -low * error)
    return Interval(estimate, estimate - below, estimate + above, level, name, n)


def _student_quantile(pieces: Sequence[Piece], level: float) -> float:
    """Student's quantile on Welch's degrees of freedom (Welch 1947); nan when a piece is."""
    variance = _variance(pieces)
    if math.isnan(variance):
        return math.nan
    under = sum(piece.variance**2 / piece.free for piece in pieces)
    return float(stats.t.ppf((1 + level) / 2, variance**2 / under)) if under > 0 else normal_quantile(level)


def _studentised(samples: Sequence[tuple[int, Sample]], estimate: float, drawing: Drawing) -> tuple[float, float]:
    """Quantiles of (drawn mean - estimate) / its standard error (Efron & Tibshirani 1993, section 12.5)."""
    rng = np.random.default_rng(drawing.seed)
    means, variances = np.zeros(drawing.resamples), np.zeros(drawing.resamples)
    for sign, sample in samples:
        mean, variance = sample.drawn(rng, drawing.resamples)
        means, variances = means + sign * mean, variances + variance
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
