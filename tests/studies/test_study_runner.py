"""A study is trained once: what is there is not trained again, what can not be trained is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from hf_synthlabels.errors import ConfigError, DataError, StudyError
from hf_synthlabels.studies import Study, StudyRuns, plan_study, read_runs, run_study, summary_table, write_runs
from tests.studies.conftest import RECIPE, Make, toy_rows


def test_runs_hold_every_cell_and_come_back_from_their_file(
    study_of: Make, small: dict[str, Any], tmp_path: Path
) -> None:
    study = study_of(
        students={"counts": "tfidf", "small": small, "annotator": "annotator"},
        strategies=["plain", "mix"],
        n_human=[20],
        evaluate_each_epoch=True,
        costs={"human": {"usd": 0.5}, "llm": {"usd": 0.01, "s": 2.0}},
    )
    runs = run_study(study, tmp_path / "out")
    task = runs.tasks[0]
    arms = {(one.cell.source, one.cell.student, one.cell.strategy): one for one in task.cells}
    assert len(arms) == len(task.cells) == 7
    assert all(len(one.answers) == len(task.truth) == 30 for one in task.cells)
    # 70 rows: the annotator was silent on some of them.
    silent = task.train_labels["llm"].count(None)
    assert 0 < silent < 10
    assert arms["human", "small", "plain"].rows == 70
    assert arms["llm", "small", "plain"].rows == arms["llm", "counts", "plain"].rows == 70 - silent
    # Nine batches of eight in two epochs, for every source.
    assert {one.steps for one in task.cells if one.cell.student == "small"} == {18}
    epochs = arms["human", "small", "plain"].epochs
    assert [epoch for epoch, _ in epochs] == [1.0, 2.0]
    assert epochs[-1][1] == arms["human", "small", "plain"].answers
    assert arms["llm", "annotator", "plain"].answers == task.llm_labels["llm"]
    assert task.usd_per_row == {"llm": 0.01, "human": 0.5}
    assert task.s_per_row["llm"] == 2.0
    # Words tell the label, so whoever learns from people is right.
    assert sum(a == b for a, b in zip(arms["human", "counts", "plain"].answers, task.truth, strict=True)) >= 27
    assert read_runs(tmp_path / "out" / "runs.json") == StudyRuns(
        **{**{name: getattr(runs, name) for name in StudyRuns.__slots__}, "references": ()}
    )
    assert "llm" in summary_table(runs)


def test_only_what_is_missing_is_trained(study_of: Make, tmp_path: Path) -> None:
    told: list[str] = []
    first = run_study(study_of(), tmp_path, progress=told.append)
    assert len(told) == 2
    told.clear()
    second = run_study(study_of(seeds=[0, 1], margin=0.1), tmp_path, progress=told.append)
    assert told[0] == "2 of 4 cells were there before"
    assert len(told) == 3
    assert {one.cell.seed for one in second.tasks[0].cells} == {0, 1}
    assert [one for one in second.tasks[0].cells if one.cell.seed == 0] == list(first.tasks[0].cells)
    assert [planned.done for planned in plan_study(study_of(seeds=[0, 2]), tmp_path)] == [True, True, False, False]


def test_a_further_seed_leaves_the_random_control_as_it_was(study_of: Make, tmp_path: Path) -> None:
    told: list[str] = []
    changes = {"sources": {"human": None, "random": None}, "sizes": [20], "n_human": [1]}
    run_study(study_of(**changes), tmp_path)
    run_study(study_of(**changes, seeds=[0, 1]), tmp_path, progress=told.append)
    assert told[0] == "2 of 4 cells were there before"


def test_a_plan_knows_the_cells_of_a_study_that_grew(study_of: Make, tmp_path: Path) -> None:
    few = {"toy": {"recipe": "toy.yaml", "test": 30, "sizes": [20]}}
    run_study(study_of(tasks=few), tmp_path)
    more = {"toy": {"recipe": "toy.yaml", "test": 30, "sizes": [20, 40]}}
    sources = {"human": None, "llm": None, "coin": {"annotator": {"column": "coin"}}}
    planned = plan_study(study_of(tasks=more, sources=sources), tmp_path)
    assert {(one.cell.source, one.cell.size) for one in planned if one.done} == {("human", 20), ("llm", 20)}
    assert len(planned) == 6
    # What a source is, is part of a cell.
    other = {"human": None, "llm": {"annotator": {"column": "coin"}}}
    planned = plan_study(study_of(tasks=few, sources=other), tmp_path)
    assert [one.cell.source for one in planned if one.done] == ["human"]


def test_a_spoilt_file_of_the_journal_is_trained_anew(study_of: Make, tmp_path: Path) -> None:
    run_study(study_of(), tmp_path)
    files = sorted((tmp_path / "cells").glob("*.json"))
    files[0].write_text("{")
    files[1].write_text('{"answers": []}')
    told: list[str] = []
    run_study(study_of(), tmp_path, progress=told.append)
    assert len(told) == 2
    assert all(json.loads(file.read_text())["failed"] is None for file in files)


def test_a_cell_that_can_not_be_trained_is_told_and_loses_no_other(study_of: Make, tmp_path: Path) -> None:
    # Of a single row nothing can be learnt.
    study = study_of(sizes=[1, 40], sources={"human": None, "llm": None})
    runs = run_study(study, tmp_path)
    assert runs.facts is not None
    failed = runs.facts["failed"]
    assert {(one["source"], one["size"]) for one in failed} == {("human", 1), ("llm", 1)}
    assert "the same label" in failed[0]["why"]
    assert {one.cell.size for one in runs.tasks[0].cells} == {40}
    assert "Failed: toy, human" in summary_table(runs)


def test_what_is_done_so_far_can_be_reported(study_of: Make, tmp_path: Path) -> None:
    run_study(study_of(), tmp_path)
    runs = run_study(study_of(seeds=[0, 1]), tmp_path, partial=True)
    assert {one.cell.seed for one in runs.tasks[0].cells} == {0}
    assert runs.facts is not None
    assert runs.facts["missing"] == 2
    assert "Missing: 2 of 4 cells" in summary_table(runs)


def test_files_that_are_others_are_refused(study_of: Make, tmp_path: Path) -> None:
    task = {"recipe": "toy.yaml", "test": 30, "sha256": {"train": "0" * 64}}
    with pytest.raises(DataError, match=r"`tasks.toy.sha256` of 'train' is 000000000000…"):
        run_study(study_of(tasks={"toy": task}), tmp_path)
    with pytest.raises(StudyError, match="names the split 'dev'"):
        run_study(study_of(tasks={"toy": {**task, "sha256": {"dev": ""}}}), tmp_path)


def test_what_no_cell_can_do_is_told_before_any_is_trained(
    study_of: Make, small: dict[str, Any], tmp_path: Path
) -> None:
    told: list[str] = []
    with pytest.raises(ConfigError, match=r"`students.small`: .*lerning_rate"):
        run_study(study_of(students={"small": {**small, "lerning_rate": 1}}), tmp_path, progress=told.append)
    with pytest.raises(DataError, match=r"`annotator.column` names the column 'none'"):
        run_study(study_of(sources={"human": None, "llm": {"annotator": {"column": "none"}}}), tmp_path)
    assert told == []


def test_a_filter_without_a_confidence_is_no_cell(study_of: Make, tmp_path: Path) -> None:
    sources = {"human": None, "llm": None, "llm@1.00": {"of": "llm", "at_least": 1.0}}
    runs = run_study(study_of(sources=sources), tmp_path)
    assert runs.facts is not None
    (failed,) = runs.facts["failed"]
    assert failed["source"] == "llm@1.00"
    assert "which has no confidence" in failed["why"]


def test_a_annotator_with_other_labels_is_refused(study_of: Make, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"`sources.llm` gives other labels than `tasks.toy.recipe`"):
        run_study(study_of(sources={"llm": {"task": {"labels": ["film", "sport", "none"]}}}), tmp_path)


def test_other_files_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text('{"tasks": [1]}')
    with pytest.raises(StudyError, match=r"are not the runs.json of a study"):
        read_runs(tmp_path / "runs.json")


def test_equal_runs_give_equal_files(study_of: Make, tmp_path: Path) -> None:
    runs = run_study(study_of(), tmp_path)
    write_runs(runs, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "runs.json").read_bytes()
    table = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    (task,) = runs.tasks
    expected = [
        (run.cell.source, run.cell.seed, row, task.names[truth], None if answer is None else task.names[answer])
        for run in task.cells
        for row, (truth, answer) in enumerate(zip(task.truth, run.answers, strict=True))
    ]
    columns = ("source", "seed", "row", "human_label", "prediction")
    assert [tuple(line[name] for name in columns) for line in table] == expected
    sidecar = json.loads((tmp_path / "predictions.json").read_text())
    assert [cell["train_s"] for cell in sidecar["cells"]] == [run.train_s for run in task.cells]
    assert sidecar["tasks"]["toy"]["usd_per_row"] == task.usd_per_row


def on_disk(folder: Path, small: dict[str, Any], **changes: Any) -> Path:
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in toy_rows(100)))
    (folder / "toy.yaml").write_text(yaml.safe_dump(RECIPE))
    content = {
        "name": "toys",
        "tasks": {"toy": {"recipe": "toy.yaml", "test": 30}},
        "students": {"small": {**small, "num_train_epochs": 4}},
        "seeds": [0, 1, 2],
        **changes,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder / "study.yaml"


def started(file: Path, out: Path) -> subprocess.Popen[str]:
    program = "import sys; from hf_synthlabels.cli.main import main; sys.argv[0] = 'hf-synthlabels'; main()"
    command = [sys.executable, "-c", program, "study", str(file), "-o", str(out)]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=nowhere, stderr=nowhere, text=True, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_a_study_redoes_the_cells_in_flight_alone(
    small: dict[str, Any], tmp_path: Path, workers: int
) -> None:
    file, out = on_disk(tmp_path / "study", small, workers=workers), tmp_path / "out"
    program = started(file, out)
    deadline = time.monotonic() + 120
    while len(list((out / "cells").glob("[!.]*.json"))) < 2:
        assert time.monotonic() < deadline
        assert program.poll() is None
        time.sleep(0.005)
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    before = {path.name: path.stat().st_mtime_ns for path in (out / "cells").glob("[!.]*.json")}
    told: list[str] = []
    # Who takes it up may be another: how many work side by side changes nothing.
    alone = Study.from_yaml(file).model_copy(update={"workers": 1})
    runs = run_study(alone, out, progress=told.append)
    assert told[0] == f"{len(before)} of 6 cells were there before"
    after = {path.name: path.stat().st_mtime_ns for path in (out / "cells").glob("[!.]*.json")}
    assert len(after) == 6
    # Not one that was there has been written again.
    assert {name: after[name] for name in before} == before
    at_once = run_study(Study.from_yaml(on_disk(tmp_path / "whole", small)), tmp_path / "at_once")
    assert [one.answers for one in runs.tasks[0].cells] == [one.answers for one in at_once.tasks[0].cells]
