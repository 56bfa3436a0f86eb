"""Tables in formats that do not know label types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from hf_synthlabels.tables import ReadOptions, read_table, write_table

NAMES = ClassLabel(names=["film", "sport"])
FEATURES = Features(
    {
        "one": NAMES,
        "several": List(NAMES),
        "entities": List({"start": Value("int32"), "label": NAMES}),
        "answer": {"text": Value("string"), "start": Value("int32")},
        "number": Value("float64"),
    }
)
ROWS: dict[str, list[Any]] = {
    "one": [1, -1, None],
    "several": [[0, 1], [], None],
    "entities": [[{"start": 3, "label": 1}], [], None],
    "answer": [{"text": "é", "start": 2}, None, None],
    "number": [0.5, 2.0, None],
}
SPELT: list[list[Any]] = [
    ["sport", ["film", "sport"], [{"start": 3, "label": "sport"}], {"text": "é", "start": 2}, 0.5],
    # -1 is how a ClassLabel says that there is no label: not the last of its names.
    [None, [], [], None, 2.0],
    [None, None, None, None, None],
]


def splits() -> DatasetDict:
    return DatasetDict({"train": Dataset.from_dict(ROWS, features=FEATURES)})


def test_json_lines_have_label_names_at_any_depth(tmp_path: Path) -> None:
    write_table(splits(), tmp_path / "t.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [list(line.values()) for line in lines] == SPELT
    assert list(lines[0]) == list(ROWS)


def test_csv_holds_lists_as_json(tmp_path: Path) -> None:
    write_table(splits(), tmp_path / "t.csv")
    rows = read_table(tmp_path / "t.csv")["train"]
    for number, spelt in enumerate(SPELT):
        result = list(rows[number].values())
        assert [result[0], result[4]] == [spelt[0], spelt[4]]
        assert [None if cell is None else json.loads(cell) for cell in result[1:4]] == spelt[1:4]


def test_missing_codes_in_lists_are_left_out(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"label": [[0, -1], [-1], []]}, features=Features({"label": List(NAMES)}))
    write_table({"train": rows}, tmp_path / "t.jsonl")
    assert read_table(tmp_path / "t.jsonl")["train"]["label"][:] == [["film"], None, []]


def test_dates_are_the_same_text_in_csv_and_json_lines(tmp_path: Path) -> None:
    times = [np.datetime64("2024-05-01", "s"), np.datetime64("2024-05-01T10:30", "s"), None]
    rows = Dataset.from_dict({"label": times}, features=Features({"label": Value("timestamp[us]")}))
    for name in ("t.csv", "t.jsonl"):
        write_table({"train": rows}, tmp_path / name)
        labels = read_table(tmp_path / name, ReadOptions(("label",)))["train"]["label"]
        assert list(labels) == ["2024-05-01 00:00:00", "2024-05-01 10:30:00", None]


def test_parquet_keeps_the_types(tmp_path: Path) -> None:
    write_table(splits(), tmp_path / "t.parquet")
    rows = read_table(tmp_path / "t.parquet")["train"]
    assert rows.features == FEATURES
    assert rows["several"] == ROWS["several"]
