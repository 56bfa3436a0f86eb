"""Samples for human annotation: sizes, inclusion probabilities, and samples that grow."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import HumanSample, draw_sample
from hf_synthlabels.statistics.design.human_sample import FOCUS

LLM = ["a"] * 600 + ["b"] * 300 + ["c"] * 90 + [None] * 10


def probabilities(sample: HumanSample) -> np.ndarray:
    return np.array(sample.probabilities, dtype=float)


def test_weights_of_a_sample_add_up_to_all_rows() -> None:
    options: dict[str, Any] = {"confidence": np.linspace(0.5, 1, 1000)}
    for design in ("random", "stratified", "confidence"):
        options["design"] = design
        sample = draw_sample(LLM, 100, seed=1, **options)
        assert len(sample.rows) == 100
        assert sample.rows == tuple(np.flatnonzero(~np.isnan(probabilities(sample))))
        assert sample == draw_sample(LLM, 100, seed=1, **options)
        assert sample.rows != draw_sample(LLM, 100, seed=2, **options).rows
        totals = [np.nansum(1 / probabilities(draw_sample(LLM, 100, seed=seed, **options))) for seed in range(200)]
        # By confidence they do on average.
        assert np.mean(totals) == pytest.approx(1000, rel=1e-9 if design != "confidence" else 0.01)


def test_rows_are_drawn_with_their_inclusion_probabilities() -> None:
    confidence = np.where(np.arange(40) < 20, 0.5, 1.0)
    times = np.zeros(40)
    for seed in range(3000):
        sample = draw_sample(["a"] * 40, 10, design="confidence", confidence=confidence, seed=seed)
        times[list(sample.rows)] += 1
    # e is .5 and, at least, .02: sqrt(e (1 - e)) is .5 and .14; half of the probability follows that.
    doubt = np.where(confidence == 0.5, 0.5, 0.14)
    size = FOCUS * doubt / doubt.mean() + 1 - FOCUS
    expected = 10 * size / size.sum()
    assert times / 3000 == pytest.approx(expected, abs=0.035)
    drawn = list(sample.rows)
    assert probabilities(sample)[drawn] == pytest.approx(expected[drawn], abs=1e-12)


def test_strata_are_allocated() -> None:
    proportional = draw_sample(LLM, 100, design="stratified")
    sizes = [(name, drawn) for name, _, drawn in proportional.strata]
    assert sizes == [("(no label)", 2), ("a", 60), ("b", 30), ("c", 8)]
    equal = draw_sample(LLM, 200, design="stratified", allocation="equal")
    # One stratum has ten rows only; the others share the rest.
    assert sorted(drawn for *_, drawn in equal.strata) == [10, 63, 63, 64]
    for name, size, drawn in equal.strata:
        known = [p for p, label in zip(equal.probabilities, LLM, strict=True) if (label or "(no label)") == name and p]
        assert known == [pytest.approx(drawn / size)] * drawn


def test_a_second_sample_adds_to_the_first() -> None:
    first = draw_sample(LLM, 50, design="stratified", seed=1)
    old = ~np.isnan(probabilities(first))
    both = draw_sample(LLM, 50, design="stratified", earlier=old, seed=2)
    assert not old[list(both.rows)].any()
    whole = draw_sample(LLM, 100, design="stratified")
    assert [drawn for *_, drawn in both.strata] == [drawn for *_, drawn in whole.strata]
    pilot = np.full(1000, np.nan)
    pilot[np.random.default_rng(0).permutation(1000)[:40]] = 0.04
    more = probabilities(draw_sample(LLM, 60, earlier=pilot, seed=2))
    assert (np.nanmin(more), np.nanmax(more)) == pytest.approx((0.1, 0.1))
    doubtful = draw_sample(LLM, 60, design="confidence", confidence=np.full(1000, 0.8), earlier=pilot, seed=2)
    # In the first or the second: .04 + .96 x 60 / 960.
    assert probabilities(doubtful)[list(doubtful.rows)] == pytest.approx(0.1)


def test_a_random_sample_after_a_stratified_one_has_equal_probabilities_everywhere() -> None:
    # 450 and 750 rows, 50 of each, then 100 of 1,100.
    llm = ["complaint"] * 450 + ["other"] * 750
    first = draw_sample(llm, 100, design="stratified", allocation="equal", seed=1)
    both = draw_sample(llm, 100, earlier=first.probabilities, seed=2)
    for rows, before in ((slice(0, 450), 50 / 450), (slice(450, None), 50 / 750)):
        known = probabilities(both)[rows]
        assert known[~np.isnan(known)] == pytest.approx(before + (1 - before) * 100 / 1100)
    # A mask says that rows were drawn at random within each label.
    assert draw_sample(llm, 100, earlier=~np.isnan(probabilities(first)), seed=2) == both


STEPS: dict[str, dict[str, Any]] = {
    "random": {"design": "random"},
    "equal": {"design": "stratified", "allocation": "equal"},
    "proportional": {"design": "stratified"},
    "confidence": {"design": "confidence"},
}
THREE_STEPS = [
    ("equal", "random", "confidence"),
    ("confidence", "equal", "random"),
    ("confidence", "confidence", "confidence"),
]


@pytest.mark.parametrize("first", [*STEPS, "three steps"])
def test_weighted_shares_of_several_samples_are_unbiased(first: str) -> None:
    rng = np.random.default_rng(0)
    rows, repeats = 300, 250
    llm = np.where(rng.random(rows) < 0.35, "a", "b").tolist()
    chains = THREE_STEPS if first == "three steps" else list(itertools.product([first], STEPS))
    continuous = first == "three steps"
    confidence = rng.uniform(0.5, 1, rows) if continuous else rng.choice([0.55, 0.7, 0.9, 0.99], rows)
    truth = rng.random(rows) < np.where(confidence < 0.8, 0.6, 0.2)
    columns = np.column_stack([np.array(llm) == "a", confidence < 0.8, truth]).astype(float)
    for steps in chains:
        totals = np.zeros((repeats, columns.shape[1]))
        for seed in range(repeats):
            earlier = None
            for place, step in enumerate(steps):
                options = {"confidence": confidence, "earlier": earlier, "seed": 1000 * place + seed, **STEPS[step]}
                sample = draw_sample(llm, 30, **options)
                earlier = sample.probabilities
            assert sum(p is not None for p in sample.probabilities) == 30 * len(steps)
            totals[seed] = np.nan_to_num(1 / probabilities(sample)) @ columns / rows
        error = totals.std(axis=0, ddof=1) / np.sqrt(repeats)
        # What a stratified step adds depends on what the first step drew: a second-order part stays.
        assert (np.abs(totals.mean(axis=0) - columns.mean(axis=0)) <= 3.5 * error + 0.005).all(), steps


def test_invalid_arguments_are_refused() -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("`n`", {"n": 0}),
        ("`n`", {"n": 2000}),
        ("`n` is 7", {"n": 7, "design": "stratified"}),
        ("`design`", {"design": "snowball"}),
        ("`allocation`", {"allocation": "some"}),
        ("`confidence`", {"design": "confidence"}),
        ("`confidence`", {"design": "confidence", "confidence": [0.5]}),
        ("`confidence`", {"design": "confidence", "confidence": [90.0] * 1000}),
        ("`earlier`", {"earlier": [True]}),
        # Several probabilities within a label, no probabilities, and an unknown one of a label without a row.
        ("`confidence`", {"earlier": [0.1] * 10 + [0.2] * 10 + [None] * 980}),
        ("`earlier`.* in 10 rows", {"earlier": [1.5] * 10 + [None] * 990}),
        ("`earlier` drew no row", {"earlier": [0.1] * 10 + [None] * 600 + [0.2] * 10 + [None] * 380}),
    ]
    for message, options in cases:
        with pytest.raises((ConfigError, DataError), match=message):
            draw_sample(LLM, **{"n": 10, **options})
