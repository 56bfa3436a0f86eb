"""ConditionComparison: two ways to a model, each run with several seeds, on the same human-labeled rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.confusion import score_margins
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, check_resamples
from hf_synthlabels.statistics.bootstrap import position_counts, resample_positions
from hf_synthlabels.statistics.intervals import Interval, percentile_interval

ConditionMetric = Literal["accuracy", "macro_f1", "weighted_f1", "macro_precision", "macro_recall"]
"""The scores that arms can be compared by."""


Weights = NDArray[np.float32]
"""Indicators and how often rows were drawn: float32 is exact below 2^24 and halves the work of their product."""


CONDITION_METRICS: tuple[ConditionMetric, ...] = get_args(ConditionMetric)


CHUNK = 256
"""Resamples that are weighed at once: bounds the memory at CHUNK x rows numbers."""


@dataclass(frozen=True, slots=True)
class ConditionComparison:
    """The mean score of each arm over its seeds, their difference and their ratio."""

    metric: ConditionMetric
    a: Interval
    b: Interval
    difference: Interval
    """a - b."""
    ratio: Interval
    """a / b; nan when b is 0."""
    seeds_a: int
    seeds_b: int

    def to_dict(self) -> dict[str, Any]:
        """Every field, the intervals as their own dictionaries."""
        intervals = {name: getattr(self, name).to_dict() for name in ("a", "b", "difference", "ratio")}
        return {"metric": self.metric, **intervals, "seeds_a": self.seeds_a, "seeds_b": self.seeds_b}


def compare_conditions(
    human: Ints,
    a: Ints,
    b: Ints,
    n_classes: int,
    metric: ConditionMetric = "macro_f1",
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    paired_seeds: bool = False,
) -> ConditionComparison:
    """Percentile intervals over rows and seeds at once: a two-way bootstrap.

    An arm's score is the mean over its seeds of the score on all rows. A resample draws rows (the same for both arms
    and all seeds, so the comparison is paired) and, for each arm by itself, as many seeds as it has, with replacement
    (the pigeonhole bootstrap, Owen 2007). With one seed an arm has rows as its only source of chance, and few seeds
    understate theirs: five seeds show 4/5 of the variance between seeds. A paired interval of two single predictions
    is the case of one seed each. The rows are not smoothed as in `bootstrap`: an arm that is right on every row has
    the interval [1, 1].

    Args:
        human: codes of shape (rows,).
        a: predicted codes of the first arm, shape (seeds, rows) or (rows,); `MISSING` for none, which is wrong.
        b: those of the second arm; the number of seeds may differ.
        n_classes: the number of classes, K.
        metric: the score; macro F1 is over the classes that occur among a seed's predictions or the human labels.
        level: confidence level.
        resamples: how many resamples to draw.
        seed: of the random numbers.
        paired_seeds: whether the arms share what each of their seeds decides (starting weights, the rows that were
            drawn for training), so that both draw the same seeds.

    Raises:
        DataError: shapes do not fit, a code is out of range, there is no row, or seeds are paired that differ in
            number.
        ConfigError: `metric`, `level` or `resamples` is not one that can be used.
    """
    check_resamples(resamples)
    if metric not in CONDITION_METRICS:
        raise ConfigError(f"`metric` is {metric!r}: give one of {', '.join(CONDITION_METRICS)}.")
    human = np.asarray(human, dtype=np.int64)
    arms = [_checked(name, codes, human, n_classes) for name, codes in (("a", a), ("b", b))]
    if paired_seeds and len(arms[0]) != len(arms[1]):
        raise DataError(f"`a` has {len(arms[0])} seeds and `b` {len(arms[1])}: pairs need as many.")
    support = np.bincount(human, minlength=n_classes)
    truth = (human[:, None] == np.arange(n_classes)).astype(np.float32)
    right_and_predicted = [_indicators(arm, human, n_classes) for arm in arms]
    classes = [features[1].sum(axis=0) + support > 0 for features in right_and_predicted]

    def scores(weights: Weights, arm: int) -> Floats:
        right, predicted = (_weighted_sums(weights, feature) for feature in right_and_predicted[arm])
        drawn_support = (weights @ truth).astype(np.float64)[:, None, :]
        return score_margins(metric, right, predicted, drawn_support, classes[arm])

    whole = np.ones((1, human.size), dtype=np.float32)
    point_a, point_b = (float(scores(whole, arm).mean()) for arm in (0, 1))
    rng = np.random.default_rng(seed)
    drawn: list[list[Floats]] = [[], []]
    for weights in _row_weights(human.size, resamples, rng):
        for arm in (0, 1):
            per_seed = scores(weights, arm)
            if not (paired_seeds and arm):
                seeds = rng.integers(per_seed.shape[1], size=per_seed.shape)
            drawn[arm].append(np.take_along_axis(per_seed, seeds, axis=1).mean(axis=1))
    values_a, values_b = (np.concatenate(values) for values in drawn)
    method = f"bootstrap: rows and {'paired ' if paired_seeds else ''}seeds"

    def interval(values: Floats, point: float) -> Interval:
        return percentile_interval(values, point, level, method, human.size)

    return ConditionComparison(
        metric,
        interval(values_a, point_a),
        interval(values_b, point_b),
        interval(values_a - values_b, point_a - point_b),
        interval(_ratio(values_a, values_b), float(_ratio(np.array(point_a), np.array(point_b)))),
        len(arms[0]),
        len(arms[1]),
    )


def seed_scores(human: Ints, arm: Ints, n_classes: int, metric: ConditionMetric = "macro_f1") -> Floats:
    """The score of each seed of an arm on all rows, shape (seeds,); their mean is its score in `compare_conditions`.

    Args:
        human: codes of shape (rows,).
        arm: predicted codes, shape (seeds, rows) or (rows,).
        n_classes: the number of classes.
        metric: the score.

    Raises:
        DataError: shapes do not fit, a code is out of range, or there is no row.
    """
    human = np.asarray(human, dtype=np.int64)
    right, predicted = (
        feature.sum(axis=0) for feature in _indicators(_checked("arm", arm, human, n_classes), human, n_classes)
    )
    support = np.bincount(human, minlength=n_classes)
    return score_margins(metric, right, predicted, support, predicted + support > 0)


def _checked(name: str, codes: Ints, human: Ints, n_classes: int) -> Ints:
    """The codes of an arm with shape (seeds, rows).

    Raises:
        DataError: they do not fit the human codes.
    """
    arm = np.atleast_2d(np.asarray(codes, dtype=np.int64))
    if human.ndim != 1 or human.size == 0 or arm.ndim != 2 or arm.shape[0] == 0 or arm.shape[1] != human.size:
        raise DataError(
            f"`human` has shape {human.shape} and `{name}` {np.shape(codes)}: "
            "give (rows,) and (seeds, rows), and at least one of each."
        )
    if human.min() < 0 or human.max() >= n_classes or arm.min() < MISSING or arm.max() >= n_classes:
        raise DataError(
            f"`human` has codes from {human.min()} to {human.max()} and `{name}` from {arm.min()} to {arm.max()}: "
            f"give 0 to {n_classes - 1}, and {MISSING} for no prediction."
        )
    return arm


def _indicators(arm: Ints, human: Ints, n_classes: int) -> tuple[Weights, Weights]:
    """Whether each row is right, and predicted, as each class: two arrays of shape (rows, seeds, K)."""
    predicted = (arm.T[:, :, None] == np.arange(n_classes)).astype(np.float32)
    return predicted * (human[:, None] == arm.T)[:, :, None], predicted


def _weighted_sums(weights: Weights, feature: Weights) -> Floats:
    """Sum the rows of a (rows, seeds, K) array by each resample's weights: shape (resamples, seeds, K)."""
    sums = weights @ feature.reshape(len(feature), -1)
    return sums.astype(np.float64).reshape(len(weights), *feature.shape[1:])


def _row_weights(n: int, resamples: int, rng: np.random.Generator) -> Iterator[Weights]:
    """How often each row is drawn in each resample, in chunks of shape (at most CHUNK, rows)."""
    for positions in resample_positions(n, resamples, rng, CHUNK):
        yield position_counts(positions, n).astype(np.float32)


def _ratio(over: Floats, under: Floats) -> Floats:
    quotients: Floats = np.full(np.shape(over), np.nan)
    return np.divide(over, under, out=quotients, where=under != 0)
