"""Every kind of label, from rows over a server to columns: as a table, as a stream, in files, in several processes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, List, Value, load_dataset

from hf_synthlabels.annotation import Recipe, annotate, annotate_to_files, load, provenance
from hf_synthlabels.labels import STATUSES
from tests.servers.chat import LabelServer


@dataclass(frozen=True)
class Case:
    """A kind with its rows, what the server says to each, and the column that must come of it."""

    task: dict[str, Any]
    rows: list[dict[str, Any]]
    says: Callable[[str], Any]
    """The label in the answer, from the message that asks for it."""
    feature: Any
    column: list[Any]
    further: dict[str, list[Any]] = field(default_factory=dict)


def shouted(message: str) -> list[dict[str, str]]:
    """Words in capitals are places, words with a capital persons."""
    words = re.findall(r"\b[A-Z]\w+", message)
    return [{"text": word, "label": "place" if word.isupper() else "person"} for word in words]


NER_FEATURE = List(
    {
        "start": Value("int32"),
        "end": Value("int32"),
        "text": Value("string"),
        "label": ClassLabel(names=["person", "place"]),
    }
)

CASES = {
    "text-classification": Case(
        {"labels": ["film", "sport"]},
        [{"text": "a film"}, {"text": "a match"}, {"text": " "}],
        lambda message: "film" if "film" in message else "sport",
        ClassLabel(names=["film", "sport"]),
        [0, 1, None],
    ),
    "multi-label": Case(
        {"labels": ["film", "sport", "music"]},
        [{"text": "sport and film"}, {"text": "music"}, {"text": "weather"}],
        lambda message: re.findall("film|sport|music", message),
        List(ClassLabel(names=["film", "sport", "music"])),
        [[0, 1], [2], []],
    ),
    "text-pair": Case(
        {"text": ["one", "two"], "labels": ["same", "different"]},
        [{"one": "it rains", "two": "rain falls"}, {"one": "it rains", "two": "sun"}, {"one": "x", "two": ""}],
        lambda message: "same" if message.count("rain") == 2 else "different",
        ClassLabel(names=["same", "different"]),
        [0, 1, None],
    ),
    "text-scale": Case(
        {"scale": {"low": 1, "high": 5}},
        [{"text": "!!"}, {"text": "!!!!!"}, {"text": "!!!!!!!"}],
        lambda message: message.count("!"),
        Value("float64"),
        [2.0, 5.0, None],
    ),
    "token-classification": Case(
        {"tokens": "words", "labels": ["person", "place"]},
        [{"words": ["then", "Ann", "saw", "OSLO"]}, {"words": ["nothing"]}, {"words": []}],
        shouted,
        NER_FEATURE,
        [
            [
                {"start": 5, "end": 8, "text": "Ann", "label": 0},
                {"start": 13, "end": 17, "text": "OSLO", "label": 1},
            ],
            [],
            None,
        ],
        # O, B-person, I-person, B-place, I-place
        {"llm_label_tags": [[0, 1, 0, 3], [0], None]},
    ),
    "question-answering": Case(
        {"question": "asked", "context": "passage"},
        [
            {"passage": " Ann lives in Oslo.", "asked": "Where?"},
            {"passage": "Bob is away.", "asked": "Where?"},
            {"passage": "Cid", "asked": None},
        ],
        lambda message: "oslo" if "Oslo" in message else "in Rome",
        {"text": Value("string"), "start": Value("int32")},
        [{"text": "Oslo", "start": 14}, None, None],
    ),
    "text-generation": Case(
        {},
        [{"text": "Say hello."}, {"text": "{{ 7 * 7 }}"}, {"text": None}],
        lambda message: f"So be it: {len(message)}",
        Value("string"),
        ["So be it: 10", "So be it: 11", None],
    ),
}


@pytest.fixture(params=["text", "json_schema"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, Case]:
    return str(request.param), CASES[request.param]


def written(label: Any, form: str, kind: str) -> str:
    if form == "json_schema":
        return json.dumps({"label": label})
    if kind == "multi-label":
        return ", ".join(label) or "none"
    return json.dumps(label) if kind == "token-classification" else str(label)


@pytest.fixture
def made(case: tuple[str, Case], form: str, tmp_path: Path) -> Iterator[tuple[Recipe, Case, LabelServer]]:
    kind, parts = case
    lines = "\n".join(json.dumps({"id": number, **row}) for number, row in enumerate(parts.rows))
    (tmp_path / "rows.jsonl").write_text(lines + "\n", encoding="utf-8")
    with LabelServer(lambda message: written(parts.says(message), form, kind)) as server:
        recipe = Recipe.from_dict(
            {
                "name": "kinds",
                "source": {"path": "json", "data_files": "rows.jsonl"},
                "task": {"kind": kind, **parts.task},
                "annotator": {
                    "client": "openai",
                    "model": "tiny",
                    "base_url": server.base_url,
                    "api_key_env": None,
                    "response_format": form,
                },
            },
            folder=tmp_path,
        )
        yield recipe, parts, server


def check(rows: Any, parts: Case) -> None:
    assert rows.features["llm_label"] == parts.feature
    columns = {"llm_label": parts.column, **parts.further}
    found = list(rows)
    for name, expected in columns.items():
        assert [row[name] for row in found] == expected
    assert [row["id"] for row in found] == [0, 1, 2]
    labelled = STATUSES.index("labelled")
    assert [row["llm_label_status"] == labelled for row in found] == [value is not None for value in parts.column]


def test_from_the_source_as_table_stream_and_in_two_processes(
    made: tuple[Recipe, Case, LabelServer], tmp_path: Path
) -> None:
    recipe, parts, server = made
    check(load(recipe, split="train", cache_dir=str(tmp_path / "one")), parts)
    asked = len(server.requests)
    check(load(recipe, split="train", streaming=True), parts)
    check(load(recipe, split="train", cache_dir=str(tmp_path / "two"), num_proc=2), parts)
    # Whatever the way, it is the same request.
    assert len(server.requests) == asked
    assert all(("response_format" in body) == (recipe.annotator.response_format != "text") for body in server.bodies)


def test_rows_at_hand_as_table_stream_and_in_files(made: tuple[Recipe, Case, LabelServer], tmp_path: Path) -> None:
    recipe, parts, server = made
    rows = load_dataset("json", data_files=str(tmp_path / "rows.jsonl"), split="train", cache_dir=str(tmp_path / "c"))
    table = annotate(rows, recipe)
    check(table, parts)
    assert provenance(table)[0]["kind"] == recipe.task.kind
    asked = len(server.requests)
    check(annotate(rows.to_iterable_dataset(), recipe), parts)
    (file,) = annotate_to_files(recipe, tmp_path / "out.parquet")
    check(Dataset.from_parquet(str(file.path), cache_dir=str(tmp_path / "p")), parts)
    assert len(server.requests) == asked


# Strategies, from recipe to columns


def several(message: str) -> list[str]:
    return re.findall(r"<row \d+>\n(.*?)\n</row \d+>", message, re.S)


def one(message: str) -> str:
    return "film" if "film" in message else "sport"


STRATEGIES: dict[str, tuple[dict[str, Any], Callable[[str], str], Callable[[str], Any]]] = {
    "zero-shot": ({}, one, lambda message: {"label": one(message)}),
    "reasoning": (
        {"reasoning": True},
        lambda message: f"It is about that.\nlabel: {one(message)}",
        lambda message: {"reasoning": "It is about that.", "label": one(message)},
    ),
    "rows_per_call": (
        {"rows_per_call": 7},
        lambda message: "\n".join(f"{number}. {one(row)}" for number, row in enumerate(several(message), 1)),
        lambda message: {
            "answers": [{"row": number, "label": one(row)} for number, row in enumerate(several(message), 1)]
        },
    ),
    "questions": (
        {"questions": {"moving": {"ask": "Do pictures move?"}}},
        lambda message: f"moving: {'yes' if 'film' in message else 'no'}\nlabel: {one(message)}",
        lambda message: {"moving": "yes" if "film" in message else "no", "label": one(message)},
    ),
    "decide": (
        {
            "questions": {"moving": {"ask": "Do pictures move?"}},
            "decide": {"film": {"moving": "yes"}, "sport": {"moving": "no"}},
        },
        lambda message: f"moving: {'yes' if 'film' in message else 'no'}",
        lambda message: {"moving": "yes" if "film" in message else "no"},
    ),
    "candidates": (
        {"candidates": 2},
        lambda message: f"{one(message)}, {'sport' if 'film' in message else 'film'}",
        lambda message: {"candidates": [one(message), "sport" if "film" in message else "film"]},
    ),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_labels_the_same_rows(name: str, form: str, tmp_path: Path) -> None:
    task, in_text, in_json = STRATEGIES[name]
    texts = [f"{number} {'film' if number % 3 else 'match'}" if number % 8 else "" for number in range(50)]
    annotator = {"client": "openai", "model": "tiny", "api_key_env": None, "response_format": form}
    with LabelServer(lambda message: in_text(message) if form == "text" else json.dumps(in_json(message))) as server:
        recipe = {
            "name": "strategies",
            "source": {"path": "json"},
            "task": {"kind": "text-classification", "labels": ["film", "sport"], **task},
            "annotator": {**annotator, "base_url": server.base_url},
            "output": {"column": "llm", "probabilities": True},
        }
        found = annotate(Dataset.from_dict({"text": texts}), recipe)
    assert [found.features["llm"].names[code] if code is not None else None for code in found["llm"]] == [
        None if not text else "film" if "film" in text else "sport" for text in texts
    ]
    # 43 rows have a text; seven at a time make seven calls.
    assert len(server.requests) == (7 if name == "rows_per_call" else 43)
    (entry,) = provenance(found)
    assert (entry["tally"]["rows"], entry["tally"]["requests"]) == (50, len(server.requests))
    assert entry["tally"]["prompt_tokens"] == 10 * len(server.requests)
    assert set(entry["strategy"]) == set(task)
    assert found["llm_probs"][1] == ([0.5, 0.5] if name == "candidates" else None)
