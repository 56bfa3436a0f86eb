"""Samples of a data set in memory: types, provenance, and what is published of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_synthlabels import annotate, provenance
from hf_synthlabels.cards import CardFields
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing import AnnotatedData, annotation_sheet, dataset_upload, import_labels, sample_rows
from hf_synthlabels.publishing.label_import import check_sheet
from hf_synthlabels.statistics import estimate
from hf_synthlabels.tables import read_table, write_sheet, write_table


def labelled() -> Dataset:
    features = Features(
        {
            "text": Value("string"),
            "llm_label": ClassLabel(names=["a", "b"]),
            "llm_label_status": Value("string"),
        }
    )
    columns = {
        "text": [f"t{row}" for row in range(60)],
        "llm_label": [row % 2 for row in range(60)],
        "llm_label_status": ["labelled"] * 60,
    }
    return Dataset.from_dict(columns, features=features)


def test_labels_come_back_in_the_type_of_the_llms() -> None:
    drawn, sample = sample_rows(labelled(), 20, design="stratified", seed=4)
    sheet = annotation_sheet(drawn, sample)
    assert sheet.column_names == ["row_digest", "row", "text", "label"]
    filled = sheet.remove_columns("label").add_column("label", ["a"] * 19 + [" "])
    merged = import_labels(drawn, filled)
    assert (merged.new, merged.changed, merged.open) == (19, 0, 1)
    assert merged.rows.features["label"].names == ["a", "b"]
    assert merged.rows["text"][:] == labelled()["text"][:]
    assert provenance(merged.rows)[0]["seed"] == 4
    assert estimate(merged.rows).n_human == 19
    wrong = sheet.remove_columns("label").add_column("label", ["a"] * 19 + ["zz"])
    with pytest.raises(DataError, match="`label` is 'zz' in the sheet: give one of a, b"):
        import_labels(drawn, wrong)


def test_sheet_hides_recorded_answers() -> None:
    rows = Dataset.from_dict({"text": [f"t{row}" for row in range(20)], "answer": ["a", "b"] * 10})
    recipe = {
        "name": "replayed",
        "source": {"path": "json"},
        "task": {"kind": "text-classification", "labels": ["a", "b"]},
        "annotator": {"client": "recorded", "column": "answer"},
    }
    drawn, sample = sample_rows(annotate(rows, recipe), 5)
    sheet = annotation_sheet(drawn, sample)
    assert sheet.column_names == ["row_digest", "row", "text", "label"]
    filled = sheet.remove_columns("label").add_column("label", ["a"] * 5)
    assert import_labels(drawn, filled).new == 5


MERGES: dict[str, tuple[list[Any], list[str], list[Any]]] = {
    # LLM labels, cells of the sheet, and the labels that they are.
    "integers": ([3, 4], ["5", "3"], [5, 3]),
    "fractions": ([0.5, 2.0], ["1", "0.25"], [1.0, 0.25]),
    "fractions where the LLM gave integers": ([3, 4], ["3.5", "3"], [3.5, 3.0]),
    "lists": ([["a"], ["b", "a"]], ['["b"]', "[]"], [["b"], []]),
    "entities": ([[{"start": 0}], []], ['[{"start": 4}]', "[]"], [[{"start": 4}], []]),
    "texts": (["a", "b"], ["b", "a"], ["b", "a"]),
}


def test_the_first_human_labels_are_merged_into_an_empty_column(tmp_path: Path) -> None:
    for suffix in ["jsonl", "parquet"]:
        for case in MERGES:
            llm, cells, expected = MERGES[case]
            columns = {"text": ["one", "two"], "llm_label": llm, "label": [None, None]}
            write_table({"train": Dataset.from_dict(columns)}, tmp_path / f"t.{suffix}")
            rows = read_table(tmp_path / f"t.{suffix}")["train"]
            drawn, sample = sample_rows(rows, 2)
            write_table({"train": drawn}, tmp_path / f"sampled.{suffix}")
            sampled = read_table(tmp_path / f"sampled.{suffix}")["train"]
            filled = annotation_sheet(drawn, sample).remove_columns("label").add_column("label", cells)
            assert filled["row"][:] == [0, 1]
            merged = import_labels(sampled, filled)
            assert (merged.new, merged.rows["label"][:]) == (2, expected)
            # A sheet with these labels may be replaced, for the table has them.
            write_sheet(filled, tmp_path / "sheet.csv")
            check_sheet(merged.rows, tmp_path / "sheet.csv", "label")
            with pytest.raises(DataError, match="`sheet`"):
                check_sheet(sampled, tmp_path / "sheet.csv", "label")


def test_labels_of_several_types_are_refused_in_one_line() -> None:
    columns = {
        "text": ["one", "two"],
        "llm_label": [3, 4],
        "label": ["good", None],
        "inclusion_probability": [None, 1.0],
    }
    filled = Dataset.from_dict({"row": [1], "text": ["two"], "label": ["3"]})
    with pytest.raises(DataError, match="`label`"):
        import_labels(Dataset.from_dict(columns), filled)


def test_a_sampled_data_set_is_published_with_its_chances(tmp_path: Path) -> None:
    drawn, _ = sample_rows(labelled(), 20)
    card_fields = CardFields(license="mit", llm_terms="unknown")
    upload = dataset_upload(AnnotatedData({"train": drawn}), "someone/posts", tmp_path, card=card_fields)
    files = {file.path: file for file in upload.files}
    card = bytes(files["README.md"].content).decode()
    assert f"20 of {len(drawn)} rows were sampled for human annotation by simple random sampling" in card
    assert "stored in `inclusion_probability`" in card
    assert "### `inclusion_probability`" not in card
    # The card is of the label columns; the record of the sample lies beside it.
    assert any(b"human-sample" in file.content for file in upload.files if isinstance(file.content, bytes))
