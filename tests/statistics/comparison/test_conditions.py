from __future__ import annotations

import dataclasses
import json
import math
import time

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics.agreement.confusion import confusion_counts, score
from hf_synthlabels.statistics.arrays import Ints
from hf_synthlabels.statistics.comparison.conditions import compare_conditions, seed_scores

METRICS = ("accuracy", "macro_f1", "weighted_f1")


def predictions(rng: np.random.Generator, human: Ints, shares: list[float], n_classes: int) -> Ints:
    """Predictions of shape (seeds, rows), each seed correct in about its share of the rows."""
    noise = rng.integers(-1, n_classes, size=(len(shares), human.size))
    return np.where(rng.random(noise.shape) < np.array(shares)[:, None], human, noise)


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_and_intervals_match_a_loop_over_rows_and_seeds(metric: str) -> None:
    rng = np.random.default_rng(1)
    human = rng.choice(3, size=300, p=[0.5, 0.3, 0.2])
    a, b = predictions(rng, human, [0.9, 0.8, 0.7], 3), predictions(rng, human, [0.7, 0.6], 3)
    result = compare_conditions(human, a, b, 3, metric, resamples=3000)  # type: ignore[arg-type]

    def mean(condition: Ints, rows: Ints, seeds: Ints) -> float:
        counts = np.stack([confusion_counts(human[rows], condition[seed][rows], 3) for seed in seeds])
        return float(np.mean(score(metric, counts)))  # type: ignore[arg-type]

    every = np.arange(300)
    mean_a, mean_b = mean(a, every, np.arange(3)), mean(b, every, np.arange(2))
    estimates = (result.a.estimate, result.b.estimate, result.difference.estimate, result.ratio.estimate)
    assert estimates == pytest.approx((mean_a, mean_b, mean_a - mean_b, mean_a / mean_b))
    assert (result.seeds_a, result.seeds_b, result.a.n) == (3, 2, 300)
    values = []
    for _ in range(1000):
        rows = np.concatenate([rng.choice(np.flatnonzero(human == k), (human == k).sum()) for k in range(3)])
        drawn_a, drawn_b = (mean(each, rows, rng.integers(len(each), size=len(each))) for each in (a, b))
        values.append([drawn_a, drawn_b, drawn_a - drawn_b, drawn_a / drawn_b])
    lows, highs = np.quantile(values, [0.025, 0.975], axis=0)
    ours = [result.a, result.b, result.difference, result.ratio]
    tolerance = np.append(np.full(3, 0.12 * np.max((highs - lows)[:3])), 0.12 * (highs[3] - lows[3]))
    assert (np.abs([each.low for each in ours] - lows) <= tolerance).all()
    assert (np.abs([each.high for each in ours] - highs) <= tolerance).all()


def test_macro_precision_and_recall_of_seeds_match_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(4)
    human = rng.integers(3, size=30)
    condition = predictions(rng, human, [0.8, 0.2], 4)
    for name in ("precision", "recall"):
        theirs = getattr(metrics, f"{name}_score")
        expected = [
            theirs(human, seed, labels=np.union1d(human, seed[seed >= 0]), average="macro", zero_division=0)
            for seed in condition
        ]
        assert seed_scores(human, condition, 4, f"macro_{name}") == pytest.approx(expected)  # type: ignore[arg-type]
        result = compare_conditions(human, condition, condition[:1], 4, f"macro_{name}", resamples=100)  # type: ignore[arg-type]
        assert result.a.estimate == pytest.approx(np.mean(expected))


def test_conditions_share_the_rows_of_a_resample() -> None:
    rng = np.random.default_rng(2)
    human = rng.integers(2, size=100)
    codes = predictions(rng, human, [0.7], 2)[0]
    result = compare_conditions(human, codes, codes, 2, "macro_f1", resamples=200)
    assert (result.difference.low, result.difference.high, result.ratio.low, result.ratio.high) == (0, 0, 1, 1)
    again = compare_conditions(human, codes, codes, 2, "macro_f1", resamples=200)
    assert again == result


def test_paired_seeds_are_drawn_together() -> None:
    rng = np.random.default_rng(7)
    human = rng.integers(3, size=120)
    # The same condition twice: the effect of a seed cancels only where both draw the same one.
    codes = predictions(rng, human, [0.9, 0.5, 0.2], 3)
    paired = compare_conditions(human, codes, codes, 3, resamples=200, paired_seeds=True)
    assert (paired.difference.low, paired.difference.high) == (0, 0)
    assert "paired seeds" in paired.difference.method
    unpaired = compare_conditions(human, codes, codes, 3, resamples=200)
    assert unpaired.difference.low < -0.1 < 0.1 < unpaired.difference.high
    # The interval of a condition does not depend on it.
    assert paired.a == dataclasses.replace(unpaired.a, method=paired.a.method)
    with pytest.raises(DataError, match=r"`a` has 3 seeds and `b` 1"):
        compare_conditions(human, codes, codes[:1], 3, paired_seeds=True)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    human = rng.integers(2, size=1000)
    alike, unlike = predictions(rng, human, [0.7] * 4, 2), predictions(rng, human, [0.4, 0.6, 0.8, 1.0], 2)
    result = compare_conditions(human, alike, unlike, 2, "accuracy", resamples=500)
    assert result.b.high - result.b.low > 2 * (result.a.high - result.a.low)


def test_a_condition_without_predictions_scores_zero_and_has_no_ratio() -> None:
    human = np.array([0, 1, 0, 1])
    result = compare_conditions(human, human, np.full((2, 4), -1), 2, "weighted_f1", resamples=20)
    assert (result.a.estimate, result.b.estimate) == (1, 0)
    assert math.isnan(result.ratio.low)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["ratio"]["estimate"] is None


def test_invalid_conditions_and_metrics_are_refused() -> None:
    human, empty = np.array([0, 1, 0, 1]), np.array([], dtype=np.int64)
    # Too few rows, codes too high or too low, no seed.
    for a in (np.zeros((2, 3)), np.full(4, 2), np.full(4, -2), np.zeros((0, 4))):
        with pytest.raises(DataError, match="`a`"):
            compare_conditions(human, a.astype(np.int64), human, 2)
    with pytest.raises(DataError, match="at least one"):
        compare_conditions(empty, empty, empty, 1)
    with pytest.raises(ConfigError, match="`metric`"):
        compare_conditions(human, human, human, 2, "kappa")  # type: ignore[arg-type]


def test_1000_rows_5_seeds_2000_resamples_take_under_three_seconds() -> None:
    rng = np.random.default_rng(5)
    human = rng.integers(21, size=1000)
    a, b = predictions(rng, human, [0.8] * 5, 21), predictions(rng, human, [0.7] * 5, 21)
    start = time.process_time()
    compare_conditions(human, a, b, 21)
    assert time.process_time() - start < 3
