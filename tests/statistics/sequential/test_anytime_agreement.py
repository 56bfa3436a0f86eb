"""`validate` with intervals for any time, on every kind of label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.labels import LabelSchema, Scale
from hf_synthlabels.statistics import ValidationReport, validate
from hf_synthlabels.statistics.intervals import Interval
from hf_synthlabels.statistics.sequential.betting import anytime_interval
from hf_synthlabels.statistics.validation.codebook_validation import validate_codebook
from hf_synthlabels.statistics.validation.table_variables import TableVariable
from tests.statistics.common import Columns

HUMAN = ["a"] * 30 + ["b"] * 20 + [None] * 50
LLM = ["a"] * 27 + ["b"] * 3 + ["b"] * 15 + ["a"] * 4 + [None] + ["a"] * 50


def limits(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def table(**columns: list[Any]) -> Columns:
    return Columns(label=HUMAN, llm_label=LLM, **columns)


def test_shares_are_betting_intervals_of_the_rows_that_count() -> None:
    report = validate(table(), sequential=True)
    correct = [1.0] * 27 + [0.0] * 3 + [1.0] * 15 + [0.0] * 5
    assert limits(report.accuracy) == limits(anytime_interval(correct))
    assert limits(report.accuracy_answered) == limits(anytime_interval(correct[:-1]))
    assert limits(report.classes[1].precision) == limits(anytime_interval([1.0] * 15 + [0.0] * 3))
    assert limits(report.classes[0].recall) == limits(anytime_interval([1.0] * 27 + [0.0] * 3))
    jaccard = anytime_interval([1.0] * 15 + [0.0] * 8)
    assert report.classes[1].f1.low == pytest.approx(2 * jaccard.low / (1 + jaccard.low))
    assert all(score.holds_at_any_time for score in report.scores.values())
    assert ValidationReport.from_json(report.to_json()) == report


def test_weights_are_those_of_the_design_without_a_correction_for_open_rows() -> None:
    probabilities = [0.1] * 30 + [0.4] * 20 + [0.4] * 10 + [None] * 40
    report = validate(table(inclusion_probability=probabilities), sequential=True)
    correct = [1.0] * 27 + [0.0] * 3 + [1.0] * 15 + [0.0] * 5
    expected = anytime_interval(correct, weights=[10.0] * 30 + [2.5] * 20, max_weight=10)
    assert limits(report.accuracy) == pytest.approx(limits(expected))
    assert report.accuracy.estimate == pytest.approx((27 * 10 + 15 * 2.5) / (30 * 10 + 20 * 2.5))


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [("accuracy>=0.5", "pass"), ("accuracy>=0.99", "fail"), ("accuracy>=0.8", "continue"), ("kappa>=0.2", "pass")],
)
def test_gates_pass_fail_or_continue(gate: str, verdict: str) -> None:
    report = validate(table(), gate=gate, sequential=True)
    assert report.gate is not None
    assert report.gate.verdict == verdict
    assert report.gate.rows_needed is None
    assert verdict in str(report.gate)


KINDS: list[tuple[str, list[Any], list[Any], Scale | None, dict[str, float]]] = [
    ("multi-label", [["x", "y"], ["x"], []], [["x"], ["x"], None], None, {"accuracy": 1 / 3, "jaccard": 0.5}),
    # The missing label counts as the worst one: an error of 3.
    ("text-scale", [4.0, 2.0, 2.0], [3.0, 2.0, None], Scale(1, 5), {"accuracy": 1 / 3, "mae": 4 / 3}),
    ("text-generation", ["a b", "c"], ["a b", "d"], None, {"exact_match": 0.5, "token_f1": 0.5}),
    ("text-generation", ["w b c"], ["b c d"], None, {"exact_match": 0, "token_f1": 2 / 3}),
]


@pytest.mark.parametrize(("kind", "human", "llm", "scale", "scores"), KINDS)
def test_other_kinds_have_accuracy_and_the_mean_row_score(
    kind: Any, human: list[Any], llm: list[Any], scale: Scale | None, scores: dict[str, float]
) -> None:
    names = ("x", "y") if kind == "multi-label" else ()
    rows = Columns(label=[*human, None], llm_label=[*llm, llm[0]])
    schema = LabelSchema(kind=kind, names=names, scale=scale)
    fixed, anytime = (validate(rows, schema=schema, sequential=each) for each in (False, True))
    for name, value in scores.items():
        interval = anytime.score(name)
        assert interval.estimate == pytest.approx(value)
        assert fixed.score(name).estimate == pytest.approx(value)
        assert interval.low <= value <= interval.high
        assert interval.holds_at_any_time
    top = 1 if scale is None else 4
    assert all(0 <= score.low <= score.high <= top for score in anytime.scores.values())


def test_scores_without_a_sequence_and_clusters_are_refused() -> None:
    rows = Columns(label=[["x"], ["x"]], llm_label=[["x"], []])
    schema = LabelSchema(kind="multi-label", names=("x", "y"))
    with pytest.raises(ConfigError, match="`gate`"):
        validate(rows, schema=schema, gate="micro_f1>=0.5", sequential=True)
    with pytest.raises(ConfigError, match="`clusters`"):
        validate(table(author=list(range(100))), clusters="author", sequential=True)


def test_a_codebook_has_holm_adjusted_gates_at_any_time() -> None:
    right = ["a"] * 60
    rows = Columns(t=right, t_human=right, u=right, u_human=["a"] * 50 + ["b"] * 10)
    variables = {name: TableVariable(name, f"{name}_human") for name in ("t", "u")}
    report = validate_codebook(rows, variables, gates=["t: accuracy>=0.8", "u: accuracy>=0.9"], sequential=True)
    assert [verdict.verdict for _, verdict in report.gates] == ["pass", "continue"]
    assert report.verdict == "continue"
    assert report.gates[0][1].interval.level == pytest.approx(0.975)
    assert limits(report.joint) == limits(anytime_interval([1.0] * 50 + [0.0] * 10))


@pytest.mark.slow
def test_looking_after_every_row_passes_rarely_at_the_threshold() -> None:
    rng = np.random.default_rng(3)
    passes = 0
    for _ in range(200):
        right = rng.random(300) < 0.8
        lows = [anytime_interval(right[:n].astype(float)).low for n in range(10, 301, 10)]
        passes += max(lows) > 0.8
    # 2.5% is promised; 3 standard errors of 200 samples.
    assert passes / 200 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 200)
