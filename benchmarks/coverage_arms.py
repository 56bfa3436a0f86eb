"""The table of `benchmarks.coverage` on comparisons of students by a few seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage_tables import Table, coverage_table, share_of
from hf_synthlabels.statistics import BootstrapConfig
from hf_synthlabels.statistics.agreement.confusion import score_margins
from hf_synthlabels.statistics.comparison.condition_bootstrap import ConditionBootstrap, RowFeatures

__all__ = ["seeds_of_students"]

Floats = NDArray[np.float64]

CLASSES = 3
ROWS = 200
MEAN = 0.8
"""The accuracy of a student in the mean over seeds; errors go to the other classes alike."""


@coverage_table("seeds")
def seeds_of_students(worlds: int, seed: int) -> Table:
    """Differences in macro F1 of two students that are equally good, by seeds and the SD of accuracy between them."""
    head = ("SD between seeds, points", "1 seed", "2 seeds", "3 seeds", "5 seeds")
    truth = np.arange(ROWS) % CLASSES
    rows: list[Sequence[object]] = []
    for spread in (1.2, 2.4, 3.6, 6.0):
        line: list[object] = [f"{spread:g}"]
        for number in (1, 2, 3, 5):
            rng, hits = np.random.default_rng([seed, int(10 * spread), number]), 0
            for world in range(worlds):
                draws = ConditionBootstrap(_features(truth), BootstrapConfig(resamples=400, seed=world))
                a, b = (_arm(truth, np.clip(rng.normal(MEAN, spread / 100, number), 0, 1), rng) for _ in range(2))
                difference = draws.compare(a, b, "macro_f1").difference
                hits += difference.low <= 0 <= difference.high
            line.append(share_of(int(hits), worlds))
        rows.append(line)
    return head, rows


def _arm(truth: NDArray[np.int64], accuracies: Floats, rng: np.random.Generator) -> Floats:
    """What one student says by seed, as features of its rows."""
    right = rng.random((len(accuracies), len(truth))) < accuracies[:, None]
    other = (truth + rng.integers(1, CLASSES, right.shape)) % CLASSES
    return _sums(truth, np.where(right, truth, other))


def _sums(truth: NDArray[np.int64], said: NDArray[np.int64]) -> Floats:
    """Right, predicted and human-labeled by class, shape (seeds, rows, 3 x classes)."""
    classes = np.arange(CLASSES)
    human, predicted = truth[:, None] == classes, np.atleast_2d(said)[:, :, None] == classes
    human = np.broadcast_to(human, predicted.shape)
    return np.concatenate([human & predicted, predicted, human], axis=2).astype(np.float64)


def _features(truth: NDArray[np.int64]) -> RowFeatures:
    def macro(sums: Floats, whole: Floats) -> Floats:
        right, predicted, human = (slice(CLASSES * part, CLASSES * (part + 1)) for part in range(3))
        there = whole[..., predicted] + whole[..., human] > 0
        return score_margins("macro_f1", sums[..., right], sums[..., predicted], sums[..., human], there)

    wrong = np.full_like(truth, -1)
    return RowFeatures(_sums(truth, truth)[0], _sums(truth, wrong)[0], {"macro_f1": macro})
