"""Recorded answers: replaying the labels of an earlier run, rows without an answer, and answers that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from hf_synthlabels.annotation import annotate, load
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import STATUSES
from hf_synthlabels.tables import read_table, write_table

PASSAGE = "Ann Lee met Bo in Oslo, and later Ann Lee left Oslo for Rome."
ANSWERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "text-classification": ({"labels": ["film", "sport"], "abstain": True}, ["film", "sport", "abstain", "music"]),
    "text-pair": ({"labels": ["same", "other"], "text": ["text", "other"]}, ["same", "other", "other", "what?"]),
    "multi-label": ({"labels": ["film", "sport", "place"]}, ["film, place", "none", "sport", "music"]),
    "text-scale": ({"scale": {"low": 0, "high": 10, "step": None}}, ["3", "0.00002", "10", "eleven"]),
    "token-classification": (
        {"labels": ["person", "place"]},
        [
            '[{"text": "Ann Lee", "label": "person", "start": 34}, {"text": "Oslo", "label": "place"}]',
            "none",
            "Rome: place",
            "Paris: place",
        ],
    ),
    "question-answering": (
        {"context": "text", "question": "other"},
        ["Bo", '{"text": "Oslo", "start": 47}', "Ann Lee", "Paris"],
    ),
    "text-generation": ({}, ['{"label": "\\"Quoted.\\""}', '{"label": "Answer: 4"}', "Two\nlines", " "]),
}


def recipe(kind: str, column: str, keys: dict[str, Any], output: str = "llm_label", **annotator: Any) -> dict[str, Any]:
    text = {} if kind == "question-answering" or "text" in keys else {"text": "text"}
    return {
        "name": "replayed",
        "source": {"path": "json"},
        "task": {"kind": kind, **text, **keys},
        "annotator": {"client": "recorded", "column": column, **annotator},
        "output": {"column": output},
    }


def test_replaying_our_own_label_column_gives_the_same_labels(subtests: pytest.Subtests, tmp_path: Path) -> None:
    suffixs: list[str | None] = [None, ".parquet", ".jsonl", ".csv"]
    for kind in ANSWERS:
        for suffix in suffixs:
            with subtests.test(repr((suffix, kind))):
                keys, answers = ANSWERS[kind]
                rows = Dataset.from_dict({"text": [PASSAGE] * 4, "other": ["Who left?"] * 4, "said": answers})
                first = annotate(rows, recipe(kind, "said", keys))
                again = first
                if suffix is not None:
                    (path,) = write_table(DatasetDict({"train": first}), tmp_path / f"first{suffix}")
                    again = read_table(path)["train"]
                second = annotate(again, recipe(kind, "llm_label", keys, output="again"))
                assert second["again"][:] == first["llm_label"][:]
                assert second["again_status"][:] == first["llm_label_status"][:]
                assert STATUSES[first["llm_label_status"][3]] == "unparsed"
                assert any(label not in (None, []) for label in first["llm_label"][:3])


@pytest.mark.parametrize(
    ("kind", "labels", "expected"),
    [
        ("multi-label", [["film", "sport"], ["film"], []], [[0, 1], [0], []]),
        (
            "token-classification",
            [[{"text": "Oslo", "label": "sport"}, {"text": "Bo", "label": "film"}], [], [["Rome", "film"]]],
            [[("Bo", 0), ("Oslo", 1)], [], [("Rome", 0)]],
        ),
    ],
)
def test_a_recorded_list_is_one_answer_where_a_label_is_a_list(kind: str, labels: Any, expected: Any) -> None:
    said = [json.dumps(label) for label in labels] if kind == "token-classification" else labels
    rows = Dataset.from_dict({"text": [PASSAGE] * 3, "said": said})
    found = annotate(rows, recipe(kind, "said", {"labels": ["film", "sport"]}))["llm_label"][:]
    if kind == "token-classification":
        found = [[(entity["text"], entity["label"]) for entity in entities] for entities in found]
    assert found == expected


def test_several_draws_of_lists() -> None:
    rows = Dataset.from_dict({"text": ["a"], "said": [[["film"], ["film", "sport"], ["film"]]]})
    found = annotate(rows, recipe("multi-label", "said", {"labels": ["film", "sport"]}, num_samples=3))
    assert found["llm_label"][:] == [[0]]
    assert found["llm_label_confidence"][:] == [pytest.approx(2 / 3)]


@pytest.mark.parametrize("kind", ["text-classification", "multi-label"])
def test_more_recorded_answers_than_draws_are_refused(kind: str) -> None:
    num_samples = {"text-classification": 1, "multi-label": 2}[kind]
    values = [["film", "film"], ["film", "sport", "film"]][num_samples - 1]
    rows = Dataset.from_dict({"text": ["a"], "said": [values]})
    with pytest.raises(DataError, match=rf"column 'said' has {num_samples + 1} answers, .* needs {num_samples}\."):
        annotate(rows, recipe(kind, "said", {"labels": ["film", "sport"]}, num_samples=num_samples))


def test_rows_without_a_recorded_answer_were_not_asked() -> None:
    rows = Dataset.from_dict({"text": ["a", "b", "", "d"], "said": ["film", None, "film", ""]})
    found = annotate(rows, recipe("text-classification", "said", {"labels": ["film", "sport"]}))
    statuses = [STATUSES[code] for code in found["llm_label_status"][:]]
    assert statuses == ["labelled", "skipped", "skipped", "unparsed"]


def test_a_whole_run_of_recorded_rows_begins_with_rows_that_were_not_asked() -> None:
    rows = Dataset.from_dict({"text": [str(n) for n in range(60)], "said": [None] * 59 + ["film"]})
    found = annotate(rows, recipe("text-classification", "said", {"labels": ["film", "sport"]}))
    assert found["llm_label"][:] == [None] * 59 + [0]


@pytest.mark.parametrize("value", [1.0, 2.0])
def test_a_float_of_a_data_frame_is_the_class_of_that_digit(value: float) -> None:
    rows = Dataset.from_dict({"text": ["a", "b"], "said": [value, None]})
    found = annotate(rows, recipe("text-classification", "said", {"labels": ["1", "2"]}))
    assert found["llm_label"][:] == [int(value) - 1, None]


def keyed(folder: Path, rows: dict[str, list[dict[str, Any]]]) -> Path:
    for name, records in rows.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "answers.jsonl").write_text('{"id": 1, "answer": "film"}\n{"id": 2, "answer": "sport"}\n')
    files = ", ".join(f"{name}: {name}.jsonl" for name in rows)
    path = folder / "recipe.yaml"
    path.write_text(
        f"name: keyed\nsource: {{path: json, data_files: {{{files}}}}}\n"
        "task: {kind: text-classification, labels: [film, sport]}\n"
        "annotator: {client: recorded, file: answers.jsonl, key: id}\n"
    )
    return path


def test_two_rows_that_differ_may_not_share_a_key(tmp_path: Path) -> None:
    same = [{"id": 1, "text": "a"}, {"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
    assert load(keyed(tmp_path, {"train": same}))["train"]["llm_label"][:] == [0, 0, 1]
    for rows in ({"train": [*same, {"id": 1, "text": "c"}]}, {"train": same, "test": [{"id": 2, "text": "other"}]}):
        with pytest.raises(DataError, match=r"`key`"):
            load(keyed(tmp_path, rows))
    again = Dataset.from_list([*same, {"id": 1, "text": "c"}])
    with pytest.raises(DataError, match=r"`key`"):
        annotate(again, tmp_path / "recipe.yaml")
