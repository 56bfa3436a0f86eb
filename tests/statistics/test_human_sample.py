"""Rows drawn for people: sizes, chances that are kept, and scores that use them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.statistics import (
    Gate,
    Inference,
    ValidationReport,
    draw_sample,
    estimate,
    plan_gate,
    plan_sample,
    validate,
)
from hf_synthlabels.statistics.design.human_sample import FOCUS
from hf_synthlabels.statistics.design.sample_size import rows_to_pass
from hf_synthlabels.statistics.estimation.analyses import estimate_prevalence

LLM = ["a"] * 600 + ["b"] * 300 + ["c"] * 90 + [None] * 10


def of(sample: Any) -> np.ndarray:
    return np.array(sample.probabilities, dtype=float)


@pytest.mark.parametrize("design", ["random", "stratified", "confidence"])
def test_weights_of_a_sample_stand_for_all_rows(design: Any) -> None:
    confidence = np.linspace(0.5, 1, 1000)
    sample = draw_sample(LLM, 100, design=design, confidence=confidence, seed=1)
    assert len(sample.rows) == 100
    assert sample.rows == tuple(np.flatnonzero(~np.isnan(of(sample))))
    assert sample == draw_sample(LLM, 100, design=design, confidence=confidence, seed=1)
    assert sample.rows != draw_sample(LLM, 100, design=design, confidence=confidence, seed=2).rows
    totals = [
        np.nansum(1 / of(draw_sample(LLM, 100, design=design, confidence=confidence, seed=seed))) for seed in range(200)
    ]
    # In random and stratified samples the weights add up to all rows; by confidence they do on average.
    assert np.mean(totals) == pytest.approx(1000, rel=1e-9 if design != "confidence" else 0.01)


def test_rows_are_drawn_as_often_as_their_chances_say() -> None:
    confidence = np.where(np.arange(40) < 20, 0.5, 1.0)
    times = np.zeros(40)
    for seed in range(4000):
        sample = draw_sample(["a"] * 40, 10, design="confidence", confidence=confidence, seed=seed)
        times[list(sample.rows)] += 1
    # e is .5 and, at least, .02: sqrt(e (1 - e)) is .5 and .14; half of the chance follows that.
    doubt = np.where(confidence == 0.5, 0.5, 0.14)
    size = FOCUS * doubt / doubt.mean() + 1 - FOCUS
    expected = 10 * size / size.sum()
    assert times / 4000 == pytest.approx(expected, abs=0.03)
    sample = draw_sample(["a"] * 40, 10, design="confidence", confidence=confidence)
    assert of(sample)[list(sample.rows)] == pytest.approx(expected[list(sample.rows)], abs=1e-12)


def test_strata_get_their_rows() -> None:
    proportional = draw_sample(LLM, 100, design="stratified")
    assert [(name, drawn) for name, _, drawn in proportional.strata] == [
        ("(no label)", 2),
        ("a", 60),
        ("b", 30),
        ("c", 8),
    ]
    equal = draw_sample(LLM, 200, design="stratified", allocation="equal")
    # Ten rows are all that one has; the others share what it leaves.
    assert sorted(drawn for *_, drawn in equal.strata) == [10, 63, 63, 64]
    for name, size, drawn in equal.strata:
        mine = [p for p, label in zip(equal.probabilities, LLM, strict=True) if (label or "(no label)") == name and p]
        assert mine == [pytest.approx(drawn / size)] * drawn


def test_a_second_sample_adds_to_the_first() -> None:
    first = draw_sample(LLM, 50, design="stratified", seed=1)
    old = ~np.isnan(of(first))
    both = draw_sample(LLM, 50, design="stratified", earlier=old, seed=2)
    assert not old[list(both.rows)].any()
    assert [drawn for *_, drawn in both.strata] == [
        drawn for *_, drawn in draw_sample(LLM, 100, design="stratified").strata
    ]
    pilot = np.full(1000, np.nan)
    pilot[np.random.default_rng(0).permutation(1000)[:40]] = 0.04
    more = draw_sample(LLM, 60, earlier=pilot, seed=2)
    assert np.nanmax(of(more)) == pytest.approx(np.nanmin(of(more))) == pytest.approx(0.1)
    doubtful = draw_sample(LLM, 60, design="confidence", confidence=np.full(1000, 0.8), earlier=pilot, seed=2)
    # Within the first or the second: .04 + .96 x 60 / 960.
    assert of(doubtful)[list(doubtful.rows)] == pytest.approx(0.1)


def test_a_random_sample_on_top_of_a_stratified_one_adds_the_same_chance_everywhere() -> None:
    """However evenly the earlier rows are spread: 450 and 750 rows, 50 of each, then 100 of 1,100."""
    llm = ["complaint"] * 450 + ["other"] * 750
    first = draw_sample(llm, 100, design="stratified", allocation="equal", seed=1)
    both = draw_sample(llm, 100, earlier=first.probabilities, seed=2)
    for rows, before in ((slice(0, 450), 50 / 450), (slice(450, None), 50 / 750)):
        mine = of(both)[rows]
        assert mine[~np.isnan(mine)] == pytest.approx(before + (1 - before) * 100 / 1100)
    # A mask says that rows were drawn at random within each label.
    masked = draw_sample(llm, 100, earlier=~np.isnan(of(first)), seed=2)
    assert masked == both


STEPS: dict[str, dict[str, Any]] = {
    "random": {"design": "random"},
    "equal": {"design": "stratified", "allocation": "equal"},
    "proportional": {"design": "stratified"},
    "confidence": {"design": "confidence"},
}


@pytest.mark.parametrize(
    "steps",
    [
        *itertools.product(STEPS, STEPS),
        ("equal", "random", "confidence"),
        ("confidence", "equal", "random"),
        ("confidence", "confidence", "confidence"),
    ],
    ids="-".join,
)
def test_after_any_steps_rows_are_drawn_as_often_as_stored(steps: tuple[str, ...]) -> None:
    """Weighted shares of a label, of doubtful rows and of human labels are those of all rows."""
    rng = np.random.default_rng(0)
    rows, repeats = 300, 250
    llm = np.where(rng.random(rows) < 0.35, "a", "b").tolist()
    confidence = rng.choice([0.55, 0.7, 0.9, 0.99], rows) if len(steps) == 2 else rng.uniform(0.5, 1, rows)
    truth = rng.random(rows) < np.where(confidence < 0.8, 0.6, 0.2)
    columns = np.column_stack([np.array(llm) == "a", confidence < 0.8, truth]).astype(float)
    totals = np.zeros((repeats, columns.shape[1]))
    for seed in range(repeats):
        sample: Any = None
        for place, step in enumerate(steps):
            sample = draw_sample(
                llm,
                30,
                confidence=confidence,
                earlier=None if sample is None else sample.probabilities,
                seed=1000 * place + seed,
                **STEPS[step],
            )
        assert sum(p is not None for p in sample.probabilities) == 30 * len(steps)
        weights = np.nan_to_num(1 / of(sample))
        totals[seed] = weights @ columns / rows
    error = totals.std(axis=0, ddof=1) / np.sqrt(repeats)
    # What a stratified step adds depends on what the first step drew: a second-order part stays.
    assert np.all(np.abs(totals.mean(axis=0) - columns.mean(axis=0)) <= 3.5 * error + 0.005)


@pytest.mark.parametrize(
    ("earlier", "said"),
    [
        ([0.1] * 10 + [0.2] * 10 + [None] * 980, "`confidence`"),
        ([1.5] * 10 + [None] * 990, "not above 0 and at most 1 in 10 rows"),
        ([0.1] * 10 + [None] * 600 + [0.2] * 10 + [None] * 380, "drew no row of some LLM label"),
    ],
)
def test_earlier_samples_of_unknown_probability_are_refused(earlier: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        draw_sample(LLM, 20, earlier=earlier)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n": 0}, "`n`"),
        ({"n": 2000}, "`n`"),
        ({"design": "snowball"}, "`design`"),
        ({"allocation": "some"}, "`allocation`"),
        ({"design": "confidence"}, "`confidence`"),
        ({"design": "confidence", "confidence": [0.5]}, "`confidence`"),
        ({"design": "confidence", "confidence": [90.0] * 1000}, "`confidence`"),
        ({"n": 7, "design": "stratified"}, "`n` is 7"),
        ({"earlier": [True]}, "`earlier`"),
    ],
)
def test_wrong_draws_are_told(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        draw_sample(LLM, **{"n": 10, **arguments})
    assert said in str(caught.value)


def test_a_plan_holds_what_it_says() -> None:
    """Intervals from so many labels are as wide as wished."""
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.4
    said = np.where(rng.random(4000) < 0.85, truth, ~truth)
    llm = ["yes" if value else "no" for value in said]
    plan = plan_sample(llm, 0.1, accuracy=0.85)
    by_name = {each.design: each for each in plan.designs}
    alone, judged = by_name["random"].human_only, by_name["random"].with_llm
    assert alone is not None
    assert judged is not None
    assert judged < 0.7 * alone
    for n, column in ((alone, "classical"), (judged, "ppi")):
        drawn = draw_sample(llm, n, seed=3)
        human = [
            None if p is None else ("yes" if value else "no")
            for p, value in zip(drawn.probabilities, truth, strict=True)
        ]
        interval = getattr(estimate_prevalence(human, llm, inference=Inference(splits=1))["yes"], column)
        assert interval.high - interval.low == pytest.approx(0.1, rel=0.08)
    assert plan.best is not None
    assert "random" in str(plan)
    assert '"pilot": 0' in plan.to_json()
    # A pilot speaks for itself; a wish beyond all rows is told.
    piloted = plan_sample(llm, 0.1, human=["yes" if value else "no" for value in truth[:200]] + [None] * 3800)
    assert piloted.pilot == 200
    assert piloted.accuracy == pytest.approx(0.85, abs=0.06)
    assert plan_sample(llm, 0.001).best is None
    confident = plan_sample(llm, 0.1, accuracy=0.85, confidence=np.where(rng.random(4000) < 0.5, 0.6, 0.99))
    assert confident.best is not None
    assert confident.best.design == "confidence"


def test_gates_are_planned() -> None:
    llm = ["yes", "no"] * 1000
    plan = plan_gate(llm, Gate("accuracy", 0.8), accuracy=0.86)
    assert plan.designs[0].human_only == rows_to_pass(0.86, 0.8)
    assert "pass" in plan.notes[0]
    assert "fail" in plan_gate(llm, Gate("macro_f1", 0.9), accuracy=0.8).notes[0]
    near = plan_gate(llm, Gate("accuracy", 0.8), accuracy=0.801)
    assert near.best is None
    with pytest.raises(ConfigError, match="`gate`"):
        plan_gate(llm, Gate("mae", 0.5))
    with pytest.raises(ConfigError, match="`accuracy`"):
        plan_gate(llm, Gate("accuracy", 0.8), accuracy=80)
    with pytest.raises(ConfigError, match="`width`"):
        plan_sample(llm, 5)
    with pytest.raises(DataError, match="`llm`"):
        plan_sample([None, None], 0.1, names=["a"])


def skewed(seed: int) -> tuple[Dataset, float]:
    """Many a that are mostly right, few b that are mostly wrong, as many of each labelled by people."""
    rng = np.random.default_rng(seed)
    llm = np.where(rng.random(2000) < 0.85, "a", "b")
    right = rng.random(2000) < np.where(llm == "a", 0.95, 0.5)
    human = np.where(right, llm, np.where(llm == "a", "b", "a"))
    sample = draw_sample(llm.tolist(), 200, design="stratified", allocation="equal", seed=seed)
    columns = {
        "label": [None if p is None else str(name) for p, name in zip(sample.probabilities, human, strict=True)],
        "llm_label": llm.tolist(),
        "inclusion_probability": list(sample.probabilities),
    }
    return Dataset.from_dict(columns), 0.85 * 0.95 + 0.15 * 0.5


def test_validate_counts_rows_with_one_over_their_chance() -> None:
    held, held_f1, plain = 0, 0, 0
    # Macro F1 of the population: a is .8075 of it right, .85 said, .8825 true; b .075, .15 and .1175.
    f1 = (2 * 0.8075 / (0.85 + 0.8825) + 2 * 0.075 / (0.15 + 0.1175)) / 2
    for seed in range(60):
        rows, accuracy = skewed(seed)
        report = validate(rows, resamples=200)
        held += report.accuracy.low <= accuracy <= report.accuracy.high
        held_f1 += report.macro_f1.low <= f1 <= report.macro_f1.high
        wrong = validate(rows.remove_columns("inclusion_probability"), resamples=50).accuracy
        plain += wrong.low <= accuracy <= wrong.high
    assert held >= 53
    assert held_f1 >= 53
    assert plain == 0
    assert "unequal inclusion probabilities" in report.notes[0]
    assert report.accuracy.method == "wilson, weighted"
    assert ValidationReport.from_json(report.to_json()) == report
    assert estimate(rows)["a"].classical.estimate == pytest.approx(0.8825, abs=0.08)


def test_labels_of_rows_that_were_not_drawn_do_not_count() -> None:
    rows = Dataset.from_dict(
        {
            "label": ["a"] * 40 + [None] * 10 + ["b"] * 50 + [None] * 100,
            "llm_label": ["a", "b"] * 100,
            "inclusion_probability": [0.25] * 50 + [None] * 150,
        }
    )
    report = validate(rows)
    assert (report.matrix is not None, report.score("accuracy").n) == (True, 40)
    assert "50 rows have a human label and were not drawn" in report.notes[0]
    assert "10 of 50 sampled rows have no human label" in report.notes[1]
    found = estimate(rows)
    assert found.n_human == 40
    assert found.equal_probabilities
    assert found.notes[:2] == report.notes[:2]
    with pytest.raises(DataError, match="50 rows were drawn, and none of them has a human label"):
        validate(rows.remove_columns("label").add_column("label", [None] * 50 + ["a"] * 150))
    numbers = Dataset.from_dict(
        {"label": [1.0, 2.0, 3.0], "llm_label": [1.0, 2.0, 2.0], "inclusion_probability": [0.5, 0.1, None]}
    )
    scale = validate(numbers, kind="text-scale")
    assert scale.score("mae").n == 2
    assert any("inclusion probabilities" in note for note in scale.notes)
    assert estimate(numbers)["mean"].naive.n == 3


def test_strata_that_answer_unevenly_keep_their_weight() -> None:
    """100 a and 100 b of 1,000 and 200 rows were drawn; 50 of a and all of b were labeled."""
    rows = Dataset.from_dict(
        {
            "label": ["a"] * 50 + [None] * 950 + ["b"] * 100 + [None] * 100,
            "llm_label": ["a"] * 1000 + ["b"] * 200,
            "inclusion_probability": [0.1] * 100 + [None] * 900 + [0.5] * 100 + [None] * 100,
        }
    )
    assert estimate(rows)["b"].classical.estimate == pytest.approx(200 / 1200)


def test_conclude_reads_what_it_is_asked() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(3, 30, size=600).astype(float)
    truth = np.where(rng.random(600) < words / 40, "yes", "no")
    said = np.where(rng.random(600) < 0.85, truth, "no")
    rows = Dataset.from_dict(
        {
            "label": [str(value) if place < 150 else None for place, value in enumerate(truth)],
            "llm_label": said.tolist(),
            "llm_label_confidence": rng.random(600).tolist(),
            "words": words.tolist(),
            "side": np.where(np.arange(600) % 2, "left", "right").tolist(),
            "author": (np.arange(600) // 5).tolist(),
        }
    )
    regressed = estimate(rows, regress=["words"])
    assert [each.name for each in regressed] == ["(intercept)", "words"]
    assert regressed["words"].ppi.low > 0
    assert regressed.what.startswith("logistic")
    assert [each.name for each in estimate(rows, outcome="words")] == ["(intercept)", "llm_label = yes"]
    assert estimate(rows, outcome="words")["llm_label = yes"].dsl.low > 0
    assert estimate(rows, groups="side")["right - left"].ppi.n == 150
    assert estimate(rows, estimand="f1")["macro F1"].ppi.estimate > 0.7
    assert estimate(rows, clusters="author").n_clusters == 30
    with pytest.raises(ConfigError, match="`estimand`"):
        estimate(rows, estimand="median")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`groups` and `regress`"):
        estimate(rows, groups="side", regress=["words"])
    with pytest.raises(DataError, match="`lenght`"):
        estimate(rows, regress=["lenght"])
