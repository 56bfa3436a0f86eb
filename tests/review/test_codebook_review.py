"""Reviews of codebooks: what is stored, delivered and exported for each variable."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Value
from typer.testing import CliRunner

from hf_synthlabels.annotation import provenance
from hf_synthlabels.annotation.prompting.row_inputs import RowForm
from hf_synthlabels.annotation.recipe.example import Example
from hf_synthlabels.cli.main import app
from hf_synthlabels.errors import ConfigError, DataError
from hf_synthlabels.review import ReviewOptions, open_review
from hf_synthlabels.review.codebook.codebook_review import CodebookReview
from hf_synthlabels.review.codebook.codebook_session import CodebookSession
from hf_synthlabels.review.codebook.opening import read_review_codebook
from hf_synthlabels.review.decision_store import Event
from hf_synthlabels.review.disagreements import Disagreements
from hf_synthlabels.review.exchange.codebook_export import codebook_examples, codebook_sheet, codebook_table
from hf_synthlabels.review.review_options import default_store
from hf_synthlabels.review.review_progress import label_matrix
from hf_synthlabels.review.review_report import LiveReport, labels_table
from hf_synthlabels.review.review_rows import review_rows
from hf_synthlabels.review.review_values import read_value
from tests.review import codebooks
from tests.review.codebooks import SECRET, answer, codebook_session, written_codebook
from tests.review.reviewing import SCHEMAS, TEXT, ask, serving

ACTOR = {"start": 0, "end": 7, "text": "Ann Lee", "label": "person"}
QUIET = {"protest": "no", "violence": 0, "actors": [], "tone": "neutral"}
WAGES = {
    "protest": "yes",
    "issues": ["wages"],
    "wage_claim": "more pay",
    "violence": 2,
    "actors": [ACTOR],
    "tone": None,
}


def test_a_row_is_stored_at_once_with_skips_where_a_condition_does_not_hold(tmp_path: Path) -> None:
    session = codebook_session(tmp_path)
    # The page may send an answer that became moot; it is not stored.
    answer(session, "ann", 1, {**WAGES, "issues": ["rights"]}, key="k", note="unsure", seconds=4)
    answer(session, "ann", 1, {**WAGES, "issues": ["rights"]}, key="k")
    events = session.review.store.since()
    assert [(event.variable, event.action, event.human_label) for event in events] == [
        ("protest", "label", "yes"),
        ("issues", "label", ["rights"]),
        ("wage_claim", "skip", None),
        ("violence", "label", 2),
        ("actors", "label", [ACTOR]),
        ("tone", "skip", None),
    ]
    assert {event.llm_shown for event in events} == {False}
    # `tone` was skipped by the annotator, `wage_claim` by its condition.
    assert session.row("ann", 1)["mine"]["skipped"] == ["tone"]
    assert session.progress("ann")["labeled"] == 0
    assert [row["row"] for row in session.skipped("ann")["rows"]] == [1]
    answer(session, "ann", 2, QUIET)
    counts = session.progress("ann")
    assert (counts["labeled"], counts["skipped"], counts["open"], counts["rows"]) == (1, 1, 4, 6)
    assert {row["row"] for row in session.next_rows("ann", skip=(0, 3))} <= {4, 5}
    # Another process reads the same decisions.
    again = codebook_session(tmp_path)
    assert again.row("ann", 1) == session.row("ann", 1)
    assert again.progress("ann") == counts


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"protest": "no"}, "violence"),
        ({**QUIET, "tone": "angry"}, "tone"),
        ({**QUIET, "mood": "calm"}, "mood"),
        ("no", "no"),
    ],
)
def test_an_incomplete_or_wrong_row_is_refused_as_a_whole(tmp_path: Path, value: Any, field: str) -> None:
    session = codebook_session(tmp_path)
    with pytest.raises(DataError, match=field):
        answer(session, "ann", 1, value)
    assert session.review.store.since() == []


def test_undo_takes_back_a_whole_row_and_a_later_answer_replaces_an_earlier_one(tmp_path: Path) -> None:
    session = codebook_session(tmp_path)
    answer(session, "ann", 1, QUIET)
    answer(session, "ann", 2, WAGES)
    answer(session, "ann", 2, QUIET, note="no march")
    undone = session.undo("ann")["row"]
    # The earlier answer holds again.
    assert (undone["row"], undone["note"]) == (2, "no march")
    assert undone["mine"]["value"] == {name: label for name, label in WAGES.items() if label is not None}
    undone = session.undo("ann")["row"]
    assert (undone["row"], undone["mine"]["skipped"]) == (2, ["tone"])
    assert session.review.labels(2) == {}
    assert session.undo("ann")["row"]["mine"]["value"] == QUIET
    assert session.progress("ann")["open"] == 6
    with pytest.raises(DataError):
        session.undo("ann")


def test_a_blind_review_delivers_no_llm_label_of_any_variable(tmp_path: Path) -> None:
    session = codebook_session(tmp_path)
    row = {"row": 1, "digest": session.review.rows.row(1).digest}
    calls: list[tuple[str, dict[str, Any]]] = [("setup", {}), ("begin", {}), ("next", {}), ("row", row)]
    calls += [("decide", {**row, "value": {**WAGES, "wage_claim": "ten percent"}}), ("undo", {}), ("skipped", {})]
    calls += [(name, {**row, "variable": variable}) for variable in session.variables for name in ("show", "case")]
    calls += [("report", {"variable": "wage_claim"}), ("disagreements", {"variable": "wage_claim", "show": "llm"})]
    calls += [("cell", {"variable": "tone", "human": "neutral", "llm": "hostile"}), ("case", row)]
    with serving(session) as port:
        answers = {name: ask(port, f"/api/{name}", {"annotator": "ann", **body}) for name, body in calls}
    assert not [name for name, (_, content, _) in answers.items() if SECRET in json.dumps(content)]
    refused = {name for name, (status, _, _) in answers.items() if status != 200}
    assert refused == {"show", "disagreements", "cell", "case"}
    seen = codebook_session(tmp_path, blind=False)
    with serving(seen) as port:
        shown = ask(port, "/api/show", {"annotator": "ann", "row": 1, "variable": "wage_claim"})[1]
        decided = ask(port, "/api/decide", {"annotator": "ann", **row, "value": WAGES})[1]["decided"]
    assert shown["label"] == SECRET
    assert {name: each["same"] for name, each in decided["llm"].items()} == {
        "protest": True,
        "issues": False,
        "wage_claim": False,
        "violence": False,
        "actors": True,
    }
    labels = {event.variable: event.llm_shown for event in seen.review.store.since() if event.action == "label"}
    assert labels == {"protest": False, "issues": False, "wage_claim": True, "violence": False, "actors": False}


def two_annotators(folder: Path) -> CodebookSession:
    session = codebook_session(folder)
    answer(session, "ann", 0, WAGES)
    answer(session, "bob", 0, {**WAGES, "tone": "hostile"})
    answer(session, "ann", 1, {**WAGES, "tone": "hostile"})
    answer(session, "bob", 1, QUIET)
    answer(session, "ann", 2, QUIET)
    return session


def test_export_has_a_human_column_per_variable_without_moot_labels(tmp_path: Path) -> None:
    session = two_annotators(tmp_path)
    exported = codebook_table(session.review)
    rows = exported.table
    added = ["protest_human", "issues_human", "wage_claim_human", "coded_violence", "actors_human", "tone_human"]
    votes = {f"{name}_votes" for name in added}
    assert [name for name in rows.column_names if name not in votes][-6:] == added
    assert votes <= set(rows.column_names)
    assert rows["coded_violence"][:4] == [2.0, None, 0.0, None]
    names = rows.features["protest_human"]
    assert [None if code is None else names.int2str(code) for code in rows["protest_human"][:4]] == [
        *("yes", None, "no", None)
    ]
    # In row 1 it is disputed whether there is a protest, so its details have no label.
    assert rows["wage_claim_human"][:4] == ["more pay", None, None, None]
    assert exported.counts == {name: 2 for name in session.variables} | {"issues": 1, "wage_claim": 1}
    assert exported.open == 3
    # Adjudication of one variable opens the details again.
    with serving(session) as port:
        body = {"annotator": "eve", "variable": "protest", "row": 1, "value": "yes"}
        assert ask(port, "/api/adjudicate", body)[0] == 200
    rows = codebook_table(session.review, each=True).table
    assert rows["wage_claim_human"][1] == "more pay"
    assert rows["wage_claim_human_bob"][:2] == ["more pay", None]
    sheet = codebook_sheet(session.review)
    assert sheet["row"] == [0, 1, 2]
    assert sheet["issues_human"] == ["[0]", "[0]", None]
    assert rows.column_names.count("inclusion_probability") == 1
    assert provenance(rows) == provenance(session.review.rows.first.table)


def test_examples_have_a_label_for_each_variable_that_applies(tmp_path: Path) -> None:
    session = two_annotators(tmp_path)
    with pytest.raises(DataError):
        codebook_examples(session.review)
    with serving(session) as port:
        for row in (0, 2):
            body = {"annotator": "eve", "variable": "protest", "row": row, "chosen": True}
            assert ask(port, "/api/example", body)[0] == 200
    lines = codebook_examples(session.review)
    assert [line["labels"] for line in lines] == [{**WAGES, "tone": "hostile"}, QUIET]
    schemas = {name: rows.schema for name, rows in session.review.rows.variables.items()}
    form = session.review.rows.first.form
    for line in lines:
        read = Example.model_validate(line)
        for name, label in read.labels.items():
            example = read.model_copy(update={"label": label, "labels": {}})
            assert example.read_label(schemas[name], example.row_text(form)) is not None
    with serving(session) as port:
        # It is disputed whether there is a protest, and so whether its issues have a label.
        body = {"annotator": "eve", "variable": "issues", "row": 1, "chosen": True}
        assert ask(port, "/api/example", body)[0] == 400
    answer(session, "bob", 2, {**QUIET, "tone": "hostile"})
    with pytest.raises(DataError, match="tone"):
        codebook_examples(session.review)


def counted(session: CodebookSession, name: str) -> tuple[int, int, int]:
    """Of a variable: the labeled rows of the report, the open rows to adjudicate, the rows that two have labeled."""
    state = session.review.variables[name]
    return LiveReport(state).report()["labeled"], Disagreements(state).counts()["open"], len(label_matrix(state).codes)


def test_labels_of_a_variable_count_only_where_it_applies(tmp_path: Path) -> None:
    session = codebook_session(tmp_path)
    # All find issues, none of them the LLM's, and disagree on whether there is a protest.
    for name, issues in (("ann", ["rights"]), ("bob", ["climate"])):
        answer(session, name, 0, {**WAGES, "issues": issues})
        answer(session, name, 1, {**WAGES, "issues": issues} if name == "ann" else QUIET)
    answer(session, "cyd", 0, {**WAGES, "issues": ["rights"]})
    assert counted(session, "protest") == (1, 1, 2)
    assert counted(session, "issues") == (1, 1, 1)
    board = Disagreements(session.review.variables["protest"])
    for value, issues_of_row_1 in (("yes", 1), ("no", 0)):
        board.decide("eve", 1, value)
        assert counted(session, "protest")[:2] == (2, 0)
        assert counted(session, "issues") == (1 + issues_of_row_1, 1 + issues_of_row_1, 1)
        # Another process reads the same.
        assert counted(codebook_session(tmp_path), "issues") == counted(session, "issues")
    # Without a protest, neither its issues nor what depends on them count.
    board.decide("eve", 0, "no")
    assert counted(session, "issues") == counted(session, "wage_claim") == (0, 0, 0)
    assert labels_table(session.review.variables["issues"])["inclusion_probability"] == [
        *(None, None, 0.5, 0.5, 0.5, 0.5, None, None)
    ]
    board.reopen("eve", 0)
    assert counted(session, "issues") == (1, 1, 1)


def test_the_progress_takes_as_long_after_many_rows_as_after_a_few(tmp_path: Path) -> None:
    session = codebook_session(tmp_path, codebooks.codebook_table(tmp_path, rows=2000, sampled=2000))
    state = session.review

    def decide(rows: range) -> float:
        events = [
            Event(f"{row}-{name}", "ann", row, "", "label" if name != "tone" else "skip", label, variable=name)
            for row in rows
            for name, label in QUIET.items()
        ]
        events += [
            Event(f"{row}-{name}", "ann", row, "", "skip", variable=name)
            for row in rows
            for name in ("issues", "wage_claim")
        ]
        state.add_all(events)
        began = time.process_time()
        for _ in range(300):
            counts = session.progress("ann")
        assert (counts["labeled"], counts["skipped"], counts["open"]) == (0, rows.stop, 2000 - rows.stop)
        return time.process_time() - began

    few = decide(range(20))
    assert decide(range(20, 2000)) < 5 * few


def test_rows_that_are_complete_in_the_table_are_not_shown_again(tmp_path: Path) -> None:
    table = codebooks.codebook_table(tmp_path)
    values: dict[str, list[Any]] = {
        "protest_human": ["no", "yes", "no"],
        "coded_violence": [0.0, 1.0, 0.0],
        "tone_human": ["neutral"] * 3,
    }
    for name, given in values.items():
        kind = Value("float64" if name == "coded_violence" else "string")
        table = table.add_column(name, [*given, *([None] * 5)], feature=kind)
    table = table.add_column("actors_human", [[], [], *([None] * 6)], feature=table.features["actors"])
    assert isinstance(table, Dataset)
    # Row 0 is complete, row 1 lacks the issues of the protest, row 2 lacks the actors.
    session = codebook_session(tmp_path, table)
    assert set(session.review.rows.queue.tolist()) == {1, 2, 3, 4, 5}
    assert session.labeled_before() == 1
    assert set(codebook_session(tmp_path, table, relabel=True).review.rows.queue.tolist()) == set(range(6))


def test_rows_go_to_as_many_annotators_as_are_wanted(tmp_path: Path) -> None:
    session = codebook_session(tmp_path, per_row=1)
    first = {row["row"] for row in session.next_rows("ann")}
    assert first.isdisjoint(row["row"] for row in session.next_rows("bob"))
    for row in range(6):
        answer(session, "ann", row, QUIET)
    assert session.next_rows("bob") == []


def test_the_command_exports_columns_and_refuses_what_has_one_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    session = two_annotators(tmp_path)
    recipe = str(written_codebook(tmp_path))
    session.review.store.remember({"options": {"recipe": recipe}})
    assert default_store("data.parquet").exists()

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["review", *arguments])

    ran = run("export", "data.parquet", "-o", "out.parquet")
    assert ran.exit_code == 0, ran.output
    assert "validate out.parquet\n" in ran.output
    exported = Dataset.from_parquet("out.parquet")
    assert {"protest_human", "coded_violence"} <= set(exported.column_names)
    ran = run("export", "data.parquet", "--as", "decisions", "-o", "events.jsonl")
    lines = [json.loads(line) for line in Path("events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (len(lines), lines[0]["variable"]) == (30, "protest")
    ran = run("export", "data.parquet", "--as", "sheet", "-o", "sheet.csv")
    assert ran.exit_code == 0, ran.output
    ran = run("export", "data.parquet", "--as", "argilla", "-o", "folder")
    assert isinstance(ran.exception, ConfigError)
    assert "`--as`" in str(ran.exception)
    with pytest.raises(ConfigError, match="--human"):
        read_review_codebook("data.parquet", ReviewOptions(recipe=recipe, human="label"))
    # A single-variable opener names the variables.
    with pytest.raises(Exception, match="protest"):
        open_review("data.parquet", ReviewOptions(recipe=recipe))
    assert isinstance(session.review, CodebookReview)


def test_a_question_in_the_instructions_is_answered_with_a_span_of_the_text() -> None:
    columns = {"text": [TEXT], "llm_label": [{"text": "Bob", "start": 20}], "inclusion_probability": [0.5]}
    rows = review_rows(Dataset.from_dict(columns), schema=SCHEMAS["question-answering"], form=RowForm(("text",)))
    assert rows.row(0).context == TEXT
    assert read_value(rows.schema, {"text": "Acme", "start": 9}, rows.row(0).context) == {"text": "Acme", "start": 9}
