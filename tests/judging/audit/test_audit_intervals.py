"""Whether the audit's intervals hold the truth as often as they say, on made rows whose truth a large sample tells."""

from __future__ import annotations

import numpy as np
import pytest

from hf_synthlabels.judging.audit.comparability import cat, cit
from hf_synthlabels.judging.audit.rows import AuditRows, Codes, Resamples, draw_clusters
from hf_synthlabels.judging.audit.tfa import tfa
from hf_synthlabels.statistics import BootstrapConfig

NAMES = (
    *("cit_spearman", "cit_kendall", "cat_offset", "cat_transfer", "cat_dr2", "cat_within_c", "cat_cross_c"),
    *("cat_cross_excess", "cat_gap", "tfa_icc", "tfa_icc_consistency", "tfa_format_share", "tfa_flip"),
)
SAMPLES, ITEMS = 100, 50


def tasks(rng: np.random.Generator, items: int) -> AuditRows:
    """Three tasks of four answers to each item, which share their item's level; every task has an offset."""
    human, scores = [], []
    for level, offset in ((0.35, 0.0), (0.45, 0.1), (0.6, -0.15)):
        truth = level + rng.normal(0, 0.08, (items, 1)) + rng.normal(0, 0.12, (items, 4))
        noise = rng.normal(0, 0.05, (items, 1)) + rng.normal(0, 0.1, (items, 4))
        human.append(np.clip(np.round(truth * 12) / 12, 0, 1))
        scores.append(np.clip(0.1 + 0.7 * truth + offset + noise, 0, 1))
    names = [task for task in range(3) for _ in range(items * 4)]
    places = [item for _ in range(3) for item in range(items) for _ in range(4)]
    return AuditRows(np.ravel(scores), np.ravel(human), Codes.of(names), Codes.of(places))


def formats(rng: np.random.Generator, items: int) -> AuditRows:
    """Three answers to each item, each in four formats with an offset of their own."""
    shape = (items, 3, 4)
    answer = 0.5 + rng.normal(0, 0.1, (items, 1, 1)) + rng.normal(0, 0.15, (items, 3, 1))
    offsets = np.array([0, 0.1, -0.1, 0.05])
    scores = np.clip(answer + offsets + rng.normal(0, 0.08, shape), 0, 1)
    item, system, form = (Codes.of(list(place)) for place in np.indices(shape).reshape(3, -1))
    human = np.broadcast_to(answer, shape).clip(0, 1).ravel().round(3)
    return AuditRows(scores.ravel(), human, Codes.of([0] * scores.size), item, form, system)


def found(rng: np.random.Generator, items: int, resamples: int) -> dict[str, tuple[Resamples, np.ndarray]]:
    out: dict[str, tuple[Resamples, np.ndarray]] = {}
    rows = tasks(rng, items)
    drawn = draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=resamples))
    for draws in (cit(rows, drawn).overall, cat(rows, drawn).overall):
        out |= {name: (drawn, each) for name, each in draws.items()}
    rows = formats(rng, items)
    drawn = draw_clusters(rows.clusters, rows.tasks, BootstrapConfig(resamples=resamples))
    return out | {name: (drawn, each) for name, each in tfa(rows, drawn).overall.items()}


@pytest.mark.slow
def test_95_percent_intervals_of_50_items_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    large = [found(rng, 1000, 1) for _ in range(6)]
    truth = {name: np.mean([each[name][1][0] for each in large]) for name in NAMES}
    held = dict.fromkeys(NAMES, 0)
    for _ in range(SAMPLES):
        sample = found(rng, ITEMS, 300)
        for name in NAMES:
            interval = sample[name][0].interval(sample[name][1], 1)
            held[name] += bool(interval.low <= truth[name] <= interval.high)
    # Of 100 intervals that hold it with probability .95, fewer than 88 do in 1 of 250 such tests; of .92 in 1 of 15.
    assert min(held.values()) >= 86, held
    assert np.mean(list(held.values())) >= 92, held
