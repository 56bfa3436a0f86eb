"""The bootstrap of many conditions: against that of two, scikit-learn and the formula of a paired difference."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.confusion import score_margins
from hf_synthlabels.statistics.arrays import Floats, Ints
from hf_synthlabels.statistics.comparison.condition_bootstrap import ConditionBootstrap, PairedScore, RowFeatures
from hf_synthlabels.statistics.comparison.conditions import compare_conditions
from tests.statistics.common import contains

TRUTH = np.arange(300) % 2


def features(predicted: Ints, truth: Ints = TRUTH) -> Floats:
    """Correct, predicted and human-labeled rows of two classes, shape (seeds, rows, 6)."""
    classes = np.arange(2)
    human, labels = truth[:, None] == classes, np.atleast_2d(predicted)[:, :, None] == classes
    human = np.broadcast_to(human, labels.shape)
    return np.concatenate([human & labels, labels, human], axis=2).astype(np.float64)


def bootstrap(resamples: int, truth: Ints = TRUTH, seed: int = 0) -> ConditionBootstrap:
    def macro_f1(sums: Floats, whole: Floats) -> Floats:
        classes = whole[..., 2:4] + whole[..., 4:] > 0
        return score_margins("macro_f1", sums[..., :2], sums[..., 2:4], sums[..., 4:], classes)

    def accuracy(sums: Floats, _: Floats) -> Floats:
        return score_margins("accuracy", sums[..., :2], sums[..., 2:4], sums[..., 4:])

    wrong = features(np.full_like(truth, -1), truth)[0]
    rows = RowFeatures(features(truth, truth)[0], wrong, {"macro_f1": macro_f1, "accuracy": accuracy})
    return ConditionBootstrap(rows, BootstrapConfig(resamples=resamples, seed=seed))


def flipped(accuracy: float, seeds: range) -> Ints:
    correct = [np.random.default_rng(seed).random(len(TRUTH)) < accuracy for seed in seeds]
    return np.where(correct, TRUTH, 1 - TRUTH)


def compared(a: Ints, b: Ints, score: str, resamples: int) -> PairedScore:
    return bootstrap(resamples).compare(features(a), features(b), score)


def test_seed_scores_match_scikit_learn() -> None:
    a = flipped(0.8, range(3))
    replicates = bootstrap(50).draw(features(a), "macro_f1")
    assert replicates.seeds == pytest.approx([f1_score(TRUTH, each, average="macro") for each in a])


def test_intervals_agree_with_those_of_compare_conditions() -> None:
    a, b = flipped(0.8, range(4)), flipped(0.85, range(10, 14))
    pair, other = compared(a, b, "macro_f1", 2000), compare_conditions(TRUTH, a, b, 2, paired_seeds=True)
    for ours, theirs in ((pair.difference, other.difference), (pair.ratio, other.ratio), (pair.a.interval, other.a)):
        expected = (theirs.estimate, theirs.low, theirs.high)
        assert (ours.estimate, ours.low, ours.high) == pytest.approx(expected, abs=0.01)


def test_row_variance_is_that_of_paired_shares() -> None:
    a, b = flipped(0.8, range(1)), flipped(0.85, range(9, 10))
    pair = compared(a, b, "accuracy", 4000)
    difference = (a[0] == TRUTH).astype(float) - (b[0] == TRUTH)
    assert pair.row_variance == pytest.approx(difference.var() / len(TRUTH), rel=0.1)
    assert pair.seed_variance == 0


def test_seed_variance_excludes_chance_differences_of_rows() -> None:
    noise = compared(flipped(0.8, range(20)), flipped(0.8, range(20, 40)), "accuracy", 1000)
    seeds = [flipped(accuracy, range(seed, seed + 1)) for seed, accuracy in enumerate((0.6, 0.95) * 10)]
    real = compared(np.concatenate(seeds), np.stack([TRUTH] * 20), "accuracy", 1000)
    assert noise.seed_variance < 0.2 * real.seed_variance
    # Half of the seeds are 0.175 above the mean, half below: the variance of the mean of twenty is that squared by 20.
    assert real.seed_variance == pytest.approx(0.175**2 / 20, rel=0.25)


def test_equal_answers_on_few_rows_do_not_prove_equality() -> None:
    truth = np.array([0, 1] * 4)
    same = features(truth, truth)
    difference = bootstrap(2000, truth).compare(same, same, "accuracy").difference
    assert difference.estimate == 0
    assert difference.low < -0.05 < 0.05 < difference.high


def test_more_correct_answers_never_lower_a_replicate() -> None:
    draws = bootstrap(200)
    worse = flipped(0.6, range(3))
    better = worse.copy()
    better[:, :40] = TRUTH[:40]
    for score in ("accuracy", "macro_f1"):
        low, high = (draws.draw(features(each), score).values for each in (worse, better))
        assert (high >= low - 1e-12).all()
    with pytest.raises(DataError, match="`features`"):
        draws.draw(features(TRUTH)[:, :-1], "accuracy")


@pytest.mark.slow
def test_intervals_of_a_difference_cover_the_true_value() -> None:
    truth, covered, rng = np.arange(200) % 2, 0, np.random.default_rng(5)
    for seed in range(400):
        correct = rng.random((2, 200)) < np.array([[0.75], [0.85]])
        a, b = (features(np.where(each, truth, 1 - truth), truth) for each in correct)
        covered += contains(bootstrap(400, truth, seed).compare(a, b, "accuracy").difference, -0.1)
    assert 0.92 <= covered / 400 <= 0.98
