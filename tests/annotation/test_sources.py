"""Sources in every spelling of `load_dataset`, and recipes at an address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from datasets import ClassLabel, Dataset, DatasetDict

from hf_synthlabels.annotation import Recipe, annotate, load, load_source, plan
from hf_synthlabels.errors import ConfigError, DataError, RecipeError, UntrustedRecipeError

ROWS = [{"text": f"{n} film", "label": "film", "answer": "film"} for n in range(4)]


def recipe(**source: Any) -> dict[str, Any]:
    return {
        "name": "films",
        "source": source,
        "task": {"kind": "text-classification", "text": "text", "instructions": "?", "labels": ["film", "sport"]},
        "annotator": {"client": "recorded", "column": "answer"},
    }


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    splits = load(path, cache_dir=str(folder / "cache"))
    # A recipe that is no file names the same rows.
    assert {name: len(rows) for name, rows in splits.items()} == {
        name: len(rows) for name, rows in load(Recipe.from_yaml(path), cache_dir=str(folder / "other")).items()
    }
    return {name: rows for name, rows in splits.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "inner").mkdir(parents=True)
    (data / "a.jsonl").write_text(lines(ROWS))
    (data / "inner" / "b.jsonl").write_text(lines(ROWS[:3]))
    (data / "c.csv").write_text("text;answer\n" + "".join(f"{row['text']};film\n" for row in ROWS[:2]))
    (data / "c.parquet").write_bytes(b"")
    Dataset.from_list(ROWS).to_parquet(str(data / "c.parquet"))
    (tmp_path / "a.jsonl").write_text(lines(ROWS[:1]))
    return tmp_path


def test_sources_are_spelled_as_in_load_dataset(subtests: pytest.Subtests, folder: Path) -> None:
    cases: list[tuple[dict[str, Any], dict[str, int]]] = [
        ({"path": "data", "data_files": "a.jsonl"}, {"train": 4}),
        ({"path": "data", "data_files": {"train": "a.jsonl", "test": ["inner/b.jsonl"]}}, {"train": 4, "test": 3}),
        ({"path": "data", "data_dir": "inner"}, {"train": 3}),
        ({"path": "json", "data_files": "a.jsonl"}, {"train": 1}),
        ({"path": "json", "data_dir": "data/inner"}, {"train": 3}),
        ({"path": "parquet", "data_files": "data/c.parquet"}, {"train": 4}),
        ({"path": "csv", "data_files": "data/c.csv", "separator": ";"}, {"train": 2}),
        ({"path": "csv", "data_files": "data/c.csv", "separator": ";", "options": {"skiprows": [1]}}, {"train": 1}),
        ({"path": "data/a.jsonl"}, {"train": 4}),
        ({"path": "saved"}, {"train": 4}),
        ({"path": "saved_splits", "split": "test"}, {"test": 2}),
    ]
    for source, count in cases:
        with subtests.test(repr((source, count))):
            Dataset.from_list(ROWS).save_to_disk(str(folder / "saved"))
            DatasetDict({"train": Dataset.from_list(ROWS), "test": Dataset.from_list(ROWS[:2])}).save_to_disk(
                str(folder / "saved_splits")
            )
            splits = read(recipe(**source), folder)
            assert {name: len(rows) for name, rows in splits.items()} == count


def test_files_of_a_repository_are_left_to_it() -> None:
    own = Recipe.from_dict(recipe(path="user/set", data_files={"train": "data/train.parquet"}), folder=Path("/work"))
    assert own.paths.located_source(own.source) == own.source
    assert "data/train.parquet" in str(own.paths.located_source(own.source).data_files)


def test_columns_and_types_are_chosen(folder: Path) -> None:
    features = {"label": {"class_label": {"names": ["film", "sport"]}}}
    source = {
        "path": "json",
        "data_files": "data/a.jsonl",
        "columns": ["text", "label", "answer"],
        "features": features,
    }
    rows = read(recipe(**source), folder)["train"]
    assert rows.column_names[:3] == ["text", "label", "answer"]
    assert rows.features["label"] == ClassLabel(names=["film", "sport"])
    narrow = read(recipe(path="json", data_files="data/a.jsonl", columns=["text", "answer"]), folder)["train"]
    assert "label" not in narrow.column_names
    for wrong in (
        {"columns": ["text", "nothing"]},
        {"features": {"nothing": "string"}},
        {"features": {"text": "int3"}},
    ):
        with pytest.raises(DataError, match=next(iter(wrong))):
            load_source(Recipe.from_dict(recipe(path="json", data_files="data/a.jsonl", **wrong), folder=folder))


def test_options_are_those_of_the_reader_only(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["token", "storage_options", "data_files", "sep", "trust_remote_code"]
    for option in cases:
        with subtests.test(repr(option)), pytest.raises(RecipeError, match=option):
            Recipe.from_dict(recipe(path="csv", data_files="a.csv", options={option: "x"}))


def test_empty_file_stops_no_other(folder: Path) -> None:
    (folder / "none.jsonl").write_text("")
    files = {"train": "data/a.jsonl", "test": "none.jsonl"}
    assert list(read(recipe(path="json", data_files=files), folder)) == ["train"]
    with pytest.raises(DataError):
        plan(Recipe.from_dict(recipe(path="json", data_files="none.jsonl"), folder=folder))


@pytest.fixture
def at_an_address() -> str:
    system = fsspec.filesystem("memory")
    content = recipe(path="json", data_files="rows.jsonl")
    content["task"]["guidelines_file"] = "guide.md"
    content["annotator"] = {"client": "recorded", "file": "answers.jsonl", "key": "text"}
    for name, text in (
        ("recipe.yaml", yaml.safe_dump(content)),
        ("rows.jsonl", lines(ROWS)),
        ("guide.md", "A film is a film."),
        ("answers.jsonl", lines([{"text": row["text"], "answer": "film"} for row in ROWS])),
    ):
        system.pipe(f"/films/{name}", text.encode())
    return "memory://films/recipe.yaml"


def test_recipe_is_read_at_an_address(at_an_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `datasets` takes every address for the network, and the tests are offline.
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    own = Recipe.from_yaml(at_an_address)
    assert own.schema_of_labels().guidelines == "A film is a film."
    assert plan(at_an_address).rows == 4
    splits = load(at_an_address, cache_dir=str(tmp_path))
    assert splits["train"]["llm_label"][:] == [0] * 4
    assert annotate(Dataset.from_list(ROWS), at_an_address)["llm_label"][:] == [0] * 4


@pytest.mark.parametrize("address", ["memory://films/none.yaml", "nothing://films/recipe.yaml"])
def test_address_that_cannot_be_read_is_told_in_a_line(address: str) -> None:
    with pytest.raises(ConfigError, match=r"`recipe`.*//films") as error:
        load(address)
    assert "\n" not in str(error.value)


def test_recipe_at_a_foreign_address_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    content = recipe(path="json", data_files="rows.jsonl")
    content["annotator"] = {
        "client": "openai",
        "model": "m",
        "base_url": "https://evil.example/v1",
        "api_key_env": None,
    }
    monkeypatch.setattr("hf_synthlabels.annotation.recipe.strict_yaml.read_address", lambda *_: yaml.safe_dump(content))
    for address in ("https://example.org/recipe.yaml", "hf://datasets/user/set/recipe.yaml"):
        with pytest.raises(UntrustedRecipeError, match="comes from elsewhere"):
            Recipe.from_yaml(address)
