"""What is looked at is asked, and no more: streams, slices of splits, and the first rows of a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import (
    Dataset,
    DatasetDict,
    Features,
    IterableDataset,
    IterableDatasetDict,
    ReadInstruction,
    Value,
    load_dataset,
)
from typer.testing import CliRunner

import hf_synthlabels
from hf_synthlabels.annotation import annotate, load, plan, provenance
from hf_synthlabels.cli.main import app
from hf_synthlabels.clients.config import ClientConfig
from hf_synthlabels.clients.factory import split_rate_limits
from hf_synthlabels.errors import DataError
from tests.servers.chat import LabelServer

AT_ONCE = 8


@pytest.fixture
def server() -> Iterator[LabelServer]:
    with LabelServer(lambda text: "film" if "film" in text else "sport") as running:
        yield running


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    names = ["sport" if number % 3 else "film" for number in range(start, start + count)]
    return [
        {
            "text": f"{start + place} {'film' if name == 'film' else 'match'}",
            "label": int(name != "film"),
            "human": name,
        }
        for place, name in enumerate(names)
    ]


def write(path: Path, content: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))


@pytest.fixture
def recipe(server: LabelServer, tmp_path: Path) -> dict[str, Any]:
    write(tmp_path / "train.jsonl", rows(900))
    write(tmp_path / "test.jsonl", rows(30, start=5000))
    return {
        "name": "films",
        "source": {
            "path": "json",
            "data_files": {"train": str(tmp_path / "train.jsonl"), "test": str(tmp_path / "test.jsonl")},
        },
        "task": {"kind": "text-classification", "text": "text", "instructions": "?", "labels": ["film", "sport"]},
        "annotator": {
            "client": "openai",
            "model": "m",
            "base_url": server.base_url,
            "api_key_env": None,
            "max_in_flight": AT_ONCE,
        },
    }


def saved(recipe: dict[str, Any], folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def with_split(recipe: dict[str, Any], spelling: str) -> dict[str, Any]:
    return recipe | {"source": recipe["source"] | {"split": spelling}}


def streamed(recipe: dict[str, Any], folder: Path) -> IterableDataset:
    return load_dataset(
        "hf_synthlabels", data_files=str(saved(recipe, folder)), streaming=True, split="train", cache_dir=str(folder)
    )


def annotated(recipe: dict[str, Any], folder: Path) -> IterableDataset:
    return annotate(Dataset.from_list(rows(900)).to_iterable_dataset(num_shards=3), recipe)


@pytest.mark.parametrize("made", [streamed, annotated])
@pytest.mark.parametrize(("looked_at", "asked"), [(1, 4 * AT_ONCE), (3, 4 * AT_ONCE), (100, 400)])
def test_look_at_a_stream_asks_few_rows_more(
    made: Any, looked_at: int, asked: int, recipe: dict[str, Any], server: LabelServer, tmp_path: Path
) -> None:
    seen = list(made(recipe, tmp_path).take(looked_at))
    assert [row["llm_label"] for row in seen] == [int(n % 3 != 0) for n in range(looked_at)]
    assert looked_at <= len(server.requests) <= asked


def test_whole_stream_is_labelled_once_and_in_order(
    recipe: dict[str, Any], server: LabelServer, tmp_path: Path
) -> None:
    assert [row["text"] for row in streamed(recipe, tmp_path)] == [row["text"] for row in rows(900)]
    assert len(server.requests) == 900


@pytest.mark.parametrize(
    ("spelling", "texts"),
    [
        ("train[:10]", {"train": list(range(10))}),
        ("train[-2:]", {"train": [898, 899]}),
        ("train[:1%]", {"train": list(range(9))}),
        ("test", {"test": list(range(5000, 5030))}),
        ("train[:2]+test[28:]", {"train": [0, 1], "test": [5028, 5029]}),
        ("train[:2]+train[5:6]", {"train": [0, 1, 5]}),
    ],
)
def test_splits_are_spelled_as_in_datasets(
    spelling: str, texts: dict[str, list[int]], recipe: dict[str, Any], server: LabelServer, tmp_path: Path
) -> None:
    wanted = {name: [f"{n} {'film' if n % 3 == 0 else 'match'}" for n in numbers] for name, numbers in texts.items()}
    count = sum(map(len, wanted.values()))
    # In the recipe, and asked for: the same rows are paid for, and no others.
    splits = load(with_split(recipe, spelling), cache_dir=str(tmp_path / "a"))
    assert {name: part["text"][:] for name, part in splits.items()} == wanted
    assert len(server.requests) == count
    assert plan(with_split(recipe, spelling)).rows == count
    one = load(recipe, split=spelling, cache_dir=str(tmp_path / "b"))
    assert one["text"][:] == [text for part in wanted.values() for text in part]
    assert len(server.requests) == count


@pytest.mark.parametrize("streaming", [False, True])
def test_several_splits_come_back_in_the_form_that_names_them(
    streaming: bool, recipe: dict[str, Any], server: LabelServer, tmp_path: Path
) -> None:
    def loaded(split: Any) -> Any:
        return load(recipe, split=split, streaming=streaming, cache_dir=str(tmp_path))

    def texts(rows: Any) -> list[str]:
        return [row["text"] for row in rows]

    first, second = ["0 film", "1 match"], ["5000 match", "5001 film"]
    parts = loaded([ReadInstruction.from_spec("train[:2]"), "test[:2]", "train[1:3]"])
    assert isinstance(parts, list)
    assert [texts(part) for part in parts] == [first, second, ["1 match", "2 match"]]
    assert len(server.requests) == 5  # the row that occurs twice is asked once
    named = loaded({"few": "train[:2]", "held": "test[:2]"})
    assert isinstance(named, IterableDatasetDict if streaming else DatasetDict)
    assert {name: texts(part) for name, part in named.items()} == {"few": first, "held": second}
    assert loaded([]) == []
    with pytest.raises(DataError, match=r"split.*dev"):
        loaded(["test[5:9]", "dev"])
    assert len(server.requests) == 5


def test_streams_have_slices_from_their_start(recipe: dict[str, Any], server: LabelServer, tmp_path: Path) -> None:
    stream = load(with_split(recipe, "train[2:5]"), streaming=True, cache_dir=str(tmp_path))["train"]
    assert [row["text"] for row in stream] == ["2 match", "3 film", "4 match"]
    assert len(server.requests) == 3
    with pytest.raises(DataError, match=r"source.split.*stream"):
        load(with_split(recipe, "train[:10%]"), streaming=True, cache_dir=str(tmp_path))


@pytest.mark.parametrize("spelling", ["tset", "train[:10", "train+dev", "dev[:5]"])
def test_split_that_does_not_exist_is_told_before_anything_is_asked(
    spelling: str, recipe: dict[str, Any], server: LabelServer, tmp_path: Path
) -> None:
    for call in (
        lambda: load(recipe, split=spelling, cache_dir=str(tmp_path)),
        lambda: load(with_split(recipe, spelling), cache_dir=str(tmp_path)),
        lambda: plan(with_split(recipe, spelling)),
    ):
        with pytest.raises(DataError, match=r"split.*train, test"):
            call()
    assert server.requests == []


def test_first_rows_try_a_recipe(recipe: dict[str, Any], server: LabelServer, tmp_path: Path) -> None:
    path = str(saved(recipe, tmp_path))
    run = CliRunner()
    planned = run.invoke(app, ["plan", path, "--rows", "10", "--json"])
    # Of each split.
    assert json.loads(planned.stdout)["rows"] == 20
    done = run.invoke(app, ["annotate", path, "--rows", "10", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert len(server.requests) == 20
    streamed = run.invoke(app, ["annotate", path, "--rows", "10", "--stream", "-o", str(tmp_path / "out.jsonl")])
    assert streamed.exit_code == 0, streamed.output
    assert len((tmp_path / "out-train.jsonl").read_text().splitlines()) == 10
    assert len(server.requests) == 20
    assert isinstance(run.invoke(app, ["annotate", path, "--rows", "0"]).exception, DataError)


def test_validate_asks_for_its_split_only(recipe: dict[str, Any], server: LabelServer, tmp_path: Path) -> None:
    recipe["task"]["human"] = "human"
    path = str(saved(recipe, tmp_path))
    run = CliRunner()
    none = run.invoke(app, ["validate", path])
    assert isinstance(none.exception, DataError)
    assert "--split" in str(none.exception)
    assert server.requests == []
    done = run.invoke(app, ["validate", path, "--split", "test"])
    assert done.exit_code == 0, done.output
    assert len(server.requests) == 30


def test_empty_split_is_left_out_with_a_notice(
    recipe: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe["source"]["split"] = "train[:5]+test[:0]"
    splits = load(recipe, cache_dir=str(tmp_path))
    assert {name: len(part) for name, part in splits.items()} == {"train": 5}
    assert "'test'" in caplog.text
    full, empty = Dataset.from_list(rows(3)), Dataset.from_list(rows(3)).select([])
    both = annotate(DatasetDict({"train": full, "test": empty}), recipe)
    assert both["test"].features == both["train"].features
    assert len(both["test"]) == 0
    with pytest.raises(DataError):
        annotate(DatasetDict({"train": empty, "test": empty}), recipe)


def test_recipe_takes_the_split_that_data_files_names(recipe: dict[str, Any], tmp_path: Path) -> None:
    path = str(saved(recipe, tmp_path))
    splits = load_dataset("hf_synthlabels", data_files={"test": path}, cache_dir=str(tmp_path))
    assert {name: len(part) for name, part in splits.items()} == {"test": 30}
    path = str(saved(with_split(recipe, "train[:5]"), tmp_path))
    renamed = load_dataset("hf_synthlabels", data_files={"dev": path}, cache_dir=str(tmp_path))
    assert {name: len(part) for name, part in renamed.items()} == {"dev": 5}
    assert renamed["dev"].info.builder_name == "hf_synthlabels"


def test_features_are_those_that_were_given(recipe: dict[str, Any], tmp_path: Path) -> None:
    made = load(with_split(recipe, "test"), cache_dir=str(tmp_path))["test"]
    wanted = Features({**made.features, "label": Value("string")})
    given = load(with_split(recipe, "test"), cache_dir=str(tmp_path), features=wanted)["test"]
    assert given.features == wanted
    assert given["label"][:] == [str(label) for label in made["label"]]
    with pytest.raises(DataError, match="features"):
        load(with_split(recipe, "test"), cache_dir=str(tmp_path), features=Features({"text": Value("string")}))


def test_shards_of_a_stream_are_kept(recipe: dict[str, Any], server: LabelServer, tmp_path: Path) -> None:
    for part in range(3):
        write(tmp_path / f"part{part}.jsonl", rows(4, start=4 * part))
    recipe["source"] = {"path": "json", "data_files": [str(tmp_path / f"part{part}.jsonl") for part in range(3)]}
    stream = streamed(recipe, tmp_path)
    assert stream.num_shards == 3
    second = list(stream.shard(num_shards=3, index=1))
    assert [row["text"].split()[0] for row in second] == ["4", "5", "6", "7"]
    assert len(server.requests) == 4
    again = annotate(Dataset.from_list(rows(12)).to_iterable_dataset(num_shards=4).with_format("numpy"), recipe)
    assert again.num_shards == 4
    assert [row["text"].split()[0] for row in again] == [str(n) for n in range(12)]


def test_dataset_keeps_its_split_and_format(recipe: dict[str, Any]) -> None:
    before = Dataset.from_list(rows(3)).with_format("numpy")
    before._split = "dev"
    after = annotate(before, recipe)
    assert after.split == "dev"
    assert after.format["type"] == "numpy"
    assert int(after[0]["llm_label"]) == 0
    assert annotate(before.with_transform(lambda batch: {"n": [len(text) for text in batch["text"]]}), recipe)[0] == {
        "n": 6
    }
    narrow = annotate(before.with_format("numpy", columns=["label"]), recipe)
    assert list(narrow[0]) == ["label"]
    assert "llm_label" in narrow.column_names


@pytest.mark.parametrize("kind", ["list", "dict", "pandas", "arrow"])
def test_rows_in_any_form_are_annotated(kind: str, recipe: dict[str, Any]) -> None:
    data = Dataset.from_list(rows(3))
    given = {"list": data.to_list, "dict": data.to_dict, "pandas": data.to_pandas, "arrow": lambda: data.data.table}
    assert annotate(given[kind](), recipe)["llm_label"][:] == [0, 1, 1]


@pytest.mark.parametrize("given", [None, 3, [], {}, [1, 2], {"text": ["a"], "label": [1, 2]}, object()])
def test_what_is_no_table_is_told_in_a_line(given: Any, recipe: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="`dataset`") as error:
        annotate(given, recipe)
    assert "\n" not in str(error.value)


def test_records_of_data_sets_together_are_all_there(recipe: dict[str, Any], tmp_path: Path) -> None:
    from datasets import concatenate_datasets

    other = recipe | {"name": "other", "output": {"column": "second"}}
    data = Dataset.from_list(rows(3))
    first, second = annotate(data, recipe), annotate(data, other)
    names = [column for column in second.column_names if column.startswith("second")]
    beside = concatenate_datasets([first, second.select_columns(names)], axis=1)
    assert [entry["column"] for entry in provenance(beside)] == ["llm_label", "second"]
    below = concatenate_datasets([first, annotate(Dataset.from_list(rows(3, start=9)), recipe)])
    assert [entry["tally"]["rows"] for entry in provenance(below)] == [3, 3]
    assert [entry["column"] for entry in provenance(annotate(beside, recipe | {"output": {"column": "third"}}))] == [
        "llm_label",
        "second",
        "third",
    ]
    # A recipe whose source is a recipe.
    path = saved(with_split(recipe, "test"), tmp_path)
    chained = other | {"source": {"path": "hf_synthlabels", "data_files": str(path)}}
    assert [entry["column"] for entry in provenance(load(chained, cache_dir=str(tmp_path)))] == ["llm_label", "second"]


def test_streams_carry_provenance(recipe: dict[str, Any], tmp_path: Path) -> None:
    for stream in (streamed(recipe, tmp_path), annotated(recipe, tmp_path)):
        (entry,) = provenance(stream)
        assert (entry["column"], entry["annotator"]["model"]) == ("llm_label", "m")


@pytest.mark.parametrize("change", ["rename", "remove", "select"])
def test_record_of_a_column_that_is_gone_is_left_out(
    change: str, recipe: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    made = annotate(Dataset.from_list(rows(3)), recipe)
    changed = {
        "rename": lambda: made.rename_column("llm_label", "x"),
        "remove": lambda: made.remove_columns("llm_label"),
        "select": lambda: made.select_columns(["text"]),
    }[change]()
    assert provenance(changed) == []
    assert "'llm_label'" in caplog.text
    assert hf_synthlabels.provenance(made.filter(lambda _: True)) == provenance(made)


def test_source_says_whose_it_is(recipe: dict[str, Any]) -> None:
    data = Dataset.from_list(rows(3))
    data.info.citation, data.info.license = "@misc{x}", "cc-by-4.0"
    stream = data.to_iterable_dataset()
    stream.info.citation, stream.info.license = "@misc{x}", "cc-by-4.0"
    for made in (annotate(data, recipe), annotate(stream, recipe)):
        assert (made.info.citation, made.info.license) == ("@misc{x}", "cc-by-4.0")


@pytest.mark.parametrize("names", [("ask-again", "ask"), ("ask-again2", "ask-again")])
def test_unfinished_tables_of_similar_names_are_kept_apart(
    names: tuple[str, str], recipe: dict[str, Any], server: LabelServer, tmp_path: Path, home: Path
) -> None:
    server.answer = lambda text: (400, "no") if text.startswith("0 ") else "film"
    for name in names:
        load(with_split(recipe | {"name": name}, "train[:3]"), cache_dir=str(tmp_path))
    assert len(list((home / "unfinished").iterdir())) == 2
    server.answer = lambda _: "film"
    for name in names:
        again = load(with_split(recipe | {"name": name}, "train[:3]"), cache_dir=str(tmp_path))
        assert again["train"]["llm_label"][:] == [0, 0, 0]


def test_limits_are_divided_among_processes(recipe: dict[str, Any], server: LabelServer, tmp_path: Path) -> None:
    annotator = ClientConfig.model_validate(recipe["annotator"] | {"max_in_flight": 7, "requests_per_minute": 240})
    parts = split_rate_limits(annotator, 3)
    assert sum(part.max_in_flight for part in parts) == 7
    assert sum(part.requests_per_minute or 0 for part in parts) == 240
    # Two requests at once in all: so many processes, however many were wanted.
    recipe["annotator"]["max_in_flight"] = 2
    made = load(with_split(recipe, "train"), cache_dir=str(tmp_path), num_proc=3)["train"]
    assert len(made) == len(set(server.requests)) == 900
    assert provenance(made)[0]["tally"]["rows"] == 900
    assert provenance(load(with_split(recipe, "train"), cache_dir=str(tmp_path / "other")))[0]["tally"]["rows"] == 900
