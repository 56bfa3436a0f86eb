"""Whether scores mean the same in every task."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hf_synthlabels.judging.audit.comparability import cat
from hf_synthlabels.judging.audit.rows import AuditRows, draw_clusters
from hf_synthlabels.statistics import BootstrapConfig
from tests.judging.audit.audit_data import Columns, concordance, drawn, made, of_task, read

NAMES = ("task 0", "task 1", "task 2")


def line(scores: np.ndarray, human: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and level of the weighted least squares line, by numpy's solver."""
    root = np.sqrt(weights)
    design = np.stack([scores, np.ones(len(scores))], axis=1) * root[:, None]
    slope, level = np.linalg.lstsq(design, human * root, rcond=None)[0]
    return float(slope), float(level)


def brute_force(columns: Columns) -> dict[str, float]:
    """All statistics by loops over tasks, rows weighing 1 / rows of their task."""
    sides = [of_task(columns, name) for name in NAMES]
    weights = [np.full(len(scores), 1 / len(scores)) for scores, _ in sides]
    errors, constants = [], []
    for task in range(3):
        others = [other for other in range(3) if other != task]
        s, h, w = (np.concatenate(parts) for parts in zip(*((*sides[o], weights[o]) for o in others), strict=True))
        slope, level = line(s, h, w)
        errors.append(abs(slope * sides[task][0].mean() + level - sides[task][1].mean()))
        constants.append(abs(np.average(h, weights=w) - sides[task][1].mean()))
    s, h, w = (
        np.concatenate(parts)
        for parts in zip(*((*side, w) for side, w in zip(sides, weights, strict=True)), strict=True)
    )
    total = (w * (h - np.average(h, weights=w)) ** 2).sum()
    slope, level = line(s, h, w)
    pooled = (w * (h - slope * s - level) ** 2).sum()
    apart = 0.0
    for (scores, human), weight in zip(sides, weights, strict=True):
        slope, level = line(scores, human, weight)
        apart += (weight * (human - slope * scores - level) ** 2).sum()
    return {
        "cat_offset": float(np.std([scores.mean() - human.mean() for scores, human in sides])),
        "cat_transfer": 1 - sum(errors) / sum(constants),
        "cat_dr2": (pooled - apart) / total,
        "cat_within_c": float(np.mean([concordance(side, side, same=True) for side in sides])),
        "cat_cross_c": float(np.mean([concordance(a, b) for a, b in itertools.combinations(sides, 2)])),
    }


def test_all_statistics_by_brute_force_as_they_are_and_resampled() -> None:
    columns = made(5)
    rows, resamples = read(columns, resamples=6)
    found = cat(rows, resamples)
    for draw in range(7):
        for name, value in brute_force(drawn(columns, resamples, draw)).items():
            assert found.overall[name][draw] == pytest.approx(value, abs=1e-9), (name, draw)
    gap = found.overall["cat_cross_c"] - found.overall["cat_within_c"]
    assert found.overall["cat_gap"] == pytest.approx(gap)


def test_the_null_is_the_mean_of_shuffles_within_tasks() -> None:
    columns = made(6, items=5, systems=2)
    rows, resamples = read(columns, resamples=1)
    found = cat(rows, resamples).overall
    rng = np.random.default_rng(0)
    sides = [of_task(columns, name) for name in NAMES]
    shuffled = []
    for _ in range(600):
        mixed = [(rng.permutation(scores), human) for scores, human in sides]
        shuffled.append(np.mean([concordance(a, b) for a, b in itertools.combinations(mixed, 2)]))
    error = np.std(shuffled) / np.sqrt(600)
    assert found["cat_cross_null"][0] == pytest.approx(np.mean(shuffled), abs=4 * error)
    assert found["cat_cross_excess"][0] == pytest.approx(found["cat_cross_c"][0] - found["cat_cross_null"][0])


def test_a_score_that_knows_only_the_task_orders_across_tasks_and_has_no_excess() -> None:
    # Task means differ: a constant for each task orders pairs of different tasks well and says nothing within them.
    rows = AuditRows.from_columns(
        [0.2] * 4 + [0.8] * 4, [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9], ["a"] * 4 + ["b"] * 4
    )
    found = cat(rows, draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=2))).overall
    assert found["cat_cross_c"][0] == 1
    assert found["cat_within_c"][0] == 0.5
    assert found["cat_cross_null"][0] == 1
    assert found["cat_cross_excess"][0] == 0


def test_a_metric_that_is_the_human_score_is_perfect() -> None:
    columns = made(7)
    rows, resamples = read(columns, resamples=2)
    found = cat(rows.with_scores(rows.human), resamples).overall
    expected = {"cat_offset": 0, "cat_transfer": 1, "cat_dr2": 0, "cat_within_c": 1, "cat_cross_c": 1}
    assert {name: found[name][0] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_an_offset_by_task_is_seen_in_offset_transfer_and_dr2_and_not_within() -> None:
    columns = made(8, noise=0.0)
    columns = columns._replace(human=[0.5 * human for human in columns.human])
    shift = [0.3 if task == "task 0" else 0.0 for task in columns.tasks]
    scores = [human + more for human, more in zip(columns.human, shift, strict=True)]
    rows, resamples = read(columns._replace(scores=scores), resamples=2)
    found = cat(rows, resamples).overall
    # Offsets .3, 0, 0 have the population standard deviation .3 * sqrt(2) / 3.
    assert found["cat_offset"][0] == pytest.approx(0.3 * np.sqrt(2) / 3)
    assert found["cat_within_c"][0] == 1
    assert found["cat_dr2"][0] > 0.05
    assert found["cat_transfer"][0] < 0.8


@pytest.mark.parametrize("tasks", [["a"] * 3, ["a", "b", "c"]])
def test_one_task_or_equal_scores_give_nan(tasks: list[str]) -> None:
    scores = [0.1, 0.5, 0.9] if len(set(tasks)) == 1 else [0.5] * 3
    rows = AuditRows.from_columns(scores, [0.1, 0.5, 0.9], tasks)
    found = cat(rows, draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=2)))
    assert all(np.isnan(draws).all() for draws in found.overall.values())
    assert set(found.tasks) == set(tasks)
