"""Samples of a data set in memory: types, provenance, and what is published of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from hf_synthlabels import provenance
from hf_synthlabels.cards import Licences
from hf_synthlabels.errors import DataError
from hf_synthlabels.publishing import DatasetWords, dataset_parcel, labelling_sheet, merge_labels, sample_rows
from hf_synthlabels.statistics import conclude


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
    sheet = labelling_sheet(drawn, sample)
    assert sheet.column_names == ["row_digest", "row", "text", "label"]
    filled = sheet.remove_columns("label").add_column("label", ["a"] * 19 + [" "])
    merged = merge_labels(drawn, filled)
    assert (merged.new, merged.changed, merged.open) == (19, 0, 1)
    assert merged.rows.features["label"].names == ["a", "b"]
    assert merged.rows["text"][:] == labelled()["text"][:]
    assert provenance(merged.rows)[0]["seed"] == 4
    assert conclude(merged.rows).n_human == 19
    wrong = sheet.remove_columns("label").add_column("label", ["a"] * 19 + ["zz"])
    with pytest.raises(DataError, match="`label` is 'zz' in the sheet: give one of a, b"):
        merge_labels(drawn, wrong)


def test_a_sampled_data_set_is_published_with_its_chances(tmp_path: Path) -> None:
    drawn, _ = sample_rows(labelled(), 20)
    words = DatasetWords(licences=Licences("mit", "unknown"))
    parcel = dataset_parcel(
        DatasetDict({"train": drawn}),
        "someone/posts",
        tmp_path,
        words=words,
    )
    files = {file.path: file for file in parcel.files}
    card = bytes(files["README.md"].content).decode()
    assert f"20 of {len(drawn)} rows were drawn for people to label, at random, all with the same chance" in card
    assert "stored in `human_probability`" in card
    assert "### `human_probability`" not in card
    # The card is of the label columns; the record of the sample lies beside it.
    assert any(b"human-sample" in file.content for file in parcel.files if isinstance(file.content, bytes))
