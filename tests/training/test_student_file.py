from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from datasets import Dataset

from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.training import DataSource, StudentConfig, StudentFile

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


def test_nothing_is_held_out_when_the_share_is_zero(rows: Path) -> None:
    source = DataSource(path="json", data_files=str(rows), test_size=0)
    assert source.load(StudentConfig()).test is None


def test_a_split_that_nothing_reads_is_told(rows: Path) -> None:
    source = DataSource(path="json", data_files={"train": str(rows), "test": str(rows)})
    with pytest.raises(ConfigError, match="`data_files`"):
        source.load(StudentConfig())
    sliced = DataSource(path="json", data_files={"train": str(rows)}, train_split="train[:50%]", test_size=0)
    assert len(sliced.load(StudentConfig()).train) == 10


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([None] * 6, r"`label` has no label in any of 6 rows"),
        (["film", None] * 3, r"`label` is 'film' in all labeled rows of 6"),
    ],
)
def test_labels_that_tell_nothing_apart_are_refused(tmp_path: Path, labels: list[str | None], message: str) -> None:
    path = tmp_path / "rows.parquet"
    Dataset.from_dict({"text": ["a"] * 6, "label": labels}).to_parquet(path)
    with pytest.raises(DataError, match=message):
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


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_formats_are_told_by_their_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    getattr(Dataset.from_dict({"text": ["x", "y"], "label": ["a", "b"]}), f"to_{ending}")(path)
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({"data": {"path": "json"}}, r"`student` is missing", id="no student"),
        pytest.param({"student": {}}, r"`data` is missing", id="no data"),
        pytest.param(
            {"student": {}, "data": {"path": "json", "splt": "x", "test_splt": "x"}}, r"`splt` is not a key.", id="typo"
        ),
        pytest.param({"student": {"lr": 1}}, r"`lr` is not an option", id="option"),
        pytest.param({"student": {}, "dta": {}}, r"`dta` is not a key. Valid keys: data, student", id="part"),
    ],
)
def test_files_with_wrong_keys_are_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "student.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=message):
        StudentFile.read(path)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "students").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_students_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert StudentFile.read(path).student.model


def test_a_file_of_rows_stands_in_for_the_key(rows: Path, tmp_path: Path) -> None:
    path = tmp_path / "student.yaml"
    path.write_text("student: {model: m}\ndata: {path: some/other}\n")
    assert StudentFile.read(path, data=rows).data == DataSource(path="json", data_files=str(rows))
