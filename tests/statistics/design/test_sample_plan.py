from __future__ import annotations

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
    plan_gate,
    plan_sample,
    plan_score,
    validate,
)
from hf_synthlabels.statistics.design.sample_size import rows_to_pass
from hf_synthlabels.statistics.estimation.analyses import estimate_prevalence


def test_intervals_from_the_planned_labels_have_the_target_width() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.4
    predicted = np.where(rng.random(4000) < 0.85, truth, ~truth)
    llm = ["yes" if value else "no" for value in predicted]
    plan = plan_sample(llm, 0.1, accuracy=0.85)
    random = next(each for each in plan.designs if each.design == "random")
    assert random.human_only is not None
    assert random.with_llm is not None
    assert random.with_llm < 0.7 * random.human_only
    for n, column in ((random.human_only, "classical"), (random.with_llm, "ppi")):
        drawn = draw_sample(llm, n, seed=3).probabilities
        human = [None if p is None else ("yes" if value else "no") for p, value in zip(drawn, truth, strict=True)]
        interval = getattr(estimate_prevalence(human, llm, inference=Inference(splits=1))["yes"], column)
        assert interval.high - interval.low == pytest.approx(0.1, rel=0.08)
    assert plan.best is not None
    assert "random" in str(plan)
    assert '"pilot": 0' in plan.to_json()
    # A pilot replaces the assumption; a width beyond all rows has no plan.
    piloted = plan_sample(llm, 0.1, human=["yes" if value else "no" for value in truth[:200]] + [None] * 3800)
    assert piloted.pilot == 200
    assert piloted.accuracy == pytest.approx(0.85, abs=0.06)
    assert plan_sample(llm, 0.001).best is None
    confident = plan_sample(llm, 0.1, accuracy=0.85, confidence=np.where(rng.random(4000) < 0.5, 0.6, 0.99))
    assert confident.best is not None
    assert confident.best.design == "confidence"


def test_gates_are_planned_from_an_assumed_accuracy() -> None:
    llm = ["yes", "no"] * 1000
    plan = plan_gate(llm, Gate("accuracy", 0.8), accuracy=0.86)
    assert plan.designs[0].human_only == rows_to_pass(0.86, 0.8)
    assert "pass" in plan.notes[0]
    assert "fail" in plan_gate(llm, Gate("macro_f1", 0.9), accuracy=0.8).notes[0]
    assert plan_gate(llm, Gate("accuracy", 0.8), accuracy=0.801).best is None
    for field, call in (
        ("gate", lambda: plan_gate(llm, Gate("mae", 0.5))),
        ("accuracy", lambda: plan_gate(llm, Gate("accuracy", 0.8), accuracy=80)),
        ("width", lambda: plan_sample(llm, 5)),
    ):
        with pytest.raises(ConfigError, match=f"`{field}`"):
            call()
    with pytest.raises(DataError, match="`llm`"):
        plan_sample([None, None], 0.1, names=["a"])


def pilot_report(pilot: int, rows: int) -> ValidationReport:
    human = [float(1 + row % 5) if row < pilot else None for row in range(rows)]
    llm = [min(5.0, 1 + row % 5 + (row % 4 == 0)) for row in range(rows)]
    return validate(Dataset.from_dict({"label": human, "llm_label": llm}), resamples=300)


def test_score_plans_scale_with_the_root_of_the_rows() -> None:
    report = pilot_report(50, 5000)
    mae, pearson = report.scores["mae"], report.scores["pearson"]
    width = (mae.high - mae.low) / 3
    plan = plan_score(report, width=width)
    assert plan.designs[0].human_only == plan.designs[0].with_llm == 450
    assert (plan.pilot, plan.goal) == (50, f"mae in an interval {width:g} wide (95%)")
    assert "as the pilot" in str(plan)
    # No plan is for fewer than thirty.
    assert plan_score(report, width=10).designs[0].human_only == 30
    # Twice as near takes four times the rows, and 80% power (1 + .84162 / 1.95996)^2 = 2.0432 times as many.
    for name, score, limit in (("mae", mae, mae.high), ("mae", mae, mae.low), ("pearson", pearson, pearson.low)):
        gate = Gate(name, (score.estimate + limit) / 2)
        assert plan_score(report, gate=gate).designs[0].human_only == 409


def test_score_plans_beyond_all_rows_or_of_undefined_scores() -> None:
    plan = plan_score(pilot_report(50, 60), width=0.01)
    assert plan.best is None
    assert plan.notes[-1].startswith("These rows do not suffice")
    assert "more than available" in str(plan)
    empty = Dataset.from_dict({"label": [[]] * 12, "llm_label": [[]] * 12})
    undefined = validate(empty, kind="multi-label", names=["a"], resamples=50)
    assert plan_score(undefined, width=0.1).best is None


def test_invalid_score_plans_are_refused() -> None:
    cases: list[tuple[int, dict[str, Any], str]] = [
        (9, {"width": 0.1}, "`label`"),
        (20, {}, "`width`"),
        (20, {"width": 0.1, "gate": Gate("mae", 1)}, "`width`"),
        (20, {"width": 0.0}, "`width`"),
        (20, {"gate": Gate("entity_f1", 0.5)}, "`metric`"),
    ]
    for pilot, options, field in cases:
        with pytest.raises(ConfigError, match=field):
            plan_score(pilot_report(pilot, 40), **options)
