"""The builder: nothing is asked twice, whatever happens between two loads; and no secret is written."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, load_dataset

from hf_synthlabels.annotation import Recipe, load, provenance, read_recipe
from hf_synthlabels.errors import AllFailedError, DataError, MissingKeyError, RecipeError
from hf_synthlabels.labels import STATUSES
from tests.servers.chat import LabelServer

ROOT = Path(__file__).resolve().parents[2]


def right(text: str) -> str:
    return "film" if "film" in text else "sport"


def texts(count: int) -> list[str]:
    return [f"{number} film" if number % 3 == 0 else f"{number} match" for number in range(count)]


def codes(count: int) -> list[int]:
    return [0 if number % 3 == 0 else 1 for number in range(count)]


def write_rows(path: Path, found: list[str]) -> None:
    path.write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(found)))


class Case:
    """A recipe with rows of its own, in a folder of its own."""

    def __init__(self, folder: Path, server: LabelServer) -> None:
        self.folder = folder
        self.server = server
        self.path = folder / "recipe.yaml"
        self.rows = folder / "rows.jsonl"
        self.cache = str(folder / "cache")
        self.content: dict[str, Any] = {
            "name": "films",
            "source": {"path": "json", "data_files": "rows.jsonl"},
            "task": {
                "kind": "text-classification",
                "instructions": "What is it about?",
                "labels": {"film": "moving pictures", "sport": "games"},
            },
            "annotator": {
                "client": "openai",
                "model": "tiny",
                "base_url": server.base_url,
                "api_key_env": None,
                "max_in_flight": 4,
            },
        }
        write_rows(self.rows, texts(12))

    def write(self) -> str:
        self.path.write_text(json.dumps(self.content))
        return str(self.path)

    def load(self, **arguments: Any) -> Any:
        """The data set, with the number of requests that it took."""
        return load(self.write(), **({"cache_dir": self.cache} | arguments))

    def asked(self) -> list[str]:
        """What was asked since the last call."""
        found, self.server.requests = self.server.requests, []
        return sorted(found)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with LabelServer(right) as server:
        yield Case(tmp_path, server)


def statuses(rows: Any) -> list[str]:
    return [STATUSES[code] for code in rows["llm_label_status"]]


@pytest.mark.parametrize("spelling", ["load_dataset", "path", "mapping", "splits"])
def test_a_recipe_is_parsed_once(case: Case, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    parsed: list[Any] = []
    parse = Recipe.from_dict.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Recipe], /, content: Any, **options: Any) -> Recipe:
        parsed.append(content)
        return parse(cls, content, **options)  # type: ignore[no-any-return]

    path = case.write()
    monkeypatch.chdir(case.folder)
    monkeypatch.setattr(Recipe, "from_dict", classmethod(counted))
    match spelling:
        case "load_dataset":
            found = load_dataset("hf_synthlabels", data_files=path, cache_dir=case.cache)["train"]
        case "splits":
            found = load(path, split=["train[:6]", "train[6:]"], cache_dir=case.cache)[1]
        case _:
            found = load(path if spelling == "path" else case.content, cache_dir=case.cache)["train"]
    assert len(found) in (6, 12)
    assert len(parsed) == 1


def test_load_dataset_by_name_gives_the_labelled_rows(case: Case) -> None:
    splits = load_dataset("hf_synthlabels", data_files=case.write(), cache_dir=case.cache)
    assert list(splits) == ["train"]
    rows = splits["train"]
    assert rows["text"] == texts(12)
    assert rows["id"] == list(range(12))
    assert rows["llm_label"] == codes(12)
    assert rows.features["llm_label"] == ClassLabel(names=["film", "sport"])
    assert statuses(rows) == ["labelled"] * 12
    assert rows["llm_label_raw"][:2] == ["film", "sport"]
    assert rows["llm_label_note"] == [None] * 12
    assert case.asked() == sorted(texts(12))


def test_second_load_asks_nothing_and_has_the_same_file(case: Case) -> None:
    first = case.load(split="train")
    case.asked()
    second = case.load(split="train")
    assert case.asked() == []
    assert second.cache_files == first.cache_files
    assert second.to_list() == first.to_list()


def test_table_is_made_from_the_store_when_the_cache_is_gone(case: Case) -> None:
    first = case.load(split="train")
    case.asked()
    again = case.load(split="train", cache_dir=str(case.folder / "other"))
    assert case.asked() == []
    assert again.to_list() == first.to_list()
    assert provenance(again)[0]["tally"]["stored"] == 12


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("instructions", "What is it on?"),
        ("labels", {"film": "motion pictures", "sport": "games"}),
        ("guidelines", "A film of a match is film."),
    ],
)
def test_changed_task_is_asked_anew(case: Case, key: str, value: Any) -> None:
    first = case.load(split="train")
    case.asked()
    case.content["task"][key] = value
    second = case.load(split="train")
    assert len(case.asked()) == 12
    assert second.cache_files != first.cache_files


def test_turned_labels_under_a_system_prompt_of_ones_own_have_their_own_codes(case: Case) -> None:
    case.content["annotator"]["system"] = "film or sport?"
    case.load()
    case.content["task"]["labels"] = {"sport": "games", "film": "moving pictures"}
    turned = case.load(split="train")
    assert turned.features["llm_label"].names == ["sport", "film"]
    assert turned["llm_label"] == [1 - code for code in codes(12)]


def test_changed_speed_asks_nothing(case: Case) -> None:
    case.load()
    case.asked()
    case.content["annotator"] |= {"max_in_flight": 2, "timeout_s": 60}
    case.load()
    assert case.asked() == []


def test_appended_row_is_one_more_request(case: Case) -> None:
    case.load()
    case.asked()
    write_rows(case.rows, texts(13))
    rows = case.load(split="train")
    assert case.asked() == ["12 film"]
    assert rows["llm_label"] == codes(13)


def test_failed_row_is_asked_again_until_it_is_answered(case: Case) -> None:
    case.server.answer = lambda text: (400, "too long") if text == "4 match" else right(text)
    first = case.load(split="train")
    assert statuses(first) == ["labelled"] * 4 + ["failed"] + ["labelled"] * 7
    assert first[4]["llm_label"] is None
    assert first[4]["llm_label_note"] == "too long (HTTP 400)"
    assert len(case.asked()) == 12

    second = case.load(split="train")
    assert case.asked() == ["4 match"]
    assert statuses(second) == statuses(first)

    case.server.answer = right
    third = case.load(split="train")
    assert case.asked() == ["4 match"]
    assert third["llm_label"] == codes(12)

    fourth = case.load(split="train")
    assert case.asked() == []
    assert fourth.cache_files == third.cache_files


def test_provenance_of_a_loaded_table(case: Case) -> None:
    case.content["annotator"]["price"] = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 10.0}
    (entry,) = provenance(case.load())
    assert entry["column"] == "llm_label"
    assert entry["recipe"] == "films"
    assert entry["returned_models"] == ["tiny-2"]
    assert entry["tally"]["requests"] == 12
    assert entry["tally"]["statuses"] == {"labelled": 12}
    # 12 answers of 10 tokens in and 1 out.
    assert entry["cost_usd"] == pytest.approx((120 * 1 + 12 * 10) / 1e6)


def test_stream_gives_the_same_rows(case: Case) -> None:
    table = case.load(split="train")
    stream = case.load(split="train", streaming=True)
    assert isinstance(stream, datasets.IterableDataset)
    assert list(stream) == table.to_list()
    assert len(case.asked()) == 12


def test_stream_alone_asks_as_it_is_read(case: Case) -> None:
    stream = case.load(split="train", streaming=True)
    assert case.asked() == []
    assert [row["llm_label"] for row in stream] == codes(12)
    assert len(case.asked()) == 12


def test_several_splits(case: Case) -> None:
    write_rows(case.folder / "more.jsonl", ["a film", "a match"])
    case.content["source"]["data_files"] = {"train": "rows.jsonl", "test": ["more.jsonl"]}
    splits = case.load()
    assert sorted(splits) == ["test", "train"]
    assert splits["train"]["llm_label"] == codes(12)
    assert splits["test"]["llm_label"] == [0, 1]
    assert len(case.asked()) == 14
    assert provenance(splits)[0]["tally"]["rows"] == 14


def test_one_split_of_the_source(case: Case) -> None:
    write_rows(case.folder / "more.jsonl", ["a film", "a match"])
    case.content["source"] |= {"data_files": {"train": "rows.jsonl", "test": "more.jsonl"}, "split": "test"}
    splits = case.load()
    assert list(splits) == ["test"]
    assert case.asked() == ["a film", "a match"]


def test_two_processes_give_what_one_gives(case: Case) -> None:
    write_rows(case.rows, texts(600))
    two = case.load(split="train", num_proc=2)
    assert case.asked() == sorted(texts(600))
    one = case.load(split="train", cache_dir=str(case.folder / "other"))
    assert case.asked() == []
    assert two.to_list() == one.to_list()
    assert one["llm_label"] == codes(600)
    assert provenance(two)[0]["tally"]["requests"] == 600


def test_rows_of_two_files_stay_in_order(case: Case) -> None:
    write_rows(case.folder / "more.jsonl", ["a film", "a match"])
    case.content["source"]["data_files"] = ["rows.jsonl", "more.jsonl"]
    rows = case.load(split="train")
    assert rows["text"] == [*texts(12), "a film", "a match"]
    assert rows["llm_label"] == [*codes(12), 0, 1]


def test_recipe_object_and_mapping_load_too(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = read_recipe(case.write())
    assert load(recipe, cache_dir=case.cache)["train"]["llm_label"] == codes(12)
    monkeypatch.chdir(case.folder)
    assert load(case.content, cache_dir=case.cache)["train"]["llm_label"] == codes(12)
    # The rows are the same file, so the answers are the stored ones.
    assert len(case.asked()) == 12


def test_recipe_object_keeps_every_null(case: Case) -> None:
    """No key, no temperature, no definition."""
    case.content["task"]["labels"] = {"film": "moving pictures", "sport": None}
    case.content["annotator"] |= {"temperature": None, "max_tokens": None}
    rows = load(read_recipe(case.write()), cache_dir=case.cache, split="train")
    assert rows.features["llm_label"].names == ["film", "sport"]
    assert {"temperature", "max_tokens"}.isdisjoint(case.server.bodies[0])
    assert case.server.keys == {None}
    case.asked()
    case.load()
    assert case.asked() == []


def test_missing_key_is_told_as_it_is(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    case.content["annotator"]["api_key_env"] = "NO_SUCH_KEY"
    with pytest.raises(MissingKeyError, match="`api_key_env` names 'NO_SUCH_KEY'"):
        case.load()
    assert case.asked() == []


def test_missing_key_is_told_by_two_processes_too(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    write_rows(case.rows, texts(600))
    case.content["annotator"]["api_key_env"] = "NO_SUCH_KEY"
    with pytest.raises(MissingKeyError, match="NO_SUCH_KEY"):
        case.load(num_proc=2)


def test_refused_key_stops_the_run_and_the_next_run_goes_on(case: Case) -> None:
    write_rows(case.rows, texts(400))
    case.server.answer = lambda _: (401, "wrong key")
    with pytest.raises(AllFailedError, match=r"wrong key \(HTTP 401\)"):
        case.load()
    # The answers on the way when it stops, and those that wait to be read: four for each request in flight.
    assert len(case.asked()) <= 20 + 4 + 4 * 4 + 4
    case.server.answer = right
    assert case.load(split="train")["llm_label"] == codes(400)


@pytest.mark.parametrize("content", ["", '{"text": "a film"}\n'])
def test_source_without_the_column_or_without_rows(case: Case, content: str) -> None:
    case.content["task"]["text"] = "texts"
    case.rows.write_text(content)
    with pytest.raises((DataError, RecipeError)) as caught:
        case.load()
    assert "\n" not in str(caught.value)
    if content:
        assert str(caught.value).startswith(
            "`task.text` names the column 'texts', which is not in split 'train'. Did you mean 'text'?"
        )


def test_source_that_is_not_there(case: Case) -> None:
    case.content["source"]["data_files"] = "none.jsonl"
    with pytest.raises(RecipeError) as caught:
        case.load()
    message = str(caught.value)
    assert message.startswith("`source` 'json' with data_files 'none.jsonl' cannot be loaded: ")
    assert "\n" not in message


def test_output_column_that_is_taken(case: Case) -> None:
    case.content["output"] = {"column": "text"}
    with pytest.raises(RecipeError, match=r"`output\.column` 'text' would overwrite the source's column 'text'"):
        case.load()
    assert case.asked() == []


@pytest.mark.parametrize("fails", [False, True])
def test_no_file_holds_the_key(case: Case, home: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    secret = "sk-very-secret"
    monkeypatch.setenv("SOME_KEY", secret)
    case.content["annotator"]["api_key_env"] = "SOME_KEY"
    if fails:
        # A server that quotes what it was sent.
        case.server.answer = lambda text: (400, f"Bearer {secret} may not") if text == "4 match" else right(text)
    splits = case.load()
    assert case.server.keys == {f"Bearer {secret}"}
    assert secret not in json.dumps(provenance(splits))
    splits.save_to_disk(str(case.folder / "saved"))
    found = [file for file in itertools.chain(home.rglob("*"), case.folder.rglob("*")) if file.is_file()]
    assert {file.suffix for file in found} >= {".arrow", ".sqlite", ".json", ".yaml"}
    assert [file for file in found if secret.encode() in file.read_bytes()] == []


CHILD = """
import sys
from hf_synthlabels.annotation import load

if __name__ == "__main__":
    load(sys.argv[1], cache_dir=sys.argv[2])
"""


def test_killed_run_is_taken_up_where_it_was(tmp_path: Path, home: Path) -> None:
    with LabelServer(right, latency_s=0.02) as server:
        case = Case(tmp_path, server)
        case.content["annotator"]["max_in_flight"] = 8
        write_rows(case.rows, texts(300))
        script = tmp_path / "child.py"
        script.write_text(textwrap.dedent(CHILD))
        child = subprocess.Popen(
            [sys.executable, str(script), case.write(), case.cache],
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_SYNTHLABELS_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while len(server.requests) < 150 and child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert child.returncode == -signal.SIGKILL
        assert 150 <= len(server.requests) < 300
        rows = case.load(split="train")
        # Lost at most: what was on the way, and what had come since the last commit.
        assert len(server.requests) <= 300 + 8 + 100
        assert set(server.requests) == set(texts(300))
        assert rows["llm_label"] == codes(300)
        assert provenance(rows)[0]["tally"]["stored"] > 0
