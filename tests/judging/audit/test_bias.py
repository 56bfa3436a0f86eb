"""What moves a judge's error beside the quality of the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.bias import judge_bias, self_preference
from hf_synthlabels.statistics import BootstrapConfig


def rows(n: int = 60, seed: int = 0) -> dict[str, list[float]]:
    """Scores that rise by .02 for each doubling of the length and by .1 for the own model."""
    rng = np.random.default_rng(seed)
    human, lengths, own = rng.uniform(0.2, 0.6, n), 2 ** rng.uniform(3, 8, n), rng.integers(0, 2, n)
    scores = human + 0.02 * np.log2(lengths) + 0.1 * own + 0.02 * rng.standard_normal(n)
    return {"scores": list(scores), "human": list(human), "lengths": list(lengths), "own": list(own)}


def test_hc3_is_its_formula_row_by_row() -> None:
    data = rows()
    found = judge_bias(**data, given_human=False)  # type: ignore[arg-type]
    x = np.column_stack([np.ones(60), np.log2(data["lengths"]), data["own"]])
    error = np.round(data["scores"], 12) - np.round(data["human"], 12)
    beta, *_ = np.linalg.lstsq(x, error, rcond=None)
    bread = np.linalg.inv(x.T @ x)
    meat = np.zeros((3, 3))
    for row, e in zip(x, error - x @ beta, strict=True):
        meat += np.outer(row, row) * (e / (1 - row @ bread @ row)) ** 2
    spread = np.sqrt(np.diag(bread @ meat @ bread))
    for place, name in ((1, "length"), (2, "own")):
        effect = found.effects[name]
        assert effect.estimate == pytest.approx(beta[place], abs=1e-9)
        assert effect.high - effect.estimate == pytest.approx(stats.t.ppf(0.975, 57) * spread[place], abs=1e-9)
        assert (effect.method, effect.n) == ("HC3", 60)


def test_with_items_it_is_the_jackknife_over_items() -> None:
    data = rows(40)
    items = [place // 4 for place in range(40)]
    found = judge_bias(**data, items=items, given_human=False)  # type: ignore[arg-type]
    x = np.column_stack([np.ones(40), np.log2(data["lengths"]), data["own"]])
    error = np.round(data["scores"], 12) - np.round(data["human"], 12)
    whole, *_ = np.linalg.lstsq(x, error, rcond=None)
    spread = np.zeros(3)
    for item in range(10):
        kept = np.array(items) != item
        left, *_ = np.linalg.lstsq(x[kept], error[kept], rcond=None)
        spread += (left - whole) ** 2
    effect = found.effects["length"]
    assert effect.high - effect.estimate == pytest.approx(stats.t.ppf(0.975, 9) * math.sqrt(spread[1]), abs=1e-9)
    assert (effect.method, found.clusters) == ("CR3", 10)


def test_what_was_put_in_is_found() -> None:
    found = judge_bias(**rows(400))  # type: ignore[arg-type]
    assert found.effects["length"].low < 0.02 < found.effects["length"].high
    assert found.effects["own"].low < 0.1 < found.effects["own"].high
    assert found.effects["own"].low > 0.08


def test_holding_the_human_score_fixed_keeps_quality_from_counting_as_length_bias() -> None:
    # The judge gives .25 + human / 2, and longer answers are better: no answer is favoured for its length.
    rng = np.random.default_rng(1)
    human = rng.uniform(0, 1, 300)
    lengths = 2 ** (4 + 2 * human + 0.3 * rng.standard_normal(300))
    scores = 0.25 + human / 2 + 0.01 * rng.standard_normal(300)
    fixed = judge_bias(list(scores), list(human), lengths=list(lengths)).effects["length"]
    free = judge_bias(list(scores), list(human), lengths=list(lengths), given_human=False).effects["length"]
    assert fixed.low < 0 < fixed.high
    assert free.high < -0.1


def test_formats_are_held_against_the_first_and_tasks_have_their_level() -> None:
    # Errors: task a 0, task b .1; json adds .05 in both.
    scores = [0.5, 0.55, 0.5, 0.55, 0.6, 0.65, 0.6, 0.65]
    found = judge_bias(scores, [0.5] * 8, formats=["plain", "json"] * 4, tasks=["a"] * 4 + ["b"] * 4, given_human=False)
    assert list(found.effects) == ["format:json"]
    assert found.effects["format:json"].estimate == pytest.approx(0.05)


def test_collinear_effects_are_nan_with_the_reason() -> None:
    data = rows(20)
    same = judge_bias(data["scores"], data["human"], lengths=[8.0] * 20, own=[True] * 20)
    assert math.isnan(same.effects["length"].estimate)
    assert "collinear" in same.reasons["own"]
    few = judge_bias([0.5, 0.6], [0.5, 0.5], lengths=[1, 2])
    assert "too few" in few.reasons["length"]
    alone = judge_bias([0.5, 0.6, 0.4, 0.3], [0.4] * 4, own=[True, False, False, False], given_human=False)
    assert alone.effects["own"].estimate == pytest.approx(0.1 - (0.2 + 0 - 0.1) / 3)
    assert "a single row or item" in alone.reasons["own"]
    assert judge_bias([], [], own=[]).n == 0


def test_rows_without_a_number_are_dropped_and_counted() -> None:
    found = judge_bias([0.1, None, 0.3, 0.4, 0.5], [0.1, 0.2, None, 0.4, 0.6], lengths=[1, 2, 3, None, 5])
    assert (found.n, found.dropped) == (2, 3)
    assert set(found.to_dict()) == {"effects", "n", "clusters", "dropped", "reasons"}


def test_self_preference_is_what_the_judge_prefers_more_than_humans_do() -> None:
    # The judge: 1, 1, .5, 1 (mean .875); humans: 1, 0, .5, .5 (mean .5). The fifth pair has no verdict.
    found = self_preference([1, 1, 0.5, 1, None], [1, 0, 0.5, 0.5, 1], bootstrap=BootstrapConfig(resamples=200))
    assert found.judge.estimate == pytest.approx(0.875)
    assert found.human.estimate == pytest.approx(0.5)
    assert found.difference.estimate == pytest.approx(0.375)
    assert found.difference.low < 0.375 < found.difference.high
    assert found.dropped == 1
    assert math.isnan(self_preference([], []).difference.estimate)


def test_wrong_columns_are_named() -> None:
    with pytest.raises(DataError, match="`lengths` has 1 rows"):
        judge_bias([0.1, 0.2], [0.1, 0.2], lengths=[1])
    with pytest.raises(DataError, match="`lengths` has 0 in row 1"):
        judge_bias([0.1, 0.2], [0.1, 0.2], lengths=[1, 0])
    with pytest.raises(ConfigError, match="`level` is 95"):
        judge_bias([0.1], [0.1], level=95)
    with pytest.raises(DataError, match="`human` has 2 rows"):
        self_preference([1], [1, 0])
