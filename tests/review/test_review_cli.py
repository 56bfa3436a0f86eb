"""`hf-synthlabels review` from its command line: what it says of data that do not fit, and what it exports."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from datasets import Dataset

from hf_synthlabels.review import (
    AnnotationSession,
    DecisionStore,
    ReviewOptions,
    ReviewState,
    default_store,
    open_review,
)
from hf_synthlabels.tables import read_table
from tests.command_line import Run, command_line, error_line, output
from tests.review.reviewing import TEXT, label, table

RECIPE = """
name: tickets
source: {path: json, data_files: data.jsonl}
task:
  kind: text-classification
  text: [subject, body]
  instructions: What is it about?
  labels: {billing: payments, delivery: parcels, account: login}
  human: topic
  guidelines: A refund is billing.
annotator: {client: recorded, column: llm_label}
output: {column: llm_label}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys, "review")


def lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def decide(data: Path, values: dict[int, object]) -> None:
    """What somebody decided in the page before."""
    store = default_store(str(data))
    with DecisionStore(store) as kept:
        session = AnnotationSession(ReviewState(open_review(str(data), ReviewOptions()), kept))
        for row, value in values.items():
            label(session, "ann", row, value)


def test_labels_are_exported_and_validated(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data.parquet"
    table().to_parquet(str(data))
    decide(data, {0: "billing", 1: "account", 9: "billing"})
    code, out, _ = run("export", "data.parquet", "-o", "out.parquet")
    assert (code, out.splitlines()[0]) == (0, "rows with human labels: one 3; 7 sampled rows without a label")
    rows = read_table(tmp_path / "out.parquet")["train"]
    assert rows["label"][:3] == [0, 2, None]
    for form, name in (("sheet", "sheet.csv"), ("decisions", "all.jsonl"), ("label-studio", "tasks.json")):
        assert run("export", "data.parquet", "-o", name, "--as", form)[0] == 0
        assert (tmp_path / name).stat().st_size > 100
    assert run("export", "data.parquet", "-o", "rg", "--as", "argilla")[0] == 0
    code, out, _ = run("import", "data.parquet", "tasks.json", "--from", "label-studio", "--store", "new.sqlite")
    assert (code, out) == (0, "3 labels and 0 skips added from ann; 0 known\n")


def test_a_recipe_says_labels_texts_and_columns(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    said: dict[str, object] = {"subject": "Hello", "body": None, "llm_label": "billing", "inclusion_probability": 0.5}
    lines(tmp_path / "data.jsonl", [said, {**said, "llm_label": None, "body": "<b>x</b>"}])
    rows = open_review(str(tmp_path / "data.jsonl"), ReviewOptions(recipe=str(tmp_path / "recipe.yaml")))
    assert rows.schema.names == ("billing", "delivery", "account")
    assert (rows.instructions, rows.schema.guidelines, rows.human) == (
        "What is it about?",
        "A refund is billing.",
        "topic",
    )
    assert [(part.name, part.text) for part in rows.row(0).parts] == [("subject", "Hello"), ("body", "")]
    assert rows.llm_labels == ("billing", None)


def test_csv_with_json_in_its_cells_is_read(tmp_path: Path) -> None:
    made = table("token-classification")
    from hf_synthlabels.tables import write_table

    write_table({"train": made}, tmp_path / "data.csv")
    rows = open_review(str(tmp_path / "data.csv"), ReviewOptions(kind="token-classification"))
    assert rows.llm_labels[0] == [{"start": 0, "end": 3, "text": "Ann", "label": "PER"}]
    assert rows.row(0).context == f"{TEXT} 0"


def test_what_was_said_once_is_kept_with_the_store() -> None:
    earlier = {"recipe": "r.yaml", "text": ["a", "b"], "seed": 3, "gone": 1}
    said = ReviewOptions(seed=4).or_else(earlier)
    assert (said.recipe, said.text, said.seed) == ("r.yaml", ("a", "b"), 4)


ROW = {"text": "t", "llm_label": "a", "inclusion_probability": 0.5}
OTHER = {**ROW, "llm_label": "b"}

WRONG: dict[str, tuple[list[dict[str, object]], str, str]] = {
    "no rows": ([], "", "`data` 'data.jsonl' has no rows"),
    "no llm column": (
        [{"text": "t"}],
        "",
        "`llm_label` is not a column",
    ),
    "not sampled": ([{"text": "t", "llm_label": "a"}, {"text": "t", "llm_label": "b"}], "", "add `--all`"),
    "no text": ([{"x": "t", "y": "u", "llm_label": "a"}, {"x": "t", "llm_label": "b"}], "", "with `--text`"),
    "no such text": ([ROW, OTHER], "--text words", "`words` is not a column"),
    "one label": ([ROW, ROW], "", "has 1 distinct labels"),
    "hardly names": (
        [{**ROW, "llm_label": f"text {row}"} for row in range(300)],
        "",
        "has 300 distinct values",
    ),
    "no such kind": ([ROW, OTHER], "--kind words", "`kind` is 'words'"),
    "a scale without its ends": ([{**ROW, "llm_label": 1.5}], "", "`--scale` is required"),
    "off the scale": ([{**ROW, "llm_label": 9.0}], "--scale 1:5", "is not on the scale"),
    "no such recipe": ([ROW, OTHER], "--recipe gone.yaml", "gone.yaml"),
    "a count of nobody": ([ROW, OTHER], "--per-row 0", "`--per-row` is 0"),
    "no such data": ([ROW], "gone.jsonl", "`data` 'gone.jsonl' does not exist"),
    "no such column beside": ([ROW, OTHER], "--show-column x", "`x` is not a column"),
}


def test_data_that_do_not_fit_are_one_line(run: Run, tmp_path: Path) -> None:
    for name, (rows, options, reason) in WRONG.items():
        lines(tmp_path / "data.jsonl", rows)
        arguments = options.split()
        data = [] if arguments and arguments[0].endswith(".jsonl") else ["data.jsonl"]
        assert reason in error_line(run(*data, *arguments, "--port", "0")), name
        # Data that cannot be read leave no store behind.
        assert not list(tmp_path.glob("*.sqlite")), name


def test_a_port_in_use_is_told_before_the_data_are_read(tmp_path: Path, run: Run) -> None:
    (tmp_path / "damaged.jsonl").write_text("{", encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1])
        code, _, err = run("damaged.jsonl", "--port", number)
    assert (code, f"`--port` {number} is in use" in err) == (2, True)


def test_exports_and_imports_check_their_options(run: Run, tmp_path: Path) -> None:
    lines(tmp_path / "data.jsonl", [ROW, OTHER])
    for arguments, field in (
        ("export data.jsonl -o x.jsonl", "`--store`"),
        ("export data.jsonl -o x.jsonl --as xml", "`--as` is 'xml'"),
        ("import data.jsonl a.json --from excel", "`--from` is 'excel'"),
        ("import data.jsonl a.json --from argilla --map-annotator ann", "`--map-annotator` is 'ann'"),
    ):
        assert field in error_line(run(*arguments.split()))


def test_help_shows_examples(run: Run) -> None:
    assert "hf-synthlabels review sampled.parquet --recipe recipe.yaml" in run("--help")[1]
    assert "--per-row" in run("page", "--help")[1]


def test_a_text_of_100_kb_and_a_guideline_of_50_kb_are_read(tmp_path: Path) -> None:
    long = "شلوم 🙂 word " * 8000
    made = Dataset.from_list([{**ROW, "text": long}, OTHER])
    made.to_parquet(str(tmp_path / "data.parquet"))
    recipe = RECIPE.replace("A refund is billing.", "x" * 50_000).replace("[subject, body]", "text")
    (tmp_path / "recipe.yaml").write_text(recipe.replace("billing: payments", "a: b, b: c"), encoding="utf-8")
    rows = open_review(str(tmp_path / "data.parquet"), ReviewOptions(recipe=str(tmp_path / "recipe.yaml")))
    assert rows.row(0).parts[0].text == long
    assert len(rows.schema.guidelines) == 50_000


def test_the_encoding_of_the_data_is_named_once(run: Run, tmp_path: Path) -> None:
    # As few bytes as these could be Western European, too.
    text = "text;llm_label;inclusion_probability\n" + "".join(
        f"да {row};{'за' if row % 2 else 'нет'};0.5\n" for row in range(4)
    )
    (tmp_path / "data.csv").write_bytes(text.encode("cp1251"))
    (tmp_path / "tasks.json").write_text("[]")
    code, _, err = run(
        *("import", "data.csv", "tasks.json", "--from", "label-studio", "--encoding", "cp1251", "--separator", ";")
    )
    assert (code, err) == (0, "")
    # What was said once is kept with the decisions.
    said = ReviewOptions().or_else({"encoding": "cp1251", "separator": ";"})
    assert open_review(str(tmp_path / "data.csv"), said).llm_labels == ("нет", "за") * 2


def test_an_export_onto_an_existing_file_loses_nothing(run: Run, tmp_path: Path) -> None:
    table().to_parquet(str(tmp_path / "data.parquet"))
    decide(tmp_path / "data.parquet", {0: "account", 1: "account"})
    for form, name, content in (
        ("labels", "out.jsonl", '{"text": "t", "note": "precious"}\n'),
        ("sheet", "out.csv", "row,label\n0,billing\n"),
        ("sheet", "out.csv", "text,note\nt,precious\n"),
        ("decisions", "all.jsonl", '{"note": "precious"}\n'),
        ("label-studio", "out.json", '[{"note": "precious"}]'),
    ):
        file = tmp_path / name
        file.write_text(content, encoding="utf-8")
        export = ("export", "data.parquet", "-o", name, "--as", form)
        error_line(run(*export))
        assert file.read_text(encoding="utf-8") == content
        if form == "sheet":
            # A filled-in sheet has no copy.
            error_line(run(*export, "--overwrite"))
            continue
        output(run(*export, "--overwrite"))
        assert "precious" not in file.read_text(encoding="utf-8")
        if form == "labels":
            # A later export replaces its own output.
            output(run(*export))
