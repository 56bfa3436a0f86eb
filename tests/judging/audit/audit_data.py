"""Rows to audit, made by a seed, and brute-force statistics of them."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_synthlabels.judging.audit.rows import AuditRows, Resamples, draw_clusters
from hf_synthlabels.statistics import BootstrapConfig

Floats = NDArray[np.float64]


class Columns(NamedTuple):
    scores: list[float]
    human: list[float]
    tasks: list[str]
    items: list[str]
    systems: list[str]


def made(seed: int, *, tasks: int = 3, items: int = 8, systems: int = 4, noise: float = 0.3) -> Columns:
    """Scores on five steps that follow human ones, with another level in every task."""
    rng = np.random.default_rng(seed)
    out = Columns([], [], [], [], [])
    for task, item, system in itertools.product(range(tasks), range(items), range(systems)):
        human = np.clip(0.25 + 0.1 * task + 0.1 * system + 0.3 * rng.random(), 0, 1)
        score = np.clip(human + noise * rng.standard_normal() - 0.05 * task, 0, 1)
        out.scores.append(round(score * 4) / 4)
        out.human.append(round(human * 8) / 8)
        out.tasks.append(f"task {task}")
        out.items.append(f"item {item}")
        out.systems.append(f"system {system}")
    return out


def read(columns: Columns, resamples: int = 50, seed: int = 0) -> tuple[AuditRows, Resamples]:
    rows = AuditRows.from_columns(
        columns.scores, columns.human, columns.tasks, items=columns.items, systems=columns.systems
    )
    return rows, draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=resamples, seed=seed))


def of_task(columns: Columns, name: str) -> tuple[Floats, Floats]:
    kept = [place for place, task in enumerate(columns.tasks) if task == name]
    return np.array(columns.scores)[kept], np.array(columns.human)[kept]


def drawn(columns: Columns, resamples: Resamples, draw: int) -> Columns:
    """The rows of one resample, written out: a row of an item drawn twice stands there twice."""
    times = resamples.weights[draw][resamples.groups].astype(int)
    kept = np.repeat(np.arange(len(times)), times)
    return Columns(*([column[place] for place in kept] for column in columns))  # type: ignore[arg-type]


def concordance(one: tuple[Floats, Floats], other: tuple[Floats, Floats], *, same: bool = False) -> float:
    """The share of pairs that humans order which scores order in the same way, ties one half, by two loops."""
    good = total = 0.0
    for i in range(len(one[0])):
        for j in range(len(other[0])):
            if (same and i >= j) or one[1][i] == other[1][j]:
                continue
            total += 1
            product = (one[0][i] - other[0][j]) * (one[1][i] - other[1][j])
            good += 1 if product > 0 else 0.5 if product == 0 else 0
    return good / total
