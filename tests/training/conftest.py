"""Configs that learn the toy task at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.training import StudentConfig


@pytest.fixture
def config(encoder: str, tmp_path: Path) -> Callable[..., StudentConfig]:
    """Make a config that learns the toy task in about a second."""

    def make(**changes: Any) -> StudentConfig:
        options: dict[str, Any] = {
            "model": encoder,
            "max_length": 32,
            "output_dir": str(tmp_path / "student"),
            "learning_rate": 1e-3,
            "num_train_epochs": 6,
            "use_cpu": True,
        }
        return StudentConfig(**options | changes)

    return make
