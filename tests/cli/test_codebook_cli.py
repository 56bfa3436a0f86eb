"""A codebook on the command line: one sample, one sheet, validation, gates and estimates by variable."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_synthlabels.tables import read_records, read_table
from tests.command_line import Run, error_line

ROWS = 120
VARIABLES = {
    "relevant": {"kind": "text-classification", "labels": ["yes", "no"]},
    "topic": {
        "kind": "text-classification",
        "labels": ["war", "trade"],
        "human": "topic_gold",
        "ask_if": {"variable": "relevant", "is": ["yes"]},
    },
    "tone": {"kind": "text-scale", "scale": {"low": 1, "high": 3}},
}


def truth(row: int) -> dict[str, Any]:
    """Of three rows one is not relevant."""
    topic = None if row % 3 == 0 else "war" if row % 2 else "trade"
    return {"relevant": "yes" if row % 3 else "no", "topic": topic, "tone": 1 + row % 3}


@pytest.fixture
def coded(run: Run, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A table of a codebook, in which the LLM says that every fourth row is relevant, and is right elsewhere."""
    lines = []
    for row in range(ROWS):
        right = truth(row)
        answers = {"relevant": "yes" if row % 4 == 0 else right["relevant"], "topic": right["topic"] or "war"}
        answers["tone"] = str(right["tone"])
        lines.append(
            {"text": f"text {row}", "topic_id": f"id {row}", "topic_gold": None}
            | {f"{k}_answer": v for k, v in answers.items()}
        )
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    recipe = {
        "name": "news",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"variables": VARIABLES},
        "annotator": {"client": "recorded", "column": "{variable}_answer"},
    }
    (tmp_path / "news.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    name = f"coded.{getattr(request, 'param', 'parquet')}"
    assert run("annotate", "news.yaml", "-o", name)[0::2] == (0, "")
    return name


def fill(path: Path) -> list[str]:
    """Fill in the true labels; returns the columns of the sheet."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        right = truth(int(row["row"]))
        row |= {"relevant_human": right["relevant"], "topic_gold": right["topic"] or "", "tone_human": right["tone"]}
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return list(rows[0])


def test_recorded_answers_are_counted_and_no_request_is_sent(run: Run, coded: str) -> None:
    code, out, err = run("annotate", "news.yaml", "-o", "again.jsonl")
    assert (code, err) == (0, "")
    # One answer per variable and row; the condition of a row does not matter to what is recorded.
    assert f"answers: {3 * ROWS} recorded; no request was sent, and nothing was paid" in out
    assert "cost" not in out
    tallies = [entry["tally"] for entry in read_records(Path("again.jsonl"))]
    assert {(tally["rows"], tally["requests"]) for tally in tallies} == {(ROWS, 3 * ROWS)}


@pytest.mark.parametrize("coded", ["parquet", "csv", "jsonl"], indirect=True)
def test_one_sample_and_one_sheet_serve_all_variables(run: Run, tmp_path: Path, coded: str) -> None:
    sampled = coded.replace("coded", "sampled")
    code, out, err = run("sample", coded, "-n", "60", "--stratify", "relevant,tone", "-o", sampled)
    assert (code, err) == (0, "")
    # No row with tone 1 is relevant but by the LLM's error: yes / 1 has 10 rows, no / 1 has 30.
    assert "no / 1.0: 15 of 30" in out
    assert "yes / 1.0: 5 of 10" in out
    columns = fill(tmp_path / "to_label.csv")
    assert columns == ["row_digest", "row", "text", "topic_id", "relevant_human", "topic_gold", "tone_human"]
    code, out, err = run("import-labels", sampled, "to_label.csv", "-o", sampled)
    assert (code, err) == (0, "")
    drawn = [row for row in next(iter(read_table(tmp_path / sampled).values())) if row["inclusion_probability"]]
    assert len(drawn) == 60
    relevant = sum(int(row["text"].split()[1]) % 3 > 0 for row in drawn)
    assert f"topic: {relevant} human labels added, 0 changed; 0 sampled rows without a label" in out
    assert "relevant: 60 human labels added" in out
    code, out, _ = run("validate", sampled, "-o", "report.json", "--report", "page")
    assert code == 0
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {name: each["n_human"] for name, each in report["variables"].items()} == {
        "relevant": 60,
        "topic": relevant,
        "tone": 60,
    }
    # The LLM errs in 10 rows of 120, of which strata hold their share.
    assert report["joint"]["estimate"] == pytest.approx(110 / 120)
    assert report["variables"]["relevant"]["scores"]["accuracy"]["estimate"] == pytest.approx(110 / 120)
    assert report["variables"]["topic"]["scores"]["accuracy"]["estimate"] == 1
    assert (tmp_path / "page" / "report.html").is_file()

    code, out, _ = run("estimate", sampled, "--variable", "topic", "-o", "shares.json")
    assert code == 0
    shares = json.loads((tmp_path / "shares.json").read_text(encoding="utf-8"))
    estimates = {each["name"]: each for each in shares["estimates"]}
    assert set(estimates) == {"war", "trade", "not coded"}
    # By the LLM 30 rows of 120 are not coded, by humans 40; the sample holds the share of every stratum.
    assert estimates["not coded"]["naive"]["estimate"] == pytest.approx(30 / 120)
    assert estimates["not coded"]["classical"]["estimate"] == pytest.approx(40 / 120)
    assert estimates["not coded"]["ppi"]["estimate"] == pytest.approx(40 / 120)
    code, out, _ = run("estimate", sampled, "--formula", "tone ~ topic")
    assert code == 0
    assert "topic = war" in out
    assert "LLM variables, corrected with human labels: tone, topic." in " ".join(out.split())


def test_a_conditional_scale_is_estimated_where_humans_code_it(run: Run, tmp_path: Path) -> None:
    # Humans code the strength of rows 0 to 59, whose mean is 2; the LLM that of rows 20 to 79, always as 3.
    lines = [
        {
            "text": f"text {row}",
            "relevant_answer": "yes" if 20 <= row < 80 else "no",
            "strength_answer": "3",
            "relevant_human": "yes" if row < 60 else "no",
            "strength_human": 1 + row % 3 if row < 60 else None,
        }
        for row in range(120)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    condition = {"variable": "relevant", "is": ["yes"]}
    scale = {"kind": "text-scale", "scale": {"low": 1, "high": 3}, "ask_if": condition}
    recipe = {
        "name": "news",
        "source": {"path": "json", "data_files": "rows.jsonl"},
        "task": {"variables": {"relevant": VARIABLES["relevant"], "strength": scale}},
        "annotator": {"client": "recorded", "column": "{variable}_answer"},
    }
    (tmp_path / "news.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    assert run("annotate", "news.yaml", "-o", "coded.parquet")[0] == 0
    code, out, err = run("estimate", "coded.parquet", "--formula", "strength ~ 1", "-o", "mean.json")
    assert (code, err) == (0, "")
    assert "60 of 120 rows by human labels, 60 of 120 by LLM labels" in " ".join(out.split())
    (mean,) = json.loads((tmp_path / "mean.json").read_text(encoding="utf-8"))["estimates"]
    assert mean["naive"]["estimate"] == pytest.approx(3)
    assert [mean[name]["estimate"] for name in ("classical", "ppi", "dsl")] == pytest.approx([2, 2, 2])
    # A mean by the other way, and a comparison of variants, name the variable and what to do.
    assert "`--formula 'strength ~ 1'`" in error_line(run("estimate", "coded.parquet", "--variable", "strength"))
    error = error_line(run("estimate", "coded.parquet", "--formula", "strength ~ 1", "--variants", "strength"))
    assert "strength" in error


def test_gates_name_their_variable_and_decide_the_exit_status(run: Run, tmp_path: Path, coded: str) -> None:
    run("sample", coded, "-n", "100", "-o", "s.parquet")
    fill(tmp_path / "to_label.csv")
    run("import-labels", "s.parquet", "to_label.csv", "-o", "s.parquet")
    gates = ("--gate", "relevant: accuracy>=0.7", "--gate", "tone: mae<=0.5")
    assert run("validate", "s.parquet", *gates)[0] == 0
    code, out, _ = run("validate", "s.parquet", *gates, "--gate", "relevant: kappa>=0.99")
    assert code == 1
    assert "all gates: fail" in out or "all gates: too few" in out
    assert run("validate", "s.parquet", "--variable", "relevant", "--gate", "accuracy>=0.7")[0] == 0
    code, out, _ = run("validate", "s.parquet", "--variable", "topic")
    assert (code, "against human labels in `topic_gold`" in out) == (0, True)
    assert "relevant, topic, tone" in error_line(run("validate", "s.parquet", "--gate", "other: accuracy>=0.7"))
    assert "relevant, topic, tone" in error_line(run("validate", "s.parquet", "--variable", "other"))


@pytest.mark.parametrize(
    "command",
    [
        ("estimate", "coded.parquet"),
        ("estimate", "news.yaml"),
        ("sample-size", "coded.parquet", "--width", "0.1"),
        ("sample", "coded.parquet", "-n", "9", "--design", "stratified"),
    ],
)
def test_verbs_that_need_one_variable_list_them(run: Run, coded: str, command: tuple[str, ...]) -> None:
    error = error_line(run(*command))
    assert all(name in error for name in VARIABLES)


def test_a_sheet_for_one_variable_hides_the_others(run: Run, tmp_path: Path, coded: str) -> None:
    assert run("sample", coded, "-n", "30", "--variable", "tone", "--design", "stratified", "-o", "s.parquet")[0] == 0
    assert fill_header(tmp_path / "to_label.csv") == ["row_digest", "row", "text", "topic_id", "tone_human"]


def fill_header(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig").splitlines()[0].split(",")
