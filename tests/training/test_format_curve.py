from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.labels import LabelSchema
from hf_synthlabels.training import StudentConfig, train_student
from hf_synthlabels.training.callbacks import FormatCurve
from tests.tiny_models import tiny_model

Make = Callable[..., StudentConfig]
SCHEMA = LabelSchema(names=("film", "sport"))


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("curve"), initializer_range=0.05)


@pytest.fixture
def rows() -> Dataset:
    texts = ["the actor in the film", "a team won the match"] * 8
    return Dataset.from_dict({"text": texts, "answer": ["film", "sport"] * 8})


def settings(writer: str) -> dict[str, object]:
    return {
        "model": writer,
        "task": "text-generation",
        "label_column": "answer",
        "max_length": 64,
        "max_new_tokens": 6,
        "learning_rate": 1e-2,
        "max_steps": 24,
        "per_device_train_batch_size": 8,
    }


def test_form_is_learnt_before_the_task_and_both_are_counted(config: Make, rows: Dataset, writer: str) -> None:
    curve = FormatCurve(rows.select(range(6)), SCHEMA, label_column="answer", every=8)
    student = train_student(config(**settings(writer)), rows, callbacks=[curve])
    assert [point.step for point in curve.points] == [0, 8, 16, 24]
    first, last = curve.points[0], curve.points[-1]
    assert first.in_schema.estimate == 0.0
    assert last.in_schema.estimate == 1.0
    for point in curve.points:
        assert point.right.n == point.in_schema.n == 6
        assert point.right.estimate <= point.in_schema.estimate
        assert point.right_in_schema.n == round(6 * point.in_schema.estimate)
    logged = [entry["format_share"] for entry in student.trainer.state.log_history if "format_share" in entry]
    assert logged == [point.in_schema.estimate for point in curve.points]


def test_looking_does_not_change_what_is_learnt(config: Make, rows: Dataset, writer: str) -> None:
    chosen = settings(writer) | {"max_steps": 4}
    curve = FormatCurve(rows.select(range(2)), SCHEMA, label_column="answer", every=1)
    seen = train_student(config(**chosen), rows, callbacks=[curve]).trainer.model.state_dict()
    alone = train_student(config(**chosen), rows).trainer.model.state_dict()
    assert all(torch.equal(value, alone[name]) for name, value in seen.items())


def test_wrong_input_is_told(rows: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`every`"):
        FormatCurve(rows, SCHEMA, label_column="answer", every=0)
    with pytest.raises(ConfigError, match="'text-generation'"):
        FormatCurve(rows, LabelSchema(kind="text-generation"), label_column="answer", every=1)
    with pytest.raises(DataError, match="has no label in any of 1 rows"):
        FormatCurve(Dataset.from_dict({"text": ["a"], "answer": [None]}), SCHEMA, label_column="answer", every=1)
