"""A run's answers are taken along, and the run is repeated without a server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hf_synthlabels.annotation import Recipe, annotate_to_files, export_answers, load
from hf_synthlabels.annotation.replay import stored_keys
from hf_synthlabels.clients import ResponseStore
from hf_synthlabels.clients.store.administration import remove_answers
from hf_synthlabels.clients.store.export_import import ImportResult, import_answers
from hf_synthlabels.errors import DataError, RecipeError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.resources import store_path
from tests.servers.chat import ChatServer, LabelServer, Reply
from tests.tiny_models import tiny_model

COLUMNS = ("llm_label", "llm_label_status", "llm_label_raw", "llm_label_confidence", "llm_label_note")

NUMBERED = re.compile(r"number (\d+)")


def recipe(
    folder: Path, base_url: str, count: int = 20, task: dict[str, Any] | None = None, **annotator: Any
) -> Recipe:
    rows = [{"id": 100 + number, "same": "x", "text": f"text number {number}"} for number in range(count)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    content = {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": "text-classification", "labels": ["film", "sport"], **(task or {})},
        "annotator": {"client": "openai", "model": "tiny", "base_url": base_url, "api_key_env": None, **annotator},
    }
    return Recipe.from_dict(content, folder=folder)


def replayed(made: Recipe, file: Path, **annotator: Any) -> Recipe:
    content = made.model_dump(mode="json")
    content["annotator"] = {
        "client": "recorded",
        "file": str(file),
        "num_samples": made.annotator.num_samples,
        **annotator,
    }
    content["task"]["rows_per_call"] = 1
    return Recipe.from_dict(content, folder=made.folder)


def answer(text: str) -> str:
    """Labels by the number in the text; every third is no label."""
    number = int(NUMBERED.findall(text)[-1])
    return "I do not know\u2028" if number % 3 == 0 else "film" if number % 2 else "Sport."


def several(text: str) -> str:
    """Labels several rows in one answer; of more than eight it forgets the last."""
    numbers = [int(number) for number in NUMBERED.findall(text)]
    if len(numbers) > 8:
        numbers = numbers[:-1]
    return "\n".join(f"{place}. {answer(f'number {number}')}" for place, number in enumerate(numbers, 1))


def test_an_exported_run_is_repeated_to_the_letter(subtests: pytest.Subtests, tmp_path: Path) -> None:
    num_sampless: list[int] = [1, 3]
    keys: list[str | None] = ["id", None]
    for key in keys:
        for num_samples in num_sampless:
            with subtests.test(repr((num_samples, key))):
                with LabelServer(answer) as server:
                    made = recipe(tmp_path, server.base_url, num_samples=num_samples, temperature=0.5)
                    labels = load(made)["train"]
                    asked = len(server.requests)
                    written = export_answers(made, tmp_path / "answers.jsonl", key)
                    assert len(server.requests) == asked
                assert (written.rows, written.incomplete, written.key) == (20, 0, key or "text")
                again = load(replayed(made, written.path, key=written.key))["train"]
                for column in COLUMNS:
                    assert again[column] == labels[column], column
                assert set(labels["llm_label"]) == {0, 1, None}


def test_the_annotator_that_repeats_a_run_is_said(tmp_path: Path) -> None:
    with LabelServer(answer) as server:
        made = recipe(tmp_path, server.base_url, num_samples=2, temperature=0.5)
        annotate_to_files(made, tmp_path / "out.jsonl")
    written = export_answers(made, tmp_path / "answers.jsonl", "id")
    assert written.annotator() == "{client: recorded, file: answers.jsonl, key: id, num_samples: 2}"


def test_a_line_has_what_the_server_said(tmp_path: Path) -> None:
    with LabelServer(answer) as server:
        made = recipe(tmp_path, server.base_url, count=2)
        annotate_to_files(made, tmp_path / "out.jsonl")
    export_answers(made, tmp_path / "answers.jsonl", "id")
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_bytes().splitlines()]
    assert [(line["id"], line["sample"], line["answer"]) for line in lines] == [
        (100, 0, "I do not know\u2028"),
        (101, 0, "film"),
    ]
    assert {line["model"] for line in lines} == {"tiny-2"}
    assert lines[0]["usage"] == {"prompt_tokens": 10, "completion_tokens": 1, "cached_tokens": 0}
    assert lines[0]["request"] in stored_keys_of(made)


def stored_keys_of(made: Recipe) -> list[str]:
    with ResponseStore(store_path()) as store:
        return stored_keys(made, store)


@pytest.mark.parametrize("num_samples", [1, 2])
def test_rows_that_were_asked_together_are_exported_one_by_one(tmp_path: Path, num_samples: int) -> None:
    with LabelServer(several) as server:
        # Calls of ten come back a row short, and are asked again in halves.
        made = recipe(
            tmp_path, server.base_url, count=24, task={"rows_per_call": 10}, num_samples=num_samples, temperature=0.5
        )
        labels = load(made)["train"]
    assert labels["llm_label"].count(None) == 8
    written = export_answers(made, tmp_path / "answers.jsonl", "id")
    assert (written.rows, written.incomplete) == (24, 0)
    again = load(replayed(made, written.path, key="id"))["train"]
    for column in COLUMNS:
        assert again[column] == labels[column], column
    # Two calls of ten, their four halves and one of four, for each draw.
    assert len(stored_keys_of(made)) == 7 * num_samples


def test_other_kinds_and_forms_are_repeated_too(tmp_path: Path) -> None:
    def find(text: str) -> str:
        return json.dumps({"label": [{"text": text.split()[1], "label": "thing"}]})

    with LabelServer(find) as server:
        task = {"kind": "token-classification", "labels": ["thing"]}
        made = recipe(tmp_path, server.base_url, task=task, response_format="json_schema")
        labels = load(made)["train"]
    written = export_answers(made, tmp_path / "answers.jsonl", "id")
    again = load(replayed(made, written.path, key="id"))["train"]
    assert again["llm_label"] == labels["llm_label"]
    assert all(labels["llm_label"])


def test_prompts_that_the_filter_rejected_are_refused_again(tmp_path: Path) -> None:
    rejected: Reply = (400, {}, b'{"error": {"code": "content_filter", "message": "no"}}')
    with ChatServer(lambda body: rejected if "0" in body["messages"][-1]["content"] else "film") as server:
        made = recipe(tmp_path, server.base_url, count=4)
        first = load(made)["train"]
        written = export_answers(made, tmp_path / "answers.jsonl", "id")
    again = load(replayed(made, written.path, key="id"))["train"]
    assert again["llm_label_status"] == first["llm_label_status"]
    assert STATUSES[first["llm_label_status"][0]] == "refused"


def test_what_a_model_in_this_process_answered_is_repeated_too(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    made = recipe(tmp_path, "http://127.0.0.1:9/v1", count=4)
    content = made.model_dump(mode="json")
    content["annotator"] = {"client": "transformers", "model": folder, "scoring": True}
    made = Recipe.from_dict(content, folder=tmp_path)
    annotate_to_files(made, tmp_path / "out.jsonl")
    written = export_answers(made, tmp_path / "answers.jsonl", "id")
    again = load(replayed(made, written.path, key="id"))["train"]
    names = again.features["llm_label"].names
    labels = [json.loads(line)["llm_label"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [None if code is None else names[code] for code in again["llm_label"]] == labels
    assert (written.rows, written.incomplete) == (4, 0)


def test_missing_draws_leave_their_place_empty(tmp_path: Path) -> None:
    with LabelServer(answer) as server:
        made = recipe(tmp_path, server.base_url, count=4, num_samples=3, temperature=0.5)
        annotate_to_files(made, tmp_path / "out.jsonl")
    with ResponseStore(store_path()) as store:
        whole = export_answers(made, tmp_path / "whole.jsonl", "id")
        requests = [json.loads(line)["request"] for line in whole.path.read_bytes().splitlines()]
        # Of the second row the first draw, of the third the last, of the fourth all.
        remove_answers(store, [requests[3], requests[8], *requests[9:]])
    written = export_answers(made, tmp_path / "answers.jsonl", "id")
    assert (written.rows, written.incomplete) == (1, 3)
    lines = [json.loads(line) for line in written.path.read_bytes().splitlines()]
    assert [(line["id"], line["sample"], line["answer"]) for line in lines[3:]] == [
        (101, 0, None),
        (101, 1, "film"),
        (101, 2, "film"),
        (102, 0, "Sport."),
        (102, 1, "Sport."),
    ]
    again = load(replayed(made, written.path, key="id"))["train"]
    names = again.features["llm_label"].names
    labels = [None if code is None else names[code] for code in again["llm_label"]]
    assert labels == [None, "film", "sport", None]
    # A draw without an answer is one that agrees with none, as in the run itself.
    assert again["llm_label_confidence"][1:3] == [pytest.approx(2 / 3)] * 2
    # Places without an answer are no answers to import.
    with ResponseStore(tmp_path / "new.sqlite") as store:
        assert import_answers(store, written.path) == ImportResult(7, 0, 0, 0)


def test_an_export_can_be_imported_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LabelServer(answer) as server:
        made = recipe(tmp_path, server.base_url)
        annotate_to_files(made, tmp_path / "out.jsonl")
        export_answers(made, tmp_path / "answers.jsonl", "id")
        monkeypatch.setenv("HF_SYNTHLABELS_HOME", str(tmp_path / "elsewhere"))
        with ResponseStore(store_path()) as store:
            assert import_answers(store, tmp_path / "answers.jsonl") == ImportResult(20, 0, 0, 0)
            assert import_answers(store, tmp_path / "answers.jsonl") == ImportResult(0, 20, 0, 0)
        asked = len(server.requests)
        annotate_to_files(made, tmp_path / "again.jsonl")
        assert len(server.requests) == asked
    assert (tmp_path / "again.jsonl").read_text() == (tmp_path / "out.jsonl").read_text()


def test_answers_of_a_recipe_can_be_asked_again(tmp_path: Path) -> None:
    with LabelServer(answer) as server:
        made, other = recipe(tmp_path, server.base_url), recipe(tmp_path, server.base_url, system="Say film.")
        annotate_to_files(made, tmp_path / "out.jsonl")
        annotate_to_files(other, tmp_path / "other.jsonl")
        with ResponseStore(store_path()) as store:
            remove_answers(store, stored_keys(made, store))
            assert len(store) == 20
        asked = len(server.requests)
        annotate_to_files(other, tmp_path / "other.jsonl")
        assert len(server.requests) == asked
        annotate_to_files(made, tmp_path / "out.jsonl")
        assert len(server.requests) == asked + 20


# What is refused


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "number",
            r"`key` names the column 'number', which is not in split 'train'\. Available columns: id, same, text\.",
        ),
        ("same", r"`key` 'same' has 'x' in two rows"),
        ("sample", r"`key` 'sample' is the name of a field of the file itself"),
    ],
)
def test_a_key_must_tell_rows_apart(tmp_path: Path, key: str, message: str) -> None:
    with LabelServer(answer) as server:
        made = recipe(tmp_path, server.base_url, count=3)
        annotate_to_files(made, tmp_path / "out.jsonl")
    with pytest.raises(DataError, match=message):
        export_answers(made, tmp_path / "answers.jsonl", key)
    assert not list(tmp_path.glob("answers*"))


def test_rows_that_are_alike_share_their_answer(tmp_path: Path) -> None:
    with LabelServer(answer) as server:
        made = recipe(tmp_path, server.base_url)
        rows = [{"text": f"text number {number % 2}"} for number in range(6)]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
        labels = load(made)["train"]
    written = export_answers(made, tmp_path / "answers.jsonl")
    assert written.rows == 6
    again = load(replayed(made, written.path, key="text"))["train"]
    assert again["llm_label"] == labels["llm_label"] == [None, 0] * 3


def test_without_a_key_there_must_be_one_text(tmp_path: Path) -> None:
    made = recipe(tmp_path, "http://127.0.0.1:9/v1", task={"text": ["text", "same"]})
    with pytest.raises(RecipeError, match="`--key` is missing: name the column"):
        export_answers(made, tmp_path / "answers.jsonl")


def test_recorded_answers_are_not_stored(tmp_path: Path) -> None:
    made = recipe(tmp_path, "http://127.0.0.1:9/v1")
    local = replayed(made, tmp_path / "none.jsonl", key="id")
    with pytest.raises(RecipeError, match=r"`annotator\.client` is 'recorded', whose answers are not stored"):
        export_answers(local, tmp_path / "answers.jsonl", "id")


def test_an_endpoint_that_was_never_probed_has_no_answers(tmp_path: Path) -> None:
    made = recipe(tmp_path, "http://127.0.0.1:9/v1", response_format="auto")
    with pytest.raises(RecipeError, match=r"`annotator\.response_format` is 'auto', and no probe of"):
        export_answers(made, tmp_path / "answers.jsonl", "id")
