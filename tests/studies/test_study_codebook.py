"""A study of one variable of a codebook, requested with the others or alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_synthlabels.errors import RecipeError
from hf_synthlabels.studies import run_study
from tests.servers.chat import ChatServer
from tests.studies.conftest import WORDS, Make

VARIABLES: dict[str, Any] = {
    "area": {"kind": "text-classification", "labels": ["film", "sport"], "human": "label"},
    "long": {"kind": "text-classification", "labels": ["yes", "no"]},
}


def answer(body: dict[str, Any]) -> str:
    """A joint request is answered right; a request for one variable wrong where the row's number is a multiple of 3."""
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    text = body["messages"][-1]["content"]
    area = "film" if any(word in text for word in WORDS["film"]) else "sport"
    if list(properties) != ["label"]:
        return json.dumps({"area": area, "long": "no"})
    if "yes" in properties["label"]["enum"]:
        return json.dumps({"label": "no"})
    is_wrong = int(re.findall(r"\d+", text)[-1]) % 3 == 0
    return json.dumps({"label": {"film": "sport", "sport": "film"}[area] if is_wrong else area})


def test_joint_and_separate_requests_are_conditions_of_a_study(study_of: Make, tmp_path: Path) -> None:
    with ChatServer(answer) as server:
        recipe = {
            "name": "book",
            "source": {"path": "json", "data_files": {"train": "rows.jsonl"}},
            "task": {"variables": VARIABLES},
            "annotator": {
                "client": "openai",
                "model": "tiny",
                "base_url": f"{server.url}/v1",
                "api_key_env": None,
                "response_format": "json_schema",
            },
        }
        (tmp_path / "study" / "book.yaml").write_text(yaml.safe_dump(recipe))
        study = study_of(
            tasks={"toy": {"recipe": "book.yaml", "variable": "area", "test": 30}},
            prompts={"joint": {"task": {"group": "joint"}}, "alone": {"task": {"group": "separate"}}},
        )
        runs = run_study(study, tmp_path / "out")
        sizes = Counter(len(body["response_format"]["json_schema"]["schema"]["properties"]) for body in server.bodies)
    # All 100 rows, as training rows and as test rows: once jointly, and once for each variable alone.
    assert sizes == {2: 100, 1: 200}
    cells = {(run.cell.source, run.cell.prompt): run for run in runs.tasks[0].cells}
    assert set(cells) == {("human", "-"), ("llm", "joint"), ("llm", "alone")}
    task = runs.tasks[0]
    numbers = [int(re.findall(r"\d+", text)[-1]) for text in task.inputs]
    assert task.llm_labels["llm/joint"] == task.truth
    right = [label == truth for label, truth in zip(task.llm_labels["llm/alone"], task.truth, strict=True)]
    assert right == [number % 3 != 0 for number in numbers]


def test_the_variable_must_be_named(study_of: Make, tmp_path: Path) -> None:
    content = {
        "name": "book",
        "source": {"path": "json", "data_files": {"train": "rows.jsonl"}},
        "task": {"variables": VARIABLES},
        "annotator": {"client": "recorded", "column": "often_right"},
    }
    study = study_of(tasks={"toy": {"recipe": "book.yaml", "test": 30}})
    (tmp_path / "study" / "book.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match="`variable`"):
        run_study(study, tmp_path / "out")
