"""Imports from other tools: each label lands on the row whose text was labelled, and each span on its own words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.errors import DataError
from hf_synthlabels.review import (
    AnnotationSession,
    DecisionStore,
    ReviewState,
    read_argilla,
    read_label_studio,
    write_argilla,
    write_label_studio,
)
from hf_synthlabels.review.exchange.matching import locate_span
from hf_synthlabels.review.review_rows import ReviewRows, review_rows
from tests.review.reviewing import SCHEMAS, TEXT, label, opened, state, table

TOOLS = ("argilla", "label-studio")


def export(done: ReviewState, folder: Path, tool: str, **options: Any) -> Path:
    """The exported records of a tool."""
    if tool == "argilla":
        write_argilla(done, folder / "argilla", **options)
        return folder / "argilla" / "records.json"
    return write_label_studio(done, folder / "tasks.json", **options)[0]


def read(rows: ReviewRows, file: Path, tool: str) -> list[Any]:
    return read_argilla(rows, file) if tool == "argilla" else read_label_studio(rows, file)


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    records = json.loads(file.read_text(encoding="utf-8"))
    for record in records:
        change(record)
    file.write_text(json.dumps(records), encoding="utf-8")


def forget_row(record: dict[str, Any]) -> None:
    for key in ("metadata", "data"):
        for name in ("row", "digest"):
            record.get(key, {}).pop(name, None)


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("tool", TOOLS)
def test_labels_follow_their_texts_into_a_reordered_table(tmp_path: Path, tool: str, numbered: bool) -> None:
    session = AnnotationSession(state(tmp_path))
    given = {0: "billing", 1: "delivery", 7: "account"}
    for row, value in given.items():
        label(session, "ann", row, value)
    file = export(session.state, tmp_path, tool)
    if not numbered:
        # Both tools keep the texts; what else was exported may be lost on the way.
        rewrite(file, forget_row)
    order = [11, 7, 3, 1, 0, 2, 4, 5, 6, 8, 9, 10]
    other = opened(made=table(drawn=12).select(order))
    answers = {other.row(answer.row).parts[0].text: answer.value for answer in read(other, file, tool)}
    assert answers == {f"{TEXT} {row}": value for row, value in given.items()}


@pytest.mark.parametrize("tool", TOOLS)
def test_labels_of_texts_that_are_not_under_review_are_refused(tmp_path: Path, tool: str) -> None:
    session = AnnotationSession(state(tmp_path))
    label(session, "ann", 3, "billing")
    file = export(session.state, tmp_path, tool)
    other = opened(made=table().map(lambda row: {"text": row["text"].replace("Ann", "Eve")}))
    with pytest.raises(DataError, match="no row under review"):
        read(other, file, tool)


@pytest.mark.parametrize("tool", TOOLS)
def test_rows_with_equal_texts_each_get_one_label(tmp_path: Path, tool: str) -> None:
    twins = table(drawn=12).map(
        lambda row, number: {"text": "the same" if number < 4 else row["text"]}, with_indices=True
    )
    session = AnnotationSession(ReviewState(opened(made=twins), DecisionStore(tmp_path / "s.sqlite")))
    for row, value in {1: "billing", 2: "account"}.items():
        label(session, "ann", row, value)
        label(session, "bob", row, value)
    file = export(session.state, tmp_path, tool)
    # Reversed, rows 8 to 11 have the text: both annotators' labels of one exported row go to the same one of them.
    other = opened(made=twins.select(range(11, -1, -1)))
    values: dict[int, list[str]] = {}
    for answer in read(other, file, tool):
        values.setdefault(answer.row, []).append(answer.value)
    assert set(values) <= {8, 9, 10, 11}
    assert sorted(values.values()) == [["account", "account"], ["billing", "billing"]]
    rewrite(file, forget_row)
    with pytest.raises(DataError, match="have the same texts"):
        read(other, file, tool)


@pytest.mark.parametrize("tool", TOOLS)
def test_columns_in_any_script_keep_their_texts(tmp_path: Path, tool: str) -> None:
    columns = ("标题", "内容", "Текст", "row", "label", "1")
    made = table().remove_columns("text")
    for column in columns:
        made = made.add_column(column, [f"{column} {row}" for row in range(12)])
    rows = review_rows(made, schema=SCHEMAS["text-classification"], form=RowForm(columns), human="topic")
    session = AnnotationSession(ReviewState(rows, DecisionStore(tmp_path / "s.sqlite")))
    label(session, "ann", 4, "account")
    file = export(session.state, tmp_path, tool)
    record = json.loads(file.read_text(encoding="utf-8"))[4]
    texts = set(map(str, record["fields" if tool == "argilla" else "data"].values()))
    assert {f"{column} 4" for column in columns} <= texts
    (answer,) = read(rows, file, tool)
    assert (answer.row, answer.value) == (4, "account")


def test_only_the_label_question_is_read_from_argilla(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path))
    label(session, "ann", 2, "account")
    file = export(session.state, tmp_path, "argilla")
    comment = [{"value": "billing", "user_id": "1", "status": "submitted"}]
    rewrite(file, lambda record: record.update(responses={"comment": comment, **record["responses"]}))
    (answer,) = read(session.state.rows, file, "argilla")
    assert (answer.row, answer.value) == (2, "account")
    rewrite(file, lambda record: record.update(responses={"comment": comment}))
    with pytest.raises(DataError, match="'comment'"):
        read(session.state.rows, file, "argilla")


@pytest.mark.parametrize("tool", TOOLS)
def test_blind_exports_carry_no_llm_label(tmp_path: Path, tool: str) -> None:
    session = AnnotationSession(state(tmp_path))
    label(session, "ann", 0, "billing")
    label(session, "bob", 0, None)
    file = export(session.state, tmp_path, tool, blind=True)
    answers = read(session.state.rows, file, tool)
    assert len(answers) == 2
    assert not any(answer.llm_shown for answer in answers)
    suggested = [record.get("suggestions") or record.get("predictions") for record in json.loads(file.read_text())]
    assert not any(suggested)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


SPANS = {
    "as Python counts": ("🙂 Ann met Bob.", lambda text, word: text.index(word), len),
    "UTF-16 units": ("🙂🙂 Ann met Bob.", lambda text, word: units(text[: text.index(word)]), units),
    "normalized line ends": (
        "One\r\ntwo\r\nAnn met Bob.",
        lambda text, word: text.replace("\r\n", "\n").index(word),
        len,
    ),
    "both": (
        "🙂\r\nAnn met Bob.",
        lambda text, word: units(text[: text.index(word)].replace("\r\n", "\n")),
        units,
    ),
    "wrong offsets of a word that occurs once": ("xx Ann met Bob.", lambda _text, _word: 0, len),
}


@pytest.mark.parametrize(("text", "place", "size"), SPANS.values(), ids=list(SPANS))
def test_offsets_are_checked_against_the_regions_text(tmp_path: Path, text: str, place: Any, size: Any) -> None:
    made = Dataset.from_dict({"text": [text], "llm_label": [[]], "inclusion_probability": [1.0]}).cast_column(
        "llm_label", SCHEMAS["token-classification"].feature()
    )
    rows = opened("token-classification", made=made)
    regions = [
        {"value": {"start": place(text, word), "end": place(text, word) + size(word), "text": word, "labels": ["PER"]}}
        for word in ("Ann", "Bob")
    ]
    task = {"data": {"text": text}, "annotations": [{"completed_by": 1, "result": regions}]}
    (tmp_path / "t.json").write_text(json.dumps([task]), encoding="utf-8")
    (answer,) = read_label_studio(rows, tmp_path / "t.json")
    assert [text[item["start"] : item["end"]] for item in answer.value] == ["Ann", "Bob"]


def test_a_span_whose_text_is_elsewhere_or_twice_is_refused(tmp_path: Path) -> None:
    for text in ("nothing of it", "Ann and Ann"):
        with pytest.raises(DataError, match="'Ann'"):
            locate_span(text, 4, 7, "Ann")
    assert locate_span("no text said", 3, 7, None) == (3, 7)
    assert locate_span("one\r\ntwo", 0, 3, "one") == (0, 3)
