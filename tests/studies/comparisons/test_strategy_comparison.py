from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from typer.testing import CliRunner

from hf_synthlabels.cli.main import app
from hf_synthlabels.errors import ConfigError, DataError, StudyError
from hf_synthlabels.statistics.comparison.conditions import compare_conditions
from hf_synthlabels.studies import (
    STRATEGIES,
    StrategyReport,
    StrategyRows,
    StrategyStudy,
    compare_strategies,
    read_study,
    run_strategies,
)
from hf_synthlabels.studies.comparisons.strategy_comparison import HUMAN, _Runner, _silent
from hf_synthlabels.studies.comparisons.strategy_report import strategy_report
from hf_synthlabels.studies.strategies import BASELINES, Strategy
from hf_synthlabels.studies.students.journal import Journal

NAMES = ("film", "sport")
Toy = Callable[..., Dataset]
ROWS = StrategyRows(NAMES, "human", "llm", n_human=30)


@pytest.fixture
def student(encoder: str) -> dict[str, Any]:
    return {"model": encoder, "max_length": 32, "learning_rate": 1e-3, "num_train_epochs": 1, "use_cpu": True}


@pytest.fixture
def train(toy: Toy) -> Dataset:
    """Rows that humans labelled, and an LLM that calls half of the films sport."""
    data = toy(96)
    said = ["film" if label == 0 and row % 4 == 0 else "sport" for row, label in enumerate(data["label"])]
    human = [NAMES[label] for label in data["label"]]
    probs = [[0.9, 0.1] if label == "film" else [0.3, 0.7] for label in said]
    data = data.remove_columns("label").add_column("llm", said).add_column("human", human)
    return data.add_column("p", probs).add_column("c", [0.5, 1.0] * 48)


@pytest.fixture
def test_rows(toy: Toy) -> Dataset:
    data = toy(40, seed=1)
    human = [NAMES[label] if row else None for row, label in enumerate(data["label"])]
    return data.remove_columns("label").add_column("human", human).add_column("llm", ["sport"] * 39 + [None])


def runner(rows: StrategyRows, train: Dataset, student: dict[str, Any]) -> _Runner:
    return _Runner(rows, train, train, student, Journal(None), _silent)


def named(name: str) -> Strategy:
    return next(strategy for strategy in STRATEGIES if strategy.name == name)


def test_all_strategies_are_held_to_the_baselines(
    train: Dataset, test_rows: Dataset, student: dict[str, Any], tmp_path: Path
) -> None:
    rows = StrategyRows(NAMES, "human", "llm", probs="p", confidence="c", n_human=30)
    told: list[str] = []
    chosen = [strategy for strategy in STRATEGIES if strategy.name in KEPT]
    arguments: dict[str, Any] = {"student": student, "seeds": (0, 1), "strategies": chosen, "folder": tmp_path}
    report = compare_strategies(rows, train, test_rows, **arguments, progress=told.append)
    unasked = test_rows.remove_columns("llm").add_column("llm", [None] * 40)
    silent = compare_strategies(rows, train, unasked, **arguments)
    assert math.isnan(silent.annotator["macro_f1"].estimate)
    assert [arm.name for arm in report.arms] == [strategy.name for strategy in chosen]
    assert set(report.arms[-1].above) == {"human_only", "llm_only", "llm_then_human"}
    assert set(report.arms[0].above) == {"llm_only", "llm_then_human"}
    assert (report.facts["test_rows"], report.facts["llm_rows"], report.facts["human_rows"]) == (39, 96, 30)
    # 96 rows in batches of 16; two of them twice after the LLM's; 20 epochs at most.
    assert report.facts["steps"] == dict.fromkeys(KEPT, 6)
    # The annotator says sport to all and nothing to one: accuracy is the share of sport among 39, less that row.
    sport = sum(label == "sport" for label in test_rows["human"][1:39])
    assert report.annotator["accuracy"].estimate == pytest.approx(sport / 39)
    # A second time nothing is trained.
    again: list[str] = []
    assert compare_strategies(rows, train, test_rows, **arguments, progress=again.append).arms == report.arms
    assert all(line.endswith("trained before") for line in again)
    assert len(again) == len(told) == 2 * len(chosen)
    assert StrategyReport.from_json(report.to_json()) == report


KEPT = ("human_only", "llm_only", "llm_then_human", "soft")


def test_steps_are_the_same_for_all(train: Dataset, student: dict[str, Any]) -> None:
    run = runner(ROWS, train, {**student, "num_train_epochs": 3})
    # 96 rows in 6 batches, three times; 30 human rows in 2 batches, twice.
    assert run.steps(named("llm_only")) == (18, 0)
    assert run.steps(named("human_only")) == (18, 0)
    assert run.steps(named("llm_then_human")) == (14, 4)
    more = dataclasses.replace(named("llm_then_human"), on_top=True)
    assert run.steps(more) == (18, 4)
    # No more than 20 epochs of the human rows.
    assert runner(ROWS, train, {**student, "max_steps": 500}).steps(named("human_only")) == (40, 0)
    assert runner(ROWS, train, {**student, "gradient_accumulation_steps": 2}).steps(named("mix")) == (3, 0)
    with pytest.raises(ConfigError, match="`max_steps` is 4, of which the human rows of 'llm_then_human' alone take 4"):
        runner(ROWS, train, {**student, "max_steps": 4}).steps(named("llm_then_human"))


def test_a_student_sees_no_human_label_that_was_not_drawn(train: Dataset, student: dict[str, Any]) -> None:
    run = runner(ROWS, train, student)
    part = run._part(named("mix"), 0)
    assert set(part.column_names) == {"text", "llm", HUMAN}
    drawn = [row for row, label in enumerate(part[HUMAN]) if label is not None]
    assert len(drawn) == 30
    assert [part[HUMAN][row] for row in drawn] == [train["human"][row] for row in drawn]
    # The same rows for all strategies of a seed, others for another seed.
    assert run._part(named("forward"), 0)[HUMAN][:] == part[HUMAN][:]
    assert run._part(named("mix"), 1)[HUMAN][:] != part[HUMAN][:]
    assert run._part(named("llm_only"), 0).column_names == ["text", "llm"]
    assert run._part(named("human_only"), 0).column_names == ["text", HUMAN]


def test_strategies_without_their_column_are_left_out(train: Dataset, test_rows: Dataset) -> None:
    chosen = [strategy.name for strategy in STRATEGIES if strategy.needs]
    assert chosen == ["soft", "weighted"]
    rows = StrategyRows(NAMES, "human", "llm", probs="p", confidence="c")
    run = runner(rows, train, {"model": "none"})
    assert "probs_column" not in run._options(named("mix"), 0)
    assert run._options(named("soft"), 0)["probs_column"] == "p"
    weighted = run._options(named("weighted"), 0)
    assert (weighted["confidence_column"], weighted["label_column"]) == ("c", "llm")
    assert "human_column" not in weighted
    assert run._options(named("all_human"), 0)["label_column"] == "human"
    assert run._options(named("forward_mix"), 0)["correction"] == "forward"


def test_an_llm_that_was_not_asked_about_the_test_rows_has_no_score() -> None:
    truth = np.arange(60) % 2
    predictions = {"base": np.stack([truth, truth])}
    report = strategy_report({"base": "plain"}, predictions, truth, None, names=NAMES, baselines=["base"], facts={})
    assert all(math.isnan(score.estimate) for score in report.annotator.values())
    assert math.isnan(StrategyReport.from_json(report.to_json()).annotator["macro_f1"].estimate)
    assert report.to_markdown().splitlines()[-1].startswith("| *the LLM itself* | unknown |")


def test_differences_are_those_of_paired_arms() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=60)
    predictions = {
        name: np.where(rng.random((3, 60)) < share, truth, 1 - truth) for name, share in (("base", 0.6), ("other", 0.9))
    }
    report = strategy_report(
        {"base": "plain", "other": "better"}, predictions, truth, truth, names=NAMES, baselines=["base"], facts={}
    )
    expected = compare_conditions(truth, predictions["other"], predictions["base"], 2, "macro_f1", paired_seeds=True)
    assert report.arms[1].above["base"]["macro_f1"] == expected.difference
    table = report.to_markdown().splitlines()
    # What is surely better is bold; a baseline is not held to itself.
    assert table[0] == "| trained by | macro f1 | − base | seeds, from – to |"
    assert "| – |" in table[2]
    assert "| **+." in table[3]
    assert table[-1].startswith("| *the LLM itself* | 1.000")
    assert len({line.count("|") for line in table}) == 1


def test_only_tested_rows_exclude_training_rows_with_the_same_text(
    train: Dataset, test_rows: Dataset, student: dict[str, Any], tmp_path: Path
) -> None:
    # The first five test rows repeat training rows; four of them have no human label, so they are not tested.
    columns = ["text", "llm", "human"]
    rows = [*train.select(range(5)).select_columns(columns).to_list(), *test_rows.select_columns(columns).to_list()]
    for row in rows[:4]:
        row["human"] = None
    tested = {row["text"] for row in rows if row["human"] is not None}
    report = compare_strategies(
        ROWS, train, Dataset.from_list(rows), student=student, seeds=(0, 1), strategies=BASELINES, folder=tmp_path
    )
    assert report.facts["shared_texts"] == sum(text in tested for text in train["text"])
    table = pq.read_table(tmp_path / "predictions.parquet").to_pandas()
    assert set(table.strategy) == {baseline.name for baseline in BASELINES}
    assert len(table) == 3 * 2 * report.facts["test_rows"]


def test_labels_of_one_class_are_rejected_before_any_training(
    train: Dataset, test_rows: Dataset, student: dict[str, Any]
) -> None:
    for column in (ROWS.human, ROWS.llm):
        same = train.remove_columns(column).add_column(column, ["film"] * len(train))
        steps: list[str] = []
        with pytest.raises(DataError, match=f"`{column}`"):
            compare_strategies(ROWS, same, test_rows, student=student, progress=steps.append)
        assert steps == []


def test_wrong_arguments_are_told(train: Dataset, test_rows: Dataset, student: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="`strategies` lacks 'human_only'"):
        compare_strategies(ROWS, train, test_rows, student=student, strategies=STRATEGIES[1:])
    with pytest.raises(ConfigError, match="Give each its own"):
        compare_strategies(ROWS, train, test_rows, student=student, strategies=(*BASELINES, BASELINES[0]))
    for seeds in ((0,), (1, 1)):
        with pytest.raises(ConfigError, match="`seeds` is"):
            compare_strategies(ROWS, train, test_rows, student=student, seeds=seeds)
    silent = test_rows.remove_columns("human").add_column("human", [None] * 40)
    with pytest.raises(DataError, match="no label in any of the 40 test rows"):
        compare_strategies(ROWS, train, silent, student=student)
    empty = train.remove_columns("human").add_column("human", [None] * 96)
    with pytest.raises(DataError, match="0 human and 96 LLM labels"):
        compare_strategies(ROWS, empty, test_rows, student=student)


RECIPE = """
name: toy
source: {{path: json, data_files: {{train: {data}}}}}
task:
  kind: text-classification
  text: text
  instructions: Film or sport?
  labels: [film, sport]
  human: human
annotator: {{client: recorded, column: said}}
output: {{column: llm_label}}
"""


@pytest.fixture
def study_file(tmp_path: Path, train: Dataset, student: dict[str, Any]) -> Path:
    lines = [
        {"text": row["text"], "human": row["human"], "said": row["llm"], "part": "b" if place % 3 == 0 else "a"}
        for place, row in enumerate(train)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(data=tmp_path / "rows.jsonl"), encoding="utf-8")
    content = {
        "name": "toy",
        "recipe": "recipe.yaml",
        "strategies": ["mix"],
        "train": {"where": {"part": "a"}},
        "test": {"where": {"part": "b"}},
        "human_rows": 20,
        "seeds": [0, 1],
        "student": {**student, "max_steps": 5},
    }
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_a_study_file_names_strategies(study_file: Path, tmp_path: Path) -> None:
    study = read_study(study_file)
    assert isinstance(study, StrategyStudy)
    done = CliRunner().invoke(app, ["study", str(study_file), "-o", str(tmp_path / "out")], catch_exceptions=False)
    assert done.exit_code == 0
    assert "minus llm_only" in done.stdout
    report = StrategyReport.from_json((tmp_path / "out" / "strategies.json").read_text(encoding="utf-8"))
    assert (tmp_path / "out" / "strategies.md").read_text(encoding="utf-8") == report.to_markdown() + "\n"
    assert [arm.name for arm in report.arms] == ["human_only", "llm_only", "llm_then_human", "mix"]
    assert (report.facts["llm_rows"], report.facts["test_rows"], report.facts["human_rows"]) == (64, 32, 20)
    for wrong, told in (("mixed", "`strategies` names 'mixed'. There are: human_only"),):
        study_file.write_text(study_file.read_text().replace('"mix"', f'"{wrong}"'), encoding="utf-8")
        with pytest.raises(StudyError, match=told):
            read_study(study_file)


def test_strategies_that_need_draws_are_told(study_file: Path) -> None:
    study_file.write_text(study_file.read_text().replace('"mix"', '"soft"'), encoding="utf-8")
    study = StrategyStudy.from_yaml(study_file)
    with pytest.raises(DataError, match="`strategies` names 'soft', which needs the column 'llm_label_probs'"):
        run_strategies(study)
