"""Audit of a judged table: each criterion against its human scores, without the rows shown as examples."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.judging.audit.audit import audit_metric
from hf_synthlabels.judging.audit.audit_options import AuditOptions
from hf_synthlabels.judging.audit.judged_table import audit_judged
from hf_synthlabels.publishing import open_labeled
from hf_synthlabels.statistics import BootstrapConfig
from tests.judging.test_criteria import rubric

OPTIONS = AuditOptions(BootstrapConfig(resamples=50))

TABLE: dict[str, list[Any]] = {
    "judge_score": [None] * 8,
    "judge_accuracy": [1, 2, 3, 4, 5, None, 5, 1],
    "judge_tone": [0, 0, 1, 1, 2, 2, 2, 0],
    "accuracy": [1, 2, 3, 4, 5, 5, None, 5],
    "tone": ["rude", "Rude", "neutral", "polite", 2, 2.0, "", "polite"],
    "judge_example": [False] * 7 + [True],
}

HUMAN = {"accuracy": "accuracy", "tone": "tone"}


def test_agreement_of_each_criterion_without_the_examples(caplog: pytest.LogCaptureFixture) -> None:
    rows = Dataset.from_dict({**TABLE, "tone": list(map(str, TABLE["tone"]))})
    with caplog.at_level(logging.WARNING):
        result = audit_judged(rows, rubric(), HUMAN, options=OPTIONS)
    assert "1 rows were shown" in caplog.text
    assert (result.n_rows, result.n_examples) == (8, 1)
    accuracy, tone = result.agreement.values()
    # Six rows have a human accuracy, and the judge scored five of them as the humans did.
    assert accuracy["coverage"].n == 6
    assert accuracy["coverage"].estimate == pytest.approx(5 / 6)
    assert accuracy["spearman"].estimate == pytest.approx(1.0)
    assert accuracy["spearman"].n == 5
    # Tone differs in one of six rows.
    assert tone["coverage"].estimate == 1
    assert 0.8 < tone["spearman"].estimate < 1
    assert [task.name for task in result.audit.metric.tasks] == ["accuracy", "tone"]
    assert result.audit.n_unreferenced == 2
    assert str(result).startswith("8 rows, of which 1 were shown")
    assert result.to_dict()["n_examples"] == 1
    # With the example, the judge no longer agrees.
    all_rows = audit_judged({**TABLE, "judge_example": [False] * 8}, rubric(), HUMAN, options=OPTIONS)
    assert all_rows.agreement["accuracy"]["spearman"].estimate < 0.9


def test_one_criterion_and_rubrics_with_one_score() -> None:
    result = audit_judged(TABLE, rubric(), {"tone": "tone"}, options=OPTIONS)
    assert list(result.agreement) == ["tone"]
    table = {"judge_score": [1, 2, 3, 5], "human": [1, 2, 3, 4], "doc": ["a", "a", "b", "b"]}
    single = audit_judged(table, "score_1_5", "human", clusters="doc", options=OPTIONS)
    assert single.agreement["score"]["pearson"].n == 4
    assert single.agreement["score"]["pearson"].method == "bootstrap: 2 clusters"


def test_chosen_criteria_and_the_overall_score() -> None:
    table = {
        **TABLE,
        "judge_score": [0.0, 0.1, 0.5, 0.8, 1.0, None, 1.0, 0.0],
        "quality": [0, 0.2, 0.6, 0.7, 1, 1, 1, 1],
    }
    human = {**HUMAN, "overall": "quality"}

    def chosen(*criteria: str, given: Any = human) -> Any:
        return audit_judged(table, rubric(), given, options=replace(OPTIONS, criteria=criteria or None))

    assert list(chosen("tone").agreement) == ["tone"]
    assert [task.name for task in chosen("overall", "tone").audit.metric.tasks] == ["overall", "tone"]
    assert list(chosen().agreement) == ["accuracy", "tone", "overall"]
    # The scales of the criteria differ, so the overall score is from 0 to 1; six of seven rows have one, in order.
    overall = chosen("overall", given="quality").agreement["overall"]
    assert (overall["coverage"].n, overall["spearman"].n) == (7, 6)
    assert overall["coverage"].estimate == pytest.approx(6 / 7)
    # Ties: the judge scores 1.0 twice, and so do the humans.
    assert overall["spearman"].estimate == pytest.approx(1.0)


@pytest.mark.parametrize("criteria", [(), ("tone", "tone"), ("style",), ("accuracy",)])
def test_wrong_criteria(criteria: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="criteria"):
        audit_judged(TABLE, rubric(), {"tone": "tone"}, options=replace(OPTIONS, criteria=criteria))
    with pytest.raises(ConfigError, match="criteria"):
        audit_metric([0.1], [0.1], ["a"], options=replace(OPTIONS, criteria=("tone",)))


@pytest.mark.parametrize(
    ("human", "error", "field"),
    [
        ({"style": "tone"}, ConfigError, "`human`"),
        ({}, ConfigError, "`human`"),
        ("tone", ConfigError, "`human`"),
        ({"tone": "nothing"}, DataError, "nothing"),
        ({"accuracy": "tone"}, DataError, "`tone`"),
    ],
)
def test_wrong_options(human: Any, error: type[Exception], field: str) -> None:
    with pytest.raises(error, match=field):
        audit_judged(TABLE, rubric(), human, options=OPTIONS)
    with pytest.raises(ConfigError, match="rubric"):
        audit_judged(TABLE, "preference", "tone")


def test_validation_excludes_the_examples(tmp_path: Path) -> None:
    Dataset.from_dict({**TABLE, "tone": [None] * 8}).to_json(str(tmp_path / "judged.jsonl"))
    labeled = open_labeled(str(tmp_path / "judged.jsonl"))
    rows, n_examples = labeled.without_examples("judge_accuracy")
    assert (len(rows), n_examples) == (7, 1)
    assert labeled.without_examples("accuracy")[1] == 0
