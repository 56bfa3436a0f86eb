"""A task of a hundred rows in a file, with recorded answers of two annotators, and studies of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_synthlabels.studies import Study

WORDS = {"film": ["film", "actor", "scene", "plot"], "sport": ["goal", "match", "team", "score"]}
FILLER = ["the", "a", "of", "and", "in", "with", "for", "on"]

RECIPE: dict[str, Any] = {
    "name": "toy",
    "source": {"path": "json", "data_files": {"train": "rows.jsonl"}},
    "task": {"kind": "text-classification", "labels": ["film", "sport"], "human": "label"},
    "annotator": {"client": "recorded", "column": "often_right"},
}

Make = Callable[..., Study]


def toy_rows(count: int, *, unlabelled_from: int | None = None) -> list[dict[str, Any]]:
    """Rows whose words tell the label; `often_right` errs on every fifth and is silent on every eleventh."""
    draw = random.Random(3)
    rows = []
    for row in range(count):
        label = ("film", "sport")[row % 2]
        words = [*draw.choices(FILLER, k=draw.randint(2, 9)), *draw.choices(WORDS[label], k=2)]
        draw.shuffle(words)
        other = ("film", "sport")[1 - row % 2]
        answer = "" if row % 11 == 10 else other if row % 5 == 4 else label
        human = None if unlabelled_from is not None and row >= unlabelled_from else label
        rows.append(
            {
                "text": f"{' '.join(words)} {row}",
                "label": human,
                "often_right": answer,
                "coin": draw.choice((label, other)),
            }
        )
    return rows


@pytest.fixture
def study_of(tmp_path: Path) -> Make:
    """Write the rows and the recipe, and make a study of them."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in toy_rows(100)))
    (folder / "toy.yaml").write_text(yaml.safe_dump(RECIPE))

    def make(**changes: Any) -> Study:
        content = {
            "name": "toys",
            "tasks": {"toy": {"recipe": "toy.yaml", "test": 30}},
            "sources": {"human": None, "llm": None},
            "students": {"counts": "tfidf"},
            "seeds": [0],
            "resamples": 100,
        }
        return Study.from_dict({**content, **changes}, folder=folder)

    return make


@pytest.fixture
def small(encoder: str) -> dict[str, Any]:
    """The tiny encoder as a student of a study."""
    return {
        "model": encoder,
        "learning_rate": 3e-3,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "max_length": 32,
        "use_cpu": True,
    }
