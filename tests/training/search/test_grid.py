from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError, SynthLabelsError
from hf_synthlabels.training import StudentConfig, TrainingData
from hf_synthlabels.training.base_model import load_base
from hf_synthlabels.training.search import GridFile, grid_runs, run_grid
from hf_synthlabels.training.search.run_training import ModelCache, run_config, train_run
from hf_synthlabels.training.search.shared_rows import grid_rows, tokenize_shared_rows

ROOT = Path(__file__).parents[3]
Make = Callable[..., GridFile]


def test_one_run_stands_for_all_epochs_and_sources_are_alike(grid_file: Make) -> None:
    file = grid_file(epochs=[1, 2, 3, 4], batch_size=[8, 16], size=[20, None])
    runs = list(grid_runs(file))
    # 2 sizes, 2 sources, 2 rates, 2 batch sizes, 2 seeds.
    assert len(runs) == 32
    axes = {
        source: {(run.size, run.learning_rate, run.batch_size, run.seed) for run in runs if run.source == source}
        for source in ("human", "llm")
    }
    assert axes["human"] == axes["llm"]
    assert {run.epochs for run in runs} == {(1, 2, 3, 4)}


def test_rows_that_choose_train_nobody_and_sizes_are_nested(
    grid_file: Make, grid_data: TrainingData, tmp_path: Path
) -> None:
    file = grid_file(size=[20, 40, None])
    missing = grid_data.train["llm_label"][:]
    missing[3] = None
    train = grid_data.train.remove_columns("llm_label").add_column("llm_label", missing)
    rows = grid_rows(file, TrainingData(train, grid_data.test, grid_data.names))
    assert len(rows.validation) == 60
    assert not set(rows.validation["text"][:]) & set(rows.pool["text"][:])
    # A row without an LLM label trains no student of human labels either.
    assert len(rows.pool) + rows.n_left_out == 100
    assert set(rows.sources) == {"human", "llm"}
    runs = [run for run in grid_runs(file) if run.seed == 1 and run.learning_rate == 1e-3]
    config = run_config(runs[0], str(tmp_path))
    shared = tokenize_shared_rows(rows, config, load_base(config, rows.names).tokenizer, tmp_path)
    tokens = {(run.source, run.size): shared.training_part(run)["input_ids"][:] for run in runs}
    assert tokens["human", 20] == tokens["llm", 20]
    pool = [tuple(one) for one in tokens["human", 40]]
    assert all(tuple(one) in pool for one in tokens["human", 20])
    labels = shared.training_part(next(run for run in runs if run.source == "llm"))["labels"][:]
    texts = {tuple(ids): code for ids, code in zip(shared.pool["input_ids"][:], rows.sources["llm"].codes, strict=True)}
    assert labels == [texts[tuple(ids)] for ids in tokens["llm", 20]]
    # Tokens are written once and mapped: without a tokenizer they are read.
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "tokens").rglob("*.arrow")}
    again = tokenize_shared_rows(rows, config, None, tmp_path)
    assert again.fingerprint == shared.fingerprint
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "tokens").rglob("*.arrow")} == written
    assert Path(again.pool.cache_files[0]["filename"]).is_relative_to(tmp_path)


def test_weights_on_the_shelf_are_those_of_the_file_also_after_a_run(
    grid_file: Make, grid_data: TrainingData, tmp_path: Path
) -> None:
    rows = grid_rows(grid_file(), grid_data)
    run = next(grid_runs(grid_file()))
    config = run_config(run, str(tmp_path))
    models = ModelCache(rows.names)
    shared = tokenize_shared_rows(rows, config, models.tokenizer(config), tmp_path)
    results = [train_run(run, shared, models, "key") for _ in range(2)]
    assert results[0].evaluations == results[1].evaluations
    for seed in (0, 5):
        config.seed = seed
        loaded, taken = load_base(config, rows.names).model.state_dict(), models.load(config).model.state_dict()
        assert all(torch.equal(value, taken[name]) for name, value in loaded.items())


def test_grid_learns_chooses_and_does_nothing_twice(grid_file: Make, grid_data: TrainingData, tmp_path: Path) -> None:
    file = grid_file(size=[80], epochs=[2, 5])
    report = run_grid(file, tmp_path, data=grid_data)
    human, llm = report.cells
    assert (human.source, llm.source, human.rows, llm.rows) == ("human", "llm", 80, 80)
    assert human.choice.learning_rate == 3e-3
    assert human.test is not None
    assert human.test.estimate > 0.9
    assert human.test.n == 40
    assert human.corrected <= human.validation
    assert human.against_first_source is None
    assert llm.against_first_source is not None
    assert human.refit_difference is not None
    # 8 runs with 5 updates in each of 5 epochs, where each epoch count alone takes 2 + 5.
    assert (report.cost.runs, report.cost.cells) == (8, 16)
    assert (report.cost.steps, report.cost.steps_separately) == (8 * 25, 8 * 35)
    kept = json.loads((tmp_path / "grid.json").read_text())
    assert kept["cells"][0]["choice"] == {"learning_rate": 3e-3, "batch_size": 16, "epochs": human.choice.epochs}
    assert report.student is not None
    assert StudentConfig(model=report.student, use_cpu=True).model == report.student
    assert (Path(report.student) / "model.safetensors").is_file()
    told: list[str] = []
    assert run_grid(file, tmp_path, data=grid_data, progress=told.append) == report
    assert told == ["8 of 8 runs are in the journal", "4 of 4 runs are in the journal"]


def test_only_what_is_missing_is_trained(grid_file: Make, grid_data: TrainingData, tmp_path: Path) -> None:
    little = {"epochs": [1], "seed": [0], "refit": False}
    file = grid_file(**little)
    report = run_grid(file, tmp_path, data=grid_data)
    torn, lost, *_ = sorted((tmp_path / "runs").glob("*.json"))
    torn.write_text(torn.read_text()[:40])
    lost.unlink()
    told: list[str] = []
    again = run_grid(file, tmp_path, data=grid_data, progress=told.append)
    assert told[0] == "2 of 4 runs are in the journal"
    assert len(told) == 3
    assert again.cells == report.cells
    told.clear()
    # Another rate is new, the others are not.
    run_grid(grid_file(**little, learning_rate=[1e-3, 1e-4]), tmp_path, data=grid_data, progress=told.append)
    assert told[0] == "2 of 4 runs are in the journal"
    assert len(told) == 3


def test_a_rate_that_diverges_is_told_and_not_chosen(grid_file: Make, grid_data: TrainingData, tmp_path: Path) -> None:
    file = grid_file(
        student={"max_grad_norm": 0.0, "optim": "sgd"},
        learning_rate=[1e-2, 1e30],
        label_source={"human": "label"},
        refit=False,
    )
    report = run_grid(file, tmp_path, data=grid_data)
    assert report.cells[0].choice.learning_rate == 1e-2
    assert report.cells[0].n_diverged == 2
    assert "2 combinations diverged" in str(report)


def test_soft_labels_and_weights_are_a_label_source(grid_file: Make, grid_data: TrainingData, tmp_path: Path) -> None:
    probs = [[1.0, 0.0] if code == 0 else [0.1, 0.9] for code in grid_data.train["llm_label"][:]]
    train = grid_data.train.add_column("probs", probs).add_column("weight", [1.0] * len(probs))
    source = {"label_column": "llm_label", "probs_column": "probs", "weight_column": "weight"}
    file = grid_file(label_source={"llm": "llm_label", "soft": source}, refit=False, epochs=[1], seed=[0])
    report = run_grid(file, tmp_path, data=TrainingData(train, None, grid_data.names))
    assert [cell.source for cell in report.cells] == ["llm", "soft"]
    # Without test rows there is only what choosing says.
    assert report.cells[0].test is None
    assert "`test`" not in str(report)


def test_invalid_grids_are_errors_that_name_the_field(
    grid_file: Make, grid_data: TrainingData, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    decay = {"schedule": "warmup_stable_decay", "warmup_steps": 9}
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"size": [150]}, DataError, "`size` is 150, but only 100 rows"),
        ({"validation_rows": 160}, DataError, "`validation_rows` is 160, but only 160 rows have a human label"),
        ({"human": "nosuch"}, DataError, "'nosuch', which is not a column"),
        ({"label_source": {"llm": "nosuch"}}, DataError, "'nosuch', which is not a column"),
        ({"seed": [1, 1]}, ConfigError, "seed"),
        ({"learning_rate": [0.0]}, ConfigError, "learning_rate"),
        ({"warmup_steps": 0.1}, ConfigError, "warmup_steps"),
        ({"label_source": {}}, ConfigError, "`label_source`"),
        ({"label_source": {"llm": {"weight_column": "w"}}}, ConfigError, "`label_column`"),
        (decay, ConfigError, "`warmup_steps` is 9, but with 40 rows in batches of 16 the decay starts after 2 steps"),
        ({"search": {"trials": 2}, "engine": "ray"}, ConfigError, "`search`"),
    ]
    for changes, error, message in cases:
        with subtests.test(changes=changes), pytest.raises(error, match=message):
            run_grid(grid_file(**changes), tmp_path, data=grid_data)
    with pytest.raises(SynthLabelsError, match="`model`"):
        run_grid(grid_file(student={"model": "nosuch"}), tmp_path, data=grid_data)
    for option in ("learning_rate", "seed", "num_train_epochs", "label_column", "output_dir"):
        with pytest.raises(ConfigError, match=f"`student.{option}` is set by the grid"):
            grid_file(student={option: "1"})


@pytest.mark.slow
def test_workers_have_the_results_of_one_process(grid_file: Make, grid_data: TrainingData, tmp_path: Path) -> None:
    changes = {"learning_rate": [1e-3], "refit": False, "label_source": {"human": "label"}, "epochs": [1]}
    here = run_grid(grid_file(**changes), tmp_path / "here", data=grid_data)
    there = run_grid(grid_file(**changes, workers=2), tmp_path / "there", data=grid_data)
    assert there.cells == here.cells


def test_search_tries_what_it_did_before_from_the_journal(
    grid_file: Make, grid_data: TrainingData, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="needs the extra `search`")
    file = grid_file(
        search={"trials": 6}, label_source={"human": "label"}, seed=[0], refit=False, learning_rate=[1e-4, 1e-2]
    )
    report = run_grid(file, tmp_path, data=grid_data)
    chosen = report.cells[0].choice
    assert 1e-4 <= chosen.learning_rate <= 1e-2
    assert 4 <= report.cost.runs <= 6
    pruned = list((tmp_path / "runs").glob("*-pruned.json"))
    assert report.cost.runs + len(pruned) == 6
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").iterdir()}
    told: list[str] = []
    assert run_grid(file, tmp_path, data=grid_data, progress=told.append) == report
    assert told == []
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").iterdir()} == files


def test_wilcoxon_with_few_seeds_is_refused(grid_file: Make, grid_data: TrainingData, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs the extra `search`")
    file = grid_file(search={"trials": 2, "pruner": "wilcoxon"}, seed=[0, 1, 2])
    # 2⁻³ = 0.125 is above the level of 0.1, 2⁻⁴ below it.
    with pytest.raises(ConfigError, match="at least 4 seeds"):
        run_grid(file, tmp_path, data=grid_data)


@pytest.mark.slow
def test_a_killed_grid_goes_on_where_it_was(grid_file: Make, toy: Callable[..., Dataset], tmp_path: Path) -> None:
    rows = toy(160)
    rows.add_column("llm_label", rows["label"][:]).to_json(tmp_path / "rows.jsonl")
    content = grid_file(workers=2, refit=False, label_source={"human": "label"}).model_dump()
    content["data"] = {"path": "json", "data_files": str(tmp_path / "rows.jsonl"), "names": ["film", "sport"]}
    (tmp_path / "grid.yaml").write_text(json.dumps(content))
    command = [
        sys.executable,
        "-c",
        "from hf_synthlabels.cli.main import main; main()",
        "train",
        "--grid",
        str(tmp_path / "grid.yaml"),
        "-o",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    whole = subprocess.run(
        [*command, str(tmp_path / "whole")], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert whole.returncode == 0, whole.stderr[-2000:]
    process = subprocess.Popen(
        [*command, str(tmp_path / "cut")], env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )
    runs = tmp_path / "cut" / "runs"
    end = time.monotonic() + 120
    while len(list(runs.glob("*.json"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    done = len(list(runs.glob("*.json")))
    again = subprocess.run(
        [*command, str(tmp_path / "cut")], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert again.returncode == 0, again.stderr[-2000:]
    assert done == 4 or f"{done} of 4 runs are in the journal" in again.stdout
    one, other = (json.loads((tmp_path / place / "grid.json").read_text()) for place in ("whole", "cut"))
    assert one["cells"] == other["cells"]
    assert len(list(runs.glob("*.json"))) == 4


def test_command_takes_a_student_or_a_grid(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from hf_synthlabels.cli.main import app

    files = [tmp_path / name for name in ("student.yaml", "grid.yaml")]
    for file in files:
        file.write_text("")
    for arguments in ([], [str(files[0]), "--grid", str(files[1])]):
        done = CliRunner().invoke(app, ["train", *arguments])
        assert isinstance(done.exception, ConfigError)
        assert "`train`" in str(done.exception)


def test_packaged_grid_is_valid() -> None:
    file = GridFile.from_yaml(ROOT / "configs" / "grids" / "minilm.yaml")
    # 2 sources, 3 rates, 2 batch sizes, 3 seeds, as its comment says; each tells of 4 epoch counts.
    assert len(list(grid_runs(file))) == 36
