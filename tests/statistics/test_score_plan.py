"""How many human labels a score of any kind takes, from a pilot's."""

from __future__ import annotations

import math
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.statistics import Gate, ValidationReport, plan_score, validate


def reported(pilot: int, rows: int, **more: Any) -> ValidationReport:
    human = [float(1 + row % 5) if row < pilot else None for row in range(rows)]
    llm = [min(5.0, 1 + row % 5 + (row % 4 == 0)) for row in range(rows)]
    return validate(Dataset.from_dict({"label": human, "llm_label": llm}), resamples=300, **more)


def test_width_shrinks_with_the_root_of_the_rows() -> None:
    report = reported(50, 5000)
    score = report.score("mae")
    width = (score.high - score.low) / 3
    plan = plan_score(report, width=width)
    assert plan.designs[0].human_only == plan.designs[0].with_llm == 450
    assert plan.pilot == 50
    assert plan.goal == f"mae in an interval {width:g} wide (95%)"
    # As narrow as it is already: no plan is for fewer than thirty.
    assert plan_score(report, width=10).designs[0].human_only == 30
    assert "as the pilot" in str(plan)


def test_gate_of_an_error_is_decided_by_its_upper_end() -> None:
    report = reported(50, 5000)
    score = report.score("mae")
    threshold = score.estimate + (score.high - score.estimate) / 2
    # Twice as near takes four times the rows, and 80 % power (1 + .84162 / 1.95996)² = 2.0432 times as many.
    assert plan_score(report, gate=Gate("mae", threshold)).designs[0].human_only == 409
    below = score.estimate - (score.estimate - score.low) / 2
    assert plan_score(report, gate=Gate("mae", below)).designs[0].human_only == 409
    good = report.score("pearson")
    high = good.estimate - (good.estimate - good.low) / 2
    assert plan_score(report, gate=Gate("pearson", high)).designs[0].human_only == 409


def test_more_rows_than_there_are_is_said() -> None:
    plan = plan_score(reported(50, 60), width=0.01)
    assert plan.best is None
    assert plan.notes[-1] == "These rows do not suffice if the score stays that of the pilot."
    assert "more than available" in str(plan)


@pytest.mark.parametrize(
    ("pilot", "options", "message"),
    [
        (9, {"width": 0.1}, r"`label`"),
        (20, {}, "give one of them"),
        (20, {"width": 0.1, "gate": Gate("mae", 1)}, "give one of them"),
        (20, {"width": 0.0}, "a width above 0"),
        (20, {"gate": Gate("entity_f1", 0.5)}, "which 'text-scale' does not have"),
    ],
)
def test_what_makes_no_plan_is_refused(pilot: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_score(reported(pilot, 40), **options)


def test_score_that_is_undefined_is_no_plan() -> None:
    rows = Dataset.from_dict({"label": [[]] * 12, "llm_label": [[]] * 12})
    report = validate(rows, kind="multi-label", names=["a"], resamples=50)
    assert math.isnan(report.score("micro_f1").estimate)
    assert plan_score(report, width=0.1).best is None
