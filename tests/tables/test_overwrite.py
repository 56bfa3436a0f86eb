"""A file is replaced only by a table with its human labels, whatever format wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_synthlabels.errors import DataError
from hf_synthlabels.tables import NewTable, check_overwrite, label_text, read_table, write_table

NAMES = ClassLabel(names=["film", "sport"])
ENTITIES = List({"start": Value("int32"), "label": NAMES})

CASES: dict[str, tuple[Any, list[Any], Any]] = {
    # The feature, labels of which the last is none, and another label for the first row.
    "texts": (Value("string"), ["good", "007", "null", None], "bad"),
    "codes that look like numbers": (Value("string"), ["007", "1", "NaN", None], "7"),
    "integers": (Value("int64"), [3, 4, 2**60 + 1, None], 5),
    "fractions": (Value("float64"), [0.1, 1e-7, 2.0, None], 0.2),
    "narrow floats": (Value("float32"), [0.1, 3.0, 2.5, None], 0.2),
    "whole floats": (Value("float64"), [3.0, 4.0, 5.0, None], 5.0),
    "truths": (Value("bool"), [True, False, True, None], False),
    "names": (NAMES, [0, 1, 1, None], 1),
    "several texts": (List(Value("string")), [["é", "b"], [], ["b"], None], ["é"]),
    "several names": (List(NAMES), [[0, 1], [], [1], None], [0]),
    "entities": (ENTITIES, [[{"start": 3, "label": 1}], [], [{"start": 0, "label": 0}], None], []),
    "answers": (
        {"text": Value("string"), "start": Value("int32")},
        [{"text": "é", "start": 2}, {"text": "", "start": None}, {"text": "x", "start": 0}, None],
        {"text": "é", "start": 3},
    ),
}


def test_output_is_overwritten_unless_a_human_label_would_be_lost(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        with subtests.test(case=case):
            feature, labels, other = CASES[case]
            features = Features({"text": Value("string"), "label": feature, "llm_label_status": Value("string")})
            columns = {"text": ["a", "b", "c", "d"], "llm_label_status": ["labelled"] * 4}
            rows = Dataset.from_dict({**columns, "label": labels}, features=features)
            changed = Dataset.from_dict({**columns, "label": [other, *labels[1:]]}, features=features)
            for suffix in ("csv", "tsv", "jsonl", "parquet", "xlsx"):
                output = folder / f"labelled.{suffix}"
                write_table({"train": rows}, output)
                check_overwrite(output, NewTable(rows.column_names, rows, "label", marks="llm_label_status"))
                # The same table read back from the output, as a later source.
                again = read_table(output)["train"]
                check_overwrite(output, NewTable(rows.column_names, again, "label", marks="llm_label_status"))
                with pytest.raises(DataError, match="`label`"):
                    check_overwrite(output, NewTable(rows.column_names, changed, "label", marks="llm_label_status"))


def test_different_labels_have_different_texts() -> None:
    pairs = [("007", 7), ("null", None), ("NaN", None), ("true", "True"), ('"a"', "a"), ([], None), (["a"], "a")]
    for label, other in pairs:
        assert label_text(label) != label_text(other)
