"""Jobs and their shards: fingerprints, row IDs, label files and results."""

from __future__ import annotations

import json
import pickle
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Features

from hf_synthlabels.annotation import Recipe, RunStats
from hf_synthlabels.annotation.compiler import compile_variable
from hf_synthlabels.engines.ray.job import Job, Shard, is_complete, job_fingerprint, prepare, row_ids
from hf_synthlabels.engines.ray.job_files import (
    ROW_ID,
    Folder,
    begin_result,
    finish_result,
    finished_rows,
    join_labels,
    label_stats,
    read_result,
)
from hf_synthlabels.engines.ray.remote_store import RemoteBudgetActor
from hf_synthlabels.engines.ray.worker import Assignment, LabelShards, failure, shard_item, unfinished_places
from hf_synthlabels.errors import DataError, MissingKeyError, RecipeError, StoreError
from hf_synthlabels.labels import STATUSES


def recipe(folder: Path, count: int = 10, **parts: dict[str, Any]) -> Recipe:
    rows = [{"id": f"r{number}", "text": f"text {number}"} for number in range(count)]
    content_of_rows, file = "\n".join(map(json.dumps, rows)) + "\n", folder / "rows.jsonl"
    if not file.exists() or file.read_text(encoding="utf-8") != content_of_rows:
        # A file that was written again counts as another.
        file.write_text(content_of_rows, encoding="utf-8")
    content: dict[str, Any] = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"], **parts.get("task", {})},
        "annotator": {"client": "openai", "model": "tiny", "api_key_env": None, **parts.get("annotator", {})},
        "engine": {"name": "ray", **parts.get("engine", {})},
    }
    return Recipe.from_dict(content, folder=folder)


def fingerprint(recipe: Recipe) -> str:
    return job_fingerprint(compile_variable(recipe))


@pytest.fixture
def output(tmp_path: Path) -> Folder:
    return Folder.at(str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        pytest.param("annotator", {"budget_usd": 3.0, "budget_tokens": 7}, id="budget"),
        pytest.param("annotator", {"max_in_flight": 2, "requests_per_minute": 9, "tokens_per_minute": 9}, id="limits"),
        pytest.param("annotator", {"max_retries": 1, "timeout_s": 3, "api_key_env": "OTHER"}, id="how it is sent"),
        pytest.param("engine", {"actors": 7, "rows_per_shard": 2, "address": "auto"}, id="machines"),
    ],
)
def test_keys_that_change_no_label_keep_the_job(tmp_path: Path, part: str, keys: dict[str, Any]) -> None:
    assert fingerprint(recipe(tmp_path, 10, **{part: keys})) == fingerprint(recipe(tmp_path))


@pytest.mark.parametrize(
    ("part", "keys"),
    [
        pytest.param("annotator", {"temperature": 0.5}, id="sampling"),
        pytest.param("annotator", {"model": "other"}, id="model"),
        pytest.param("task", {"instructions": "Which?"}, id="prompt"),
        pytest.param("task", {"labels": ["sport", "film"]}, id="order of the codes"),
        pytest.param("engine", {"id": "id"}, id="row ids"),
    ],
)
def test_keys_that_can_change_a_label_start_another_job(tmp_path: Path, part: str, keys: dict[str, Any]) -> None:
    assert fingerprint(recipe(tmp_path, 10, **{part: keys})) != fingerprint(recipe(tmp_path))


def test_another_source_is_another_job(tmp_path: Path) -> None:
    first = fingerprint(recipe(tmp_path))
    assert fingerprint(recipe(tmp_path, count=11)) != first


def test_the_source_is_split_into_shards_once(tmp_path: Path, output: Folder) -> None:
    plan = recipe(tmp_path, count=10, engine={"rows_per_shard": 4})
    job = prepare(compile_variable(plan), output, actors=2)
    assert [(shard.name, shard.first, shard.rows) for shard in job.shards] == [
        ("train-00000", 0, 4),
        ("train-00001", 4, 4),
        ("train-00002", 8, 2),
    ]
    texts = [text for shard in job.shards for text in job.source(shard).column("text").to_pylist()]
    assert texts == [f"text {number}" for number in range(10)]
    assert list(Features.from_arrow_schema(job.source(job.shards[0]).schema)) == ["id", "text"]
    # With the files gone the shards are still those that were cut.
    job.folder.remove("source")
    assert prepare(compile_variable(recipe(tmp_path, count=10, engine={"rows_per_shard": 3})), output, actors=5) == job


@pytest.mark.parametrize(
    ("rows", "actors", "at_once", "size"),
    [
        pytest.param(900, 1, 1, 250, id="not smaller than a few hundred"),
        # Four for each actor: 8000 / 16.
        pytest.param(8_000, 4, 1, 500, id="by the number of actors"),
        pytest.param(60_000, 2, 1, 5000, id="not larger than some thousand"),
        # 250 to the next multiple of 30.
        pytest.param(900, 1, 30, 270, id="whole calls"),
    ],
)
def test_the_size_of_a_shard(tmp_path: Path, output: Folder, rows: int, actors: int, at_once: int, size: int) -> None:
    job = prepare(
        compile_variable(recipe(tmp_path, count=rows, task={"rows_per_call": at_once})), output, actors=actors
    )
    assert job.shards[0].rows == size
    assert sum(shard.rows for shard in job.shards) == rows


def test_row_ids_are_places_or_the_values_of_a_column(tmp_path: Path, output: Folder) -> None:
    job = prepare(compile_variable(recipe(tmp_path, engine={"rows_per_shard": 4, "id": "id"})), output, actors=1)
    rows, shard = job.source(job.shards[1]), job.shards[1]
    assert row_ids(rows, shard, None) == ["4", "5", "6", "7"]
    assert row_ids(rows, shard, job.id_column) == ["r4", "r5", "r6", "r7"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([{"text": "a"}], "no column 'id'", id="none"),
        pytest.param(
            [{"text": "a", "id": 1}, {"text": "b", "id": 1}, {"text": "c", "id": None}],
            "1 distinct values for 3 rows",
            id="twice",
        ),
        pytest.param([{"text": "a", "id": [1]}], "lists", id="lists"),
    ],
)
def test_row_ids_must_be_unique(tmp_path: Path, output: Folder, rows: list[dict[str, Any]], message: str) -> None:
    plan = recipe(tmp_path, engine={"id": "id"})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        prepare(compile_variable(plan), output, actors=1)
    # Nothing is left that a later call could take for a job.
    assert output.read_json(f"_work/{fingerprint(plan)}/manifest.json") is None


def test_an_existing_label_column_is_an_error_before_any_request(tmp_path: Path, output: Folder) -> None:
    plan = recipe(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "llm_label": "b"}\n', encoding="utf-8")
    with pytest.raises(RecipeError, match="would overwrite the source's column 'llm_label'"):
        prepare(compile_variable(plan), output, actors=1)


def labels(**statuses: str) -> pa.Table:
    """Labels of rows by id and status; the label's code is the number of the row in the call."""
    columns = {
        ROW_ID: list(statuses),
        "llm_label": list(range(len(statuses))),
        "llm_label_status": [STATUSES.index(status) for status in statuses.values()],
        "llm_label_note": [f"{status}!" for status in statuses.values()],
    }
    return pa.table(columns)


def test_parts_are_found_by_shard_in_their_order(output: Folder) -> None:
    shards = (Shard("train", 0, 0, 2), Shard("val.clean[:5]", 0, 0, 3))
    job = Job(output, "films-1", shards)
    assert job.parts() == {"train-00000": [], "val.clean_5-00000": []}
    first = job.write_labels(shards[1], labels(a="labelled", b="failed", c="over_budget"), {}, earlier=0)
    second = job.write_labels(shards[1], labels(b="labelled", c="unparsed"), {}, earlier=1)
    assert job.parts() == {"train-00000": [], "val.clean_5-00000": [first, second]}
    assert [is_complete(names) for names in ([], [first], [first, second])] == [False, False, True]
    assert [part.column(ROW_ID).to_pylist() for part in job.labels([first, second])] == [["a", "b", "c"], ["b", "c"]]


def test_unfinished_rows_are_sent_again() -> None:
    first = labels(a="labelled", b="failed", c="over_budget", d="unparsed")
    assert finished_rows([first], "llm_label") == {"a", "d"}
    assert finished_rows([first, labels(c="refused")], "llm_label") == {"a", "c", "d"}


def test_rows_that_share_a_request_are_sent_together_again() -> None:
    rows = ["a", "b", "c", "d", "e"]
    every = [True] * 5
    assert unfinished_places(rows, {"a", "d", "e"}, every, 1) == [1, 2]
    # Calls of two: ab, cd, e.
    assert unfinished_places(rows, {"a", "c", "d", "e"}, every, 2) == [0, 1]
    assert unfinished_places(rows, {"a", "b", "c", "d"}, every, 2) == [4]
    assert unfinished_places(rows, set(), every, 2) == [0, 1, 2, 3, 4]
    # Without a text in b: ac, de. It is finished when it was looked at once.
    without = [True, False, True, True, True]
    assert unfinished_places(rows, {"b", "c", "d", "e"}, without, 2) == [0, 2]
    assert unfinished_places(rows, {"a", "c", "d", "e"}, without, 2) == [1]
    assert unfinished_places(rows, set(rows), without, 2) == []


def test_shards_end_between_two_calls(tmp_path: Path, output: Folder) -> None:
    plan = recipe(tmp_path, task={"rows_per_call": 2}, engine={"rows_per_shard": 3})
    texts = ["", "a", "b", "", "c", "d", "", "e", "f", "g"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    job = prepare(compile_variable(plan), output, actors=1)
    # Two calls of two each are the next above three rows: abcd, and what is left.
    assert [job.source(shard).column("text").to_pylist() for shard in job.shards] == [texts[:6], texts[6:]]
    assert [(shard.first, shard.rows) for shard in job.shards] == [(0, 6), (6, 4)]


def test_labels_are_joined_in_the_order_of_the_source() -> None:
    parts = [
        labels(c="labelled", a="failed", b="over_budget"),
        labels(a="labelled", b="failed"),
        # Two actors labelled the same row; the finished one counts.
        labels(a="failed"),
    ]
    result = join_labels(["a", "b", "c"], parts, "llm_label")
    assert result.column_names == ["llm_label", "llm_label_status", "llm_label_note"]
    assert result.column("llm_label").to_pylist() == [0, 1, 0]
    assert result.column("llm_label_note").to_pylist() == ["labelled!", "failed!", "labelled!"]
    with pytest.raises(StoreError, match="'d'"):
        join_labels(["a", "d"], parts, "llm_label")


def test_a_row_with_two_attempts_counts_once(output: Folder) -> None:
    shard = Shard("train", 0, 0, 2)
    job = Job(output, "films-1", (shard,))
    took = RunStats(rows=2, statuses=Counter(labelled=1, failed=1), requests=2, prompt_tokens=20, failures=Counter(x=1))
    names = [
        job.write_labels(shard, labels(a="labelled", b="failed"), took.to_dict(), earlier=0),
        job.write_labels(shard, labels(b="failed"), RunStats(rows=1, requests=1, prompt_tokens=9).to_dict(), earlier=1),
    ]
    parts = job.labels(names)
    tally = label_stats(join_labels(["a", "b"], parts, "llm_label"), parts, "llm_label")
    assert (tally.rows, tally.requests, tally.prompt_tokens) == (2, 3, 29)
    assert tally.statuses == {"labelled": 1, "failed": 1}
    assert tally.failures == {"failed!": 1}


@pytest.mark.parametrize(
    ("selection", "shown"),
    [
        pytest.param(None, 3, id="all examples"),
        pytest.param({"method": "random", "count": 2, "seed": 5}, 2, id="some of them"),
    ],
)
def test_a_portable_recipe_has_the_same_prompt(tmp_path: Path, selection: dict[str, Any] | None, shown: int) -> None:
    guide, examples = tmp_path / "guide.md", tmp_path / "shown.jsonl"
    guide.write_text("Games are sport.\n", encoding="utf-8")
    lines = [json.dumps({"text": f"goal {number}", "label": "sport"}) for number in range(3)]
    examples.write_text("\n".join(lines), encoding="utf-8")
    plan = recipe(
        tmp_path,
        task={"guidelines": "Be brief.", "guidelines_file": "guide.md"},
        annotator={"examples": "shown.jsonl", "example_selection": selection},
    )
    job = compile_variable(plan)
    here = job.prompt()
    shipped = pickle.loads(pickle.dumps(job))
    guide.unlink()
    examples.unlink()
    there = shipped.prompt()
    assert there.fingerprint() == here.fingerprint()
    assert len(there.examples) == shown
    assert shipped.client.max_answer_tokens == plan.annotator.client.max_answer_tokens


def test_paths_of_a_portable_recipe_are_absolute(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    local = recipe(tmp_path, annotator={"client": "embedding", "model": "model"})
    assert compile_variable(local).client.model == str(tmp_path / "model")
    recorded = recipe(tmp_path, annotator={"client": "recorded", "model": None, "file": "said.jsonl", "key": "id"})
    assert compile_variable(recorded).client.file == str(tmp_path / "said.jsonl")


def test_batches_are_for_one_machine(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"`annotator\.batch` is answered within a day, for which one machine can wait"
    ):
        recipe(tmp_path, annotator={"batch": True})


def test_errors_of_a_worker_name_its_machine(output: Folder) -> None:
    job, host = Job(output, "films-1", ()), socket.gethostname()
    missing = failure(MissingKeyError("`KEY` is not set."), job)
    assert missing["error"] == "MissingKeyError"
    assert missing["message"].startswith("`KEY` is not set. It is missing on machine " + repr(host))
    unseen = failure(FileNotFoundError(2, "No such file", "/x"), job)
    assert unseen["error"] == "StoreError"
    assert unseen["message"].startswith(f"`output` {str(output)!r} cannot be read or written on machine {host!r}")
    assert failure(DataError("no rows"), job) == {"error": "DataError", "message": "no rows"}


def test_a_machine_with_another_version_is_an_error(output: Folder, tmp_path: Path) -> None:
    work = LabelShards(
        Assignment(Job(output, "films-1", ()), compile_variable(recipe(tmp_path)), version="0.0.7"),
        RemoteBudgetActor(None),
    )
    outcome = work(shard_item(Shard("train", 0, 0, 1), []))
    assert outcome["error"] == "ClientError"
    assert "0.0.7" in outcome["message"]


def test_a_result_is_complete_or_missing(output: Folder) -> None:
    data = output.folder("data")
    begin_result(output, "films-1", ["train-00000-of-00001.parquet"])
    assert read_result(output, "films-1") is None
    data.write("train-00000-of-00001.parquet", b"1")
    assert read_result(output, "films-1") is None
    result = finish_result(output, "films-1", {"train": (["train-00000-of-00001.parquet"], {"recipe": "films"})}, 0)
    assert result[0].files == (f"{data}/train-00000-of-00001.parquet",)
    assert read_result(output, "films-1") == result
    assert read_result(output, "films-2") is None
    data.remove("train-00000-of-00001.parquet")
    assert read_result(output, "films-1") is None


def test_a_result_with_unfinished_rows_is_not_final(output: Folder) -> None:
    output.folder("data").write("a.parquet", b"1")
    finish_result(output, "films-1", {"train": (["a.parquet"], {})}, 3)
    assert read_result(output, "films-1") is None


def test_files_of_an_earlier_job_are_deleted_and_foreign_files_are_kept(output: Folder) -> None:
    data = output.folder("data")
    begin_result(output, "films-1", ["a.parquet", "b.parquet"])
    data.write("a.parquet", b"1")
    data.write("b.parquet", b"1")
    # The first job was killed; the second has one file.
    begin_result(output, "films-2", ["a.parquet"])
    data.write("a.parquet", b"2")
    finish_result(output, "films-2", {"train": (["a.parquet"], {})}, 0)
    assert data.names() == ["a.parquet"]
    data.write("mine.parquet", b"3")
    with pytest.raises(DataError, match=r"data/mine\.parquet"):
        begin_result(output, "films-3", ["a.parquet"])
    assert data.read("mine.parquet") == b"3"
