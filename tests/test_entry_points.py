"""The ways to start the program, and the switches of bars and messages that it shares with `datasets`."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hf_synthlabels
from hf_synthlabels.errors import ConfigError

ROWS = "".join(json.dumps({"text": f"{n} film", "answer": "film"}) + "\n" for n in range(3))
RECIPE = """
name: films
source: {path: json, data_files: rows.jsonl}
task: {kind: text-classification, text: text, instructions: "?", labels: [film, sport]}
annotator: {client: recorded, column: answer}
"""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if "PROGRESS" not in key and "TQDM" not in key}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**kept, "HF_DATASETS_CACHE": str(folder / "cache"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("module", ["hf_synthlabels", "hf_synthlabels.cli.main"])
def test_modules_are_the_command(module: str, folder: Path) -> None:
    version = run(folder, module, "--version")
    assert version.stdout == f"hf-synthlabels {hf_synthlabels.__version__}\n"
    done = run(folder, module, "annotate", "recipe.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Next: hf-synthlabels ")
    assert "3 rows, labelled 3" in done.stdout
    failed = run(folder, module, "annotate", "none.yaml")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1


@pytest.mark.slow
def test_accelerate_launches_the_training(encoder: str, folder: Path) -> None:
    rows = [{"text": ("a film", "a match")[row % 2], "label": ("film", "sport")[row % 2]} for row in range(20)]
    (folder / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"model": encoder, "max_length": 16, "max_steps": 2, "output_dir": "student"}
    (folder / "student.yaml").write_text(json.dumps({"student": options}))
    launch = ("accelerate.commands.launch", "--num_processes", "1", "--cpu", "-m", "hf_synthlabels.cli.main")
    done = run(folder, *launch, "train", "student.yaml", "--data", "labelled.jsonl")
    assert done.returncode == 0, done.stderr
    assert "trained: 2 steps" in done.stdout
    assert (folder / "student" / "model.safetensors").is_file()


SHOW = """
import sys
sys.stderr.isatty = lambda: True
{before}
from hf_synthlabels.annotation import load
load("recipe.yaml", cache_dir="cache2")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "environment", "shown"),
    [
        ("", {}, True),
        ("", {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}, False),
        ("", {"TQDM_DISABLE": "1"}, False),
        ("import datasets; datasets.disable_progress_bars()", {}, False),
        ("from hf_synthlabels.annotation.run.progress_bars import own_bars_only; own_bars_only()", {}, True),
    ],
)
def test_bars_obey_the_switches_of_datasets_and_tqdm(
    before: str, environment: dict[str, str], shown: bool, folder: Path
) -> None:
    (folder / "show.py").write_text(SHOW.format(before=before))
    done = run(folder, "show", **environment)
    assert done.returncode == 0, done.stderr
    assert ("train: 100%" in done.stderr) is shown
    # The bar of `datasets` would be drawn over it.
    assert "Generating train split" not in done.stderr


def test_verbosity_is_set_as_in_the_other_libraries() -> None:
    logger: Any = logging.getLogger("hf_synthlabels")
    level, handlers = logger.level, list(logger.handlers)
    try:
        assert hf_synthlabels.get_verbosity() == logging.WARNING
        hf_synthlabels.set_verbosity("error")
        assert not logging.getLogger("hf_synthlabels.annotation.recipe.source").isEnabledFor(logging.WARNING)
        hf_synthlabels.set_verbosity(logging.INFO)
        assert logging.getLogger("hf_synthlabels.annotation.recipe.source").isEnabledFor(logging.INFO)
        with pytest.raises(ConfigError, match="level"):
            hf_synthlabels.set_verbosity("loud")
    finally:
        logger.setLevel(level)
        logger.handlers = handlers
