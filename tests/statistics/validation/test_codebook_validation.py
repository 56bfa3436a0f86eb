"""Validation of several variables: conditions, joint accuracy and Holm-adjusted gates, against values by hand."""

from __future__ import annotations

import json
import math
from statistics import NormalDist
from typing import Any

import pytest
from datasets import Dataset
from scipy import stats

from hf_synthlabels.annotation.codebook.groups import Condition
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.publishing.report import read_report, report_page
from hf_synthlabels.statistics import validate
from hf_synthlabels.statistics.validation.codebook_report import CodebookReport
from hf_synthlabels.statistics.validation.codebook_validation import validate_codebook
from hf_synthlabels.statistics.validation.table_variables import TableVariable

RELEVANT = TableVariable("relevant", "relevant_human")
TOPIC = TableVariable("topic", "topic_human", condition=Condition("relevant", ("yes",)))
TONE = TableVariable("tone", "tone_human", "text-scale")
VARIABLES = {"relevant": RELEVANT, "topic": TOPIC, "tone": TONE}

ROWS: list[tuple[Any, ...]] = [
    # relevant, topic, status of topic, tone; then the human labels of the three.
    ("yes", "war", "labelled", 1.0, "yes", "war", 1.0),
    ("yes", "war", "labelled", 2.0, "yes", "trade", 2.0),
    ("no", None, "skipped", 3.0, "no", None, 3.0),
    ("no", None, "skipped", 3.0, "yes", "war", 3.0),
    ("yes", "war", "labelled", 4.0, "no", None, 4.0),
    ("yes", "trade", "labelled", 5.0, "yes", None, 5.0),
    ("yes", "trade", "labelled", 5.0, "yes", "trade", 4.0),
    ("yes", "trade", "labelled", 5.0, None, None, None),
]
NAMES = ("relevant", "topic", "topic_status", "tone", "relevant_human", "topic_human", "tone_human")


def table(**more: list[Any]) -> Dataset:
    return Dataset.from_dict({name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)} | more)


def test_each_variable_is_validated_on_the_rows_in_which_it_is_coded() -> None:
    report = validate_codebook(table(), VARIABLES, resamples=50)
    # Row 3 was skipped by the LLM, rows 2 and 4 by the human; row 5 has no label of the topic yet.
    assert {name: each.n_human for name, each in report.variables.items()} == {"relevant": 7, "topic": 3, "tone": 7}
    assert report.variables["topic"].accuracy.estimate == pytest.approx(2 / 3)
    assert report.skipped == {"topic": (2, 1)}
    assert report.not_coded == {"topic": 2}
    # Complete are rows 0 to 4 and 6; right in all are 0 and 2.
    assert report.joint.n == 6
    assert report.joint.estimate == pytest.approx(2 / 6)
    assert (report.joint.low, report.joint.high) == pytest.approx(
        tuple(stats.binomtest(2, 6).proportion_ci(method="wilson"))
    )
    text = report.text(80)
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split()[0] for line in text.splitlines() if line]
    assert [line for line in lines if line in VARIABLES] == list(VARIABLES)


def test_joint_accuracy_weights_rows_by_their_inclusion_probabilities() -> None:
    probabilities = [0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, None]
    report = validate_codebook(table(inclusion_probability=probabilities), VARIABLES, resamples=50)
    # Of the rows with probability 0.25, two are complete, and the third counts as missing at random.
    low = 0.25 * 3 / 4
    assert report.joint.estimate == pytest.approx((2 / 0.5) / (3 / 0.5 + 3 / low))
    # Rows in which the topic is not coded do not change the weights of the others: 0, 1 and 6, of two in the cell.
    topic = report.variables["topic"].accuracy
    assert topic.estimate == pytest.approx((1 / 0.5 + 1 / (0.25 * 2 / 3)) / (2 / 0.5 + 1 / (0.25 * 2 / 3)))
    assert not any("3 of 7 sampled rows" in note for note in report.variables["topic"].notes)


def binary(accuracies: dict[str, tuple[int, int]]) -> tuple[Dataset, dict[str, TableVariable]]:
    """Variables with two classes, of which so many rows of so many are right."""
    size = max(n for _, n in accuracies.values())
    columns: dict[str, list[Any]] = {}
    for name, (right, n) in accuracies.items():
        human = ["a" if row % 2 else "b" for row in range(size)]
        columns[name] = [label if row < right else "ab"[label == "a"] for row, label in enumerate(human)]
        columns[f"{name}_human"] = [label if row < n else None for row, label in enumerate(human)]
    return Dataset.from_dict(columns), {name: TableVariable(name, f"{name}_human") for name in accuracies}


def holm(p_values: dict[str, float], alpha: float) -> set[str]:
    """The hypotheses that Holm's step-down procedure rejects, as in its definition."""
    rejected: set[str] = set()
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > alpha / (len(p_values) - place):
            break
        rejected.add(name)
    return rejected


@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9])
def test_gates_are_adjusted_by_holm(threshold: float) -> None:
    counts = {"v1": (190, 200), "v2": (171, 200), "v3": (88, 100), "v4": (120, 200), "v5": (160, 200)}
    rows, variables = binary(counts)
    # Wilson's limits invert the score test, of which this is the p-value.
    z = {
        name: (right / n - threshold) / math.sqrt(threshold * (1 - threshold) / n)
        for name, (right, n) in counts.items()
    }
    passes = holm({name: 1 - NormalDist().cdf(each) for name, each in z.items()}, 0.025)
    fails = holm({name: NormalDist().cdf(each) for name, each in z.items()}, 0.025)
    report = validate_codebook(rows, variables, gates=[f"{name}: accuracy>={threshold}" for name in counts])
    verdicts = {name: verdict.verdict for name, verdict in report.gates}
    expected = {name: "pass" if name in passes else "fail" if name in fails else None for name in counts}
    assert {name: None if each == "too_few_human_labels" else each for name, each in verdicts.items()} == expected
    assert report.verdict == ("fail" if fails else "pass" if len(passes) == 5 else "too_few_human_labels")


def test_adjustment_turns_a_pass_into_an_open_verdict() -> None:
    # z is 2.15: enough for one test at 2.5%, not for the first of two.
    rows, variables = binary({"v1": (135, 157), "v2": (80, 100)})
    alone = validate_codebook(rows, variables, gates=["v1: accuracy>=0.79"]).gates[0][1]
    both = validate_codebook(rows, variables, gates=["v1: accuracy>=0.79", "v2: accuracy>=0.79"]).gates
    assert alone.verdict == "pass"
    assert alone == validate(rows, human="v1_human", llm="v1", gate="accuracy>=0.79").gate
    assert [each.verdict for _, each in both] == ["too_few_human_labels"] * 2
    assert both[0][1].interval.level == pytest.approx(0.975)


@pytest.mark.parametrize("gate", ["tone: mae<=1", "accuracy>=0.7", "topic: mae<=1", "other: accuracy>=0.5"])
def test_a_gate_must_name_a_validated_variable_and_a_score_of_its_kind(gate: str) -> None:
    rows = table().remove_columns("tone_human")
    with pytest.raises(ConfigError):
        validate_codebook(rows, VARIABLES, gates=[gate], resamples=50)


def test_variables_without_human_labels_are_listed() -> None:
    rows = table(tone_human=[None] * len(ROWS))
    assert validate_codebook(rows, VARIABLES, resamples=50).not_validated == ("tone",)
    with pytest.raises(DataError, match="`relevant_human`"):
        validate_codebook(rows.select([7]), VARIABLES, resamples=50)


def test_report_survives_json_and_becomes_a_page() -> None:
    report = validate_codebook(table(), VARIABLES, gates=["tone: mae<=2", "relevant: accuracy>=0.1"], resamples=50)
    again = read_report(report.to_json())
    assert isinstance(again, CodebookReport)
    assert json.loads(again.to_json()) == json.loads(report.to_json())
    page = report_page(again)
    assert [section.title for section in page.sections] == ["Agreement by variable", "Gates", *VARIABLES]


def test_each_variable_with_a_confidence_has_a_line_and_a_section() -> None:
    confidences = [0.9, 0.8, 0.9, 0.9, 0.4, 0.9, 0.9, 0.9]
    rows = table(relevant_confidence=confidences, topic_confidence=[0.9, 0.3, None, None, 0.9, 0.9, 0.8, 0.9])
    report = validate_codebook(rows, VARIABLES, gates=["relevant: accuracy>=0.1", "topic: accuracy>=0.1"], resamples=50)
    relevant, topic = (report.variables[name].confidence for name in ("relevant", "topic"))
    assert report.variables["tone"].confidence is None
    assert relevant is not None
    assert topic is not None
    # Of the wrong rows 3 and 4 the first has the confidence of four right rows, and exceeds that of one.
    assert relevant.n == 7
    assert relevant.auroc.estimate == pytest.approx((4 * 0.5 + 0 + 4 + 1) / 10)
    # Rows 0, 1 and 6 have a topic of both; the human skipped row 4, and has not labeled row 5.
    assert (topic.n, topic.auroc.estimate, topic.accuracy.n) == (3, 1, 3)
    assert topic.accuracy.estimate == pytest.approx(2 / 3)
    text = report.text(80)
    assert max(map(len, text.splitlines())) <= 80
    assert "AUROC" in text
    assert CodebookReport.from_dict(json.loads(report.to_json())) == report
    page = report_page(report)
    assert [section.title for section in page.sections][-2:] == ["relevant: confidence", "topic: confidence"]
    assert {each.name for each in page.sections[0].exhibits} == {"variables", "confidences"}
