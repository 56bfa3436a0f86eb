from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training import DataSource, StudentConfig, StudentFile
from tests.training.tasks.test_tasks import question_rows

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    records = [{"text": f"row {row}", "label": None if row == 3 else "ba"[row % 2]} for row in range(20)]
    path.write_text("\n".join(json.dumps(record) for record in records))
    return path


def test_a_file_is_split_the_same_way_for_the_same_seed(rows: Path) -> None:
    source = DataSource.of_file(rows)
    data, again = source.load(StudentConfig(seed=1)), source.load(StudentConfig(seed=1))
    assert data.names == ("a", "b")
    assert data.test is not None
    assert again.test is not None
    assert (len(data.train), len(data.test)) == (16, 4)
    assert data.test["text"][:] == again.test["text"][:]


def test_splits_and_names_are_those_that_are_named(rows: Path) -> None:
    source = DataSource(
        path="json",
        data_files={"train": str(rows), "dev": str(rows)},
        test_split="dev",
        names=["b", "a"],
    )
    data = source.load(StudentConfig())
    assert data.test is not None
    assert (len(data.train), len(data.test), data.names) == (20, 20, ("b", "a"))


def test_splits_that_are_not_read_are_errors_and_none_may_be_held_out(rows: Path) -> None:
    assert DataSource(path="json", data_files=str(rows), test_size=0).load(StudentConfig()).test is None
    source = DataSource(path="json", data_files={"train": str(rows), "test": str(rows)})
    with pytest.raises(ConfigError, match="`data_files`"):
        source.load(StudentConfig())
    sliced = DataSource(path="json", data_files={"train": str(rows)}, train_split="train[:50%]", test_size=0)
    assert len(sliced.load(StudentConfig()).train) == 10


def test_labels_of_less_than_two_classes_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for labels in ([None] * 6, ["film", None] * 3):
        Dataset.from_dict({"text": ["a"] * 6, "label": labels}).to_parquet(path)
        with pytest.raises(DataError, match="`label`"):
            DataSource.of_file(path).load(StudentConfig())


def test_the_only_row_of_a_label_is_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for place in range(10):
        labels = ["sport" if row == place else "film" for row in range(10)]
        Dataset.from_dict({"text": [str(row) for row in range(10)], "label": labels}).to_parquet(path)
        data = DataSource.of_file(path).load(StudentConfig())
        assert data.test is not None
        assert "sport" in data.train["label"][:]
        assert sorted([*data.train["text"][:], *data.test["text"][:]]) == [str(row) for row in range(10)]


def test_formats_are_recognized_by_their_ending(tmp_path: Path) -> None:
    data = Dataset.from_dict({"text": ["x", "y"], "label": ["a", "b"]})
    for ending in ("csv", "parquet"):
        path = tmp_path / f"rows.{ending}"
        getattr(data, f"to_{ending}")(path)
        assert len(DataSource.of_file(path).load(StudentConfig()).train) == 1


def test_data_that_can_not_be_read_is_refused_in_one_line(rows: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{no json")
    for source in (
        DataSource.of_file(tmp_path / "nosuch.csv"),
        DataSource.of_file(broken),
        DataSource(path="json", data_files=str(rows), train_split="nosuch"),
    ):
        with pytest.raises(DataError, match=r"`data`|`split`") as caught:
            source.load(StudentConfig())
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="`data`"):
        DataSource.of_file("rows.ods")


def test_files_with_wrong_keys_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "student.yaml"
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"data": {"path": "json"}}, "`student`"),
        ({"student": {}}, "`data`"),
        ({"student": {}, "data": {"path": "json", "splt": "x", "test_splt": "x"}}, "`splt`"),
        ({"student": {"lr": 1}}, "`lr`"),
        ({"student": {}, "dta": {}}, "`dta`"),
    )
    for content, field in cases:
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(ConfigError, match=field):
            StudentFile.read(path)


def test_a_table_in_place_of_the_student_file_is_named(rows: Path) -> None:
    with pytest.raises(ConfigError, match="`config`"):
        StudentFile.read(rows)


def test_packaged_student_files_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted((ROOT / "configs" / "students").glob("*.yaml"))
    assert files
    for file in files:
        assert StudentFile.read(file).student.model
        assert StudentFile.read(file, data="rows.jsonl").student.model


def test_a_file_of_rows_stands_in_for_the_key(rows: Path, tmp_path: Path) -> None:
    path = tmp_path / "student.yaml"
    path.write_text("student: {model: m}\ndata: {path: some/other}\n")
    assert StudentFile.read(path, data=rows).data == DataSource(path="json", data_files=str(rows))


def test_a_file_holds_a_scale_and_names_are_only_looked_for_where_there_are_some(encoder: str, tmp_path: Path) -> None:
    question_rows(10).to_json(tmp_path / "rows.jsonl")
    student = {"model": encoder, "task": "question-answering", "text_columns": ["question", "context"]}
    file = tmp_path / "student.yaml"
    file.write_text(yaml.safe_dump({"student": student}))
    read = StudentFile.read(file, data=tmp_path / "rows.jsonl")
    assert read.data.load(read.student).names == ()
    file.write_text(yaml.safe_dump({"student": {"model": encoder, "task": "text-scale", "scale": [1, 5, 0.5]}}))
    assert StudentFile.read(file, data=tmp_path / "rows.jsonl").student.scale == [1, 5, 0.5]
