from __future__ import annotations

import dataclasses
import json
import math
import time
from typing import Literal

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.confusion import confusion_counts, score
from hf_synthlabels.statistics.arrays import Ints
from hf_synthlabels.statistics.comparison.conditions import compare_conditions, seed_scores

Shared = Literal["accuracy", "macro_f1", "weighted_f1"]
METRICS: list[Shared] = ["accuracy", "macro_f1", "weighted_f1"]


def arm(rng: np.random.Generator, human: Ints, shares: list[float], n_classes: int) -> Ints:
    """Predictions of shape (seeds, rows), each seed right in about its share of the rows."""
    noise = rng.integers(-1, n_classes, size=(len(shares), human.size))
    return np.where(rng.random(noise.shape) < np.array(shares)[:, None], human, noise)


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_are_the_means_over_seeds(metric: Shared) -> None:
    rng = np.random.default_rng(0)
    human = rng.integers(3, size=90)
    a, b = arm(rng, human, [0.8, 0.7], 4), arm(rng, human, [0.6, 0.5, 0.7], 4)
    result = compare_conditions(human, a, b, 4, metric, resamples=50)
    mean_a, mean_b = (
        float(np.mean([score(metric, confusion_counts(human, seed, 4)) for seed in codes])) for codes in (a, b)
    )
    assert result.a.estimate == pytest.approx(mean_a)
    assert result.b.estimate == pytest.approx(mean_b)
    assert result.difference.estimate == pytest.approx(mean_a - mean_b)
    assert result.ratio.estimate == pytest.approx(mean_a / mean_b)
    assert (result.seeds_a, result.seeds_b, result.a.n) == (2, 3, 90)


@pytest.mark.parametrize(("metric", "theirs"), [("macro_precision", "precision"), ("macro_recall", "recall")])
def test_macro_precision_and_recall_of_seeds_match_scikit_learn(
    metric: Literal["macro_precision", "macro_recall"], theirs: str
) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(4)
    human = rng.integers(3, size=30)
    codes = arm(rng, human, [0.8, 0.2], 4)
    expected = [
        getattr(metrics, f"{theirs}_score")(
            human, seed, labels=np.union1d(human, seed[seed >= 0]), average="macro", zero_division=0
        )
        for seed in codes
    ]
    assert seed_scores(human, codes, 4, metric) == pytest.approx(expected)
    result = compare_conditions(human, codes, codes[:1], 4, metric, resamples=100)
    assert result.a.estimate == pytest.approx(np.mean(expected))
    assert result.a.low <= result.a.estimate <= result.a.high


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_match_a_loop_over_rows_and_seeds(metric: Shared) -> None:
    rng = np.random.default_rng(1)
    human = rng.choice(3, size=300, p=[0.5, 0.3, 0.2])
    a, b = arm(rng, human, [0.9, 0.8, 0.7], 3), arm(rng, human, [0.7, 0.6], 3)
    result = compare_conditions(human, a, b, 3, metric, resamples=3000)
    values = []
    for _ in range(1000):
        rows = np.concatenate([rng.choice(np.flatnonzero(human == k), (human == k).sum()) for k in range(3)])
        means = [
            np.mean(
                [score(metric, confusion_counts(human[rows], x[s][rows], 3)) for s in rng.integers(len(x), size=len(x))]
            )
            for x in (a, b)
        ]
        values.append([*means, means[0] - means[1], means[0] / means[1]])
    lows, highs = np.quantile(values, [0.025, 0.975], axis=0)
    ours = [result.a, result.b, result.difference, result.ratio]
    tolerance = 0.12 * float(np.max((highs - lows)[:3]))
    np.testing.assert_allclose([i.low for i in ours[:3]], lows[:3], atol=tolerance)
    np.testing.assert_allclose([i.high for i in ours[:3]], highs[:3], atol=tolerance)
    assert ours[3].low == pytest.approx(lows[3], abs=0.12 * (highs[3] - lows[3]))


def test_the_same_predictions_with_one_seed_differ_by_exactly_zero() -> None:
    # Both arms see the same rows in each resample; drawn apart, the difference would vary.
    rng = np.random.default_rng(2)
    human = rng.integers(2, size=100)
    codes = arm(rng, human, [0.7], 2)[0]
    result = compare_conditions(human, codes, codes, 2, "macro_f1", resamples=200)
    assert (result.difference.low, result.difference.high) == (0, 0)
    assert (result.ratio.low, result.ratio.high) == (1, 1)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    human = rng.integers(2, size=1000)
    alike = arm(rng, human, [0.7] * 4, 2)
    unlike = arm(rng, human, [0.4, 0.6, 0.8, 1.0], 2)
    result = compare_conditions(human, alike, unlike, 2, "accuracy", resamples=500)
    assert result.b.high - result.b.low > 2 * (result.a.high - result.a.low)


def test_an_arm_that_predicts_nothing_scores_zero_and_has_no_ratio() -> None:
    human = np.array([0, 1, 0, 1])
    nothing = np.full((2, 4), -1)
    result = compare_conditions(human, human, nothing, 2, "weighted_f1", resamples=20)
    assert (result.a.estimate, result.b.estimate) == (1, 0)
    assert math.isnan(result.ratio.estimate)
    assert math.isnan(result.ratio.low)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["ratio"]["estimate"] is None


def test_same_seed_same_result() -> None:
    human = np.array([0, 1, 0, 1, 1])
    codes = np.array([[0, 1, 1, 1, 0], [0, 0, 0, 1, 1]])
    first, second = (compare_conditions(human, codes, human, 2, resamples=300, seed=9) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("a", "match"),
    [
        (np.zeros((2, 3)), "shape"),
        (np.full(4, 2), "from 2 to 2"),
        (np.full(4, -2), "from -2 to -2"),
        (np.zeros((0, 4)), "shape"),
    ],
    ids=["rows", "too high", "too low", "no seed"],
)
def test_arms_that_do_not_fit_are_refused(a: Ints, match: str) -> None:
    human = np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match=match):
        compare_conditions(human, a.astype(np.int64), human, 2)


def test_kappa_or_no_rows_is_refused() -> None:
    with pytest.raises(ConfigError, match="`metric`"):
        compare_conditions(np.array([0]), np.array([0]), np.array([0]), 1, "kappa")  # type: ignore[arg-type]
    empty = np.array([], dtype=np.int64)
    with pytest.raises(DataError, match="at least one"):
        compare_conditions(empty, empty, empty, 1)


def test_1000_rows_5_seeds_2000_resamples_take_under_three_seconds() -> None:
    rng = np.random.default_rng(5)
    human = rng.integers(21, size=1000)
    a, b = arm(rng, human, [0.8] * 5, 21), arm(rng, human, [0.7] * 5, 21)
    start = time.perf_counter()
    compare_conditions(human, a, b, 21)
    assert time.perf_counter() - start < 3


def test_paired_seeds_are_drawn_together() -> None:
    rng = np.random.default_rng(7)
    human = rng.integers(3, size=120)
    # One arm twice: what a seed is worth cancels only where both arms draw the same one.
    codes = arm(rng, human, [0.9, 0.5, 0.2], 3)
    paired = compare_conditions(human, codes, codes, 3, resamples=200, paired_seeds=True)
    assert (paired.difference.low, paired.difference.high) == (0, 0)
    assert "paired seeds" in paired.difference.method
    apart = compare_conditions(human, codes, codes, 3, resamples=200)
    assert apart.difference.low < -0.1 < 0.1 < apart.difference.high
    # An arm's own interval does not depend on it.
    assert paired.a == dataclasses.replace(apart.a, method=paired.a.method)


def test_paired_seeds_must_be_as_many() -> None:
    human = np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match=r"`a` has 2 seeds and `b` 1: pairs need equally many"):
        compare_conditions(human, np.stack([human, human]), human, 2, paired_seeds=True)
