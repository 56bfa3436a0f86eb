"""Comparison of two conditions, each with several seeds, on the same human-labeled rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.confusion import MarginMetric, score_margins
from hf_synthlabels.statistics.arrays import MISSING, Floats, Ints, check_resamples, divided
from hf_synthlabels.statistics.bootstrap import position_counts, resample_positions
from hf_synthlabels.statistics.intervals import Interval, fields_as_json, percentile_interval

ConditionMetric = MarginMetric
"""Scores by which conditions can be compared."""

CONDITION_METRICS: tuple[ConditionMetric, ...] = get_args(ConditionMetric)

Weights = NDArray[np.float32]
"""Indicators and how often rows were drawn: float32 is exact below 2^24 and halves the work of their product."""

CHUNK = 256
"""Resamples that are weighed at once: bounds the memory at CHUNK x rows numbers."""


@dataclass(frozen=True, slots=True)
class ConditionComparison:
    """Mean score of each condition over its seeds, their difference and their ratio."""

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
        """The fields, the intervals as their own dictionaries."""
        return fields_as_json(self)


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
    """Percentile intervals over rows and seeds: a two-way bootstrap.

    The score of a condition is the mean over its seeds. A resample draws rows (the same for both conditions and all
    seeds) and, for each condition, as many seeds as it has (the pigeonhole bootstrap, Owen 2007). Few seeds understate
    their variance: five seeds show 4/5 of it. Rows are not smoothed as in `confusion_intervals`: a condition that is
    correct on every row has the interval [1, 1].

    Args:
        human: label ids, shape (rows,).
        a: predicted label ids of the first condition, shape (seeds, rows) or (rows,); `MISSING` counts as incorrect.
        b: those of the second condition; the number of seeds may differ.
        n_classes: number of classes K.
        metric: the score; macro F1 is over the classes that occur in a seed's predictions or the human labels.
        level: confidence level.
        resamples: number of resamples.
        seed: random seed.
        paired_seeds: whether equal seeds share initial weights and training rows, so that both draw the same seeds.

    Raises:
        DataError: shapes do not match, a label id is out of range, there is no row, or paired seeds differ in number.
        ConfigError: `metric`, `level` or `resamples` is invalid.
    """
    check_resamples(resamples)
    if metric not in CONDITION_METRICS:
        raise ConfigError(f"`metric` is {metric!r}: give one of {', '.join(CONDITION_METRICS)}.")
    human = np.asarray(human, dtype=np.int64)
    conditions = [_checked(name, codes, human, n_classes) for name, codes in (("a", a), ("b", b))]
    if paired_seeds and len(conditions[0]) != len(conditions[1]):
        raise DataError(f"`a` has {len(conditions[0])} seeds and `b` {len(conditions[1])}: pairs need equally many.")
    scores = _Scores(metric, human, conditions, n_classes)
    return _comparison(scores, level, resamples, np.random.default_rng(seed), paired_seeds=paired_seeds)


class _Scores:
    """Scores of both conditions from weights of the rows."""

    def __init__(self, metric: ConditionMetric, human: Ints, conditions: list[Ints], n_classes: int) -> None:
        self.metric, self.rows = metric, human.size
        self.seeds = tuple(map(len, conditions))
        self._truth = (human[:, None] == np.arange(n_classes)).astype(np.float32)
        self._features = [_indicators(each, human, n_classes) for each in conditions]
        support = np.bincount(human, minlength=n_classes)
        self._classes = [features[1].sum(axis=0) + support > 0 for features in self._features]

    def __call__(self, weights: Weights, condition: int) -> Floats:
        """The score of each seed, shape (resamples, seeds)."""
        correct, predicted = (_weighted_sums(weights, feature) for feature in self._features[condition])
        support = (weights @ self._truth).astype(np.float64)[:, None, :]
        return score_margins(self.metric, correct, predicted, support, self._classes[condition])


def _comparison(
    scores: _Scores, level: float, resamples: int, rng: np.random.Generator, *, paired_seeds: bool
) -> ConditionComparison:
    whole = np.ones((1, scores.rows), dtype=np.float32)
    point_a, point_b = (float(scores(whole, condition).mean()) for condition in (0, 1))
    replicates: list[list[Floats]] = [[], []]
    for weights in _row_weights(scores.rows, resamples, rng):
        for condition in (0, 1):
            per_seed = scores(weights, condition)
            if not (paired_seeds and condition):
                seeds = rng.integers(per_seed.shape[1], size=per_seed.shape)
            replicates[condition].append(np.take_along_axis(per_seed, seeds, axis=1).mean(axis=1))
    values_a, values_b = (np.concatenate(values) for values in replicates)
    method = f"bootstrap: rows and {'paired ' if paired_seeds else ''}seeds"

    def interval(values: Floats, point: float) -> Interval:
        return percentile_interval(values, point, level, method, scores.rows)

    return ConditionComparison(
        metric=scores.metric,
        a=interval(values_a, point_a),
        b=interval(values_b, point_b),
        difference=interval(values_a - values_b, point_a - point_b),
        ratio=interval(divided(values_a, values_b), float(divided(np.array(point_a), np.array(point_b)))),
        seeds_a=scores.seeds[0],
        seeds_b=scores.seeds[1],
    )


def seed_scores(human: Ints, condition: Ints, n_classes: int, metric: ConditionMetric = "macro_f1") -> Floats:
    """The score of each seed of a condition on all rows, shape (seeds,); the arguments are as in `compare_conditions`.

    Args:
        human: label ids, shape (rows,).
        condition: predicted label ids, shape (seeds, rows) or (rows,).
        n_classes: number of classes K.
        metric: the score.
    """
    human = np.asarray(human, dtype=np.int64)
    right, predicted = (
        feature.sum(axis=0)
        for feature in _indicators(_checked("condition", condition, human, n_classes), human, n_classes)
    )
    support = np.bincount(human, minlength=n_classes)
    return score_margins(metric, right, predicted, support, predicted + support > 0)


def _checked(name: str, codes: Ints, human: Ints, n_classes: int) -> Ints:
    """The label ids of a condition with shape (seeds, rows), which must fit the human codes."""
    condition = np.atleast_2d(np.asarray(codes, dtype=np.int64))
    if human.ndim != 1 or condition.ndim != 2 or 0 in condition.shape or condition.shape[1] != human.size:
        raise DataError(
            f"`human` has shape {human.shape} and `{name}` {np.shape(codes)}: "
            "give (rows,) and (seeds, rows), and at least one of each."
        )
    if human.min() < 0 or human.max() >= n_classes or condition.min() < MISSING or condition.max() >= n_classes:
        raise DataError(
            f"`human` has label ids from {human.min()} to {human.max()} and `{name}` from {condition.min()} to "
            f"{condition.max()}: give 0 to {n_classes - 1}, and {MISSING} for no prediction."
        )
    return condition


def _indicators(condition: Ints, human: Ints, n_classes: int) -> tuple[Weights, Weights]:
    """Whether each row is right, and predicted, as each class: two arrays of shape (rows, seeds, K)."""
    predicted = (condition.T[:, :, None] == np.arange(n_classes)).astype(np.float32)
    return predicted * (human[:, None] == condition.T)[:, :, None], predicted


def _weighted_sums(weights: Weights, feature: Weights) -> Floats:
    """Sum the rows of a (rows, seeds, K) array by each resample's weights: shape (resamples, seeds, K)."""
    sums = weights @ feature.reshape(len(feature), -1)
    return sums.astype(np.float64).reshape(len(weights), *feature.shape[1:])


def _row_weights(n: int, resamples: int, rng: np.random.Generator) -> Iterator[Weights]:
    """How often each row is drawn in each resample, in chunks of shape (at most CHUNK, rows)."""
    for positions in resample_positions(n, resamples, rng, CHUNK):
        yield position_counts(positions, n).astype(np.float32)
