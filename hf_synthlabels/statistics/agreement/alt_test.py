"""The alternative-annotator test: can the judge replace a human annotator?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.arrays import Floats, Labels, divided, label_codes, number_column, rating_table
from hf_synthlabels.statistics.bootstrap import CHUNK, BootstrapConfig, position_counts, resample_positions
from hf_synthlabels.statistics.intervals import Interval, fields_as_json, percentile_interval, wilson

MIN_ITEMS_FOR_T = 30
MIN_DIFFERENT_FOR_T = 20
"""Items, and items on which only one of judge and annotator is closer, below which the t test is too liberal."""

MIN_ANNOTATORS = 3
"""Required by the authors of the test."""

EQUAL = 1e-9
"""Squared errors that differ by no more, as a share of the larger, are equal."""


@dataclass(frozen=True, slots=True)
class AnnotatorTest:
    """The judge against one annotator: which of the two is closer to all the others."""

    name: str
    advantage: Interval
    """The share of items on which the judge is at least as close to the others; its `n` is the number of items."""
    human_advantage: float
    """The share on which the annotator is. Items on which both are equally close count for both."""
    p_value: float
    """One-sided, of human_advantage - advantage >= epsilon, adjusted for all annotators."""
    test: Literal["t", "score"]
    judge_wins: bool


@dataclass(frozen=True, slots=True)
class AltTest:
    """Whether the judge may replace an annotator."""

    annotators: tuple[AnnotatorTest, ...]
    winning_rate: float
    """Proportion of annotators that the judge wins against; nan without any."""
    advantage: Interval
    """The mean of the annotators' advantages, by which judges are compared; its `n` is the number of items."""
    epsilon: float
    n_unscored: int
    """Items without a judge's verdict; they are left out."""
    notes: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether the judge wins against at least half of the annotators."""
        return self.winning_rate >= 0.5

    def to_dict(self) -> dict[str, Any]:
        """The fields and `passes`, for JSON; nan becomes None."""
        return {**fields_as_json(self), "passes": self.passes}


def alternative_annotator_test(
    ratings: Labels,
    judge: ArrayLike | Sequence[Any],
    *,
    kind: Literal["categorical", "graded"] = "categorical",
    epsilon: float = 0.2,
    false_discovery: float = 0.05,
    names: Sequence[str] | None = None,
    bootstrap: BootstrapConfig | None = None,
) -> AltTest:
    """The alternative-annotator test (Calderon, Reichart & Dror 2025, arXiv 2501.10970).

    Each annotator is left out in turn, and judge and annotator are compared on each item by their distance to the
    others: the proportion of others with the same label (categorical), or - root mean square error (graded). The judge
    wins if the proportion of items on which the annotator is at least as close, less the judge's, is significantly
    below epsilon. The authors' t test is used for 30 items or more, if the two differ on 20 or more; otherwise, where
    it is too liberal, the score test of a paired difference of proportions (Tango 1998). The false discovery rate over
    annotators is controlled (Benjamini & Yekutieli 2001). The judge passes if it wins against half of the annotators.

    Args:
        ratings: classes or numbers (if graded), shape (items, annotators); None or nan where missing.
        judge: labels of the judge, shape (items,); None or nan where missing.
        kind: how distance is measured.
        epsilon: the authors use 0.2 for experts, 0.15 for skilled annotators and 0.1 for crowds.
        false_discovery: false discovery rate.
        names: names of the annotators; by default their positions from 1.
        bootstrap: of the interval of the mean advantage, over items.

    Raises:
        DataError: `ratings` does not have two dimensions and two annotators, `judge` or `names` does not match, or a
            graded rating is not a number.
        ConfigError: `kind` is unknown, or `epsilon` or `false_discovery` is not from 0 to 1.
    """
    _check(kind, epsilon, false_discovery)
    bootstrap = bootstrap or BootstrapConfig()
    table, verdicts = _columns(ratings, judge, kind)
    labels = [str(k + 1) for k in range(table.shape[1])] if names is None else list(names)
    if len(labels) != table.shape[1]:
        raise DataError(f"`names` has {len(labels)} names and `ratings` {table.shape[1]} annotators: give one each.")
    wins, losses = _indicators(table, verdicts, kind)
    compared = [k for k in range(len(labels)) if not np.isnan(wins[:, k]).all()]
    annotators = _tests(labels, wins, losses, compared, (epsilon, false_discovery, bootstrap.level))
    return AltTest(
        annotators=annotators,
        winning_rate=float(np.mean([each.judge_wins for each in annotators])) if annotators else math.nan,
        advantage=_mean_advantage(wins[:, compared], bootstrap),
        epsilon=epsilon,
        n_unscored=int(np.isnan(verdicts).sum()),
        notes=tuple(_notes(labels, annotators)),
    )


def _tests(
    labels: Sequence[str], wins: Floats, losses: Floats, compared: Sequence[int], options: tuple[float, float, float]
) -> tuple[AnnotatorTest, ...]:
    epsilon, false_discovery, level = options
    tested = [_p_value((losses - wins)[:, k], epsilon) for k in compared]
    adjusted = stats.false_discovery_control([p for p, _ in tested], method="by") if tested else np.empty(0)
    return tuple(
        AnnotatorTest(
            name=labels[k],
            advantage=wilson(int(np.nansum(wins[:, k])), int((~np.isnan(wins[:, k])).sum()), level),
            human_advantage=float(np.nanmean(losses[:, k])),
            p_value=float(p),
            test=test,
            judge_wins=bool(p <= false_discovery),
        )
        for k, (_, test), p in zip(compared, tested, adjusted, strict=True)
    )


def _check(kind: str, epsilon: float, false_discovery: float) -> None:
    if kind not in ("categorical", "graded"):
        raise ConfigError(f"`kind` is {kind!r}: give 'categorical' or 'graded'.")
    for field, value, usual in (("epsilon", epsilon, 0.2), ("false_discovery", false_discovery, 0.05)):
        if not 0 <= value <= 1:
            raise ConfigError(f"`{field}` is {value!r}: give a share from 0 to 1, such as {usual}.")


def _columns(ratings: Labels, judge: ArrayLike | Sequence[Any], kind: str) -> tuple[Floats, Floats]:
    """Ratings and verdicts as numbers; names as codes."""
    people = np.array(ratings, dtype=object)
    verdicts = np.array(judge, dtype=object)
    if people.ndim != 2 or people.shape[1] < 2:
        raise DataError(f"`ratings` has shape {people.shape}: give items x annotators, at least two of these.")
    if verdicts.shape != people.shape[:1]:
        raise DataError(f"`judge` has shape {verdicts.shape} and there are {len(people):,} items: give one for each.")
    if kind == "graded":
        return rating_table(ratings), number_column(verdicts, "judge")
    codes, _ = label_codes(np.column_stack([people, verdicts]))
    return codes[:, :-1], codes[:, -1]


def _indicators(table: Floats, verdicts: Floats, kind: str) -> tuple[Floats, Floats]:
    """Whether the judge, and whether the annotator, is at least as close to the others; nan where not compared."""
    wins, losses = np.full(table.shape, np.nan), np.full(table.shape, np.nan)
    for k in range(table.shape[1]):
        others = np.delete(table, k, axis=1)
        usable = ~np.isnan(verdicts) & ~np.isnan(table[:, k]) & ~np.isnan(others).all(axis=1)
        distances = [_distance(labels[usable], others[usable], kind) for labels in (verdicts, table[:, k])]
        near = EQUAL * np.maximum(*distances)
        wins[usable, k] = distances[0] <= distances[1] + near
        losses[usable, k] = distances[1] <= distances[0] + near
    return wins, losses


def _distance(labels: Floats, others: Floats, kind: str) -> Floats:
    """Sums of distances to the others: they order as the authors' means and root means do, for the same others."""
    apart = others - labels[:, None]
    counted = np.where(np.isnan(apart), 0, (apart != 0) if kind == "categorical" else apart**2)
    distances: Floats = counted.sum(axis=1, dtype=np.float64)
    return distances


def _p_value(differences: Floats, epsilon: float) -> tuple[float, Literal["t", "score"]]:
    """One-sided p of a mean difference of at least epsilon; differences are -1, 0 or 1."""
    known = differences[~np.isnan(differences)]
    if len(known) >= MIN_ITEMS_FOR_T and np.count_nonzero(known) >= MIN_DIFFERENT_FOR_T and np.ptp(known) > 0:
        return float(stats.ttest_1samp(known, epsilon, alternative="less").pvalue), "t"
    return _score_test(int((known == 1).sum()), int((known == -1).sum()), len(known), epsilon), "score"


def _score_test(worse: int, better: int, n: int, epsilon: float) -> float:
    """P-value of Tango's score test (1998) of worse / n - better / n >= epsilon.

    `worse` and `better` are the items on which only the annotator, or only the judge, is closer.
    """
    # The maximum likelihood of the probability of `better` if the difference is epsilon.
    a, c = 2 * n, -better * epsilon * (1 - epsilon)
    b = -worse - better + (2 * n - worse + better) * epsilon
    constrained = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * constrained + epsilon * (1 - epsilon))
    excess = worse - better - n * epsilon
    if variance <= 0:
        return 0.0 if excess < 0 else 1.0
    return float(stats.norm.cdf(excess / math.sqrt(variance)))


def _mean_advantage(wins: Floats, bootstrap: BootstrapConfig) -> Interval:
    """The mean over annotators of their shares, in resamples of items."""
    method = "bootstrap: items"
    kept = wins[~np.isnan(wins).all(axis=1)] if wins.size else np.empty((0, 0))
    n = len(kept)
    if not n:
        return Interval.undefined(bootstrap.level, method)
    compared, won = (~np.isnan(kept)).astype(np.float64), np.nan_to_num(kept)
    rng, values = np.random.default_rng(bootstrap.seed), []
    for positions in resample_positions(n, bootstrap.resamples, rng, CHUNK):
        counts = position_counts(positions, n)
        # An annotator of few items may be missing in a resample.
        values.append(np.nanmean(divided(counts @ won, counts @ compared), axis=1))
    estimate = float((won.sum(axis=0) / compared.sum(axis=0)).mean())
    return percentile_interval(np.concatenate(values), estimate, bootstrap.level, method, n)


def _notes(names: Sequence[str], annotators: Sequence[AnnotatorTest]) -> list[str]:
    notes = []
    compared = {annotator.name for annotator in annotators}
    if missing := [name for name in names if name not in compared]:
        notes.append(
            f"Not compared, for want of an item that the judge and another annotator have: {', '.join(missing)}."
        )
    if len(annotators) < MIN_ANNOTATORS:
        notes.append(f"{len(annotators)} annotators are few: the test's authors ask for {MIN_ANNOTATORS} at least.")
    if few := [annotator.name for annotator in annotators if annotator.test == "score"]:
        notes.append(
            f"Fewer than {MIN_ITEMS_FOR_T} items, or fewer than {MIN_DIFFERENT_FOR_T} on which judge and annotator "
            f"differ, so compared by the score test: {', '.join(few)}."
        )
    return notes
