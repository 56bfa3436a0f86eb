from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from datasets import Dataset

import train

ROOT = Path(__file__).parents[2]


def run(folder: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment |= {"PYTHONPATH": str(ROOT), "HF_DATASETS_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, *launcher, str(ROOT / "train.py"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def metrics(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "student" / "student.json").read_text())["metrics"]
    return found


@pytest.fixture
def folder(tmp_path: Path, encoder: str, toy: Callable[..., Dataset]) -> Path:
    """A folder with 80 rows in JSON lines and a student file for the tiny encoder."""
    toy(80).to_json(tmp_path / "rows.jsonl")
    student = {"model": encoder, "max_length": 32, "learning_rate": 3e-3, "num_train_epochs": 4}
    data = {"path": "json", "data_files": "rows.jsonl", "names": ["film", "sport"]}
    (tmp_path / "student.yaml").write_text(yaml.safe_dump({"student": student, "data": data}))
    return tmp_path


def test_script_trains_saves_and_prints_metrics(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train.py", "student.yaml"])
    train.main()
    # 64 of 80 rows in batches of 16 for 4 epochs.
    assert "trained: 16 steps" in capsys.readouterr().out
    assert (metrics(folder)["train_steps"], metrics(folder)["eval_rows"]) == (16, 16)
    assert (folder / "student" / "model.safetensors").is_file()


def test_script_with_a_bad_file_says_one_line_and_ends_with_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train.py", "student.yaml", "--data", "nosuch.jsonl"])
    with pytest.raises(SystemExit) as ended:
        train.main()
    out, error = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert error.startswith("train.py: `data` 'nosuch.jsonl' could not be read")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_script_is_a_program(folder: Path) -> None:
    done = run(folder, "student.yaml")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert metrics(folder)["train_steps"] == 16


@pytest.mark.slow
def test_two_processes_halve_the_steps_and_print_once(folder: Path) -> None:
    config = str(ROOT / "configs" / "accelerate" / "cpu_2.yaml")
    launcher = ("-m", "accelerate.commands.launch", "--config_file", config, "--main_process_port", "0")
    done = run(folder, "student.yaml", launcher=launcher)
    assert done.returncode == 0, done.stderr[-2000:]
    assert metrics(folder)["train_steps"] == 8
    assert done.stdout.count("trained: 8 steps") == 1


@pytest.mark.slow
def test_two_processes_train_the_heads_of_two_variables(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    coded = [{"text": row["text"], "kind": "ab"[row["label"]], "half": "xy"[i % 4 > 1]} for i, row in enumerate(rows)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in coded))
    config = str(ROOT / "configs" / "accelerate" / "cpu_2.yaml")
    launcher = ("-m", "accelerate.commands.launch", "--config_file", config, "--main_process_port", "0")
    options = ("--data", "rows.jsonl", "--variable", "kind", "--variable", "half")
    done = run(folder, "student.yaml", *options, launcher=launcher)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("2 variables, one head each: 64 rows; 16 rows held out") == 1
    known = json.loads((folder / "student" / "student.json").read_text())
    assert {entry["column"]: entry["rows"] for entry in known["evaluation"]} == {"kind": 16, "half": 16}
    assert metrics(folder)["train_steps"] == 8
