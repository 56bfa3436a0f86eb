"""The cells of a study on a cluster: the same answers as here, each kept as it comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_synthlabels.annotation.recipe.engine_config import Engine
from hf_synthlabels.engines import jobs_on
from hf_synthlabels.studies import Study, run_study
from tests.studies.conftest import RECIPE, toy_rows

pytestmark = pytest.mark.slow


def test_a_cluster_gives_the_answers_of_one_machine(
    tmp_path: Path, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs the extra `ray`")
    # Processes of the cluster import the tests' package from where this one does.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in toy_rows(100)))
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(RECIPE))
    small: dict[str, Any] = {
        "model": encoder,
        "learning_rate": 3e-3,
        "num_train_epochs": 1,
        "max_length": 32,
        "use_cpu": True,
    }
    content = {
        "name": "toys",
        "tasks": {"toy": {"recipe": "toy.yaml", "test": 30}},
        "sizes": [1, "all"],
        "students": {"counts": "tfidf", "small": small},
        "seeds": [0],
    }
    study = Study.from_dict(content, folder=tmp_path)
    here = run_study(study, tmp_path / "here")
    log_lines: list[str] = []
    there = run_study(
        study,
        tmp_path / "there",
        engine=jobs_on(Engine(name="ray", cpus_per_actor=0.5, actors=2)),
        progress=log_lines.append,
    )
    assert [(item.cell, item.answers, item.rows) for item in there.tasks[0].cells] == [
        (item.cell, item.answers, item.rows) for item in here.tasks[0].cells
    ]
    assert there.facts is not None
    # One row teaches nothing, on a cluster neither.
    assert len(there.facts["failed"]) == 4
    # Of one row both sources have the same labels: one training for two cells.
    assert log_lines[-1].startswith("8 of 8 cells")
    log_lines.clear()
    run_study(study, tmp_path / "there", progress=log_lines.append)
    assert log_lines == ["8 of 8 cells were there before"]
