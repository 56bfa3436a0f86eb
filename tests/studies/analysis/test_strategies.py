"""Strategies against the baselines: the same human rows for all, equal steps, paired differences."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from hf_synthlabels.errors import ConfigError
from hf_synthlabels.publishing.report import report_page
from hf_synthlabels.statistics.comparison.conditions import compare_conditions
from hf_synthlabels.statistics.exhibits import Table
from hf_synthlabels.studies import run_study
from hf_synthlabels.studies.analysis.base import analyze_runs
from hf_synthlabels.studies.analysis.strategies import StrategyComparison, strategy_comparisons
from hf_synthlabels.studies.students.job import Job, training_steps
from hf_synthlabels.studies.tasks.task import open_task
from tests.studies.analysis.study_cells import cell, make_runs, make_task, noisy
from tests.studies.conftest import Make

TRUTH = [row % 2 for row in range(200)]
SKILLS = {("human", 30, "plain"): 0.7, ("human", None, "plain"): 0.95, ("llm", None, "plain"): 0.8,
          ("llm", None, "llm_then_human"): 0.82, ("llm", None, "mix"): 0.9, ("llm", None, "weighted"): 0.8}  # fmt: skip


def comparison(**llm: Any) -> StrategyComparison:
    cells = []
    for place, ((source, size, strategy), skill) in enumerate(SKILLS.items()):
        n_human = 30 if strategy in ("llm_then_human", "mix") else 0
        cells += [
            cell(source, noisy(TRUTH, skill, 10 * place + seed), seed, size=size, strategy=strategy, n_human=n_human)
            for seed in range(3)
        ]
    labels = {"llm": llm.pop("labels", noisy(TRUTH, 0.8, 99))}
    runs = make_runs(make_task(cells, llm_labels=labels, **llm))
    (found,) = strategy_comparisons(analyze_runs(runs).tasks[0])
    section = next(section for section in report_page(runs).sections if section.name == "strategies")
    table = {exhibit.name: exhibit for exhibit in section.exhibits}["strategies_1_macro_f1"]
    assert isinstance(table, Table)
    assert [row[2] for row in table.rows[: len(found.strategies)]] == [
        each.scores["macro_f1"] for each in found.strategies
    ]
    assert "all_human" in section.answer
    return found


def test_strategies_are_compared_with_every_baseline() -> None:
    found = comparison()
    names = [each.name for each in found.strategies]
    assert names == ["human_only", "llm_only", "llm_then_human", "mix", "weighted", "all_human"]
    assert (found.n_human, found.n_test, found.seeds) == (30, 200, (0, 1, 2))
    by_name = {each.name: each for each in found.strategies}
    assert by_name["human_only"].above.keys() == {"llm_only", "llm_then_human"}
    assert by_name["mix"].above.keys() == {"human_only", "llm_only", "llm_then_human"}
    mix, llm = (
        np.stack([noisy(TRUTH, skill, 10 * place + seed) for seed in range(3)]) for place, skill in ((4, 0.9), (2, 0.8))
    )
    expected = compare_conditions(np.array(TRUTH), mix, llm, 2, "macro_f1", paired_seeds=True, resamples=400)
    assert by_name["mix"].above["llm_only"]["macro_f1"] == expected.difference
    assert by_name["mix"].by_seed["accuracy"] == pytest.approx((mix == np.array(TRUTH)).mean(axis=1).tolist())
    own = np.mean(np.array(noisy(TRUTH, 0.8, 99)) == np.array(TRUTH))
    assert found.annotator is not None
    assert found.annotator["accuracy"].estimate == pytest.approx(own)
    # Rows that were never sent to the annotator are unknown, not wrong.
    assert comparison(labels=[None] * 200).annotator is None


def jobs(study_of: Make, small: dict[str, Any], strategies: list[str]) -> dict[tuple[str, int], Job]:
    study = study_of(
        sources={"human": None, "llm": {"annotator": {"column": "coin"}}}, sizes=[20, None], n_human=[20],
        students={"small": {**small, "num_train_epochs": 3}}, strategies=["plain", *strategies], seeds=[0, 1],
    )  # fmt: skip
    assert study.folder is not None
    task = open_task(study, "toy", study.folder / "out", lambda _: None)
    return {
        (f"{each.source} {each.size} {each.strategy}", each.seed): task.job(each)
        for each in task.cells
        if (each.source, each.size) != ("llm", 20)
    }


def human_rows(job: Job) -> dict[int, Any]:
    labels = job.labels if job.few is None else job.few
    return {row: label for row, label in zip(job.rows, labels, strict=True) if label is not None}


def test_all_strategies_of_a_seed_see_the_same_human_labels(study_of: Make, small: dict[str, Any]) -> None:
    made = jobs(study_of, small, ["mix", "forward"])
    drawn = human_rows(made["human 20 plain", 0])
    assert len(drawn) == 20
    assert human_rows(made["llm None mix", 0]) == human_rows(made["llm None forward", 0]) == drawn
    assert human_rows(made["llm None mix", 1]) != drawn
    # Beyond these, no human label is seen.
    assert made["llm None plain", 0].few is None


def test_steps_are_the_same_for_all(study_of: Make, small: dict[str, Any]) -> None:
    made = jobs(study_of, small, ["llm_then_human", "llm_then_human_on_top", "mix"])
    # 70 rows in 9 batches of 8, three times; 20 human rows in 3 batches, twice.
    then = made["llm None llm_then_human", 0]
    assert (
        training_steps(made["llm None plain", 0], 70, 0) == training_steps(made["llm None mix", 0], 70, 20) == (27, 0)
    )
    assert training_steps(then, 70, 20) == (21, 6)
    assert training_steps(made["llm None llm_then_human_on_top", 0], 70, 20) == (27, 6)
    few = made["human 20 plain", 0]
    assert training_steps(few, 20, 0) == (9, 0)
    # No more than 20 epochs of few rows.
    for least, steps in ((27, 27), (500, 60)):
        assert training_steps(dataclasses.replace(few, options={**few.options, "min_steps": least}), 20, 0) == (
            steps,
            0,
        )
    with pytest.raises(ConfigError, match="llm_then_human"):
        training_steps(dataclasses.replace(then, options={**then.options, "max_steps": 6}), 70, 20)


def test_a_source_of_one_class_fails_alone(study_of: Make, small: dict[str, Any]) -> None:
    study = study_of(
        sources={"human": None, "llm": None, "one": {"annotator": {"column": "silent"}}}, students={"small": small},
        strategies=["plain", "soft"], n_human=[20],
    )  # fmt: skip
    assert study.folder is not None
    file = study.folder / "rows.jsonl"
    file.write_text(file.read_text().replace('"coin"', '"silent": "film", "coin"'))
    runs = run_study(study, study.folder / "out")
    failed = {(each["source"], each["strategy"]): each["why"] for each in (runs.facts or {})["failed"]}
    assert set(failed) == {("one", "plain"), ("one", "soft"), ("llm", "soft")}
    assert "probs" in failed["llm", "soft"]
    assert {run.cell.source for run in runs.tasks[0].cells} == {"human", "llm"}
