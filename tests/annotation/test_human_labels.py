"""Human labels that the recipe does not list are reported before anything is asked."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_synthlabels.annotation import annotate, load
from hf_synthlabels.clients import ScriptedClient
from hf_synthlabels.errors import DataError

BY_COUNT = [*["film"] * 6, *["sport"] * 2, "sprt", "music"]


def recipe(kind: str = "text-classification", **task: Any) -> dict[str, Any]:
    labels = ["film", "sport"]
    return {
        "name": "films",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"kind": kind, "text": "text", "instructions": "?", "labels": labels, "human": "label", **task},
        "annotator": {"client": "recorded", "column": "answer"},
    }


def rows(labels: list[Any], feature: Any = None) -> Dataset:
    columns = {"text": [f"t{n}" for n in range(len(labels))], "answer": ["film"] * len(labels), "label": labels}
    features = Features({"text": Value("string"), "answer": Value("string"), "label": feature or Value("string")})
    return Dataset.from_dict(columns, features=features)


def entity(name: str) -> list[dict[str, Any]]:
    return [{"start": 0, "end": 1, "label": name}]


ENTITIES = List({"start": Value("int32"), "end": Value("int32"), "label": Value("string")})


def test_labels_outside_the_list_are_counted(subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture) -> None:
    cases: list[tuple[str, list[Any], Any]] = [
        ("text-classification", [*BY_COUNT, None, ""], None),
        ("text-classification", [0] * 8 + [1, 2], ClassLabel(names=["film", "sprt", "music"])),
        ("multi-label", [[], *([name] for name in BY_COUNT)], List(Value("string"))),
        ("multi-label", [[0]] * 8 + [[1], [2]], List(ClassLabel(names=["film", "sprt", "music"]))),
        ("token-classification", [[], *map(entity, BY_COUNT)], ENTITIES),
    ]
    for kind, labels, feature in cases:
        with subtests.test(repr((kind, labels, feature))):
            caplog.clear()
            if kind == "token-classification":
                done = Dataset.from_dict({"text": ["t"] * len(labels), "answer": ["[]"] * len(labels), "label": labels})
                done = done.cast_column("label", feature)
            else:
                done = rows(labels, feature)
            with caplog.at_level(logging.WARNING):
                annotate(done, recipe(kind))
            (line,) = [record.getMessage() for record in caplog.records if "task.human" in record.getMessage()]
            # Two of ten labels: one slip of the pen and one class that is not listed.
            assert "2 of 10 human labels" in line
            assert "'music' 1 times" in line
            assert "'sprt' 1 times (did you mean 'sport'?)" in line


def test_listed_labels_are_no_matter(subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture) -> None:
    cases: list[tuple[list[Any], Any]] = [
        (["film", "sport", None], None),
        ([1, 0, -1], ClassLabel(names=["sport", "film"])),
        ([1, 0, None], Value("int64")),
        ([1.0, 0.0, None], Value("float64")),
    ]
    for labels, feature in cases:
        with subtests.test(repr((labels, feature))):
            with caplog.at_level(logging.WARNING):
                annotate(rows(labels, feature), recipe())
            assert not caplog.records


def test_mostly_unknown_labels_end_the_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    rows(["pos"] * 3 + ["film"] * 2).to_json("rows.jsonl")
    with pytest.raises(DataError, match=r"`task.human`.*3 of 5.*'pos'"):
        load(recipe())
    client = ScriptedClient(lambda request: request.text)
    with pytest.raises(DataError, match=r"task\.human"):
        annotate(rows(["pos", "neg"]), recipe(), client=client)
    assert client.requests == []
    # Another spelling of the listed names is reported, and `validate --normalize-labels` can use it.
    with caplog.at_level(logging.WARNING):
        annotate(rows(["Film", "Sport "]), recipe())
    assert "2 of 2 human labels" in caplog.text
