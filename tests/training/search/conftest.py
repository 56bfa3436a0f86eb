"""A small grid over toy rows with two label sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.training import TrainingData
from hf_synthlabels.training.search import GridFile


@pytest.fixture
def grid_data(toy: Callable[..., Dataset]) -> TrainingData:
    """160 rows, of which the second source has every fifth label wrong, and 40 to test on."""
    train = toy(160)
    other = [code if row % 5 else 1 - code for row, code in enumerate(train["label"][:])]
    return TrainingData(train.add_column("llm_label", other), toy(40, seed=1), ("film", "sport"))


@pytest.fixture
def grid_file(encoder: str) -> Callable[..., GridFile]:
    """Make a grid; changes go into its key `grid`."""

    def make(student: dict[str, Any] | None = None, **changes: Any) -> GridFile:
        grid = {
            "label_source": {"human": "label", "llm": "llm_label"},
            "size": [40],
            "learning_rate": [1e-3, 3e-3],
            "epochs": [1, 2],
            "seed": [0, 1],
            "validation_rows": 60,
            "warmup_steps": 1,
            "workers": 1,
        }
        return GridFile.from_dict(
            {
                "student": {"model": encoder, "max_length": 32, "use_cpu": True, **(student or {})},
                "data": {"path": "json"},
                "grid": grid | changes,
            }
        )

    return make
