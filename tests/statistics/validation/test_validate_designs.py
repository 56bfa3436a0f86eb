"""`validate` for rows that were sampled in clusters, within strata or with unequal inclusion probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import DataError
from hf_synthlabels.statistics import validate
from tests.statistics.common import Columns, contains


def clustered(rng: np.random.Generator, clusters: int, size: int) -> Columns:
    """Labels of texts that share an author: the LLM is correct in some authors' texts far more often."""
    human = rng.choice(["a", "b"], size=clusters * size, p=[0.7, 0.3])
    correct = rng.random(clusters * size) < np.repeat(rng.beta(4 * 0.8, 4 * 0.2, size=clusters), size)
    llm = np.where(correct, human, np.where(human == "a", "b", "a"))
    authors = np.repeat(np.arange(clusters), size)
    return Columns(label=human.tolist(), llm_label=llm.tolist(), author=authors.tolist())


def test_cluster_intervals_keep_their_level() -> None:
    # 250 rows of 25 authors; intervals that ignore authors covered .79 to .83.
    rng, covered, by_rows = np.random.default_rng(5), {"accuracy": 0, "kappa": 0}, 0
    truth = {"accuracy": 0.8, "kappa": (0.8 - 0.5248) / (1 - 0.5248)}
    for _ in range(150):
        columns = clustered(rng, 25, 10)
        report = validate(columns, clusters="author", resamples=200)
        for name in covered:
            covered[name] += contains(report.scores[name], truth[name])
        by_rows += contains(validate(columns, resamples=20).scores["accuracy"], truth["accuracy"])
    assert min(covered.values()) >= 150 * 0.90
    assert by_rows < 150 * 0.90


def test_intervals_of_every_kind_are_wider_with_clusters() -> None:
    rng = np.random.default_rng(7)
    pairs: dict[str, tuple[Any, Any]] = {
        "multi-label": (["a"], ["b"]),
        "text-scale": (1.0, 3.0),
        "text-generation": ("red", "blue"),
    }
    for kind, (first, second) in pairs.items():
        # All rows of a cluster are correct, or all are incorrect.
        llm = [first if correct else second for correct in np.repeat(rng.random(12) < 0.6, 10)]
        columns = Columns(label=[first] * 120, llm_label=llm, place=np.repeat(np.arange(12), 10).tolist())
        plain = validate(columns, kind=kind, resamples=300).scores
        for name, score in validate(columns, kind=kind, clusters="place", resamples=300).scores.items():
            width = plain[name].high - plain[name].low
            if name != "coverage" and width > 0 and not math.isnan(score.low):
                assert score.high - score.low > 1.8 * width, name
                assert "12 clusters" in score.method or "design" in score.method


def test_strata_narrow_an_interval_that_they_explain() -> None:
    llm = ["a"] * 95 + ["b"] * 5 + ["a"] * 20 + ["b"] * 80
    columns = Columns(label=["a"] * 200, llm_label=llm, stratum=[0] * 100 + [1] * 100)
    plain, within = (validate(columns, strata=each, resamples=50).scores["accuracy"] for each in (None, "stratum"))
    # Variance (.95 x .05 + .2 x .8) / 2 / 2 against .575 x .425.
    ratio = (within.high - within.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(math.sqrt((0.95 * 0.05 + 0.2 * 0.8) / 2 / (0.575 * 0.425)), abs=0.05)


def test_every_scored_row_needs_its_cluster() -> None:
    columns = Columns(label=["a", "b", None], llm_label=["a", "b", "b"], author=["x", None, None])
    for clusters in ("author", "writer"):
        with pytest.raises(DataError, match=f"`{clusters}`"):
            validate(columns, clusters=clusters)
    complete = Columns(label=["a", "b", None], llm_label=["a", "b", "b"], author=["x", "y", None])
    assert validate(complete, clusters="author", resamples=20).n_human == 2


def test_reports_of_clusters_are_reproducible() -> None:
    columns = clustered(np.random.default_rng(1), 10, 5)
    assert validate(columns, clusters="author").to_dict() == validate(columns, clusters="author").to_dict()


def test_inclusion_probabilities_weight_every_kind() -> None:
    # Of 100 rows of one kind 10 were sampled and all match, of 100 of another 50 and none match.
    probabilities = [0.1] * 10 + [None] * 90 + [0.5] * 50 + [None] * 50

    def columns(first: Any, second: Any, llm: list[Any]) -> Columns:
        human = [first] * 10 + [None] * 90 + [second] * 50 + [None] * 50
        return Columns(label=human, llm_label=llm, inclusion_probability=probabilities)

    scale = validate(columns(1.0, 5.0, [1.0] * 100 + [4.0] * 100), kind="text-scale", resamples=200)
    # Each half stands for 100 rows: correct in one half, off by one in the other.
    assert [scale.scores[name].estimate for name in ("accuracy", "mae", "bias")] == pytest.approx([0.5, 0.5, -0.5])
    assert scale.scores["accuracy"].n == 60
    assert any("1 / `inclusion_probability`" in note for note in scale.notes)
    sets = validate(columns(["a"], ["b"], [["a"]] * 200), kind="multi-label", resamples=200)
    assert sets.scores["accuracy"].estimate == pytest.approx(0.5)
    assert {each.name: each.recall.estimate for each in sets.classes} == {"a": 1.0, "b": 0.0}
    assert sets.classes[0].precision.estimate == pytest.approx(0.5)
