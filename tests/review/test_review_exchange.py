"""What people decided, as columns, sheets, examples, and in the files of other tools; and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.errors import DataError
from hf_synthlabels.labels import LabelSchema, decode
from hf_synthlabels.publishing import import_labels
from hf_synthlabels.review import (
    AnnotationSession,
    DecisionStore,
    ReviewState,
    decisions,
    examples,
    import_answers,
    labeled_table,
    read_argilla,
    read_label_studio,
    sheet,
    write_argilla,
    write_label_studio,
)
from hf_synthlabels.review.disagreements import Disagreements
from hf_synthlabels.review.review_rows import review_rows
from hf_synthlabels.review.review_values import plain
from hf_synthlabels.statistics import estimate, validate
from tests.oracles import oracle
from tests.review.reviewing import FORMS, HUMAN, LLM, NAMES, SCHEMAS, TEXT, label, opened, state, table

KINDS = tuple(SCHEMAS)


def worked(folder: Path, kind: str = "text-classification") -> ReviewState:
    """Two people: both label row 0 alike, differ on row 1; ann labels row 2 as the LLM does and skips row 3."""
    session = AnnotationSession(state(folder, kind), blind=False)
    label(session, "ann", 0, HUMAN[kind], note="sure", seconds=2.5)
    label(session, "bob", 0, HUMAN[kind])
    label(session, "ann", 1, HUMAN[kind])
    label(session, "bob", 1, LLM[kind])
    label(session, "ann", 2, LLM[kind])
    label(session, "ann", 3, None)
    return session.state


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_exported_as_column_sheet_and_example(tmp_path: Path, kind: str) -> None:
    done, schema = worked(tmp_path, kind), SCHEMAS[kind]
    exported = labeled_table(done, each=True)
    assert exported.table.features["label"] == exported.table.features["llm_label"]
    values = [
        None if value is None else plain(decode(schema, value, TEXT))  # type: ignore[arg-type]
        for value in exported.table["label"]
    ]
    same = int(LLM[kind]) if kind == "text-scale" else LLM[kind]
    assert values == [HUMAN[kind], None, same, *[None] * 9]
    assert (dict(exported.counts), exported.open) == ({"unanimous": 1, "disputed": 1, "one": 1}, 8)
    assert exported.table["inclusion_probability"][0] == 0.5
    assert sum(value is not None for value in exported.table["label_bob"]) == 2
    report = validate(exported.table, schema=schema)
    assert report.n_human == 2
    assert report.raters is not None
    assert (report.raters.n_raters, report.raters.n_several, report.raters.n_disputed) == (2, 2, 1)
    assert report.raters.comparisons[0].raters.estimate == pytest.approx(0.5)
    if kind == "text-classification":
        assert report.accuracy.estimate == pytest.approx(0.5)
    merged = import_labels(table(kind), sheet(done))
    assert (merged.new, merged.changed, merged.open) == (2, 0, 8)
    assert merged.rows["label"][:] == exported.table["label"][:]
    page = Disagreements(done)
    page.decide("ann", 1, HUMAN[kind], "because of rule 2")
    page.mark_example("ann", 1, chosen=True)
    marks = labeled_table(done).table["tuned_on"]
    assert [row for row, is_marked in enumerate(marks) if is_marked] == [1]
    (line,) = examples(done)
    assert line["reasoning"] == "because of rule 2"
    example = Example.model_validate(line)
    assert plain(example.read_label(schema, example.row_text(FORMS.get(kind, RowForm(("text",)))))) == HUMAN[kind]
    page.mark_example("ann", 1, chosen=False)
    with pytest.raises(DataError, match="No row was chosen"):
        examples(done)


def test_labels_feed_conclusions(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    for row in range(10):
        label(session, "ann", row, NAMES[row % 2])
    made = labeled_table(session.state).table
    assert estimate(made).n_human == 10


def test_what_an_llm_said_never_becomes_a_human_label(tmp_path: Path) -> None:
    session = AnnotationSession(state(tmp_path), blind=False)
    label(session, "ann", 0, "delivery")
    session.show("ann", 1)
    made = labeled_table(session.state).table
    assert made["label"][:] == [1, *[None] * 11]
    assert made["llm_label"][:] == [0] * 12


def test_the_record_of_the_sample_says_who_labelled_it(tmp_path: Path) -> None:
    from hf_synthlabels import provenance
    from hf_synthlabels.publishing import sample_rows

    plain_table = table().remove_columns(["inclusion_probability"])
    drawn, _ = sample_rows(plain_table, 5, seed=3)
    rows = review_rows(drawn, schema=SCHEMAS["text-classification"], form=RowForm(("text",)))
    session = AnnotationSession(ReviewState(rows, DecisionStore(tmp_path / "s.sqlite")), blind=False)
    row = int(rows.queue[0])
    session.show("ann", row)
    label(session, "ann", row, "billing")
    review = provenance(labeled_table(session.state).table)[-1]["review"]
    assert {key: review[key] for key in ("annotators", "labels", "llm_shown", "alpha")} == {
        "annotators": 1,
        "labels": 1,
        "llm_shown": 1,
        "alpha": None,
    }


def test_a_review_of_all_rows_gives_each_the_chance_one(tmp_path: Path) -> None:
    made = table().remove_columns("inclusion_probability")
    rows = opened(made=made, all_rows=True)
    session = AnnotationSession(ReviewState(rows, DecisionStore(tmp_path / "s.sqlite")))
    label(session, "ann", 11, "billing")
    assert labeled_table(session.state).table["inclusion_probability"][:] == [1.0] * 12


def test_labels_keep_the_form_of_a_human_column_that_is_there(tmp_path: Path) -> None:
    answers = {"text": List(Value("string")), "answer_start": List(Value("int32"))}
    made = table("question-answering").add_column(
        "answers", [{"text": ["Bob"], "answer_start": [20]}, *[None] * 11], feature=answers
    )
    rows = review_rows(made, schema=SCHEMAS["question-answering"], form=FORMS["question-answering"], human="answers")
    session = AnnotationSession(ReviewState(rows, DecisionStore(tmp_path / "s.sqlite")))
    label(session, "ann", 2, {"text": "Acme", "start": 9})
    values = labeled_table(session.state).table["answers"][:3]
    assert values[0] == {"text": ["Bob"], "answer_start": [20]}
    assert values[2] == {"text": ["Acme"], "answer_start": [9]}


def test_entities_become_tags_where_people_have_tags(tmp_path: Path) -> None:
    schema = LabelSchema(kind="token-classification", names=("PER", "ORG"))
    tags = ClassLabel(names=["O", "B-PER", "I-PER", "B-ORG", "I-ORG"])
    made = Dataset.from_dict(
        {
            "tokens": [["Ann", "Lee", "asked", "Acme"], ["no", "one"]],
            "ner": [None, [0, 0]],
            "llm_label": [[], []],
            "inclusion_probability": [1.0, 1.0],
        },
        features=Features(
            {
                "tokens": List(Value("string")),
                "ner": List(tags),
                "llm_label": schema.feature(),
                "inclusion_probability": Value("float64"),
            }
        ),
    )
    form = RowForm(("tokens",), tokens="tokens")
    rows = review_rows(made, schema=schema, form=form, human="ner")
    assert rows.human_labels == {1: []}
    assert rows.row(0).context == "Ann Lee asked Acme"
    session = AnnotationSession(ReviewState(rows, DecisionStore(tmp_path / "s.sqlite")))
    label(session, "ann", 0, [{"start": 0, "end": 7, "label": "PER"}, {"start": 14, "end": 18, "label": "ORG"}])
    assert labeled_table(session.state).table["ner"][:] == [[1, 2, 0, 3], [0, 0]]


def test_every_event_is_listed_with_human_and_llm_labels_apart(tmp_path: Path) -> None:
    lines = decisions(worked(tmp_path))
    assert {line["action"] for line in lines} == {"label", "skip", "seen"}
    first = lines[0]
    assert (first["human_label"], first["llm_label"], first["llm_shown"]) == ("delivery", "billing", False)
    assert (first["note"], first["seconds"], first["inclusion_probability"]) == ("sure", 2.5, 0.5)
    json.dumps(lines)


def fresh(folder: Path, kind: str) -> ReviewState:
    return ReviewState(opened(kind), DecisionStore(folder / "other.sqlite"))


@pytest.mark.parametrize("kind", KINDS)
def test_argilla_and_label_studio_round_trip(tmp_path: Path, kind: str) -> None:
    done = worked(tmp_path, kind)
    folder, file = tmp_path / "argilla", tmp_path / "tasks.json"
    write_argilla(done, folder)
    record = next(each for each in json.loads((folder / "records.json").read_text()) if each["id"] == "row-0")
    assert set(record) == {"id", "fields", "metadata", "suggestions", "responses", "vectors", "_server_id"}
    assert record["metadata"]["inclusion_probability"] == 0.5
    assert record["suggestions"]["label"]["agent"] == "llm_label"
    assert len(record["responses"]["label"]) == 2
    write_label_studio(done, file)
    task = json.loads(file.read_text(encoding="utf-8"))[0]
    assert (task["data"]["row"], task["annotations"][0]["lead_time"]) == (0, 2.5)
    assert next(region["to_name"] for region in task["predictions"][0]["result"]) in task["data"]
    for tool, answers in (
        ("argilla", read_argilla(done.rows, folder)),
        ("label-studio", read_label_studio(done.rows, file)),
    ):
        copy = ReviewState(opened(kind), DecisionStore(tmp_path / f"{tool}.sqlite"))
        imported = import_answers(copy, answers, tool)
        assert (imported.labels, imported.skips, imported.annotators) == (5, 1, ("ann", "bob"))
        assert {row: each.value for row, each in copy.resolutions.items()} == {
            row: each.value for row, each in done.resolutions.items()
        }
        assert import_answers(copy, answers, tool).known == 6
        # Both tools show what they suggest.
        assert all(event.llm_shown for event in copy.annotators["ann"].labels.values())


@pytest.mark.parametrize("kind", KINDS)
def test_argilla_reads_what_was_written_and_we_what_it_writes(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle("argilla")
    from unittest.mock import MagicMock

    from argilla import Settings
    from argilla._models import DatasetModel
    from argilla.client import Argilla
    from argilla.records._io import JsonIO

    # Its objects want a server, which none of this asks.
    monkeypatch.setattr(Argilla, "_get_default", classmethod(lambda _: MagicMock()))
    done = worked(tmp_path, kind)
    folder = tmp_path / "argilla"
    write_argilla(done, folder)
    DatasetModel(**json.loads((folder / ".argilla" / "dataset.json").read_text(encoding="utf-8")))
    Settings.from_json(folder / ".argilla" / "settings.json").validate()
    records = JsonIO._records_from_json(folder / "records.json")
    (folder / "records.json").unlink()
    JsonIO.to_json(records, folder / "records.json")
    again = fresh(tmp_path, kind)
    assert import_answers(again, read_argilla(again.rows, folder), "argilla").labels == 5


@pytest.mark.parametrize("kind", KINDS)
def test_label_studio_takes_the_interface_and_the_tasks(tmp_path: Path, kind: str) -> None:
    sdk = oracle("label_studio_sdk.label_interface")
    write_label_studio(worked(tmp_path, kind), tmp_path / "tasks.json")
    interface = sdk.LabelInterface((tmp_path / "tasks.xml").read_text(encoding="utf-8"))
    for task in json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8")):
        for given in (*task["predictions"], *task["annotations"]):
            assert all(interface.validate_region(region) for region in given["result"])


def test_tasks_and_records_that_do_not_say_their_row_are_found_by_their_texts(tmp_path: Path) -> None:
    rows = opened()
    result = [{"from_name": "x", "to_name": "y", "type": "choices", "value": {"choices": ["account"]}}]
    task = {"id": 7, "data": {"text": f"{TEXT} 4"}, "annotations": [{"completed_by": 3, "result": result}]}
    (tmp_path / "t.json").write_text(json.dumps([task]), encoding="utf-8")
    (answer,) = read_label_studio(rows, tmp_path / "t.json", {"3": "ann"})
    assert (answer.annotator, answer.row, answer.value) == ("ann", 4, "account")
    assert read_label_studio(rows, tmp_path / "t.json")[0].annotator == "label-studio 3"
    user = "06f7d4c0-e048-43d2-ab3f-06f147616ac6"
    record = {"fields": {"text": f"{TEXT} 5"}, "responses": {"label": [{"value": "billing", "user_id": user}]}}
    (tmp_path / "records.json").write_text(json.dumps([record]), encoding="utf-8")
    (response,) = read_argilla(rows, tmp_path / "records.json")
    assert (response.annotator, response.row, response.value) == ("argilla 06f7d4c0", 5, "billing")


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for content, reason in (
        ("{", "is not JSON"),
        ("{}", "is not a list of tasks with `data`"),
        ('[{"data": {"text": "nothing of ours"}, "annotations": [{"result": []}]}]', "task 0"),
        # A row number without a text is no evidence.
        ('[{"data": {"row": 1}, "annotations": [{"result": []}]}]', "task 0"),
        (f'[{{"data": {{"text": "{TEXT} 1"}}, "annotations": [{{"result": []}}]}}]', "task 0: `result`"),
    ):
        (tmp_path / "t.json").write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=reason):
            read_label_studio(opened(), tmp_path / "t.json")


def test_a_label_of_another_schema_is_told_with_its_row(tmp_path: Path) -> None:
    result: list[Any] = [{"value": {"choices": ["weather"]}}]
    task = {"data": {"text": f"{TEXT} 1", "row": 1}, "annotations": [{"completed_by": 3, "result": result}]}
    (tmp_path / "t.json").write_text(json.dumps([task]), encoding="utf-8")
    done = state(tmp_path)
    with pytest.raises(DataError, match="label-studio, row 1, label-studio 3: `label` 'weather' is not in the schema"):
        import_answers(done, read_label_studio(done.rows, tmp_path / "t.json"), "label-studio")
    assert done.store.since() == []


def test_argilla_writes_into_an_empty_folder_only(tmp_path: Path) -> None:
    done = worked(tmp_path)
    with pytest.raises(DataError, match="is not an empty folder"):
        write_argilla(done, tmp_path)


def test_nothing_is_exported_before_something_is_labelled(tmp_path: Path) -> None:
    done = state(tmp_path)
    with pytest.raises(DataError, match="has no label yet"):
        labeled_table(done)
    with pytest.raises(DataError, match="has no label yet"):
        sheet(done)


EMPTY: dict[str, Any] = {"multi-label": [[], []], "token-classification": [[], []], "text-classification": [None, None]}


@pytest.mark.parametrize("kind", EMPTY)
def test_human_labels_are_kept_where_the_llm_gave_none_in_any_row(tmp_path: Path, kind: str) -> None:
    data = tmp_path / "data.parquet"
    made = Dataset.from_dict(
        {"text": [f"{TEXT} 0", f"{TEXT} 1"], "llm_label": EMPTY[kind], "inclusion_probability": [1.0, 1.0]}
    )
    rows = opened(kind, made=made)
    session = AnnotationSession(ReviewState(rows, DecisionStore(tmp_path / "s.sqlite")))
    label(session, "ann", 1, HUMAN[kind])
    exported = labeled_table(session.state, each=True).table
    exported.to_parquet(str(data))
    again = Dataset.from_parquet(str(data))
    for column in ("label", "label_ann"):
        values = [None if value is None else plain(decode(SCHEMAS[kind], value, TEXT)) for value in again[column]]  # type: ignore[arg-type]
        assert values == [None, HUMAN[kind]]
    assert [json.loads(line) if kind != "text-classification" else line for line in sheet(session.state)["label"]]


def test_annotators_whose_names_collide_keep_their_columns(tmp_path: Path) -> None:
    made = table().add_column("label_ann_b", ["mine"] * 12)
    session = AnnotationSession(ReviewState(opened(made=made), DecisionStore(tmp_path / "s.sqlite")))
    for name, value in (("ann b", "billing"), ("ann_b", "account")):
        label(session, name, 0, value)
    exported = labeled_table(session.state, each=True).table
    assert exported["label_ann_b"][0] == "mine"
    assert [exported[name][0] for name in ("label_ann_b_2", "label_ann_b_3")] == [0, 2]


def test_a_class_that_the_llm_column_lacks_can_be_exported(tmp_path: Path) -> None:
    made = table().cast_column("llm_label", ClassLabel(names=list(NAMES))).remove_columns("llm_label")
    made = made.add_column("llm_label", [0] * 12, feature=ClassLabel(names=["billing"]))
    session = AnnotationSession(ReviewState(opened(made=made), DecisionStore(tmp_path / "s.sqlite")))
    label(session, "ann", 0, "account")
    exported = labeled_table(session.state).table
    assert exported.features["label"].int2str(exported["label"][0]) == "account"
