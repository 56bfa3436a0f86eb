"""Agreement of order within tasks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.judging.audit.comparability import MAX_ROWS, cit, task_sides
from hf_synthlabels.judging.audit.pairs import MAX_PAIRS, Side, pair_sums, tie_width
from hf_synthlabels.judging.audit.rows import MAX_CLUSTERS, AuditRows, draw_clusters
from hf_synthlabels.statistics import BootstrapConfig
from tests.judging.audit.audit_data import drawn, made, of_task, read

NAMES = ("task 0", "task 1", "task 2")


def test_item_level_is_scipys_in_each_task_and_its_mean_over_all() -> None:
    columns = made(1)
    rows, resamples = read(columns)
    found = cit(rows, resamples)
    rho = [stats.spearmanr(*of_task(columns, name)).statistic for name in NAMES]
    tau = [stats.kendalltau(*of_task(columns, name)).statistic for name in NAMES]
    assert [found.tasks[name].spearman[0] for name in NAMES] == pytest.approx(rho, abs=1e-9)
    assert [found.tasks[name].kendall[0] for name in NAMES] == pytest.approx(tau, abs=1e-9)
    assert found.overall["cit_spearman"][0] == pytest.approx(np.mean(rho), abs=1e-9)
    assert found.overall["cit_kendall"][0] == pytest.approx(np.mean(tau), abs=1e-9)


def test_every_resample_is_scipys_on_its_rows_written_out() -> None:
    columns = made(2)
    rows, resamples = read(columns, resamples=20)
    found = cit(rows, resamples)
    for draw in range(1, 21):
        sample = drawn(columns, resamples, draw)
        for name in NAMES:
            scores, human = of_task(sample, name)
            assert found.tasks[name].spearman[draw] == pytest.approx(stats.spearmanr(scores, human)[0], abs=1e-9)
            assert found.tasks[name].kendall[draw] == pytest.approx(stats.kendalltau(scores, human)[0], abs=1e-9)


def test_systems_are_compared_by_their_means() -> None:
    columns = made(3)
    rows, resamples = read(columns, resamples=10)
    found = cit(rows, resamples)
    for draw in (0, 4, 10):
        sample = drawn(columns, resamples, draw)
        means = []
        for column in (sample.scores, sample.human):
            table: dict[str, list[float]] = {}
            for value, name, system in zip(column, sample.tasks, sample.systems, strict=True):
                if name == "task 1":
                    table.setdefault(system, []).append(value)
            means.append([np.mean(table[system]) for system in sorted(table)])
        task = found.tasks["task 1"]
        assert task.system_spearman[draw] == pytest.approx(stats.spearmanr(*means)[0], abs=1e-9)
        assert task.system_kendall[draw] == pytest.approx(stats.kendalltau(*means)[0], abs=1e-9)


def accuracy(side: Side, width: float) -> float:
    """The share of pairs with the right order or tie, pair by pair."""
    pairs = list(itertools.combinations(range(len(side)), 2))
    right = 0
    for i, j in pairs:
        apart = side.scores[i] - side.scores[j]
        order = 0 if abs(apart) <= width else np.sign(apart)
        right += order == np.sign(side.human[i] - side.human[j])
    return right / len(pairs)


def test_accuracy_with_the_best_tie_width_by_trying_every_width() -> None:
    columns = made(4)
    for name in NAMES:
        scores, human = of_task(columns, name)
        side = Side(scores, human, np.arange(len(scores)))
        widths = {0.0, *np.abs(scores[:, None] - scores).ravel()}
        width = tie_width(side)
        assert accuracy(side, width) == max(accuracy(side, each) for each in widths)
        found = pair_sums(np.ones((1, len(scores))), side, tie=width)
        assert found.accuracy[0] == pytest.approx(accuracy(side, width), abs=1e-12)


def test_a_row_and_its_copy_in_a_resample_are_no_pair() -> None:
    # Drawn twice, twice and not at all: of 6 unordered pairs of the 4 rows, 2 are copies; the other 4 are in order.
    side = Side(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0]), np.arange(3))
    found = pair_sums(np.array([[2.0, 2.0, 0.0]]), side, tie=0.0)
    assert found.pairs[0] == 2 * 4
    assert found.accuracy[0] == 1


def test_constant_scores_count_as_nothing_and_constant_humans_are_left_out() -> None:
    # Task a is in order (tau 1), all scores of b are equal (0), c has one human score for all (left out).
    rows = AuditRows.from_columns(
        [0, 0.5, 1, 0.5, 0.5, 0.5, 0, 0.5, 1],
        [0, 0.5, 1, 0, 0.5, 1, 1, 1, 1],
        ["a"] * 3 + ["b"] * 3 + ["c"] * 3,
    )
    resamples = draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=5))
    found = cit(rows, resamples)
    assert found.overall["cit_kendall"][0] == pytest.approx(1 / 2)
    assert np.isnan(found.tasks["b"].kendall[0])
    assert np.isnan(found.tasks["c"].kendall[0])
    flat = cit(rows.with_scores(np.full(9, 0.5)), resamples)
    assert np.isnan(flat.overall["cit_kendall"][0])


def test_tasks_that_share_items_are_drawn_together_and_others_apart() -> None:
    # a and b share items, c has its own: 4 draws of the first, 2 of the second, in every resample.
    tasks = ["a"] * 4 + ["b"] * 4 + ["c"] * 2
    items = ["1", "2", "3", "4"] * 2 + ["5", "6"]
    rows = AuditRows.from_columns([0.5] * 10, [0.5] * 10, tasks, items=items)
    resamples = draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=200))
    assert resamples.weights.shape == (201, 6)
    assert (resamples.weights[:, :4].sum(axis=1) == 4).all()
    assert (resamples.weights[:, 4:].sum(axis=1) == 2).all()
    assert (resamples.weights[0] == 1).all()
    again = draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=200))
    assert (again.weights == resamples.weights).all()


def test_many_clusters_are_put_together_and_the_interval_keeps_its_width() -> None:
    rng = np.random.default_rng(0)
    n = 4 * MAX_CLUSTERS
    human = rng.random(n)
    rows = AuditRows.from_columns(list(np.clip(human + 0.5 * rng.standard_normal(n), 0, 1)), list(human), ["a"] * n)
    resamples = draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=300))
    assert resamples.weights.shape[1] == MAX_CLUSTERS
    assert resamples.clusters == n
    found = cit(rows, resamples).overall["cit_spearman"]
    # The standard error of r is near (1 - r^2) / sqrt(n) for pairs that are drawn one by one.
    assert n < MAX_ROWS
    expected = (1 - found[0] ** 2) / np.sqrt(n)
    assert found[1:].std() == pytest.approx(expected, rel=0.2)
    assert n * (n - 1) // 2 > MAX_PAIRS  # so the width of ties came from drawn pairs


def test_of_a_very_large_task_rows_are_drawn_and_the_same_ones_for_every_metric() -> None:
    n = MAX_ROWS + 500
    human = np.arange(n) / n
    rows = AuditRows.from_columns(list(human), list(human), ["a"] * n)
    resamples = draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=2))
    _, side = task_sides(rows, resamples)["a"]
    _, other = task_sides(rows.with_scores(1 - human), resamples)["a"]
    assert len(side) == MAX_ROWS
    assert (side.human == other.human).all()
