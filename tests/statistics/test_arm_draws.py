"""Draws of many arms: against the two-arm bootstrap, scikit-learn and the formula of a paired difference."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.confusion import score_margins
from hf_synthlabels.statistics.arrays import Floats, Ints
from hf_synthlabels.statistics.comparison.condition_bootstrap import ConditionBootstrap, RowFeatures
from hf_synthlabels.statistics.comparison.conditions import compare_conditions


def binary(truth: Ints, said: Ints) -> Floats:
    """Right, predicted and human-labelled by class, shape (seeds, rows, 6)."""
    classes = np.arange(2)
    human, predicted = truth[:, None] == classes, np.atleast_2d(said)[:, :, None] == classes
    human = np.broadcast_to(human, predicted.shape)
    return np.concatenate([human & predicted, predicted, human], axis=2).astype(np.float64)


def features(truth: Ints) -> RowFeatures:
    def macro(sums: Floats, whole: Floats) -> Floats:
        return score_margins(
            "macro_f1", sums[..., :2], sums[..., 2:4], sums[..., 4:], whole[..., 2:4] + whole[..., 4:] > 0
        )

    def right(sums: Floats, _: Floats) -> Floats:
        return score_margins("accuracy", sums[..., :2], sums[..., 2:4], sums[..., 4:])

    scores = {"macro_f1": macro, "accuracy": right}
    return RowFeatures(binary(truth, truth)[0], binary(truth, np.full_like(truth, -1))[0], scores)


@pytest.fixture
def truth() -> Ints:
    return np.arange(300) % 2


def flipped(truth: Ints, accuracy: float, seeds: range) -> Ints:
    return np.stack(
        [np.where(np.random.default_rng(seed).random(len(truth)) < accuracy, truth, 1 - truth) for seed in seeds]
    )


def test_estimates_are_those_of_scikit_learn(truth: Ints) -> None:
    a = flipped(truth, 0.8, range(3))
    found = ConditionBootstrap(features(truth), BootstrapConfig(resamples=50)).draw(binary(truth, a), "macro_f1")
    assert found.seeds == pytest.approx([f1_score(truth, each, average="macro") for each in a])


def test_interval_agrees_with_the_bootstrap_of_two_arms(truth: Ints) -> None:
    a, b = flipped(truth, 0.8, range(4)), flipped(truth, 0.85, range(10, 14))
    pair = ConditionBootstrap(features(truth), BootstrapConfig(resamples=2000)).compare(
        binary(truth, a), binary(truth, b), "macro_f1"
    )
    other = compare_conditions(truth, a, b, 2, paired_seeds=True)
    for ours, theirs in ((pair.difference, other.difference), (pair.ratio, other.ratio), (pair.a.interval, other.a)):
        assert (ours.estimate, ours.low, ours.high) == pytest.approx(
            (theirs.estimate, theirs.low, theirs.high), abs=0.01
        )


def test_variance_of_a_difference_is_that_of_paired_shares(truth: Ints) -> None:
    a, b = flipped(truth, 0.8, range(1)), flipped(truth, 0.85, range(9, 10))
    pair = ConditionBootstrap(features(truth), BootstrapConfig(resamples=4000)).compare(
        binary(truth, a), binary(truth, b), "accuracy"
    )
    difference = (a[0] == truth).astype(float) - (b[0] == truth)
    assert pair.row_variance == pytest.approx(difference.var() / len(truth), rel=0.1)
    assert pair.seed_variance == 0


def test_seeds_that_differ_by_rows_alone_have_little_variance_of_their_own(truth: Ints) -> None:
    draws = ConditionBootstrap(features(truth), BootstrapConfig(resamples=1000))
    noise = draws.compare(
        binary(truth, flipped(truth, 0.8, range(20))), binary(truth, flipped(truth, 0.8, range(20, 40))), "accuracy"
    )
    spread = np.concatenate(
        [flipped(truth, accuracy, range(at, at + 1)) for at, accuracy in enumerate((0.6, 0.95) * 10)]
    )
    real = draws.compare(binary(truth, spread), binary(truth, np.stack([truth] * 20)), "accuracy")
    assert noise.seed_variance < 0.2 * real.seed_variance
    # Half of the seeds lie 0.175 above the mean, half below: the variance of the mean of twenty is that squared by 20.
    assert real.seed_variance == pytest.approx(0.175**2 / 20, rel=0.25)


def test_arms_that_answer_alike_on_few_rows_are_not_proved_alike() -> None:
    truth = np.array([0, 1] * 4)
    said = binary(truth, truth)
    pair = ConditionBootstrap(features(truth), BootstrapConfig()).compare(said, said, "accuracy")
    assert pair.difference.estimate == 0
    assert pair.difference.low < -0.05
    assert pair.difference.high > 0.05


def test_more_right_answers_never_lower_any_draw(truth: Ints) -> None:
    draws = ConditionBootstrap(features(truth), BootstrapConfig(resamples=200))
    worse = flipped(truth, 0.6, range(3))
    better = worse.copy()
    better[:, :40] = truth[:40]
    for score in ("accuracy", "macro_f1"):
        low, high = (draws.draw(binary(truth, said), score).values for said in (worse, better))
        assert (high >= low - 1e-12).all()


def test_arms_that_do_not_fit_are_refused(truth: Ints) -> None:
    draws = ConditionBootstrap(features(truth), BootstrapConfig(resamples=10))
    with pytest.raises(DataError, match="`found`"):
        draws.draw(binary(truth, truth)[:, :-1], "accuracy")


@pytest.mark.slow
def test_intervals_of_a_difference_hold_the_truth_in_most_samples() -> None:
    truth, held, rng = np.arange(200) % 2, 0, np.random.default_rng(5)
    for sample in range(400):
        right = rng.random((2, 200)) < np.array([[0.75], [0.85]])
        a, b = (np.where(each, truth, 1 - truth) for each in right)
        pair = ConditionBootstrap(features(truth), BootstrapConfig(resamples=400, seed=sample)).compare(
            binary(truth, a), binary(truth, b), "accuracy"
        )
        held += pair.difference.low <= -0.1 <= pair.difference.high
    assert 0.92 <= held / 400 <= 0.98
